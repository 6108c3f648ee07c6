"""Sample weights, and the mean that they make."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn.common import ShapeError

__all__ = ["checked_weights", "mean"]


def checked_weights(caller: str, sample_weight: Any, N: int) -> Any:
    """Check sample_weight and return it, or ones for None."""
    if sample_weight is None:
        return np.ones(N)
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (N,):
        raise ShapeError(f"{caller}: expected sample_weight of shape ({N},), got {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"{caller}: expected weights that are finite and not negative")
    return weights


def mean(values: Any, weights: Any) -> float:
    """Return the weighted mean of values; NaN without any weight."""
    total = weights.sum()
    return float((values * weights).sum() / total) if total else float("nan")
