"""Ops that move elements without changing them: padding, repetition of pixels, order of axes."""

from __future__ import annotations

from collections.abc import Callable

from gwucnn import kernels
from gwucnn.common import Border, ShapeError, Size, border, pair
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = [
    "to_channels_first",
    "to_channels_last",
    "upsample2d",
    "upsample2d_backward",
    "zero_pad2d",
    "zero_pad2d_backward",
]

IMAGES = (None, None, None, None)


@Op
def zero_pad2d(x: Array, padding: Border = 1, *, out: Array | None = None) -> Callable[[], Array]:
    """Pad images with zeros: y[n, i, j, c] = x[n, i - top, j - left, c], or 0 outside of x.

    x : float32 or float64, shape (N, H, W, C). padding : int, (ph, pw) or ((top, bottom), (left, right)).
    out : shape (N, top + H + bottom, left + W + right, C). Returns that shape, with the dtype of x.
    Raises TypeError for other dtypes, ShapeError for another number of axes.

    Example
    -------
    >>> import numpy as np
    >>> zero_pad2d(np.ones((1, 1, 2, 1)), ((0, 1), (1, 0)))[0, :, :, 0]
    array([[0., 1., 1.],
           [0., 0., 0.]])
    """
    (x,) = as_arrays("zero_pad2d", x=x)
    check_shape("zero_pad2d", "x", x, IMAGES, "(N, H, W, C)")
    (top, bottom), (left, right) = border("zero_pad2d", padding)
    N, H, W, C = x.shape
    out = as_output("zero_pad2d", out, (N, top + H + bottom, left + W + right, C), [x])
    return kernels.active.Pad2D(x, out, top, left)


@Op
def zero_pad2d_backward(dy: Array, padding: Border = 1, *, out: Array | None = None) -> Callable[[], Array]:
    """Crop the padding: dx[n, h, w, c] = dy[n, h + top, w + left, c].

    dy : float32 or float64, shape (N, top + H + bottom, left + W + right, C). padding : as for `zero_pad2d`.
    out : shape (N, H, W, C). Returns that shape, with the dtype of dy.
    Raises TypeError for other dtypes, ShapeError if nothing is left within the border.
    """
    caller = "zero_pad2d_backward"
    (dy,) = as_arrays(caller, dy=dy)
    check_shape(caller, "dy", dy, IMAGES, "(N, H, W, C)")
    (top, bottom), (left, right) = border(caller, padding)
    N, OH, OW, C = dy.shape
    H, W = OH - top - bottom, OW - left - right
    if H < 0 or W < 0:
        raise ShapeError(f"{caller}: expected dy to be larger than its border {padding}, got {dy.shape}")
    out = as_output(caller, out, (N, H, W, C), [dy])
    return kernels.active.Crop2D(dy, out, top, left)


@Op
def upsample2d(x: Array, size: Size = 2, *, out: Array | None = None) -> Callable[[], Array]:
    """Repeat each pixel: y[n, i, j, c] = x[n, i // SH, j // SW, c].

    x : float32 or float64, shape (N, H, W, C). size : int or (SH, SW). out : shape (N, H*SH, W*SW, C).
    Returns that shape, with the dtype of x.
    Raises TypeError for other dtypes, ShapeError for another number of axes.

    Example
    -------
    >>> import numpy as np
    >>> upsample2d(np.arange(2.0).reshape(1, 1, 2, 1), (1, 3)).ravel()
    array([0., 0., 0., 1., 1., 1.])
    """
    (x,) = as_arrays("upsample2d", x=x)
    check_shape("upsample2d", "x", x, IMAGES, "(N, H, W, C)")
    SH, SW = pair("upsample2d", "size", size)
    N, H, W, C = x.shape
    out = as_output("upsample2d", out, (N, H * SH, W * SW, C), [x])
    return kernels.active.Upsample2D(x, out, (SH, SW))


@Op
def upsample2d_backward(dy: Array, size: Size = 2, *, out: Array | None = None) -> Callable[[], Array]:
    """Sum the gradients of the copies of each pixel: dx[n, h, w, c] = sum of dy over its SH x SW copies.

    dy : float32 or float64, shape (N, H*SH, W*SW, C). size : as for `upsample2d`. out : shape (N, H, W, C).
    Returns that shape, with the dtype of dy.
    Raises TypeError for other dtypes, ShapeError for sizes that are no multiples.
    """
    caller = "upsample2d_backward"
    (dy,) = as_arrays(caller, dy=dy)
    check_shape(caller, "dy", dy, IMAGES, "(N, H*SH, W*SW, C)")
    SH, SW = pair(caller, "size", size)
    N, OH, OW, C = dy.shape
    if OH % SH or OW % SW:
        raise ShapeError(f"{caller}: expected rows and columns of dy in multiples of {SH, SW}, got {dy.shape}")
    out = as_output(caller, out, (N, OH // SH, OW // SW, C), [dy])
    return kernels.active.Upsample2DBackward(dy, out, (SH, SW))


@Op
def to_channels_first(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Permute images from (N, H, W, C) to (N, C, H, W).

    x : float32 or float64. out : shape (N, C, H, W). Returns that shape, with the dtype of x.
    Raises TypeError for other dtypes, ShapeError for another number of axes.
    """
    caller = "to_channels_first"
    (x,) = as_arrays(caller, x=x)
    check_shape(caller, "x", x, IMAGES, "(N, H, W, C)")
    N, H, W, C = x.shape
    return kernels.active.SwapAxes(x, as_output(caller, out, (N, C, H, W), [x]), N, H * W, C)


@Op
def to_channels_last(x: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Permute images from (N, C, H, W) to (N, H, W, C).

    x : float32 or float64. out : shape (N, H, W, C). Returns that shape, with the dtype of x.
    Raises TypeError for other dtypes, ShapeError for another number of axes.
    """
    caller = "to_channels_last"
    (x,) = as_arrays(caller, x=x)
    check_shape(caller, "x", x, IMAGES, "(N, C, H, W)")
    N, C, H, W = x.shape
    return kernels.active.SwapAxes(x, as_output(caller, out, (N, H, W, C), [x]), N, C, H * W)
