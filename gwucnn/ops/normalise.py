"""Normalisation of channels by a batch or by running statistics, and of rows; their gradients."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, prod
from numbers import Real
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.errors import ShapeError
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_backward_sums",
    "batch_statistics",
    "check_epsilon",
    "fold_batch_norm",
    "layer_norm",
    "layer_norm_backward",
    "move_statistics",
]


def check_epsilon(who: str, epsilon: Any) -> float:
    """Return what is added to a variance as a float, or raise a ValueError."""
    if not isinstance(epsilon, Real) or isinstance(epsilon, bool) or not 0 <= float(epsilon) < inf:
        raise ValueError(f"{who}: expected epsilon to be a number of at least 0, got {epsilon!r}")
    return float(epsilon)


def _channels(who: str, x: Array, **vectors: Array | None) -> int:
    """Return C, after a check that x is (..., C) and that the others are (C,)."""
    if x.ndim < 2 or x.shape[-1] < 1:
        raise ShapeError(f"{who}: expected x of shape (N, ..., C) with at least one channel, got {x.shape}")
    for name, vector in vectors.items():
        if vector is not None:
            check_shape(who, name, vector, x.shape[-1:], f"(C,) with C={x.shape[-1]} channels as in x")
    return x.shape[-1]


@Op
def batch_statistics(
    x: Array, *, variance: Array | None = None, out: Array | None = None
) -> Callable[[], Array]:
    """Return the mean of each channel over a batch, and fill `variance` with its biased variance.

    ::

        mean[c] = sum of x[..., c] / R            variance[c] = sum of (x[..., c] - mean[c])**2 / R

    with R the number of images times pixels, or of rows.

    Parameters
    ----------
    x : float32 or float64, shape (N, ..., C)
    variance : dtype of x, shape (C,), optional
        Overwritten.
    out : dtype of x, shape (C,), optional
        Overwritten and returned.

    Returns
    -------
    dtype of x, shape (C,)

    Notes
    -----
    Squares are taken of what differs from the mean of 32 neighbouring rows, never of x itself: a mean a
    million times the spread costs no digits but those that x has lost. Nothing depends on the number of
    threads. An empty batch has mean and variance 0.

    Examples
    --------
    >>> import numpy as np
    >>> variance = np.empty(2)
    >>> batch_statistics(np.array([[1.0, 5.0], [3.0, 5.0]]), variance=variance), variance
    (array([2., 5.]), array([1., 0.]))
    """
    who = "batch_statistics"
    (x,) = as_arrays(who, x=x)
    C = _channels(who, x)
    out = as_output(who, out, (C,), [x])
    variance = as_output(who, variance, (C,), [x, out], name="variance", dtype=x.dtype)
    return kernels.active.BatchStatistics(x, out, variance)


@Op
def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    *,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Bring each channel to mean 0 and variance 1, then stretch and shift it.

    ::

        y[..., c] = gamma[c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon) + beta[c]

    Parameters
    ----------
    x : float32 or float64, shape (N, ..., C)
    gamma, beta, mean, variance : dtype of x, shape (C,)
        Mean and variance are those of the batch in training (`batch_statistics`), running ones in use.
    epsilon : float of at least 0
    out : as x, optional
        Overwritten and returned; may be x itself.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError, ValueError
        For arrays that do not fit each other, differ in dtype, or an epsilon below 0.

    Notes
    -----
    S. Ioffe and C. Szegedy, arXiv:1502.03167, algorithm 1. A variance that is NaN or infinite makes the
    channel NaN.
    """
    who = "batch_norm"
    epsilon = check_epsilon(who, epsilon)
    x, gamma, beta, mean, variance = arrays = as_arrays(
        who, x=x, gamma=gamma, beta=beta, mean=mean, variance=variance
    )
    _channels(who, x, gamma=gamma, beta=beta, mean=mean, variance=variance)
    out = as_output(who, out, x.shape, arrays if out is not x else arrays[1:])
    return kernels.active.BatchNorm(x, gamma, beta, mean, variance, out, epsilon)


