"""Looks at arrays piece by piece, so that one which lies on disk is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["chunks", "min_and_max"]

# Bytes of a piece.
CHUNK = 2**22


def chunks(array: Any, size: int = CHUNK) -> Iterator[tuple[int, Any]]:
    """Yield pieces of `size` bytes or one row, each with the number of its first row."""
    rows = max(1, size // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def min_and_max(array: Any) -> tuple[float, float]:
    """Return the smallest and the largest number: NaN if there is one, (0, 0) of none."""
    if not array.size:
        return 0.0, 0.0
    if array.nbytes <= CHUNK:
        return float(array.min()), float(array.max())
    # Extremes of finite numbers are finite; a sum, which would tell as well, may overflow.
    pairs = [(piece.min(), piece.max()) for _, piece in chunks(array)]
    lows, highs = zip(*pairs, strict=True)
    return float(np.min(lows)), float(np.max(highs))
