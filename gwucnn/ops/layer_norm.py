"""Normalisation of each row by its own mean and variance; its gradients."""

from __future__ import annotations

from collections.abc import Callable

from gwucnn import kernels
from gwucnn.common import check_nonnegative
from gwucnn.ops.base import Array, Op, as_arrays, as_gradients, as_output, check_channels, check_shape

__all__ = [
    "layer_norm",
    "layer_norm_backward",
]


@Op
def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float, *, out: Array | None = None) -> Callable[[], Array]:
    """Normalise each row to mean 0 and variance 1, then scale and shift its channels.

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
        If shapes or dtypes do not match, or epsilon is negative.

    Notes
    -----
    J. Ba, J. Kiros and G. Hinton, arXiv:1607.06450, section 3. Rows are independent of each other, so
    the size of the batch does not matter. A NaN makes its whole row NaN.

    Examples
    --------
    >>> import numpy as np
    >>> layer_norm(np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2), 0)
    array([[-1.,  1.]])
    """
    caller = "layer_norm"
    epsilon = check_nonnegative(caller, "epsilon", epsilon)
    x, gamma, beta = arrays = as_arrays(caller, x=x, gamma=gamma, beta=beta)
    check_channels(caller, x, gamma=gamma, beta=beta)
    out = as_output(caller, out, x.shape, arrays)
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
    caller = "layer_norm_backward"
    epsilon = check_nonnegative(caller, "epsilon", epsilon)
    dy, x, gamma = arrays = as_arrays(caller, dy=dy, x=x, gamma=gamma)
    C = check_channels(caller, x, gamma=gamma)
    check_shape(caller, "dy", dy, x.shape, "that of x")
    out = as_output(caller, out, x.shape, arrays)
    grads = as_gradients(caller, C, [*arrays, out], gamma_grad, beta_grad)
    return kernels.active.LayerNormBackward(dy, x, gamma, out, *grads, epsilon)
