"""Ops on flat arrays that a training step needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gwucnn import kernels
from gwucnn.ops.base import Array, Op, as_arrays, as_output

__all__ = ["all_finite", "fill_zero"]


@Op
def all_finite(x: Array) -> Callable[[], bool]:
    """Return whether no number of x (float32 or float64, any shape) is NaN or infinite. One pass, no copy."""
    (x,) = as_arrays("all_finite", x=x)
    return kernels.active.AllFinite(x)


@Op
def fill_zero(*, out: Array) -> Callable[[], Array]:
    """Set every number of `out` (float32 or float64, any shape) to 0, whatever it was, and return it."""
    (given,) = as_arrays("fill_zero", out=out)
    return kernels.active.FillZero(as_output("fill_zero", out, given.shape, [np.empty(0, given.dtype)]))
