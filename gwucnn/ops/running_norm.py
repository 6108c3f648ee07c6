"""Running statistics of batch normalisation: their update, and folding them into the layer before."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from gwucnn import kernels
from gwucnn.common import ShapeError, check_fraction, check_nonnegative
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = [
    "fold_batch_norm",
    "move_statistics",
]


@Op
def move_statistics(
    running_variance: Array,
    updates: Array,
    mean: Array,
    variance: Array,
    momentum: float,
    *,
    out: Array,
) -> Callable[[], Array]:
    """Update running statistics by those of a batch, and count it.

    ::

        keep = min(momentum, t / (t + 1))            where t is the number of batches before
        running = keep * running + (1 - keep) * batch

    so that the first batches are averaged, whereas with a momentum of 0.99 alone the initial values would dominate.

    Parameters
    ----------
    running_variance : float32 or float64, shape (C,)
        Changed in place.
    updates : int64, shape (1,)
        t, which is incremented.
    mean, variance : dtype of running_variance, shape (C,)
        Those of the batch.
    momentum : float from 0 to less than 1
    out : dtype of running_variance, shape (C,)
        The running mean: changed in place and returned.
    """
    caller = "move_statistics"
    (mean, variance) = arrays = as_arrays(caller, mean=mean, variance=variance)
    check_shape(caller, "mean", mean, (None,), "(C,)")
    check_shape(caller, "variance", variance, mean.shape, "that of mean")
    out = as_output(caller, out, mean.shape, arrays)
    running_variance = as_output(caller, running_variance, mean.shape, [*arrays, out], name="running_variance")
    updates = as_output(caller, updates, (1,), arrays, name="updates", dtype=np.int64)
    momentum = check_fraction(caller, "momentum", momentum)
    return kernels.active.UpdateRunningStatistics(out, running_variance, updates, mean, variance, momentum)


@Op
def fold_batch_norm(
    weight: Array,
    bias: Array | None,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    *,
    bias_out: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the weight of a layer that includes the batch normalisation after it.

    ::

        scale = gamma / sqrt(variance + epsilon)
        weight' = weight * scale            bias' = beta + (bias - mean) * scale

    Parameters
    ----------
    weight : float32 or float64, shape (..., F), or with its last axes together F
        The weight of a convolution or a dense layer without activation.
    bias : dtype of weight, shape (F,), or None
    gamma, beta, mean, variance : dtype of weight, shape (F,)
    epsilon : float of at least 0
    bias_out : dtype of weight, shape (F,), optional
        Receives bias'.
    out : as weight, optional
        Overwritten and returned.

    Returns
    -------
    dtype and shape of weight

    Raises
    ------
    ShapeError, TypeError, ValueError
        For arrays that do not fit each other or differ in dtype, or a negative epsilon.
    """
    caller = "fold_batch_norm"
    epsilon = check_nonnegative(caller, "epsilon", epsilon)
    weight, bias, gamma, beta, mean, variance = arrays = as_arrays(
        caller, weight=weight, bias=bias, gamma=gamma, beta=beta, mean=mean, variance=variance
    )
    check_shape(caller, "gamma", gamma, (None,), "(F,)")
    F = gamma.size
    for name, vector in (("bias", bias), ("beta", beta), ("mean", mean), ("variance", variance)):
        if vector is not None:
            check_shape(caller, name, vector, (F,), "(F,)")
    if not any(prod(weight.shape[axis:]) == F for axis in range(weight.ndim)):
        raise ShapeError(f"{caller}: expected weight of shape (..., F) with F={F} as gamma, got {weight.shape}")
    out = as_output(caller, out, weight.shape, arrays)
    bias_out = as_output(caller, bias_out, (F,), [*arrays, out], name="bias_out", dtype=weight.dtype)
    return kernels.active.FoldBatchNorm(weight, bias, gamma, beta, mean, variance, out, bias_out, epsilon)
