"""Every layer in PyTorch, on images (N, H, W, C) and weights in our layout: an independent oracle.

It calls none of gwucnn's arithmetic: a layer is only read for its options and the names of its weights.
"""

import functools

import torch
from torch.nn import functional as F

import reference
from gwucnn import (
    SGD,
    Activation,
    Adam,
    Add,
    Average,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2DTranspose,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GroupNormalization,
    LayerNormalization,
    Maximum,
    MaxPooling2D,
    Multiply,
    Normalization,
    PReLU,
    Rescaling,
    Reshape,
    Residual,
    Resizing,
    SeparableConv2D,
    Subtract,
    UpSampling2D,
    ZeroPadding2D,
)
from gwucnn.activation_layers import ActivationLayer
from gwucnn.layers import imported

ACTIVATIONS = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softmax": functools.partial(torch.softmax, dim=-1),
    "tanh": torch.tanh,
    "leaky_relu": lambda x, negative_slope=0.3: F.leaky_relu(x, negative_slope),
    "elu": F.elu,
    "gelu": lambda x, approximate=False: F.gelu(x, approximate="tanh" if approximate else "none"),
    "silu": F.silu,
    "softplus": lambda x: F.softplus(x, threshold=1e9),
    "relu6": F.relu6,
    "hard_sigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),  # the slope of F.hardsigmoid is 1/6 in float32
    "hard_swish": F.hardswish,
    "mish": F.mish,
    "selu": F.selu,
}


double = functools.partial(torch.tensor, dtype=torch.float64)


def first(x):
    """Return images with their channels first, as PyTorch wants them."""
    return x.permute(0, 3, 1, 2)


def last(x):
    return x.permute(0, 2, 3, 1)


def bordered(x, padding, window, strides=1, dilation_rate=1, value=0.0):
    """Return images, channels first, with the border that a window's padding asks for."""
    (top, bottom), (left, right) = reference.pads(padding, x.shape[2:], window, strides, dilation_rate)
    return F.pad(x, (left, right, top, bottom), value=value)


def windows(layer):
    return layer.kernel_size, layer.strides, layer.dilation_rate


def convolved(layer, x, weight, bias, groups):
    size, strides, dilation = windows(layer)
    x = bordered(first(x), layer.padding, size, strides, dilation)
    return last(F.conv2d(x, weight.permute(3, 2, 0, 1).contiguous(), bias, strides, 0, dilation, groups))


def by_channel(layer, x, weight, bias):
    """Filter each channel by itself; weight (KH, KW, C, M) gives channel c the outputs c * M to c * M + M - 1."""
    KH, KW, C, M = weight.shape
    return convolved(layer, x, weight.reshape(KH, KW, 1, C * M), bias, C)


def transposed(layer, x, weight, bias):
    size, strides, dilation = windows(layer)
    rows, columns = reference.transposed_sides(
        x.shape[1:3], size, strides, layer.padding, layer.output_padding, dilation
    )
    y = F.conv_transpose2d(
        first(x), weight.permute(3, 2, 0, 1).contiguous(), None, strides, 0, 0, layer.groups, dilation
    )
    y = F.pad(y, (0, max(sum(columns) - y.shape[3], 0), 0, max(sum(rows) - y.shape[2], 0)))
    y = last(y[:, :, rows[1] : sum(rows), columns[1] : sum(columns)])
    return y if bias is None else y + bias


def weighted(layer, x, weights):
    kernel, bias = weights[layer.kernel], weights[layer.bias] if layer.add_bias else None
    if isinstance(layer, Dense):
        return F.linear(x, kernel.T, bias)
    if isinstance(layer, Conv2DTranspose):
        return transposed(layer, x, kernel, bias)
    if isinstance(layer, DepthwiseConv2D):
        return by_channel(layer, x, kernel, bias)
    if isinstance(layer, SeparableConv2D):
        middle = by_channel(layer, x, weights[layer.depthwise_kernel], None)
        return F.linear(middle, kernel[0, 0].T, bias)
    return convolved(layer, x, kernel, bias, layer.groups)


def max_pooled(layer, x):
    x = bordered(first(x), layer.padding, layer.pool_size, layer.strides, value=-torch.inf)
    return last(F.max_pool2d(x, layer.pool_size, layer.strides))


def average_pooled(layer, x):
    sums, counts = (
        F.avg_pool2d(
            bordered(image, layer.padding, layer.pool_size, layer.strides),
            layer.pool_size,
            layer.strides,
            divisor_override=1,
        )
        for image in (first(x), torch.ones_like(first(x)))
    )
    return last(sums / counts)


def batch_normalised(layer, x, weights):
    """Normalise as in training; move the running averages by Keras' rule, with the warm-up."""
    gamma, beta, mean, variance = (weights[parameter] for parameter in layer.parameters)
    channels_second = x.movedim(-1, 1)
    if not layer.trainable:
        y = F.batch_norm(channels_second, mean, variance, gamma, beta, False, 0.0, layer.epsilon)
        return y.movedim(1, -1)
    with torch.no_grad():
        step = weights.steps[layer] = weights.steps.get(layer, 0) + 1
        keep = min(layer.momentum, (step - 1) / step)
        axes = tuple(range(x.ndim - 1))
        mean.lerp_(x.mean(axes), 1 - keep)
        variance.lerp_(x.var(axes, correction=0), 1 - keep)
    return F.batch_norm(channels_second, None, None, gamma, beta, True, 0.0, layer.epsilon).movedim(1, -1)


