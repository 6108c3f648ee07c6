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
    backward_weight_step,
    check_shape,
    conv_kernel,
    filter_window,
    winograd_pays,
    winograd_sums_pay,
)

__all__ = ["conv2d", "conv2d_backward_input", "conv2d_backward_weight"]


def _geometry(window: Window, image: tuple[int, int], groups: int) -> tuple[Any, ...]:
    return window.strides, window.dilation, window.offset(image), groups


# So few pixels do not pay for another copy of the filters; fewer channels would not pay for sums that are
# read and written between blocks of them. (16 pixels under 512 filters of 512 channels take 0.8 ms, not 1.6.)
MOST_PIXELS = 64
LEAST_CHANNELS = 32
LEAST_FILTERS = 128


def few_pixels(dtype: Any, out_shape: Shape, weight_shape: Shape) -> bool:
    """Return whether filters, used once, are best multiplied by all pixels block by block, where they lie."""
    N, OH, OW, F = out_shape
    lanes = kernels.active.LANES[np.dtype(dtype).char]
    return (
        0 < N * OH * OW <= MOST_PIXELS and F % lanes == 0 and F >= LEAST_FILTERS and weight_shape[2] >= LEAST_CHANNELS
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

    The filters are not flipped, as everywhere in the field::

        y[n, i, j, f] = bias[f] + sum over u < KH, v < KW, c < C // groups of
            x[n, i*SH + u*DH - top, j*SW + v*DW - left, g*(C // groups) + c] * weight[u, v, c, f]

    with g = f // (F // groups) and x zero outside the image.

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
        Images. Copied first if not C-contiguous; never modified.
    weight : dtype of x, shape (KH, KW, C // groups, F)
        Filters.
    bias : dtype of x, shape (F,), optional
    strides, dilation_rate : int or (rows, columns)
        Pixels between neighbouring windows, and between neighbouring pixels of one window.
    padding : 'valid', 'same', int, (ph, pw) or ((top, bottom), (left, right))
        Pixels of zeros around the image; 'same' makes the output ceil(H / SH) x ceil(W / SW).
    groups : int
        Channels and filters are split into so many parts that do not see each other.
    winograd : bool
        Allow the faster algorithm for 3x3 filters, with a larger error; see `gwucnn.ops.base.winograd_pays`.
    constant_weight : bool
        Expect a bound step to be called many times with the same filters; says nothing about the result.
    relu : bool
        Set what is negative to 0, before it is stored.
    scratch : Scratch, optional
        Memory that bound steps of one thread use in turn, for what is of no use after a call.
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
    Costs 2*N*OH*OW*F*C*KH*KW / groups operations. Sums run in x's dtype: the error of an output is at most
    about (KH*KW*C/groups + 1) * u times the sum of its terms' magnitudes, u = 2**-24 or 2**-53 (N. J. Higham,
    "Accuracy and Stability of Numerical Algorithms", section 3.1). A NaN reaches just the outputs whose
    windows hold it.

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
    if winograd and winograd_pays(x.dtype, x.shape, weight.shape, window, groups, constant_weight):
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
    """Return the gradient of `conv2d` by its images: each gradient spread back over its window.

    ::

        dx[n, h, w, c] = sum over i, j, u, v, f with h = i*SH + u*DH - top, w = j*SW + v*DW - left of
                         dy[n, i, j, f] * weight[u, v, c, f]

    Parameters
    ----------
    dy : float32 or float64, shape (N, OH, OW, F)
        Gradient by the output.
    weight : dtype of dy, shape (KH, KW, C // groups, F)
    input_shape : (N, H, W, C)
        Shape of the images; the output alone does not tell it when strides do not divide.
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
        As `conv2d`, and if dy is not what `conv2d` makes of `input_shape`.

    Notes
    -----
    Costs as much as the forward pass, with any stride: only products with real output pixels are computed.
    """
    caller = "conv2d_backward_input"
    dy, weight = as_arrays(caller, dy=dy, weight=weight)
    input_shape = as_shape(caller, "input_shape", input_shape, "(N, H, W, C)")
    options = (strides, padding, dilation_rate)
    window = filter_window(caller, "input_shape", input_shape, "weight", weight.shape, groups, options)
    N, H, W, C = input_shape
    check_shape(caller, "dy", dy, (N, *window.output((H, W)), weight.shape[3]), "(N, OH, OW, F)")
    out = as_output(caller, out, input_shape, [dy, weight])
    if winograd and winograd_pays(dy.dtype, input_shape, weight.shape, window, groups):
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
    """Return the gradient of `conv2d` by its filters: images correlated with output gradients.

    ::

        dweight[u, v, c, f] = sum over n, i, j of
            x[n, i*SH + u*DH - top, j*SW + v*DW - left, g*(C // groups) + c] * dy[n, i, j, f]

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
    dy : dtype of x, shape (N, OH, OW, F)
        Gradient by the output.
    weight_shape : (KH, KW, C // groups, F)
    strides, padding, dilation_rate, groups, winograd, scratch
        As given to `conv2d`.
    out : dtype of x, shape `weight_shape`, optional
        Overwritten and returned.
    accumulate : bool
        Add to `out` instead of overwriting it, as a layer's backward does with its parameter's gradient.

    Returns
    -------
    dtype of x, shape `weight_shape`

    Raises
    ------
    ShapeError, TypeError
        As `conv2d`, and if dy is not what `conv2d` makes of x.

    Notes
    -----
    Costs as much as the forward pass. An empty batch gives zeros. A NaN in x reaches no other channel's
    gradients; with few filters one at the image's edge may reach taps that did not meet it. The bits do not
    depend on the number of threads, except for few filters and for small filter banks of few channels, where
    images are shared out between threads.
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
    if winograd and winograd_sums_pay(x.dtype, x.shape, weight_shape, window, groups):
        offset = window.offset((H, W))
        return kernels.active.WinogradConv2DBackwardWeight(x, dy, out, offset, accumulate, scratch)
    return backward_weight_step(x, dy, out, _geometry(window, (H, W), groups), accumulate)
