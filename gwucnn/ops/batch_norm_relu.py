"""Batch normalisation with relu behind it, in one pass over the images, and its gradients."""

from __future__ import annotations

from collections.abc import Callable

from gwucnn import kernels
from gwucnn.common import check_nonnegative
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_channels, check_shape

__all__ = ["batch_norm_relu", "batch_norm_relu_backward", "batch_norm_relu_backward_sums"]


def _channels(caller: str, x: Array, epsilon: float, **vectors: Array) -> tuple[int, ...]:
    """Return (C,), after a check that x is (N, ..., C), that the others are (C,), and of epsilon."""
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
    """Bring each channel to mean 0 and variance 1, stretch and shift it, and set what is negative to 0.

    ::

        z[..., c] = gamma[c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon) + beta[c]
        y = z where z > 0 or NaN, else 0

    Parameters
    ----------
    x : float32 or float64, shape (N, ..., C)
    gamma, beta, mean, variance : dtype of x, shape (C,)
        Mean and variance are those of the batch in training (`batch_statistics`), running ones in use.
    epsilon : float of at least 0
    line : dtype of x, shape (2, C), optional
        Receives what `batch_norm_relu_backward_sums` wants: gamma / sqrt(variance + epsilon), and beta.
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
    The bits are those of `batch_norm` and `relu`, one after the other; memory is passed through once.
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
    """Return the gradients of `batch_norm_relu` by gamma and beta, which that by x needs as well.

    ::

        dz = dy where z > 0 or NaN, else 0
        dgamma[c] = sum of dz[..., c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon)
        dbeta[c] = sum of dz[..., c]

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    line : dtype of x, shape (2, C)
        What the forward pass left: z is computed from it again.
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
    """Return the gradient of `batch_norm_relu` by x: through the batch's own statistics, or through x alone.

    ::

        dz = dy where z > 0 or NaN, else 0
        dx = gamma / root * (dz - dbeta / R - (x - mean) / root * dgamma / R)
        dx = gamma / root * dz                        where mean and variance are given numbers

    with root = sqrt(variance + epsilon) and R the number of images times pixels, or of rows.

    Parameters
    ----------
    dy, x : float32 or float64, shape (N, ..., C)
    gamma, beta, mean, variance : dtype of x, shape (C,)
    epsilon : float of at least 0
    sums : dtype of x, shape (2, C), optional
        dgamma and dbeta, from `batch_norm_relu_backward_sums`, if mean and variance are the batch's own.
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
