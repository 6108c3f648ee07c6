"""Max and average pooling, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.common import Padding, Shape, ShapeError, Size, Window, check_flag
from gwucnn.ops.base import Array, Op, as_arrays, as_output, as_shape, check_shape

__all__ = [
    "average_pool2d",
    "average_pool2d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "winner_dtype",
]


def winner_dtype(pool_size: tuple[int, int]) -> Any:
    """Return the smallest dtype that can index the pixels of a window."""
    return np.uint8 if pool_size[0] * pool_size[1] <= 255 else np.int32


def _window(caller: str, x: str, x_shape: Shape, pool_size: Size, strides: Size | None, padding: Padding) -> Window:
    """Check that images and windows fit each other; `x` is the name of the argument with that shape."""
    if len(x_shape) != 4 or min(x_shape) < 0 or min(x_shape[1:]) < 1:
        raise ShapeError(f"{caller}: expected {x} of shape (N, H, W, C) with at least one pixel, got {x_shape}")
    window = Window.of(caller, pool_size, pool_size if strides is None else strides, padding, name="pool_size")
    pads = [pad for side in window.pad(x_shape[1:3]) for pad in side]
    if max(pads[:2]) >= window.size[0] or max(pads[2:]) >= window.size[1]:
        raise ShapeError(
            f"{caller}: expected padding smaller than the window {window.size}, got {padding!r}; "
            "a window in the padding alone would have no value"
        )
    return window


@Op
def max_pool2d(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    winner: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Take the largest value of each window of each channel.

    ::

        y[n, i, j, c] = max over u < PH, v < PW of x[n, i*SH + u - top, j*SW + v - left, c]

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
    pool_size : int or (PH, PW)
    strides : int or (SH, SW), optional
        `pool_size` by default: adjacent windows.
    padding : 'valid', 'same', int, (ph, pw) or ((top, bottom), (left, right))
        Smaller than the window. Pixels outside the image are ignored.
    winner : uint8 (int32 for windows of more than 255 pixels), shape (N, OH, OW, C), optional
        Receives u*PW + v of the first largest value, for `max_pool2d_backward`.
    out : dtype of x, shape (N, OH, OW, C), optional
        Overwritten and returned.

    Returns
    -------
    dtype of x, shape (N, OH, OW, C) with OH = (H + top + bottom - PH) // SH + 1

    Raises
    ------
    ShapeError
        If a window does not fit in the padded image, or could lie entirely in the padding.
    TypeError
        If x is not float32 or float64, or `winner` has another type.

    Notes
    -----
    Costs N*OH*OW*C*PH*PW comparisons. NaN in a window gives NaN, and the first NaN is the winner.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1, 2, 4, 5], [7, 9, 20, 3]], dtype="float32").reshape(1, 2, 4, 1)
    >>> max_pool2d(x, 2).ravel()
    array([ 9., 20.], dtype=float32)
    """
    (x,) = as_arrays("max_pool2d", x=x)
    window = _window("max_pool2d", "x", x.shape, pool_size, strides, padding)
    N, H, W, C = x.shape
    shape = (N, *window.output((H, W)), C)
    out = as_output("max_pool2d", out, shape, [x])
    if winner is not None:
        dtype = winner_dtype(window.size)
        winner = as_output("max_pool2d", winner, shape, [x, out], name="winner", dtype=dtype)
    return kernels.active.MaxPool2D(x, out, winner, window.size, window.strides, window.offset((H, W)))


