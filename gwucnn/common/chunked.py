"""Reading arrays piece by piece, so that a memory-mapped array is never loaded as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["chunks", "min_and_max"]

# Size of a piece in bytes.
CHUNK = 2**22


def chunks(array: Any, size: int = CHUNK) -> Iterator[tuple[int, Any]]:
    """Yield pieces of at most `size` bytes, but at least one row, each with the number of its first row."""
    rows = max(1, size // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def min_and_max(array: Any) -> tuple[float, float]:
    """Return the minimum and maximum of an array: NaN if it contains NaN, (0, 0) if it is empty."""
    if not array.size:
        return 0.0, 0.0
    if array.nbytes <= CHUNK:
        return float(array.min()), float(array.max())
    # The extremes of finite numbers are finite; their sum may overflow.
    pairs = [(piece.min(), piece.max()) for _, piece in chunks(array)]
    lows, highs = zip(*pairs, strict=True)
    return float(np.min(lows)), float(np.max(highs))
