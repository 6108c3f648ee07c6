"""Convolution, bias, optional relu and 2x2 max pooling as one op, and its gradients.

The result is that of conv2d -> relu -> max_pool2d(2), without writing the full-size images in between. Not all sizes
have gradients: see `has_gradients`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn._ext.step import Scratch
from gwucnn.common import Padding, Shape, ShapeError, Size, Window
from gwucnn.ops.base import (
    Array,
    Op,
    as_arrays,
    as_output,
    as_shape,
    check_shape,
    filter_window,
)
from gwucnn.ops.conv_algorithm import use_winograd

__all__ = [
    "conv2d_relu_pool",
    "conv2d_relu_pool_backward_input",
    "conv2d_relu_pool_backward_weight",
    "has_gradients",
]

# Below this number of channels, the gradient with respect to the weights uses masks instead of lists.
FEW_CHANNELS = 8


def has_gradients(dtype: Any, weight_shape: Shape, dilation: tuple[int, int], groups: int) -> tuple[bool, bool]:
    """Return whether there are kernels for the gradients with respect to weights and input, for filters of this shape.

    Both require a single group. Lists of winners require 3x3 filters without dilation and channels in whole vectors;
    masks, for few channels, require filters in whole vectors.
    """
    lanes = kernels.active.LANES[np.dtype(dtype).char]
    KH, KW, C, F = weight_shape
    listed = groups == 1 and (KH, KW) == (3, 3) and dilation == (1, 1) and C % lanes == 0
    masked = groups == 1 and C < FEW_CHANNELS and F % lanes == 0
    return listed or masked, listed


def _windows(
    caller: str,
    x: str,
    x_shape: Shape,
    weight: str,
    weight_shape: Shape,
    options: tuple[Size, Padding, Size],
    groups: int = 1,
) -> tuple[Window, tuple[int, int]]:
    """Check that images and filters fit each other; return the window of the filter and the size of pooled images.

    `x` and `weight` are the names of the arguments that have these shapes.
    """
    window = filter_window(caller, x, x_shape, weight, weight_shape, groups, options)
    OH, OW = window.output((x_shape[1], x_shape[2]))
    if min(OH, OW) < 2:
        raise ShapeError(f"{caller}: expected {x} to give a convolution of at least 2x2 pixels, got {OH}x{OW}")
    return window, (OH // 2, OW // 2)


def _as_winner(caller: str, winner: Any, shape: Shape) -> Array:
    """Check the winners that a forward pass recorded for outputs of this shape; return them C-contiguous."""
    winner = np.ascontiguousarray(winner)
    if winner.dtype != np.uint8:
        raise TypeError(f"{caller}: expected winner of uint8, got {winner.dtype}")
    check_shape(caller, "winner", winner, shape, "(N, PH, PW, F)")
    return winner


@Op
def conv2d_relu_pool(
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
    relu: bool = True,
    winner: Array | None = None,
    scratch: Scratch | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return max_pool2d(relu(conv2d(x, weight, bias)), 2), bit-identical (with winograd: up to rounding).

    x, weight, bias, strides, padding, dilation_rate, groups, winograd, constant_weight, scratch : as in
    `conv2d`.
    relu : False leaves out relu: the output is the largest value of the window, whatever its sign.
    winner : uint8, shape (N, OH // 2, OW // 2, F), optional. Receives 2*a + b of the first largest pixel of
    each window, or 4 if none is positive.
    out : dtype of x, shape (N, OH // 2, OW // 2, F), optional. Overwritten and returned.
    Raises ShapeError and TypeError as `conv2d`. NaN in a window gives NaN.
    """
    caller = "conv2d_relu_pool"
    x, weight, bias = as_arrays(caller, x=x, weight=weight, bias=bias)
    options = (strides, padding, dilation_rate)
    window, pooled = _windows(caller, "x", x.shape, "weight", weight.shape, options, groups)
    N, H, W, _ = x.shape
    F = weight.shape[3]
    if bias is not None:
        check_shape(caller, "bias", bias, (F,), "(F,)")
    out = as_output(caller, out, (N, *pooled, F), [x, weight, bias])
    if winner is not None:
        winner = as_output(caller, winner, out.shape, [x, weight, bias, out], name="winner", dtype=np.uint8)
    offset = window.offset((H, W))
    if winograd and use_winograd(x.dtype, x.shape, weight.shape, window, groups, constant_weight):
        return kernels.active.WinogradConv2DPool(x, weight, bias, out, winner, offset, relu, constant_weight, scratch)
    return kernels.active.Conv2DPool(
        x, weight, bias, out, winner, window.strides, window.dilation, offset, groups, relu, constant_weight
    )


