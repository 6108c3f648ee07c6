"""New arrays that start at a cache line, as only one in four of numpy's own does."""

from __future__ import annotations

from ctypes import addressof, c_char
from math import prod
from typing import Any

import numpy as np

__all__ = ["aligned_copy", "aligned_empty", "aligned_zeros"]

# Bytes of a cache line, and of the widest vector. If every vector straddles two lines, a depthwise convolution takes
# 1.3 to 3 times as long.
ALIGNMENT = 64

# Size in bytes below which alignment, which takes about a microsecond, costs more than it saves.
WORTH_ALIGNING = 4096


def aligned_empty(shape: tuple[int, ...], dtype: Any, *, least: int = 0, line: int = 0) -> Any:
    """Return an array with undefined contents whose element number `line` starts a cache line.

    Arrays of less than `least` bytes are not aligned.
    """
    size = prod(shape) * dtype.itemsize
    if size < least:
        return np.empty(shape, dtype)
    return _aligned(np.empty(size + ALIGNMENT, np.uint8), shape, dtype, line)


def aligned_zeros(shape: tuple[int, ...], dtype: Any, *, line: int = 0) -> Any:
    """Return an array of zeros whose element number `line` starts a cache line.

    Memory that is never written to takes no room.
    """
    return _aligned(np.zeros(prod(shape) * dtype.itemsize + ALIGNMENT, np.uint8), shape, dtype, line)


def _aligned(roomy: Any, shape: tuple[int, ...], dtype: Any, line: int) -> Any:
    """Return an array in memory that is larger than needed."""
    # The same as `roomy.ctypes.data`, in half the time.
    start = -(addressof(c_char.from_buffer(roomy)) + line * dtype.itemsize) % ALIGNMENT
    return np.ndarray(shape, dtype, roomy, start)


def aligned_copy(array: Any) -> Any:
    """Return a C-contiguous copy, aligned to a cache line if that pays."""
    copy = aligned_empty(array.shape, array.dtype, least=WORTH_ALIGNING)
    copy[...] = array
    return copy
