"""Checked functions on arrays, channels last, in float32 or float64: the arithmetic of all layers.

Each can be called on its own, and takes ``out=``, which is overwritten and returned. Networks call them in another way:
they bind an op to its arrays once, and then only call the resulting step; see `Op` in `base.py`.

Subnormal numbers, below 1.2e-38 in float32 and 2.2e-308 in float64, count as zero.

Start with `base.py` (how arrays are checked) and `dense.py`, the shortest family. `conv_algorithm.py` chooses the
kernel of a convolution.
"""

from gwucnn.ops.activation import (
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softmax,
    softmax_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)
from gwucnn.ops.arrays import add, all_finite, fill_zero, put_channels, rescale, take_channels
from gwucnn.ops.base import Op
from gwucnn.ops.batch_norm import batch_norm, batch_norm_backward, batch_norm_backward_sums, batch_statistics
from gwucnn.ops.batch_norm_relu import (
    batch_norm_relu,
    batch_norm_relu_backward,
    batch_norm_relu_backward_sums,
)
from gwucnn.ops.combine import (
    maximum,
    maximum_backward,
    multiply,
    scale_channels,
    scale_channels_backward_gate,
    scale_pixels,
    scale_pixels_backward_gate,
    subtract,
)
from gwucnn.ops.conv import conv2d, conv2d_backward_input, conv2d_backward_weight
from gwucnn.ops.conv_pool import (
    conv2d_relu_pool,
    conv2d_relu_pool_backward_input,
    conv2d_relu_pool_backward_weight,
)
from gwucnn.ops.conv_transpose import (
    conv2d_transpose,
    conv2d_transpose_backward_input,
    conv2d_transpose_backward_weight,
)
from gwucnn.ops.dense import dense, dense_backward_input, dense_backward_weight, sum_rows
from gwucnn.ops.layer_norm import layer_norm, layer_norm_backward
from gwucnn.ops.loss import (
    absolute_error,
    huber,
    sigmoid_log_loss,
    softmax_cross_entropy,
    squared_error,
)
from gwucnn.ops.numpy_activation import (
    hard_sigmoid,
    hard_sigmoid_backward,
    hard_swish,
    hard_swish_backward,
    mish,
    mish_backward,
    relu6,
    relu6_backward,
    selu,
    selu_backward,
)
from gwucnn.ops.pool import average_pool2d, average_pool2d_backward, max_pool2d, max_pool2d_backward
from gwucnn.ops.random import dropout, random_mask, random_uniform
from gwucnn.ops.rearrange import (
    to_channels_first,
    to_channels_last,
    upsample2d,
    upsample2d_backward,
    zero_pad2d,
    zero_pad2d_backward,
)
from gwucnn.ops.running_norm import fold_batch_norm, move_statistics
from gwucnn.ops.warp import (
    affine_warp,
    affine_warp_backward,
    flip_matrices,
    rotation_matrices,
    translation_matrices,
    zoom_matrices,
)
from gwucnn.ops.weights import clip_norm, weight_penalty

__all__ = [
    "Op",
    "absolute_error",
    "add",
    "affine_warp",
    "affine_warp_backward",
    "all_finite",
    "average_pool2d",
    "average_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_backward_sums",
    "batch_norm_relu",
    "batch_norm_relu_backward",
    "batch_norm_relu_backward_sums",
    "batch_statistics",
    "clip_norm",
    "conv2d",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_relu_pool",
    "conv2d_relu_pool_backward_input",
    "conv2d_relu_pool_backward_weight",
    "conv2d_transpose",
    "conv2d_transpose_backward_input",
    "conv2d_transpose_backward_weight",
    "dense",
    "dense_backward_input",
    "dense_backward_weight",
    "dropout",
    "elu",
    "elu_backward",
    "fill_zero",
    "flip_matrices",
    "fold_batch_norm",
    "gelu",
    "gelu_backward",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_swish",
    "hard_swish_backward",
    "huber",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "maximum",
    "maximum_backward",
    "mish",
    "mish_backward",
    "move_statistics",
    "multiply",
    "put_channels",
    "random_mask",
    "random_uniform",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "rescale",
    "rotation_matrices",
    "scale_channels",
    "scale_channels_backward_gate",
    "scale_pixels",
    "scale_pixels_backward_gate",
    "selu",
    "selu_backward",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_log_loss",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softplus",
    "softplus_backward",
    "squared_error",
    "subtract",
    "sum_rows",
    "take_channels",
    "tanh",
    "tanh_backward",
    "to_channels_first",
    "to_channels_last",
    "translation_matrices",
    "upsample2d",
    "upsample2d_backward",
    "weight_penalty",
    "zero_pad2d",
    "zero_pad2d_backward",
    "zoom_matrices",
]
