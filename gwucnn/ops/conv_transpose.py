"""Transposed convolution, which enlarges images, and its two gradients.

It is the gradient of `conv2d` with respect to its images, used as a layer, and runs on the same kernel: no zeros are
inserted between pixels and multiplied. Its gradients are therefore a convolution, and the gradient of a convolution
with respect to its filters in which images and output gradients are exchanged.
"""

from __future__ import annotations

from collections.abc import Callable

from gwucnn.common import Padding, Shape, ShapeError, Size, TransposedWindow, check_size
from gwucnn.ops.base import (
    Array,
    Op,
    as_arrays,
    as_output,
    as_shape,
    check_shape,
)
from gwucnn.ops.conv_algorithm import backward_weight_step, conv_kernel

__all__ = ["conv2d_transpose", "conv2d_transpose_backward_input", "conv2d_transpose_backward_weight"]


def _window(
    caller: str,
    x: str,
    x_shape: Shape,
    weight: str,
    weight_shape: Shape,
    groups: int,
    strides: Size,
    padding: Padding,
    dilation_rate: Size,
    output_padding: Size | None,
) -> TransposedWindow:
    """Check that images, filters and groups fit each other, and return the window."""
    check_size(caller, "groups", groups)
    if len(x_shape) != 4 or min(x_shape) < 0 or min(x_shape[1:]) < 1:
        raise ShapeError(f"{caller}: expected {x} of shape (N, H, W, C) with at least one pixel, got {x_shape}")
    if len(weight_shape) != 4 or min(weight_shape) < 1:
        raise ShapeError(f"{caller}: expected {weight} of shape (KH, KW, F // groups, C), got {weight_shape}")
    C = x_shape[3]
    if C != weight_shape[3]:
        raise ShapeError(
            f"{caller}: expected {weight} of shape (KH, KW, F // groups, C) for C={C} channels, got {weight_shape}"
        )
    if C % groups:
        raise ShapeError(f"{caller}: expected channels to be a multiple of groups={groups}, got C={C}")
    return TransposedWindow.of(caller, weight_shape[:2], strides, padding, dilation_rate, weight, output_padding)


