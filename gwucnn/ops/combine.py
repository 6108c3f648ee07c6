"""Ops that combine two arrays: differences, products, maxima, and gates for channels or pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn import kernels
from gwucnn.common import ShapeError
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = [
    "maximum",
    "maximum_backward",
    "multiply",
    "scale_channels",
    "scale_channels_backward_gate",
    "scale_pixels",
    "scale_pixels_backward_gate",
    "subtract",
]


def _pair(name: str, x: Array, y: Array, out: Array | None) -> Callable[[], Array]:
    x, y = as_arrays(name, x=x, y=y)
    check_shape(name, "y", y, x.shape, "that of x")
    out = as_output(name, out, x.shape, [a for a in (x, y) if a is not out], dtype=x.dtype)
    return kernels.active.Pair(x, y, out, name)


@Op
def subtract(x: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Subtract elementwise: x - y.

    x, y : float32 or float64, of one shape. out : the same; may be x or y itself. Returns an array like x.
    Raises ShapeError or TypeError if they differ: nothing is broadcast.

    >>> import numpy as np
    >>> subtract(np.array([1.0, -3.0]), np.array([2.0, 2.0]))
    array([-1., -5.])
    """
    return _pair("subtract", x, y, out)


@Op
def multiply(x: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply elementwise: x * y.

    x, y : float32 or float64, of one shape. out : the same; may be x or y itself. Returns an array like x.
    Raises ShapeError or TypeError if they differ: nothing is broadcast. See `scale_channels` for gates.

    >>> import numpy as np
    >>> multiply(np.array([1.0, -3.0]), np.array([2.0, 2.0]))
    array([ 2., -6.])
    """
    return _pair("multiply", x, y, out)


@Op
def maximum(x: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Take the larger of two numbers, elementwise: max(x, y). NaN if either is NaN.

    x, y : float32 or float64, of one shape. out : the same; may be x or y itself. Returns an array like x.
    Raises ShapeError or TypeError if they differ: nothing is broadcast.

    >>> import numpy as np
    >>> maximum(np.array([1.0, -3.0]), np.array([2.0, -4.0]))
    array([ 2., -3.])
    """
    return _pair("maximum", x, y, out)


@Op
def maximum_backward(dy: Array, x: Array, y: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return the gradient of max(x, y) with respect to x: dy where x > y, dy / 2 where they are equal, 0 elsewhere.

    With x and y exchanged it is the gradient with respect to y. Equal numbers share dy, as in PyTorch.

    dy, x, y : float32 or float64, of one shape. out : the same; may be dy itself. Returns an array like dy.
    Raises ShapeError or TypeError if they differ.

    >>> import numpy as np
    >>> maximum_backward(np.ones(3), np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    array([0. , 0.5, 1. ])
    """
    name = "maximum_backward"
    dy, x, y = as_arrays(name, dy=dy, x=x, y=y)
    for argument, array in (("x", x), ("y", y)):
        check_shape(name, argument, array, dy.shape, "that of dy")
    out = as_output(name, out, dy.shape, [a for a in (dy, x, y) if a is not out], dtype=dy.dtype)
    return kernels.active.MaximumBackward(dy, x, y, out)


IMAGES = (None, None, None, None)


def _require_pixels(caller: str, x: Array) -> None:
    if min(x.shape[1:]) < 1:
        raise ShapeError(f"{caller}: expected images with pixels and channels, got {x.shape}")


def _checked(caller: str, x: Array, gate: Array, by: tuple[int, ...], letters: str) -> None:
    check_shape(caller, "x", x, IMAGES, "(N, H, W, C)")
    _require_pixels(caller, x)
    check_shape(caller, "gate", gate, by, letters)


@Op
def scale_channels(x: Array, gate: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply each channel of an image by a number: y[n, h, w, c] = x[n, h, w, c] * gate[n, 0, 0, c].

    Also the gradient with respect to x, applied to dy.

    x : float32 or float64, shape (N, H, W, C). gate : the same dtype, shape (N, 1, 1, C). out : as x; may be x itself.
    Returns an array like x.
    Raises ShapeError or TypeError for anything else.

    >>> import numpy as np
    >>> scale_channels(np.ones((1, 1, 2, 2)), np.array([3.0, 4.0]).reshape(1, 1, 1, 2))[0, 0]
    array([[3., 4.],
           [3., 4.]])
    """
    x, gate = as_arrays("scale_channels", x=x, gate=gate)
    _checked("scale_channels", x, gate, (len(x), 1, 1, x.shape[-1]), "(N, 1, 1, C)")
    out = as_output("scale_channels", out, x.shape, [gate] if out is x else [x, gate], dtype=x.dtype)
    return kernels.active.Gate(x, gate, out, len(x), x.shape[-1])


@Op
def scale_channels_backward_gate(dy: Array, x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return the gradient of `scale_channels` with respect to the gate: the sum over h and w of dy * x.

    dy, x : float32 or float64, shape (N, H, W, C). out : shape (N, 1, 1, C). Returns that shape.
    Raises ShapeError or TypeError for anything else.
    """
    dy, x, (N, _, _, C) = _pair_of_images("scale_channels_backward_gate", dy, x)
    out = as_output("scale_channels_backward_gate", out, (N, 1, 1, C), [dy, x])
    return kernels.active.GateBackward(dy, x, out, N, C)


@Op
def scale_pixels(x: Array, gate: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply each pixel of an image by a number: y[n, h, w, c] = x[n, h, w, c] * gate[n, h, w, 0].

    Also the gradient with respect to x, applied to dy.

    x : float32 or float64, shape (N, H, W, C). gate : the same dtype, shape (N, H, W, 1). out : as x; may be x itself.
    Returns an array like x.
    Raises ShapeError or TypeError for anything else.

    >>> import numpy as np
    >>> scale_pixels(np.ones((1, 1, 2, 2)), np.array([3.0, 4.0]).reshape(1, 1, 2, 1))[0, 0]
    array([[3., 3.],
           [4., 4.]])
    """
    x, gate = as_arrays("scale_pixels", x=x, gate=gate)
    _checked("scale_pixels", x, gate, (*x.shape[:3], 1), "(N, H, W, 1)")
    out = as_output("scale_pixels", out, x.shape, [gate] if out is x else [x, gate], dtype=x.dtype)
    return kernels.active.GateRows(x, gate, out, False)


@Op
def scale_pixels_backward_gate(dy: Array, x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return the gradient of `scale_pixels` with respect to the gate: the sum over c of dy * x.

    dy, x : float32 or float64, shape (N, H, W, C). out : shape (N, H, W, 1). Returns that shape.
    Raises ShapeError or TypeError for anything else.
    """
    dy, x, (N, H, W, _) = _pair_of_images("scale_pixels_backward_gate", dy, x)
    return kernels.active.GateRows(dy, x, as_output("scale_pixels_backward_gate", out, (N, H, W, 1), [dy, x]), True)


def _pair_of_images(caller: str, dy: Array, x: Array) -> tuple[Array, Array, Any]:
    """Return both arrays and their shape, checked."""
    dy, x = as_arrays(caller, dy=dy, x=x)
    check_shape(caller, "dy", dy, IMAGES, "(N, H, W, C)")
    check_shape(caller, "x", x, dy.shape, "that of dy")
    _require_pixels(caller, x)
    return dy, x, x.shape
