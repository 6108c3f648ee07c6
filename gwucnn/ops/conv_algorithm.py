"""Which kernel computes a convolution or one of its gradients, and the measurements that decide it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.common import Shape, Window
from gwucnn.ops.base import Array

__all__ = [
    "backward_weight_step",
    "conv_kernel",
    "use_winograd",
    "use_winograd_for_weights",
]


def conv_kernel(name: str, dtype: Any, weight_shape: Shape, groups: int, width: int) -> Callable[..., Any]:
    """Return Conv2D or one of its gradients, or the kernel with the same arguments for groups with few outputs.

    `width` is the number of outputs of a group: filters, or channels for the gradient with respect to the input.
    Vectors that span groups are faster up to half a vector of outputs, and with 1x1 filters, which use each value once,
    up to a quarter.
    """
    least = 4 if weight_shape[:2] == (1, 1) else 2
    spans = groups > 1 and least * width <= kernels.active.LANES[np.dtype(dtype).char]
    kernel: Callable[..., Any] = getattr(kernels.active, f"Depthwise{name}" if spans else name)
    return kernel


# Thresholds of Winograd's algorithm, measured for every instruction set with some margin, on one thread (speedups):
# - 16 channels: 1.0 to 1.4, but no error bound was established
# - 8 tiles, convolution and gradient with respect to the input, filters transformed at each call: 1.5 to 2.8; none if
#   the filters exceed the last-level cache (512 filters of 512 channels), where 16 tiles give 1.1 to 2
# - 8 tiles, gradient with respect to the weights: 1.2 to 2, but the error may exceed its bound; with 16 tiles it is at
#   most 0.6 of the bound
# - filters transformed once: 2 tiles 1.2 (512 channels) to 2.4, 4 tiles 2.2 to 3.3
# - direct convolution takes 9 products per output; with 4 (images of 2x2 or 5x5 outputs) the speedup is 1.2 to 2.6,
#   with 6 (a single row) 0.8 to 1.1
# On two threads, with 8 and 12 tiles, the measured speedup is 1 (64 channels) to 2.8.
LEAST_CHANNELS = 32
LEAST_TILES = 8
LEAST_TILES_LARGE = 16
LEAST_TILES_CONSTANT = 2
LEAST_TILES_OF_SUMS = 16
LARGE = 256 * 256  # more channels times filters than this
MOST_PRODUCTS = 4.5


def _elements(outputs: int) -> int:
    """Return the number of elements in the tiles of a row of outputs: 6 each, and 4 for a remainder of one or two."""
    return (outputs + 1) // 4 * 6 + (4 if 0 < outputs % 4 < 3 else 0)


def _winograd_tiles(dtype: Any, x_shape: Shape, weight_shape: Shape, window: Window, groups: int) -> int:
    """Return the number of output tiles of F(4x4, 3x3) for a convolution, 0 if the algorithm does not apply."""
    lanes = kernels.active.LANES[np.dtype(dtype).char]
    N, H, W, C = x_shape
    KH, KW, _, F = weight_shape
    if (KH, KW) != (3, 3) or window.strides != (1, 1) or window.dilation != (1, 1) or groups != 1:
        return 0
    if C % lanes or F % lanes or min(C, F) < LEAST_CHANNELS or max(window.offset((H, W))) > 2:
        return 0
    OH, OW = window.output((H, W))
    if _elements(OH) * _elements(OW) > MOST_PRODUCTS * OH * OW:
        return 0
    return N * -(-OH // 4) * -(-OW // 4)


def use_winograd(
    dtype: Any,
    x_shape: Shape,
    weight_shape: Shape,
    window: Window,
    groups: int,
    constant_weight: bool = False,
) -> bool:
    """Return whether Winograd's algorithm applies to a convolution or its gradient with respect to the input, and pays.

    F(4x4, 3x3) needs a quarter of the multiplications and, with its transforms, is 1.4 to 3.5 times as fast (measured
    with 32 to 256 channels, AVX-512). Its error in float32 is 3 to 4 times as large on average, because the outputs of
    a tile share their rounding errors. From 32 channels on, the error of an output is below 4 * u * (4 + sqrt(9*C))
    times the largest sum of magnitudes of the terms of any output at most three pixels away, with u = 2**-24 (tested;
    the error of the gradient of a weight is bounded likewise by its own terms). Therefore ops use the algorithm only
    with ``winograd=True``, and a network with ``winograd=False`` never does. `constant_weight` says that filters are
    transformed once for many calls.
    """
    least = LEAST_TILES_LARGE if weight_shape[2] * weight_shape[3] > LARGE else LEAST_TILES
    if constant_weight:
        least = LEAST_TILES_CONSTANT
    return _winograd_tiles(dtype, x_shape, weight_shape, window, groups) >= least


def use_winograd_for_weights(dtype: Any, x_shape: Shape, weight_shape: Shape, window: Window, groups: int) -> bool:
    """Return whether Winograd's algorithm computes the gradient with respect to the weights faster."""
    return _winograd_tiles(dtype, x_shape, weight_shape, window, groups) >= LEAST_TILES_OF_SUMS


# With few filters, vectors over channels compute a transposed gradient. Transposing it back pays only from this number
# of pixels on.
LEAST_PIXELS = 4


def backward_weight_step(
    x: Array, dy: Array, out: Array, geometry: tuple[Any, ...], accumulate: bool
) -> Callable[[], Array]:
    """Return the step that computes the gradient of a convolution with respect to its weights directly, into `out`.

    With few filters, vectors over filters would be mostly empty: they then run over channels or, if there are few of
    those too, over the pixels of a row. geometry : strides, dilation, offset, groups.
    """
    lanes = kernels.active.LANES[x.dtype.char]
    *window, groups = geometry
    OH, OW, F = dy.shape[1:]
    if groups == 1 and 2 * F <= lanes:
        if 2 * x.shape[3] >= lanes and OH * OW >= LEAST_PIXELS:
            return kernels.active.ChannelsBackwardWeight(x, dy, out, *window, accumulate)
        if 2 * x.shape[3] < lanes and OW * F >= lanes:
            return kernels.active.PixelsBackwardWeight(x, dy, out, *window, accumulate)
    kernel = conv_kernel("Conv2DBackwardWeight", x.dtype, out.shape, groups, F // groups)
    return kernel(x, dy, out, *geometry, accumulate)
