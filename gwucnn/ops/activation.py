"""Activation functions and their gradients, computed from the output, (dy, y), or from the input, (dy, x).

Exponentials are computed here, with vectors. The relative error is below 8 * u, with u = 2**-24 for float32 and 2**-53
for float64; for derivatives that are sums of terms with different signs, it is below 8 * u of the sum of their
magnitudes. Nothing overflows, NaN stays NaN, and infinities give the limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn import kernels
from gwucnn.common import ShapeError, check_flag, check_number
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = [
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]


def _forward(caller: str, kernel: Any, x: Array, out: Array | None) -> Callable[[], Array]:
    (x,) = as_arrays(caller, x=x)
    # Elementwise, so that the result may overwrite the argument.
    out = as_output(caller, out, x.shape, [x] if out is not x else [x[:0]])
    return kernel(x, out)


def _backward(caller: str, kernel: Any, dy: Array, y: Array, out: Array | None, name: str = "y") -> Callable[[], Array]:
    """Bind a gradient that takes dy and another array, called `name`."""
    dy, y = as_arrays(caller, **{"dy": dy, name: y})
    check_shape(caller, name, y, dy.shape, "that of dy")
    out = as_output(caller, out, dy.shape, [dy, y] if out is not dy else [y])
    return kernel(dy, y, out)


def _formula(name: str, option: float = 0.0) -> Callable[[Array, Array], Any]:
    """Return the kernel of an activation of elementary.h."""
    return lambda x, y: kernels.active.Activation(name, x, y, option)


def _slope(name: str, option: float = 0.0) -> Callable[[Array, Array, Array], Any]:
    """Return the kernel of its gradient."""
    return lambda dy, x, dx: kernels.active.ActivationBackward(name, dy, x, dx, option)


@Op
def relu(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Set negative elements to zero: y = max(x, 0). NaN stays NaN.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    return _forward("relu", kernels.active.Relu, x, out)


@Op
def relu_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Pass gradients where the output was positive: dx = dy where y > 0, else 0.

    dy, y : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("relu_backward", kernels.active.ReluBackward, dy, y, out)


@Op
def sigmoid(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Map numbers to (0, 1): y = 1 / (1 + exp(-x)), without overflow for any x.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    return _forward("sigmoid", _formula("sigmoid"), x, out)


@Op
def sigmoid_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * y * (1 - y), where y is the output of `sigmoid`.

    dy, y : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("sigmoid_backward", _slope("sigmoid"), dy, y, out)


@Op
def softmax(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Convert each row to probabilities: y[..., k] = exp(x[..., k] - max) / sum, over the last axis.

    x : float32 or float64, shape (..., K). out : the same; may be x itself. Returns an array like x. NaN
    in a row makes the whole row NaN, and no other. Raises TypeError for other dtypes, ShapeError for an array
    without axes.
    """
    (x_checked,) = as_arrays("softmax", x=x)
    if x_checked.ndim == 0:
        raise ShapeError("softmax: expected x of shape (..., K), got a single number")
    return _forward("softmax", kernels.active.Softmax, x, out)


@Op
def softmax_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx[k] = y[k] * (dy[k] - sum over l of dy[l] * y[l]), where y is the output of `softmax`.

    dy, y : float32 or float64, shape (..., K). out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("softmax_backward", kernels.active.SoftmaxBackward, dy, y, out)


@Op
def tanh(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Map numbers to (-1, 1).

    y = (exp(2*x) - 1) / (exp(2*x) + 1), without overflow for any x.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    return _forward("tanh", _formula("tanh"), x, out)


@Op
def tanh_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * (1 - y**2), where y is the output of `tanh`.

    dy, y : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("tanh_backward", _slope("tanh"), dy, y, out)


@Op
def leaky_relu(x: Array, negative_slope: float = 0.3, *, out: Array | None = None) -> Callable[[], Array]:
    """Scale negative elements down: a rectified linear unit with a gradient below 0 too.

    y = x where x > 0, else negative_slope * x.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes, ValueError for an invalid option.
    """
    slope = check_number("leaky_relu", "negative_slope", negative_slope)
    return _forward("leaky_relu", _formula("leaky_relu", slope), x, out)


@Op
def leaky_relu_backward(
    dy: Array, x: Array, negative_slope: float = 0.3, *, out: Array | None = None
) -> Callable[[], Array]:
    """Return dx = dy * (1 where x > 0, else negative_slope), where x is the input.

    dy, x : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    slope = check_number("leaky_relu_backward", "negative_slope", negative_slope)
    return _backward("leaky_relu_backward", _slope("leaky_relu", slope), dy, x, out, "x")


@Op
def elu(x: Array, alpha: float = 1.0, *, out: Array | None = None) -> Callable[[], Array]:
    """Let negative elements approach -alpha: the exponential linear unit.

    y = x where x > 0, else alpha * (exp(x) - 1). D. Clevert and others, arXiv:1511.07289, equation 15.


    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes, ValueError for an invalid option.
    """
    alpha = check_number("elu", "alpha", alpha)
    return _forward("elu", _formula("elu", alpha), x, out)


@Op
def elu_backward(dy: Array, x: Array, alpha: float = 1.0, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * (1 where x > 0, else alpha * exp(x)), where x is the input.

    dy, x : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    alpha = check_number("elu_backward", "alpha", alpha)
    return _backward("elu_backward", _slope("elu", alpha), dy, x, out, "x")


@Op
def gelu(x: Array, approximate: bool = False, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply by the probability that a standard normal variable is smaller: the Gaussian error linear unit.

    y = x * P(x) with P(x) = (1 + erf(x / sqrt(2))) / 2. D. Hendrycks and K. Gimpel, arXiv:1606.08415.

    With `approximate`, y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))), which is within 5e-4
    of it; the error relative to that formula is 8 * u * (1 + |v|), where v is twice the argument of tanh.


    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes, ValueError for an invalid option.
    """
    check_flag("gelu", "approximate", approximate)
    return _forward("gelu", _formula("gelu_tanh" if approximate else "gelu"), x, out)


@Op
def gelu_backward(dy: Array, x: Array, approximate: bool = False, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * (P(x) + x * p(x)), where p is the normal density and x the input.

    dy, x : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    check_flag("gelu_backward", "approximate", approximate)
    return _backward("gelu_backward", _slope("gelu_tanh" if approximate else "gelu"), dy, x, out, "x")


@Op
def silu(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply each element by its sigmoid; also called swish.

    y = x / (1 + exp(-x)). S. Elfwing, E. Uchibe and K. Doya, arXiv:1702.03118.


    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    return _forward("silu", _formula("silu"), x, out)


@Op
def silu_backward(dy: Array, x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * s * (1 + x * (1 - s)) with s = sigmoid(x), where x is the input.

    dy, x : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("silu_backward", _slope("silu"), dy, x, out, "x")


@Op
def softplus(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Compute a smooth version of relu.

    y = log(1 + exp(x)), without overflow for any x.


    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    return _forward("softplus", _formula("softplus"), x, out)


@Op
def softplus_backward(dy: Array, x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * sigmoid(x), where x is the input.

    dy, x : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    return _backward("softplus_backward", _slope("softplus"), dy, x, out, "x")
