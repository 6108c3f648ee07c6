"""Ops on the flat arrays of weights and gradients: what keeps both of them small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gwucnn import kernels
from gwucnn.checks import check_positive
from gwucnn.ops.base import Array, Op, as_arrays, as_output

__all__ = ["clip_norm"]


@Op
def clip_norm(*, limit: float, out: Array) -> Callable[[], float]:
    """Scale `out` in place so that its norm, the root of the sum of squares, is at most `limit`.

    out *= limit / norm if norm > limit (R. Pascanu et al., arXiv:1211.5063, algorithm 1); left as it is if
    a number of it is infinite or NaN.

    out : float32 or float64, any shape. limit : above 0. Returns the norm before, a float.
    """
    limit = check_positive("clip_norm", "limit", limit)
    (given,) = as_arrays("clip_norm", out=out)
    array = as_output("clip_norm", out, given.shape, [np.empty(0, given.dtype)])
    return kernels.active.ClipNorm(array, limit)