def layer_normalised(layer, x, weights):
    return F.layer_norm(x, x.shape[-1:], weights[layer.gamma], weights[layer.beta], layer.epsilon)


def group_normalised(layer, x, weights):
    groups = x.shape[-1] if layer.groups == -1 else layer.groups
    return F.group_norm(x.movedim(-1, 1), groups, weights[layer.gamma], weights[layer.beta], layer.epsilon).movedim(
        1, -1
    )


def reshaped(layer, x):
    """In the order of the network's user, which `channels_first` tells."""
    turned = layer.channels_first and x.ndim == 4
    shape = layer.shape if isinstance(layer, Reshape) else (-1,)
    made = (first(x) if turned else x).reshape(len(x), *shape)
    return last(made) if layer.channels_first and made.ndim == 4 else made


def locally_normalised(layer, x):
    # PyTorch has the odd neighbour before, ONNX and we behind: the channels go in backwards.
    turned = first(x).flip(1)
    made = F.local_response_norm(turned, layer.size, layer.alpha, layer.beta, layer.bias)
    return last(made.flip(1))


def row(layers, x, weights):
    return functools.reduce(lambda x, layer: made(layer, x, weights), layers, x)


# What each kind of layer makes of x. `weights` gives the tensor of each Parameter.
MADE = {
    Residual: lambda layer, x, weights: row(layer.layers, x, weights) + row(layer.shortcut, x, weights),
    Concatenate: lambda layer, x, weights: torch.cat([row(b, x, weights) for b in layer.branches], -1),
    BatchNormalization: batch_normalised,
    LayerNormalization: layer_normalised,
    GroupNormalization: group_normalised,
    PReLU: lambda layer, x, weights: torch.where(x > 0, x, weights[layer.alpha] * x),
    Rescaling: lambda layer, x, _: x * double(layer.scale) + double(layer.offset),
    Normalization: lambda layer, x, weights: (x - weights[layer.mean]) / (weights[layer.variance] + 1e-14).sqrt(),
    MaxPooling2D: lambda layer, x, _: max_pooled(layer, x),
    AveragePooling2D: lambda layer, x, _: average_pooled(layer, x),
    GlobalAveragePooling2D: lambda layer, x, _: F.adaptive_avg_pool2d(first(x), 1)[:, :, 0, 0],
    GlobalMaxPooling2D: lambda layer, x, _: F.adaptive_max_pool2d(first(x), 1)[:, :, 0, 0],
    Cropping2D: lambda layer, x, _: last(bordered(first(x), [(-a, -b) for a, b in layer.cropping], 1)),
    Resizing: lambda layer, x, _: last(
        F.interpolate(
            first(x),
            (layer.height, layer.width),
            mode="nearest-exact" if layer.interpolation == "nearest" else "bilinear",
        )
    ),
    ZeroPadding2D: lambda layer, x, _: last(bordered(first(x), layer.padding, 1)),
    UpSampling2D: lambda layer, x, _: last(F.interpolate(first(x), scale_factor=layer.size, mode="nearest")),
    Dropout: lambda layer, x, _: x,
    Flatten: lambda layer, x, _: reshaped(layer, x),
    Reshape: lambda layer, x, _: reshaped(layer, x),
    imported.OrderedFlatten: lambda layer, x, _: (first(x) if layer.order == "channels_first" else x).reshape(
        len(x), -1
    ),
    imported.ChannelShuffle: lambda layer, x, _: last(F.channel_shuffle(first(x), layer.groups)),
    imported.Clip: lambda layer, x, _: torch.clamp(x, layer.low, layer.high),
    imported.LogSoftmax: lambda layer, x, _: F.log_softmax(x, -1),
    imported.LocalResponseNormalization: lambda layer, x, _: locally_normalised(layer, x),
}


def made(layer, x, weights):
    """Return what a layer makes of x."""
    if type(layer) in MADE:
        return MADE[type(layer)](layer, x, weights)
    if isinstance(layer, (Activation, ActivationLayer)):
        return x if layer.function is None else ACTIVATIONS[layer.function.name](x, **layer.options)
    z = weighted(layer, x, weights)
    return z if layer.activation is None else ACTIVATIONS[layer.activation.name](z)


# What layers with several inputs make of them.
MERGED = {
    Add: lambda *x: functools.reduce(torch.add, x),
    Average: lambda *x: torch.stack(x).mean(0),
    Subtract: torch.sub,
    Multiply: lambda *x: functools.reduce(torch.mul, x),
    Maximum: lambda *x: functools.reduce(torch.maximum, x),
    Concatenate: lambda *x: torch.cat(x, -1),
}

# Optimizers of ours and theirs that do the same.
MOVES = {
    "sgd": (lambda: SGD(0.05, momentum=0.9), lambda w: torch.optim.SGD(w, 0.05, momentum=0.9)),
    "adam": (lambda: Adam(0.01), lambda w: torch.optim.Adam(w, 0.01, eps=1e-7)),
}


class Weights(dict):
    """A tensor for each Parameter, and for each batch normalisation the number of batches that it saw."""

    def __init__(self, parameters):
        super().__init__((p, double(p.value, requires_grad=p.trainable)) for p in parameters)
        self.steps = {}

    @property
    def penalty(self):
        """What large weights add to the loss, where a layer has a regularizer."""
        return sum(
            (p.regularizer.l1 * w.abs().sum() + p.regularizer.l2 * (w * w).sum())
            for p, w in self.items()
            if p.regularizer is not None and p.trainable
        )
