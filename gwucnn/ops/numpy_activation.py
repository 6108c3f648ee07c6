"""Activation functions that are computed by numpy, or by two kernels: those without a kernel of their own.

A network that uses the ones by numpy runs step by step, without recordings (see `engine/recorded.py`). Values and
errors are as in `activation.py`: NaN stays NaN, infinities give the limits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gwucnn.ops.activation import elu, elu_backward
from gwucnn.ops.arrays import rescale
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = [
    "SELU_ALPHA",
    "SELU_SCALE",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_swish",
    "hard_swish_backward",
    "mish",
    "mish_backward",
    "relu6",
    "relu6_backward",
    "selu",
    "selu_backward",
]

# The constants for which mean 0 and variance 1 are a fixed point: arXiv:1706.02515, equation 14.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

# Where mish and its derivative have long reached their limits, also in float64. 0 times an infinity would be NaN.
FAR = 1000.0


def _output(caller: str, x: Array, out: Array | None) -> Array:
    """Return an array for the result, which may be x itself."""
    return as_output(caller, out, x.shape, [] if out is x else [x], dtype=x.dtype)


def _forward(caller: str, x: Array, out: Array | None, fill: Callable[[Array, Array], object]) -> Callable[[], Array]:
    """Return the step that calls fill(x, out) with rows, which may be the same."""
    (x,) = as_arrays(caller, x=x)
    result = _output(caller, x, out)
    # Before numpy 2, a single number without axes would be computed in float64.
    x_row, row = x.reshape(-1), result.reshape(-1)

    def step() -> Array:
        fill(x_row, row)
        return result

    return step


def _backward(
    caller: str, dy: Array, x: Array, out: Array | None, name: str, slope: Callable[[Array], Array]
) -> Callable[[], Array]:
    """Return the step that computes dy * slope(x), and 0 where the slope is 0; x is called `name`."""
    dy, x = as_arrays(caller, **{"dy": dy, name: x})
    check_shape(caller, name, x, dy.shape, "that of dy")
    result = as_output(caller, out, dy.shape, [dy, x] if out is not dy else [x])
    dy_row, x_row, row = dy.reshape(-1), x.reshape(-1), result.reshape(-1)

    def step() -> Array:
        slopes = slope(x_row)
        with np.errstate(invalid="ignore", over="ignore"):  # of infinite and very large gradients
            np.multiply(dy_row, slopes, out=row)
        row[slopes == 0] = 0
        return result

    return step


@Op
def relu6(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Clip elements to the range from 0 to 6: y = min(max(x, 0), 6).

    A. Howard et al., arXiv:1704.04861 (MobileNets).

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    return _forward("relu6", x, out, lambda x, y: np.clip(x, 0, 6, out=y))


@Op
def relu6_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Pass gradients where the output was between the bounds: dx = dy where 0 < y < 6, else 0.

    dy, y : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """

    def slope(y: Array) -> Array:
        return 1 - ((y <= 0) | (y >= 6)).astype(y.dtype)

    return _backward("relu6_backward", dy, y, out, "y", slope)


@Op
def hard_sigmoid(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Map numbers to [0, 1] by straight lines: y = min(max(x + 3, 0), 6) / 6.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """

    def fill(x: Array, y: Array) -> None:
        np.add(x, 3, out=y)
        np.clip(y, 0, 6, out=y)
        np.divide(y, 6, out=y)

    return _forward("hard_sigmoid", x, out, fill)


@Op
def hard_sigmoid_backward(dy: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy / 6 where 0 < y < 1, else 0, where y is the output of `hard_sigmoid`.

    dy, y : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """

    def slope(y: Array) -> Array:
        return np.where((y <= 0) | (y >= 1), 0, np.asarray(1 / 6, y.dtype))

    return _backward("hard_sigmoid_backward", dy, y, out, "y", slope)


@Op
def hard_swish(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply each element by its hard sigmoid: y = x * min(max(x + 3, 0), 6) / 6.

    A. Howard et al., arXiv:1905.02244, section 5.2.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """

    def fill(x: Array, y: Array) -> None:
        gate = np.clip(x + 3, 0, 6) / 6
        with np.errstate(over="ignore"):
            np.multiply(np.maximum(x, -3), gate, out=y)  # below -3 the gate is 0, and 0 * -inf would be NaN

    return _forward("hard_swish", x, out, fill)


@Op
def hard_swish_backward(dy: Array, x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * (0 where x <= -3, 1 where x >= 3, else (2 * x + 3) / 6), where x is the input.

    dy, x : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """

    def slope(x: Array) -> Array:
        inside = np.clip(x, -3, 3)
        return np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * inside + 3) / 6)).astype(x.dtype, copy=False)

    return _backward("hard_swish_backward", dy, x, out, "x", slope)


@Op
def mish(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply each element by the tanh of its softplus: y = x * tanh(log(1 + exp(x))).

    D. Misra, arXiv:1908.08681, equation 1. Computed without overflow, by tanh(softplus(x)) = n / (n + 2) with
    n = exp(x) * (exp(x) + 2), or the same in exp(-x).

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """

    def fill(x: Array, y: Array) -> None:
        share, _ = _mish_parts(x)
        np.multiply(np.maximum(x, -FAR), share, out=y)

    return _forward("mish", x, out, fill)


@Op
def mish_backward(dy: Array, x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * (t + x * sigmoid(x) * (1 - t**2)) with t = tanh(softplus(x)), where x is the input.

    dy, x : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """

    def slope(x: Array) -> Array:
        share, change = _mish_parts(x)
        return share + np.clip(x, -FAR, FAR) * change

    return _backward("mish_backward", dy, x, out, "x", slope)


def _mish_parts(x: Array) -> tuple[Array, Array]:
    """Return t = tanh(softplus(x)) and its derivative, sigmoid(x) * (1 - t**2)."""
    small = np.exp(-abs(x))
    up = np.where(x > 0, 1 + 2 * small, small * (small + 2))  # n, times exp(-2 * x) where x > 0
    square = small * small
    down = up + 2 * np.where(x > 0, square, 1)
    return up / down, 4 * (1 + small) * np.where(x > 0, square, small) / (down * down)


@Op
def selu(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Scale the exponential linear unit such that activations tend to mean 0 and variance 1.

    y = scale * (x where x > 0, else alpha * (exp(x) - 1)), scale = 1.0507 and alpha = 1.6733. G. Klambauer et al.,
    arXiv:1706.02515, equation 2. Initialize kernels by 'lecun_normal'.

    x : float32 or float64, any shape. out : the same; may be x itself. Returns an array like x.
    Raises TypeError for other dtypes.
    """
    (x,) = as_arrays("selu", x=x)
    out = _output("selu", x, out)
    return _in_turn(elu.bind(x, SELU_ALPHA, out=out), rescale.bind(out, SELU_SCALE, out=out))


@Op
def selu_backward(dy: Array, x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return dx = dy * scale * (1 where x > 0, else alpha * exp(x)), where x is the input.

    dy, x : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.
    """
    dy, x = as_arrays("selu_backward", dy=dy, x=x)
    check_shape("selu_backward", "x", x, dy.shape, "that of dy")
    out = as_output("selu_backward", out, dy.shape, [dy, x] if out is not dy else [x])
    return _in_turn(elu_backward.bind(dy, x, SELU_ALPHA, out=out), rescale.bind(out, SELU_SCALE, out=out))


def _in_turn(first: Callable[[], Array], second: Callable[[], Array]) -> Callable[[], Array]:
    def step() -> Array:
        first()
        return second()

    return step
