"""Repeatable runs."""

from __future__ import annotations

import numpy as np

from gwucnn.shapes import check_size

__all__ = ["set_random_seed"]


def set_random_seed(seed: int) -> None:
    """Make all networks that are built from now on, without a seed of their own, repeat the same random numbers."""
    np.random.seed(check_size("set_random_seed", "seed", seed, 0))
