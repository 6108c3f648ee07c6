"""Convolution and its two gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn._ext.step import Scratch
from gwucnn.common import Padding, Shape, Size, Window
from gwucnn.ops.base import (
    Array,
    Op,
    as_arrays,
    as_output,
    as_shape,
    check_shape,
    filter_window,
)
from gwucnn.ops.conv_algorithm import backward_weight_step, conv_kernel, use_winograd, use_winograd_for_weights

__all__ = ["conv2d", "conv2d_backward_input", "conv2d_backward_weight"]


def _geometry(window: Window, image: tuple[int, int], groups: int) -> tuple[Any, ...]:
    return window.strides, window.dilation, window.offset(image), groups


# Filters are multiplied in place, without packing them first, for at most MOST_PIXELS. With fewer channels or filters
# than these, reading and writing the sums between blocks of filters would cost more. (16 pixels with 512 filters of 512
# channels take 0.8 ms instead of 1.6.)
MOST_PIXELS = 64
LEAST_CHANNELS_PER_BLOCK = 32
LEAST_FILTERS_PER_BLOCK = 128


def few_pixels(dtype: Any, out_shape: Shape, weight_shape: Shape) -> bool:
    """Return whether filters that are used once are best multiplied by all pixels in place, block by block."""
    N, OH, OW, F = out_shape
    lanes = kernels.active.LANES[np.dtype(dtype).char]
    return (
        0 < N * OH * OW <= MOST_PIXELS
        and F % lanes == 0
        and F >= LEAST_FILTERS_PER_BLOCK
        and weight_shape[2] >= LEAST_CHANNELS_PER_BLOCK
    )


@Op
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    groups: int = 1,
    winograd: bool = False,
    constant_weight: bool = False,
    relu: bool = False,
    scratch: Scratch | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Cross-correlate images with filters.

    As usual in the field, filters are not flipped::

        y[n, i, j, f] = bias[f] + sum over u < KH, v < KW, c < C // groups of
            x[n, i*SH + u*DH - top, j*SW + v*DW - left, g*(C // groups) + c] * weight[u, v, c, f]

    where g = f // (F // groups), and x is zero outside the image.

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
        Images. Copied if not C-contiguous; never modified.
    weight : dtype of x, shape (KH, KW, C // groups, F)
        Filters.
    bias : dtype of x, shape (F,), optional
    strides, dilation_rate : int or (rows, columns)
        Distance in pixels between neighbouring windows, and between neighbouring pixels of a window.
    padding : 'valid', 'same', int, (ph, pw) or ((top, bottom), (left, right))
        Zeros around the image; with 'same' the output has ceil(H / SH) x ceil(W / SW) pixels.
    groups : int
        Number of independent groups into which channels and filters are divided.
    winograd : bool
        Allow the faster algorithm for 3x3 filters, with a larger error; see `gwucnn.ops.conv_algorithm.use_winograd`.
    constant_weight : bool
        Whether a bound step will be called many times with the same filters. Does not affect the result.
    relu : bool
        Set negative outputs to 0 before storing them.
    scratch : Scratch, optional
        Scratch memory that is shared by the bound steps of one thread.
    out : dtype of x, shape (N, OH, OW, F), optional
        Overwritten and returned. Must not share memory with the inputs.

    Returns
    -------
    dtype of x, shape (N, OH, OW, F) with OH = (H + top + bottom - (KH - 1)*DH - 1) // SH + 1

    Raises
    ------
    ShapeError
        If channels or filters do not fit, or the filter does not fit in the padded image.
    TypeError
        If the arrays differ in dtype, or it is not float32 or float64.

    Notes
    -----
    Costs 2*N*OH*OW*F*C*KH*KW / groups operations. Sums are computed in the dtype of x: the error of an output is at
    most about (KH*KW*C/groups + 1) * u times the sum of the magnitudes of its terms, u = 2**-24 or 2**-53 (N. J.
    Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). NaN affects only the outputs whose windows
    contain it.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(9, dtype="float32").reshape(1, 3, 3, 1)
    >>> box = np.ones((2, 2, 1, 1), dtype="float32")
    >>> conv2d(x, box)[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]], dtype=float32)
    """
    x, weight, bias = as_arrays("conv2d", x=x, weight=weight, bias=bias)
    window = filter_window("conv2d", "x", x.shape, "weight", weight.shape, groups, (strides, padding, dilation_rate))
    N, H, W, _ = x.shape
    F = weight.shape[3]
    if bias is not None:
        check_shape("conv2d", "bias", bias, (F,), "(F,)")
    out = as_output("conv2d", out, (N, *window.output((H, W)), F), [x, weight, bias])
    if winograd and use_winograd(x.dtype, x.shape, weight.shape, window, groups, constant_weight):
        offset = window.offset((H, W))
        return kernels.active.WinogradConv2D(x, weight, bias, out, offset, relu, constant_weight, scratch)
    geometry = _geometry(window, (H, W), groups)
    if not constant_weight and groups == 1 and few_pixels(x.dtype, out.shape, weight.shape):
        return kernels.active.Conv2DFewPixels(x, weight, bias, out, *geometry[:3], relu)
    kernel = conv_kernel("Conv2D", x.dtype, weight.shape, groups, F // groups)
    return kernel(x, weight, bias, out, *geometry, constant_weight, relu)


@Op
def conv2d_backward_input(
    dy: Array,
    weight: Array,
    input_shape: Shape,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    groups: int = 1,
    winograd: bool = False,
    scratch: Scratch | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the gradient of `conv2d` with respect to its images: each gradient scattered over its window.

    ::

        dx[n, h, w, c] = sum over i, j, u, v, f with h = i*SH + u*DH - top, w = j*SW + v*DW - left of
                         dy[n, i, j, f] * weight[u, v, c, f]

    Parameters
    ----------
    dy : float32 or float64, shape (N, OH, OW, F)
        Gradient with respect to the output.
    weight : dtype of dy, shape (KH, KW, C // groups, F)
    input_shape : (N, H, W, C)
        Shape of the images. The shape of the output does not determine it when the strides leave a remainder.
    strides, padding, dilation_rate, groups, winograd, scratch
        As given to `conv2d`.
    out : dtype of dy, shape (N, H, W, C), optional
        Overwritten and returned.

    Returns
    -------
    dtype of dy, shape (N, H, W, C)

    Raises
    ------
    ShapeError, TypeError
        As `conv2d`, and if dy does not have the shape of the output for `input_shape`.

    Notes
    -----
    Costs as much as the forward pass, with any strides: only products with actual output pixels are computed.
    """
    caller = "conv2d_backward_input"
    dy, weight = as_arrays(caller, dy=dy, weight=weight)
    input_shape = as_shape(caller, "input_shape", input_shape, "(N, H, W, C)")
    options = (strides, padding, dilation_rate)
    window = filter_window(caller, "input_shape", input_shape, "weight", weight.shape, groups, options)
    N, H, W, C = input_shape
    check_shape(caller, "dy", dy, (N, *window.output((H, W)), weight.shape[3]), "(N, OH, OW, F)")
    out = as_output(caller, out, input_shape, [dy, weight])
    if winograd and use_winograd(dy.dtype, input_shape, weight.shape, window, groups):
        return kernels.active.WinogradConv2DBackwardInput(dy, weight, out, window.offset((H, W)), scratch)
    kernel = conv_kernel("Conv2DBackwardInput", dy.dtype, weight.shape, groups, C // groups)
    return kernel(dy, weight, out, *_geometry(window, (H, W), groups))


@Op
def conv2d_backward_weight(
    x: Array,
    dy: Array,
    weight_shape: Shape,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    groups: int = 1,
    winograd: bool = False,
    scratch: Scratch | None = None,
    out: Array | None = None,
    accumulate: bool = False,
) -> Callable[[], Array]:
    """Return the gradient of `conv2d` with respect to its filters: images correlated with output gradients.

    ::

        dweight[u, v, c, f] = sum over n, i, j of
            x[n, i*SH + u*DH - top, j*SW + v*DW - left, g*(C // groups) + c] * dy[n, i, j, f]

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
    dy : dtype of x, shape (N, OH, OW, F)
        Gradient with respect to the output.
    weight_shape : (KH, KW, C // groups, F)
    strides, padding, dilation_rate, groups, winograd, scratch
        As given to `conv2d`.
    out : dtype of x, shape `weight_shape`, optional
        Overwritten and returned.
    accumulate : bool
        Add to `out` instead of overwriting it, as the backward pass of a layer does.

    Returns
    -------
    dtype of x, shape `weight_shape`

    Raises
    ------
    ShapeError, TypeError
        As `conv2d`, and if dy does not have the shape of the output for x.

    Notes
    -----
    Costs as much as the forward pass. An empty batch gives zeros. NaN in x affects only gradients of its channel; with
    few filters, NaN at the edge of an image may reach taps that it was not multiplied by. Results do not depend on the
    number of threads, except for few filters and for small filter banks with few channels, where images are split among
    threads.
    """
    caller = "conv2d_backward_weight"
    x, dy = as_arrays(caller, x=x, dy=dy)
    weight_shape = as_shape(caller, "weight_shape", weight_shape, "(KH, KW, C // groups, F)")
    options = (strides, padding, dilation_rate)
    window = filter_window(caller, "x", x.shape, "weight_shape", weight_shape, groups, options)
    N, H, W, _ = x.shape
    check_shape(caller, "dy", dy, (N, *window.output((H, W)), weight_shape[3]), "(N, OH, OW, F)")
    if accumulate and out is None:
        raise ValueError(f"{caller}: expected out= to add to with accumulate=True, got None")
    out = as_output(caller, out, weight_shape, [x, dy])
    if winograd and use_winograd_for_weights(x.dtype, x.shape, weight_shape, window, groups):
        offset = window.offset((H, W))
        return kernels.active.WinogradConv2DBackwardWeight(x, dy, out, offset, accumulate, scratch)
    return backward_weight_step(x, dy, out, _geometry(window, (H, W), groups), accumulate)