@Op
def conv2d_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    output_padding: Size | None = None,
    dilation_rate: Size = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Scatter each pixel of images over a window of a larger image, weighted by filters.

    ::

        y[n, i, j, f] = bias[f] + sum over h, w, u, v, c with i = h*SH + u*DH - top, j = w*SW + v*DW - left of
                        x[n, h, w, c] * weight[u, v, f, c]

    which is `conv2d_backward_input(x, weight, ...)` for a convolution from the shape of y to the shape of x.

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
        Images. Copied if not C-contiguous; never modified.
    weight : dtype of x, shape (KH, KW, F // groups, C)
        Filters, with outputs before inputs, as in Keras.
    bias : dtype of x, shape (F,), optional
    strides, dilation_rate : int or (rows, columns)
        Distance in pixels between the windows of neighbouring pixels, and between neighbouring pixels of a window.
    padding : 'valid', 'same', int, (ph, pw) or ((top, bottom), (left, right))
        Pixels cut off from the output; with 'same' it has (H*SH, W*SW) pixels.
    output_padding : int or (rows, columns), optional
        Additional pixels at the bottom and right, fewer than the strides or the dilation: outputs of several sizes
        are convolved to one. By default what Keras takes: with 'valid' as many as make the output at least
        (H*SH, W*SW), else none.
    groups : int
        Channels and filters are split into so many parts that do not see each other.
    out : dtype of x, shape (N, OH, OW, F), optional
        Overwritten and returned. Must not share memory with the inputs.

    Returns
    -------
    dtype of x, shape (N, OH, OW, F)
        OH = (H - 1)*SH + (KH - 1)*DH + 1 - top - bottom + output_padding. For 'same' Keras counts
        output_padding otherwise: OH = (H - 1)*SH + ((KH - 1)*DH + 1) % 2 + output_padding.

    Raises
    ------
    ShapeError
        If channels or filters do not fit, or padding leaves nothing.
    ValueError
        If output_padding is not smaller than the strides or the dilation.
    TypeError
        If the arrays differ in dtype, or it is not float32 or float64.

    Notes
    -----
    Costs 2*N*H*W*F*C*KH*KW / groups operations with any stride. The error is bounded as that of `conv2d`.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, section
    4.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1, 2], [3, 4]], dtype="float32").reshape(1, 2, 2, 1)
    >>> box = np.ones((2, 2, 1, 1), dtype="float32")
    >>> conv2d_transpose(x, box, strides=2)[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.],
           [3., 3., 4., 4.],
           [3., 3., 4., 4.]], dtype=float32)
    """
    caller = "conv2d_transpose"
    x, weight, bias = as_arrays(caller, x=x, weight=weight, bias=bias)
    options = (strides, padding, dilation_rate, output_padding)
    window = _window(caller, "x", x.shape, "weight", weight.shape, groups, *options)
    N, H, W, _ = x.shape
    F = weight.shape[2] * groups
    if bias is not None:
        check_shape(caller, "bias", bias, (F,), "(F,)")
    out = as_output(caller, out, (N, *window.output((H, W)), F), [x, weight, bias])
    geometry = window.strides, window.dilation, window.offset((H, W)), groups
    kernel = conv_kernel("Conv2DBackwardInput", x.dtype, weight.shape, groups, F // groups)
    return kernel(x, weight, out, *geometry, bias)


@Op
def conv2d_transpose_backward_input(
    dy: Array,
    weight: Array,
    input_shape: Shape,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    output_padding: Size | None = None,
    dilation_rate: Size = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the gradient of `conv2d_transpose` with respect to its images: a convolution of the output's.

    ::

        dx[n, h, w, c] = sum over u, v, f of
                         dy[n, h*SH + u*DH - top, w*SW + v*DW - left, f] * weight[u, v, f, c]

    Parameters
    ----------
    dy : float32 or float64, shape (N, OH, OW, F)
        Gradient with respect to the output.
    weight : dtype of dy, shape (KH, KW, F // groups, C)
    input_shape : (N, H, W, C)
        Shape of the images.
    strides, padding, output_padding, dilation_rate, groups
        As given to `conv2d_transpose`.
    out : dtype of dy, shape (N, H, W, C), optional
        Overwritten and returned.

    Returns
    -------
    dtype of dy, shape (N, H, W, C)

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `conv2d_transpose`, and if dy is not what it makes of `input_shape`.
    """
    caller = "conv2d_transpose_backward_input"
    dy, weight = as_arrays(caller, dy=dy, weight=weight)
    input_shape = as_shape(caller, "input_shape", input_shape, "(N, H, W, C)")
    options = (strides, padding, dilation_rate, output_padding)
    window = _window(caller, "input_shape", input_shape, "weight", weight.shape, groups, *options)
    N, H, W, _ = input_shape
    check_shape(caller, "dy", dy, (N, *window.output((H, W)), weight.shape[2] * groups), "(N, OH, OW, F)")
    out = as_output(caller, out, input_shape, [dy, weight])
    geometry = window.strides, window.dilation, window.offset((H, W)), groups
    kernel = conv_kernel("Conv2D", dy.dtype, weight.shape, groups, weight.shape[3] // groups)
    return kernel(dy, weight, None, out, *geometry)


@Op
def conv2d_transpose_backward_weight(
    x: Array,
    dy: Array,
    weight_shape: Shape,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    output_padding: Size | None = None,
    dilation_rate: Size = 1,
    groups: int = 1,
    out: Array | None = None,
    accumulate: bool = False,
) -> Callable[[], Array]:
    """Return the gradient of `conv2d_transpose` with respect to its filters.

    ::

        dweight[u, v, f, c] = sum over n, h, w of
                              dy[n, h*SH + u*DH - top, w*SW + v*DW - left, f] * x[n, h, w, c]

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
    dy : dtype of x, shape (N, OH, OW, F)
        Gradient with respect to the output.
    weight_shape : (KH, KW, F // groups, C)
    strides, padding, output_padding, dilation_rate, groups
        As given to `conv2d_transpose`.
    out : dtype of x, shape `weight_shape`, optional
        Overwritten and returned.
    accumulate : bool
        Add to `out` instead of overwriting it.

    Returns
    -------
    dtype of x, shape `weight_shape`

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `conv2d_transpose`, and if dy is not what it makes of x.
    """
    caller = "conv2d_transpose_backward_weight"
    x, dy = as_arrays(caller, x=x, dy=dy)
    weight_shape = as_shape(caller, "weight_shape", weight_shape, "(KH, KW, F // groups, C)")
    options = (strides, padding, dilation_rate, output_padding)
    window = _window(caller, "x", x.shape, "weight_shape", weight_shape, groups, *options)
    N, H, W, _ = x.shape
    check_shape(caller, "dy", dy, (N, *window.output((H, W)), weight_shape[2] * groups), "(N, OH, OW, F)")
    if accumulate and out is None:
        raise ValueError(f"{caller}: expected out= to add to with accumulate=True, got None")
    out = as_output(caller, out, weight_shape, [x, dy])
    geometry = window.strides, window.dilation, window.offset((H, W)), groups
    return backward_weight_step(dy, x, out, geometry, accumulate)
