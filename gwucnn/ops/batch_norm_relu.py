"""Batch normalisation followed by relu in one pass over memory, and its gradients."""

from __future__ import annotations

from collections.abc import Callable

from gwucnn import kernels
from gwucnn.common import check_nonnegative
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_channels, check_shape

__all__ = ["batch_norm_relu", "batch_norm_relu_backward", "batch_norm_relu_backward_sums"]


def _channels(caller: str, x: Array, epsilon: float, **vectors: Array) -> tuple[int, ...]:
    """Return (C,), after checking that x is (N, ..., C), that the others are (C,), and epsilon."""
    check_nonnegative(caller, "epsilon", epsilon)
    return (check_channels(caller, x, **vectors),)


@Op
def batch_norm_relu(
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    *,
    line: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Normalise each channel by mean and variance, scale and shift it, and apply relu.

    ::

        z[..., c] = gamma[c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon) + beta[c]
        y = z where z > 0 or NaN, else 0

    Parameters
    ----------
    x : float32 or float64, shape (N, ..., C)
    gamma, beta, mean, variance : dtype of x, shape (C,)
        In training, mean and variance are those of the batch (`batch_statistics`), in inference running averages.
    epsilon : float of at least 0
    line : dtype of x, shape (2, C), optional
        Receives gamma / sqrt(variance + epsilon) and beta, for `batch_norm_relu_backward_sums`.
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
    The result is bit-identical to `batch_norm` followed by `relu`, with a single pass over memory.
    """
    caller = "batch_norm_relu"
    x, gamma, beta, mean, variance = arrays = as_arrays(
        caller, x=x, gamma=gamma, beta=beta, mean=mean, variance=variance
    )
    channels = _channels(caller, x, epsilon, gamma=gamma, beta=beta, mean=mean, variance=variance)
    out = as_output(caller, out, x.shape, arrays if out is not x else arrays[1:])
    if line is not None:
        line = as_output(caller, line, (2, *channels), [*arrays, out], name="line")
    return kernels.active.BatchNorm(x, gamma, beta, mean, variance, out, epsilon, True, line)


@Op
def batch_norm_relu_backward_sums(
    dy: Array,
    x: Array,
    line: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    *,
    gamma_grad: Array | None = None,
    beta_grad: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the gradients of `batch_norm_relu` with respect to gamma and beta; the gradient of x uses them.

    ::

        dz = dy where z > 0 or NaN, else 0
        dgamma[c] = sum of dz[..., c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon)
        dbeta[c] = sum of dz[..., c]

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    line : dtype of x, shape (2, C)
        From the forward pass: z is recomputed from it.
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
        As `batch_norm_relu`.
    """
    caller = "batch_norm_relu_backward_sums"
    dy, x, line, mean, variance = arrays = as_arrays(caller, dy=dy, x=x, line=line, mean=mean, variance=variance)
    channels = _channels(caller, x, epsilon, mean=mean, variance=variance)
    check_shape(caller, "dy", dy, x.shape, "that of x")
    check_shape(caller, "line", line, (2, *channels), "(2, C)")
    out = as_output(caller, out, (2, *channels), arrays)
    if gamma_grad is not None:
        gamma_grad = as_output(caller, gamma_grad, channels, [*arrays, out], name="gamma_grad")
    if beta_grad is not None:
        others = [*arrays, out] if gamma_grad is None else [*arrays, out, gamma_grad]
        beta_grad = as_output(caller, beta_grad, channels, others, name="beta_grad")
    step = kernels.active.BatchNormBackwardSums
    return step(dy, x, mean, variance, out, gamma_grad, beta_grad, epsilon, line)


@Op
def batch_norm_relu_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    *,
    sums: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the gradient of `batch_norm_relu` with respect to x, with or without the terms of the statistics.

    ::

        dz = dy where z > 0 or NaN, else 0
        dx = gamma / root * (dz - dbeta / R - (x - mean) / root * dgamma / R)
        dx = gamma / root * dz                        if mean and variance are constants

    where root = sqrt(variance + epsilon) and R is the number of pixels of all images, or of rows.

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    gamma, beta, mean, variance : dtype of x, shape (C,)
    epsilon : float of at least 0
    sums : dtype of x, shape (2, C), optional
        dgamma and dbeta, from `batch_norm_relu_backward_sums`, if mean and variance are those of the batch.
    out : as x, optional
        Overwritten and returned.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `batch_norm_relu`.
    """
    caller = "batch_norm_relu_backward"
    dy, x, gamma, beta, mean, variance, sums = arrays = as_arrays(
        caller, dy=dy, x=x, gamma=gamma, beta=beta, mean=mean, variance=variance, sums=sums
    )
    channels = _channels(caller, x, epsilon, gamma=gamma, beta=beta, mean=mean, variance=variance)
    check_shape(caller, "dy", dy, x.shape, "that of x")
    if sums is not None:
        check_shape(caller, "sums", sums, (2, *channels), "(2, C)")
    out = as_output(caller, out, x.shape, arrays)
    return kernels.active.BatchNormBackward(dy, x, gamma, mean, variance, sums, out, epsilon, beta)
