"""Convolution, bias, relu and 2x2 max pooling as one op, and its gradients.

What the chain conv2d -> relu -> max_pool2d(2) computes, without writing the full-size images between. Not for all
sizes: see `has_gradients`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.errors import ShapeError
from gwucnn.ops.base import Array, Op, as_arrays, as_output, as_shape, check_shape
from gwucnn.shapes import Padding, Shape, Size, Window

__all__ = ["conv2d_relu_pool", "conv2d_relu_pool_backward_input", "conv2d_relu_pool_backward_weight", "has_gradients"]

# Below this many channels the gradient by the weights works on masks instead of lists.
FEW_CHANNELS = 8


def has_gradients(dtype: Any, weight_shape: Shape, dilation: tuple[int, int], groups: int) -> tuple[bool, bool]:
    """Return whether there is a kernel for the gradient by weights, and by input, for filters of this shape.

    Both want one group. Lists of winners want 3x3 filters without dilation and channels in whole vectors; masks, for
    few channels, want filters in whole vectors.
    """
    lanes = kernels.active.LANES[np.dtype(dtype).char]
    KH, KW, C, F = weight_shape
    listed = groups == 1 and (KH, KW) == (3, 3) and dilation == (1, 1) and C % lanes == 0
    masked = groups == 1 and C < FEW_CHANNELS and F % lanes == 0
    return listed or masked, listed


def _windows(
    who: str, x_shape: Shape, weight_shape: Shape, strides: Size, padding: Padding, dilation_rate: Size
) -> tuple[Window, tuple[int, int]]:
    """Return the filter's window and the size of the pooled images."""
    if len(x_shape) != 4 or len(weight_shape) != 4:
        raise ShapeError(f"{who}: expected images (N, H, W, C) and filters, got {x_shape} and {weight_shape}")
    window = Window.of(who, weight_shape[:2], strides, padding, dilation_rate)
    OH, OW = window.output(x_shape[1:3])
    if min(OH, OW) < 2:
        raise ShapeError(f"{who}: expected a convolution of at least 2x2 pixels, got {OH}x{OW}")
    return window, (OH // 2, OW // 2)


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
    winner: Array | None = None,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Return max_pool2d(relu(conv2d(x, weight, bias)), 2), to the last bit.

    x, weight, bias, strides, padding, dilation_rate, groups : as in `conv2d`.
    winner : uint8, shape (N, OH // 2, OW // 2, F), optional. Receives 2*a + b of the first largest pixel of each
    window, or 4 where none is above 0.
    out : dtype of x, shape (N, OH // 2, OW // 2, F), optional. Overwritten and returned.
    Raises ShapeError and TypeError as `conv2d`. NaN in a window gives NaN.
    """
    who = "conv2d_relu_pool"
    x, weight, bias = as_arrays(who, x=x, weight=weight, bias=bias)
    window, pooled = _windows(who, x.shape, weight.shape, strides, padding, dilation_rate)
    N, H, W, C = x.shape
    F = weight.shape[3]
    if C != weight.shape[2] * groups or F % groups:
        raise ShapeError(f"{who}: expected weight for C={C} channels in groups={groups}, got weight {weight.shape}")
    if bias is not None:
        check_shape(who, "bias", bias, (F,), "(F,)")
    out = as_output(who, out, (N, *pooled, F), [x, weight, bias])
    if winner is not None:
        winner = as_output(who, winner, out.shape, [x, weight, bias, out], name="winner", dtype=np.uint8)
    offset = window.offset((H, W))
    return kernels.active.Conv2DReluPool(
        x, weight, bias, out, winner, window.strides, window.dilation, offset, groups
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
    """Add the gradient of `conv2d_relu_pool` by its filters to `out`, and that by its bias to `bias_grad`.

    x : float32 or float64, shape (N, H, W, C). dy : dtype of x, shape (N, PH, PW, F), gradient by the pooled output.
    winner : uint8, as dy, from the forward pass. bias_grad : shape (F,), optional. out : shape (KH, KW, C, F).
    Raises ShapeError for shapes that do not fit, ValueError for sizes without a kernel (see `has_gradients`).
    """
    who = "conv2d_relu_pool_backward_weight"
    x, dy = as_arrays(who, x=x, dy=dy)
    as_arrays(who, x=x, out=out)
    window, pooled = _windows(who, x.shape, out.shape, strides, padding, dilation_rate)
    check_shape(who, "dy", dy, (x.shape[0], *pooled, out.shape[3]), "(N, PH, PW, F)")
    check_shape(who, "winner", winner, dy.shape, "(N, PH, PW, F)")
    out = as_output(who, out, out.shape, [x, dy])
    listed = has_gradients(x.dtype, out.shape, window.dilation, 1)[1]
    offset = window.offset(x.shape[1:3])
    if listed:
        return kernels.active.WinnerBackwardWeight(x, dy, winner, out, bias_grad, window.strides, offset)
    return kernels.active.MaskedBackwardWeight(
        x, dy, winner, out, bias_grad, window.strides, window.dilation, offset
    )


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
    """Return the gradient of `conv2d_relu_pool` by its images.

    dy : float32 or float64, shape (N, PH, PW, F). winner : uint8, as dy, from the forward pass. weight : (3, 3, C, F).
    input_shape : (N, H, W, C). out : that shape, optional, overwritten and returned.
    Raises ShapeError for shapes that do not fit, ValueError for sizes without a kernel (see `has_gradients`).
    """
    who = "conv2d_relu_pool_backward_input"
    dy, weight = as_arrays(who, dy=dy, weight=weight)
    input_shape = as_shape(who, "input_shape", input_shape, "(N, H, W, C)")
    window, pooled = _windows(who, input_shape, weight.shape, strides, padding, 1)
    check_shape(who, "dy", dy, (input_shape[0], *pooled, weight.shape[3]), "(N, PH, PW, F)")
    check_shape(who, "winner", winner, dy.shape, "(N, PH, PW, F)")
    out = as_output(who, out, input_shape, [dy, weight, winner])
    offset = window.offset(input_shape[1:3])
    return kernels.active.WinnerBackwardInput(dy, winner, weight, out, window.strides, offset)