@Op
def batch_norm_backward_sums(
    dy: Array,
    x: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    *,
    gamma_grad: Array | None = None,
    beta_grad: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the gradients of `batch_norm` by gamma and beta, which that by x needs as well.

    ::

        dgamma[c] = sum of dy[..., c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon)
        dbeta[c] = sum of dy[..., c]

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    mean, variance : dtype of x, shape (C,)
    epsilon : float of at least 0
    gamma_grad, beta_grad : dtype of x, shape (C,), optional
        The gradients are added to them.
    out : dtype of x, shape (2, C), optional
        Overwritten and returned.

    Returns
    -------
    dtype of x, shape (2, C): dgamma and dbeta

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `batch_norm`.
    """
    who = "batch_norm_backward_sums"
    epsilon = check_epsilon(who, epsilon)
    dy, x, mean, variance = arrays = as_arrays(who, dy=dy, x=x, mean=mean, variance=variance)
    C = _channels(who, x, mean=mean, variance=variance)
    check_shape(who, "dy", dy, x.shape, "that of x")
    out = as_output(who, out, (2, C), arrays)
    grads = _gradients(who, C, [*arrays, out], gamma_grad, beta_grad)
    return kernels.active.BatchNormBackwardSums(dy, x, mean, variance, out, *grads, epsilon)


@Op
def batch_norm_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    *,
    sums: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the gradient of `batch_norm` by x: through the batch's own statistics, or through x alone.

    ::

        dx = gamma / root * (dy - dbeta / R - (x - mean) / root * dgamma / R)
        dx = gamma / root * dy                        where mean and variance are given numbers

    with root = sqrt(variance + epsilon).

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    gamma, mean, variance : dtype of x, shape (C,)
    epsilon : float of at least 0
    sums : dtype of x, shape (2, C), optional
        dgamma and dbeta, from `batch_norm_backward_sums`, if mean and variance are the batch's own.
    out : as x, optional
        Overwritten and returned.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `batch_norm`.
    """
    who = "batch_norm_backward"
    epsilon = check_epsilon(who, epsilon)
    dy, x, gamma, mean, variance, sums = arrays = as_arrays(
        who, dy=dy, x=x, gamma=gamma, mean=mean, variance=variance, sums=sums
    )
    C = _channels(who, x, gamma=gamma, mean=mean, variance=variance)
    check_shape(who, "dy", dy, x.shape, "that of x")
    if sums is not None:
        check_shape(who, "sums", sums, (2, C), "(2, C)")
    out = as_output(who, out, x.shape, arrays)
    return kernels.active.BatchNormBackward(dy, x, gamma, mean, variance, sums, out, epsilon)


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
    """Let running statistics take in those of a batch, and count it.

    ::

        keep = min(momentum, t / (t + 1))            with t the batches before
        running = keep * running + (1 - keep) * batch

    so that the first batches are averaged, where a momentum of 0.99 alone would still hold first values.

    Parameters
    ----------
    running_variance : float32 or float64, shape (C,)
        Changed in place.
    updates : int64, shape (1,)
        t, which grows by one.
    mean, variance : dtype of running_variance, shape (C,)
        The batch's.
    momentum : float from 0 to less than 1
    out : dtype of running_variance, shape (C,)
        The running mean: changed in place and returned.
    """
    who = "move_statistics"
    (mean, variance) = arrays = as_arrays(who, mean=mean, variance=variance)
    check_shape(who, "mean", mean, (None,), "(C,)")
    check_shape(who, "variance", variance, mean.shape, "that of mean")
    out = as_output(who, out, mean.shape, arrays)
    running_variance = as_output(who, running_variance, mean.shape, [*arrays, out], name="running_variance")
    updates = as_output(who, updates, (1,), arrays, name="updates", dtype=np.int64)
    return kernels.active.MoveStatistics(out, running_variance, updates, mean, variance, momentum)


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
    """Return the weight of a layer that does the work of the normalisation behind it as well.

    ::

        scale = gamma / sqrt(variance + epsilon)
        weight' = weight * scale            bias' = beta + (bias - mean) * scale

    Parameters
    ----------
    weight : float32 or float64, shape (..., F), or with its last axes together F
        Of a convolution or a dense layer without activation.
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
        For arrays that do not fit each other, differ in dtype, or an epsilon below 0.
    """
    who = "fold_batch_norm"
    epsilon = check_epsilon(who, epsilon)
    weight, bias, gamma, beta, mean, variance = arrays = as_arrays(
        who, weight=weight, bias=bias, gamma=gamma, beta=beta, mean=mean, variance=variance
    )
    check_shape(who, "gamma", gamma, (None,), "(F,)")
    F = gamma.size
    for name, vector in (("bias", bias), ("beta", beta), ("mean", mean), ("variance", variance)):
        if vector is not None:
            check_shape(who, name, vector, (F,), "(F,)")
    if not any(prod(weight.shape[axis:]) == F for axis in range(weight.ndim)):
        raise ShapeError(f"{who}: expected weight of shape (..., F) with F={F} as gamma, got {weight.shape}")
    out = as_output(who, out, weight.shape, arrays)
    bias_out = as_output(who, bias_out, (F,), [*arrays, out], name="bias_out", dtype=weight.dtype)
    return kernels.active.FoldBatchNorm(weight, bias, gamma, beta, mean, variance, out, bias_out, epsilon)


@Op
def layer_norm(
    x: Array, gamma: Array, beta: Array, epsilon: float, *, out: Array | None = None
) -> Callable[[], Array]:
    """Bring each row to mean 0 and variance 1, then stretch and shift its channels.

    ::

        y[..., c] = gamma[c] * (x[..., c] - m) / sqrt(v + epsilon) + beta[c]

    with m and v the mean and the biased variance of x[..., :].

    Parameters
    ----------
    x : float32 or float64, shape (N, ..., C)
    gamma, beta : dtype of x, shape (C,)
    epsilon : float of at least 0
    out : as x, optional
        Overwritten and returned.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError, ValueError
        For arrays that do not fit each other, differ in dtype, or an epsilon below 0.

    Notes
    -----
    J. Ba, J. Kiros and G. Hinton, arXiv:1607.06450, section 3. Each row by itself: a batch of one is as good
    as any. NaN in a row makes the row NaN.

    Examples
    --------
    >>> import numpy as np
    >>> layer_norm(np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2), 0)
    array([[-1.,  1.]])
    """
    who = "layer_norm"
    epsilon = check_epsilon(who, epsilon)
    x, gamma, beta = arrays = as_arrays(who, x=x, gamma=gamma, beta=beta)
    _channels(who, x, gamma=gamma, beta=beta)
    out = as_output(who, out, x.shape, arrays)
    return kernels.active.LayerNorm(x, gamma, beta, out, epsilon)


@Op
def layer_norm_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    epsilon: float,
    *,
    gamma_grad: Array | None = None,
    beta_grad: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the gradient of `layer_norm` by x, and add those by gamma and beta to their arrays.

    ::

        z = (x - m) / sqrt(v + epsilon)            g = dy * gamma
        dx = (g - mean of g - z * mean of g * z) / sqrt(v + epsilon)
        dgamma = sum of dy * z over rows           dbeta = sum of dy over rows

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    gamma : dtype of x, shape (C,)
    epsilon : float of at least 0
    gamma_grad, beta_grad : dtype of x, shape (C,), optional
        The gradients are added to them.
    out : as x, optional
        Overwritten and returned.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `layer_norm`.
    """
    who = "layer_norm_backward"
    epsilon = check_epsilon(who, epsilon)
    dy, x, gamma = arrays = as_arrays(who, dy=dy, x=x, gamma=gamma)
    C = _channels(who, x, gamma=gamma)
    check_shape(who, "dy", dy, x.shape, "that of x")
    out = as_output(who, out, x.shape, arrays)
    grads = _gradients(who, C, [*arrays, out], gamma_grad, beta_grad)
    return kernels.active.LayerNormBackward(dy, x, gamma, out, *grads, epsilon)


def _gradients(
    who: str, C: int, arrays: list[Any], gamma_grad: Array | None, beta_grad: Array | None
) -> list[Array | None]:
    """Check the arrays that gradients are added to; None stays None."""
    checked: list[Array | None] = []
    for name, grad in (("gamma_grad", gamma_grad), ("beta_grad", beta_grad)):
        given = [*arrays, *[g for g in checked if g is not None]]
        checked.append(None if grad is None else as_output(who, grad, (C,), given, name=name))
    return checked
