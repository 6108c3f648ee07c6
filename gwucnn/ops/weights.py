"""Ops on the flat arrays of weights and gradients: clipping and penalties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gwucnn import kernels
from gwucnn.common import check_nonnegative, check_positive
from gwucnn.ops.base import Array, Op, as_arrays, as_output

__all__ = ["clip_norm", "weight_penalty"]


@Op
def clip_norm(*, limit: float, out: Array) -> Callable[[], float]:
    """Scale `out` in place so that its norm, the square root of the sum of squares, is at most `limit`.

    out *= limit / norm if norm > limit (R. Pascanu et al., arXiv:1211.5063, algorithm 1); not changed if
    an element is infinite or NaN.

    out : float32 or float64, any shape. limit : above 0. Returns the norm before, a float.
    """
    limit = check_positive("clip_norm", "limit", limit)
    (given,) = as_arrays("clip_norm", out=out)
    array = as_output("clip_norm", out, given.shape, [np.empty(0, given.dtype)])
    return kernels.active.ClipNorm(array, limit)


@Op
def weight_penalty(
    weight: Array, *, l1: float = 0.0, l2: float = 0.0, gradient: Array | None = None
) -> Callable[[], float]:
    """Compute l1 * sum of abs(w) + l2 * sum of w**2; add l1 * sign(w) + 2 * l2 * w to `gradient`.

    weight : float32 or float64, any shape. l1, l2 : at least 0. gradient : shape of weight, accumulated into;
    None to leave it out. Returns the penalty, a float, summed in float64.
    """
    caller = "weight_penalty"
    (weight,) = as_arrays(caller, weight=weight)
    l1, l2 = check_nonnegative(caller, "l1", l1), check_nonnegative(caller, "l2", l2)
    if gradient is not None:
        gradient = as_output(caller, gradient, weight.shape, [weight], name="gradient")
    return kernels.active.Penalty(weight, gradient, l1, l2)