@Op
def conv2d_relu_pool_backward_weight(
    x: Array,
    dy: Array,
    winner: Array,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    dilation_rate: Size = 1,
    bias_grad: Array | None = None,
    out: Array,
) -> Callable[[], Array]:
    """Accumulate the gradients of `conv2d_relu_pool`: for its filters into `out`, for its bias into `bias_grad`.

    x : float32 or float64, shape (N, H, W, C). dy : dtype of x, shape (N, PH, PW, F), gradient with respect to
    the pooled output. winner : uint8, as dy, from the forward pass; where it is above 3, the gradient is dropped.
    bias_grad : shape (F,), optional. out : shape (KH, KW, C, F), returned.
    Raises ShapeError for shapes that do not fit, ValueError for sizes without a kernel (see `has_gradients`).
    """
    caller = "conv2d_relu_pool_backward_weight"
    x, dy = as_arrays(caller, x=x, dy=dy)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{caller}: expected out to be an array to add to, got {type(out)}")
    window, pooled = _windows(caller, "x", x.shape, "out", out.shape, (strides, padding, dilation_rate))
    shape = (x.shape[0], *pooled, out.shape[3])
    check_shape(caller, "dy", dy, shape, "(N, PH, PW, F)")
    winner = _as_winner(caller, winner, shape)
    out = as_output(caller, out, out.shape, [x, dy, winner])
    if bias_grad is not None:
        bias_grad = as_output(caller, bias_grad, out.shape[3:], [x, dy, winner, out], name="bias_grad")
    listed = has_gradients(x.dtype, out.shape, window.dilation, 1)[1]
    lanes = kernels.active.LANES[x.dtype.char]
    if not listed and out.shape[3] % lanes:
        raise ValueError(
            f"{caller}: expected filters in multiples of {lanes}, or 3x3 filters without dilation of "
            f"channels in multiples of {lanes}, got out {out.shape}; use max_pool2d_backward and "
            "conv2d_backward_weight"
        )
    offset = window.offset(x.shape[1:3])
    if listed:
        return kernels.active.WinnerBackwardWeight(x, dy, winner, out, bias_grad, window.strides, offset)
    return kernels.active.MaskedBackwardWeight(x, dy, winner, out, bias_grad, window.strides, window.dilation, offset)


@Op
def conv2d_relu_pool_backward_input(
    dy: Array,
    winner: Array,
    weight: Array,
    input_shape: Shape,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return the gradient of `conv2d_relu_pool` with respect to its images.

    dy : float32 or float64, shape (N, PH, PW, F). winner : uint8, as dy, from the forward pass; where it is
    above 3, the gradient is dropped. weight : (3, 3, C, F). input_shape : (N, H, W, C). out : that shape,
    optional, overwritten and returned.
    Raises ShapeError for shapes that do not fit, ValueError for sizes without a kernel (see `has_gradients`).
    """
    caller = "conv2d_relu_pool_backward_input"
    dy, weight = as_arrays(caller, dy=dy, weight=weight)
    input_shape = as_shape(caller, "input_shape", input_shape, "(N, H, W, C)")
    window, pooled = _windows(caller, "input_shape", input_shape, "weight", weight.shape, (strides, padding, 1))
    shape = (input_shape[0], *pooled, weight.shape[3])
    check_shape(caller, "dy", dy, shape, "(N, PH, PW, F)")
    winner = _as_winner(caller, winner, shape)
    out = as_output(caller, out, input_shape, [dy, weight, winner])
    if not has_gradients(dy.dtype, weight.shape, (1, 1), 1)[1]:
        lanes = kernels.active.LANES[dy.dtype.char]
        raise ValueError(
            f"{caller}: expected 3x3 filters of channels in multiples of {lanes}, got weight {weight.shape}; "
            "use max_pool2d_backward and conv2d_backward_input"
        )
    offset = window.offset((input_shape[1], input_shape[2]))
    return kernels.active.WinnerBackwardInput(dy, winner, weight, out, window.strides, offset)
