"""Batch normalisation, by the statistics of a batch or by given ones, and its gradients."""

from __future__ import annotations

from collections.abc import Callable

from gwucnn import kernels
from gwucnn.common import check_nonnegative
from gwucnn.ops.base import Array, Op, as_arrays, as_gradients, as_output, check_channels, check_shape

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_backward_sums",
    "batch_statistics",
]


@Op
def batch_statistics(x: Array, *, variance: Array | None = None, out: Array | None = None) -> Callable[[], Array]:
    """Return the mean of each channel over a batch, and fill `variance` with its biased variance.

    ::

        mean[c] = sum of x[..., c] / R            variance[c] = sum of (x[..., c] - mean[c])**2 / R

    where R is the number of pixels of all images, or of rows.

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
    Squares are computed of the differences from the mean of 32 neighbouring rows, never of x itself, so that even a
    mean a million times the standard deviation costs no further digits. The result does not depend on the number of
    threads. An empty batch has mean and variance 0.

    Examples
    --------
    >>> import numpy as np
    >>> variance = np.empty(2)
    >>> batch_statistics(np.array([[1.0, 5.0], [3.0, 5.0]]), variance=variance), variance
    (array([2., 5.]), array([1., 0.]))
    """
    caller = "batch_statistics"
    (x,) = as_arrays(caller, x=x)
    C = check_channels(caller, x)
    out = as_output(caller, out, (C,), [x])
    variance = as_output(caller, variance, (C,), [x, out], name="variance", dtype=x.dtype)
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
    """Normalise each channel by mean and variance, then scale and shift it.

    ::

        y[..., c] = gamma[c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon) + beta[c]

    Parameters
    ----------
    x : float32 or float64, shape (N, ..., C)
    gamma, beta, mean, variance : dtype of x, shape (C,)
        In training, mean and variance are those of the batch (`batch_statistics`), in inference running averages.
    epsilon : float of at least 0
    out : as x, optional
        Overwritten and returned; may be x itself.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError, ValueError
        For arrays that do not fit each other or differ in dtype, or a negative epsilon.

    Notes
    -----
    S. Ioffe and C. Szegedy, arXiv:1502.03167, algorithm 1. If the variance is NaN or infinite, the
    channel becomes NaN.
    """
    caller = "batch_norm"
    epsilon = check_nonnegative(caller, "epsilon", epsilon)
    x, gamma, beta, mean, variance = arrays = as_arrays(
        caller, x=x, gamma=gamma, beta=beta, mean=mean, variance=variance
    )
    check_channels(caller, x, gamma=gamma, beta=beta, mean=mean, variance=variance)
    out = as_output(caller, out, x.shape, arrays if out is not x else arrays[1:])
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
    """Return the gradients of `batch_norm` with respect to gamma and beta; the gradient of x uses them.

    ::

        dgamma[c] = sum of dy[..., c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon)
        dbeta[c] = sum of dy[..., c]

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    mean, variance : dtype of x, shape (C,)
    epsilon : float of at least 0
    gamma_grad, beta_grad : dtype of x, shape (C,), optional
        The gradients are accumulated into them.
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
    caller = "batch_norm_backward_sums"
    epsilon = check_nonnegative(caller, "epsilon", epsilon)
    dy, x, mean, variance = arrays = as_arrays(caller, dy=dy, x=x, mean=mean, variance=variance)
    C = check_channels(caller, x, mean=mean, variance=variance)
    check_shape(caller, "dy", dy, x.shape, "that of x")
    out = as_output(caller, out, (2, C), arrays)
    grads = as_gradients(caller, C, [*arrays, out], gamma_grad, beta_grad)
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
    """Return the gradient of `batch_norm` with respect to x, with or without the terms of the statistics.

    ::

        dx = gamma / root * (dy - dbeta / R - (x - mean) / root * dgamma / R)
        dx = gamma / root * dy                        if mean and variance are constants

    where root = sqrt(variance + epsilon).

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    gamma, mean, variance : dtype of x, shape (C,)
    epsilon : float of at least 0
    sums : dtype of x, shape (2, C), optional
        dgamma and dbeta, from `batch_norm_backward_sums`, if mean and variance are those of the batch.
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
    caller = "batch_norm_backward"
    epsilon = check_nonnegative(caller, "epsilon", epsilon)
    dy, x, gamma, mean, variance, sums = arrays = as_arrays(
        caller, dy=dy, x=x, gamma=gamma, mean=mean, variance=variance, sums=sums
    )
    C = check_channels(caller, x, gamma=gamma, mean=mean, variance=variance)
    check_shape(caller, "dy", dy, x.shape, "that of x")
    if sums is not None:
        check_shape(caller, "sums", sums, (2, C), "(2, C)")
    out = as_output(caller, out, x.shape, arrays)
    return kernels.active.BatchNormBackward(dy, x, gamma, mean, variance, sums, out, epsilon)
