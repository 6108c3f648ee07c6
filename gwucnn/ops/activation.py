"""Activation functions and their gradients by way of the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn import kernels
from gwucnn.errors import ShapeError
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = ["relu", "relu_backward", "sigmoid", "sigmoid_backward", "softmax", "softmax_backward"]


def _forward(who: str, kernel: Any, x: Array, out: Array | None) -> Callable[[], Array]:
    (x,) = as_arrays(who, x=x)
    # Number by number, a result may take the place of its argument.
    out = as_output(who, out, x.shape, [x] if out is not x else [x[:0]])
    return kernel(x, out)


def _backward(who: str, kernel: Any, dy: Array, y: Array, out: Array | None) -> Callable[[], Array]:
    dy, y = as_arrays(who, dy=dy, y=y)
    check_shape(who, "y", y, dy.shape, "that of dy")
    out = as_output(who, out, dy.shape, [dy, y] if out is not dy else [y])
    return kernel(dy, y, out)


@Op
def relu(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Set what is negative to zero: y = max(x, 0). NaN stays NaN.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    return _forward("relu", kernels.active.Relu, x, out)


@Op
def relu_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Let gradients through where the output was positive: dx = dy where y > 0, else 0.

    dy, y : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("relu_backward", kernels.active.ReluBackward, dy, y, out)


@Op
def sigmoid(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Squeeze numbers into (0, 1): y = 1 / (1 + exp(-x)), without overflow for any x.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    return _forward("sigmoid", kernels.active.Sigmoid, x, out)


@Op
def sigmoid_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * y * (1 - y), y being the output of `sigmoid`.

    dy, y : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("sigmoid_backward", kernels.active.SigmoidBackward, dy, y, out)


@Op
def softmax(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Turn each row into probabilities: y[..., k] = exp(x[..., k] - max) / sum, over the last axis.

    x : float32 or float64, shape (..., K). out : the same; may be x itself. Returns an array like x. A NaN
    makes its own row NaN. Raises TypeError for other dtypes, ShapeError for an array without axes.
    """
    (x_checked,) = as_arrays("softmax", x=x)
    if x_checked.ndim == 0:
        raise ShapeError("softmax: expected x of shape (..., K), got a single number")
    return _forward("softmax", kernels.active.Softmax, x, out)


@Op
def softmax_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx[k] = y[k] * (dy[k] - sum over l of dy[l] * y[l]), y being the output of `softmax`.

    dy, y : float32 or float64, shape (..., K). out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("softmax_backward", kernels.active.SoftmaxBackward, dy, y, out)
