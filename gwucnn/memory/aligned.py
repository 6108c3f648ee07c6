"""New arrays that begin where a cache line does, which numpy's own do one time in four."""

from __future__ import annotations

from ctypes import addressof, c_char
from math import prod
from typing import Any

import numpy as np

__all__ = ["aligned_copy", "aligned_empty"]

# Bytes: a cache line, and the widest vector. Where each vector lies in two lines, a depthwise convolution
# takes 1.3 to 3 times as long.
ALIGNMENT = 64

# Bytes below which looking for the place, about a microsecond, costs more than it saves.
WORTH_IT = 4096


def aligned_empty(shape: tuple[int, ...], dtype: Any, *, least: int = 0, line: int = 0) -> Any:
    """Return an array of undefined contents, of which number `line` begins a cache line.

    Below `least` bytes it lies anywhere.
    """
    size = prod(shape) * dtype.itemsize
    if size < least:
        return np.empty(shape, dtype)
    roomy = np.empty(size + ALIGNMENT, np.uint8)
    # What `roomy.ctypes.data` gives, in half the time.
    start = -(addressof(c_char.from_buffer(roomy)) + line * dtype.itemsize) % ALIGNMENT  # type: ignore[arg-type]
    return np.ndarray(shape, dtype, roomy, start)


def aligned_copy(array: Any) -> Any:
    """Return a C-contiguous copy; it begins at a cache line if that pays."""
    copy = aligned_empty(array.shape, array.dtype, least=WORTH_IT)
    copy[...] = array
    return copy