@Op
def max_pool2d_backward(
    dy: Array,
    winner: Array,
    input_shape: Shape,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Route the gradient of each output to the winning pixel of its window; overlapping windows add.

    Parameters
    ----------
    dy : float32 or float64, shape (N, OH, OW, C)
    winner : uint8 (int32 for windows of more than 255 pixels), shape (N, OH, OW, C)
        From `max_pool2d`. For a value outside of the window, the gradient is dropped.
    input_shape : (N, H, W, C)
    pool_size, strides, padding
        As given to `max_pool2d`.
    out : dtype of dy, shape (N, H, W, C), optional
        Overwritten and returned.

    Returns
    -------
    dtype of dy, shape (N, H, W, C)

    Raises
    ------
    ShapeError, TypeError
        If the arrays do not have the shapes of `max_pool2d` for `input_shape`.
    """
    caller = "max_pool2d_backward"
    (dy,) = as_arrays(caller, dy=dy)
    input_shape = as_shape(caller, "input_shape", input_shape, "(N, H, W, C)")
    window = _window(caller, "input_shape", input_shape, pool_size, strides, padding)
    N, H, W, C = input_shape
    shape = (N, *window.output((H, W)), C)
    check_shape(caller, "dy", dy, shape, "(N, OH, OW, C)")
    winner = np.ascontiguousarray(winner)
    if winner.dtype != winner_dtype(window.size):
        raise TypeError(f"{caller}: expected winner of {np.dtype(winner_dtype(window.size))}, got {winner.dtype}")
    check_shape(caller, "winner", winner, shape, "(N, OH, OW, C)")
    out = as_output(caller, out, input_shape, [dy, winner])
    return kernels.active.MaxPool2DBackward(dy, winner, out, window.size, window.strides, window.offset((H, W)))


@Op
def average_pool2d(
    x: Array,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    count_include_pad: bool = False,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Take the mean of each window of each channel.

    ::

        y[n, i, j, c] = sum over u < PH, v < PW of x[n, i*SH + u - top, j*SW + v - left, c] / count

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
    pool_size, strides, padding
        As in `max_pool2d`.
    count_include_pad : bool
        Whether padding counts as zeros: count is then PH*PW. Otherwise padding is ignored, and count is the number of
        pixels of the window inside the image.
    out : dtype of x, shape (N, OH, OW, C), optional
        Overwritten and returned.

    Returns
    -------
    dtype of x, shape (N, OH, OW, C) with OH = (H + top + bottom - PH) // SH + 1

    Raises
    ------
    ShapeError
        If a window does not fit in the padded image, or could lie entirely in the padding.
    TypeError
        If x is not float32 or float64.

    Notes
    -----
    Costs N*OH*OW*C*PH*PW additions, in float64. NaN in a window gives NaN.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1, 3], [5, 7]], dtype="float32").reshape(1, 2, 2, 1)
    >>> average_pool2d(x, 2).item()
    4.0
    """
    caller = "average_pool2d"
    (x,) = as_arrays(caller, x=x)
    window = _window(caller, "x", x.shape, pool_size, strides, padding)
    N, H, W, C = x.shape
    out = as_output(caller, out, (N, *window.output((H, W)), C), [x])
    return kernels.active.AveragePool2D(
        x,
        out,
        window.size,
        window.strides,
        window.offset((H, W)),
        check_flag(caller, "count_include_pad", count_include_pad),
    )


@Op
def average_pool2d_backward(
    dy: Array,
    input_shape: Shape,
    pool_size: Size,
    strides: Size | None = None,
    padding: Padding = "valid",
    *,
    count_include_pad: bool = False,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Distribute the gradient of each output evenly over the pixels of its window; overlapping windows add.

    Parameters
    ----------
    dy : float32 or float64, shape (N, OH, OW, C)
    input_shape : (N, H, W, C)
    pool_size, strides, padding, count_include_pad
        As given to `average_pool2d`.
    out : dtype of dy, shape (N, H, W, C), optional
        Overwritten and returned.

    Returns
    -------
    dtype of dy, shape (N, H, W, C)

    Raises
    ------
    ShapeError, TypeError
        If dy does not have the shape of `average_pool2d` for `input_shape`.
    """
    caller = "average_pool2d_backward"
    (dy,) = as_arrays(caller, dy=dy)
    input_shape = as_shape(caller, "input_shape", input_shape, "(N, H, W, C)")
    window = _window(caller, "input_shape", input_shape, pool_size, strides, padding)
    N, H, W, C = input_shape
    check_shape(caller, "dy", dy, (N, *window.output((H, W)), C), "(N, OH, OW, C)")
    out = as_output(caller, out, input_shape, [dy])
    return kernels.active.AveragePool2DBackward(
        dy,
        out,
        window.size,
        window.strides,
        window.offset((H, W)),
        check_flag(caller, "count_include_pad", count_include_pad),
    )
