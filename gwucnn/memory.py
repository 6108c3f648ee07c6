"""Arrays that begin where the processor likes it."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["empty"]

# Bytes: a cache line, and the widest vector.
ALIGNMENT = 64


def empty(size: int, dtype: Any, line: int = 0) -> Any:
    """Return an array of undefined contents in which number `line` begins a cache line."""
    dtype = np.dtype(dtype)
    roomy = np.empty(size + ALIGNMENT // dtype.itemsize, dtype)
    first = roomy.__array_interface__["data"][0] + line * dtype.itemsize
    start = -first % ALIGNMENT // dtype.itemsize
    return roomy[start : start + size]
