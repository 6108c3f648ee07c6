"""Layers of every kind with every option, built, with inputs: one table for all tests of layers."""

import functools
from typing import Any, NamedTuple

import numpy as np

import reference
from gradcheck import spaced
from gwucnn import (
    ELU,
    GELU,
    L1L2,
    RELU,
    SELU,
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GroupNormalization,
    HardSigmoid,
    HardSwish,
    LayerNormalization,
    LeakyReLU,
    MaxPooling2D,
    Mish,
    Normalization,
    PReLU,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    ReLU6,
    Rescaling,
    Reshape,
    Residual,
    Resizing,
    SeparableConv2D,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    SpatialDropout2D,
    Tanh,
    UpSampling2D,
    ZeroPadding2D,
)
from gwucnn.common import set_inside
from gwucnn.layers import imported
from gwucnn.layers.augmentation import RandomLayer
from gwucnn.layers.base import layer_config, leaves
from gwucnn.layers.weighted import WeightedLayer
from gwucnn.memory import workspace
from gwucnn.memory.parameters import Arena


class Still(workspace.Randomness):
    """Begins anew whenever it is asked, so that every pass draws the same numbers and can be compared."""

    @property
    def state(self):
        self.draws = 0
        return super().state


Space = functools.partial(workspace.Space, randomness=Still(lambda: 20221211))


class Case(NamedTuple):
    why: str
    layer: type
    options: dict[str, Any]
    in_shape: tuple[int, ...]

    def build(self, dtype="float64", seed=0):
        """Return a built layer with weights that are no zeros, its arena, and the shape of its outputs."""
        layer = self.layer(**self.options)
        if "channels_first" in self.why:
            set_inside(layer, channels_first=True)
        out_shape = layer.build(self.in_shape)
        arena = Arena(layer.parameters, dtype)
        arena.values[...] = np.random.default_rng(seed).uniform(0.1, 0.9, arena.values.size)
        arena.values[::2] *= -1
        for parameter in layer.parameters:
            if parameter.name in ("moving_variance", "variance"):
                parameter.value = abs(parameter.value)
        return layer, arena, out_shape


def inside(*layers):
    """Describe layers inside of another: a case builds them more than once."""
    return [layer_config(layer) for layer in layers]


def filters(n, size=3, **options):
    return Conv2D(n, size, **{"padding": "same", "add_bias": True} | options)


IMAGE = (5, 6, 4)
NEW = ("tanh", "leaky_relu", "elu", "gelu", "silu", "softplus", "relu6", "hard_sigmoid", "hard_swish", "mish", "selu")
ACTIVATIONS = {name: getattr(reference, name) for name in ("relu", "sigmoid", "softmax", *NEW)}

CASES = [
    Case("plain", Conv2D, {}, (5, 6, 1)),
    Case("filters", Conv2D, {"filters": 5, "kernel_size": (2, 3)}, IMAGE),
    Case("bias", Conv2D, {"filters": 3, "add_bias": True}, IMAGE),
    Case("strides", Conv2D, {"strides": (2, 3), "add_bias": True}, (6, 8, 3)),
    Case("same", Conv2D, {"filters": 3, "padding": "same"}, IMAGE),
    Case("same, strides", Conv2D, {"strides": 2, "padding": "same"}, (5, 8, 2)),
    Case("padding", Conv2D, {"padding": 1}, IMAGE),
    Case("padding by axis", Conv2D, {"padding": (2, 0)}, IMAGE),
    Case("four paddings", Conv2D, {"padding": ((0, 2), (3, 1))}, (4, 4, 2)),
    Case("dilation", Conv2D, {"kernel_size": 2, "dilation_rate": (2, 3)}, IMAGE),
    Case("groups", Conv2D, {"filters": 6, "groups": 2, "add_bias": True}, IMAGE),
    Case("each channel by itself", Conv2D, {"filters": 4, "groups": 4}, IMAGE),
    Case("relu", Conv2D, {"filters": 3, "activation": "relu", "add_bias": True}, IMAGE),
    Case("sigmoid", Conv2D, {"filters": 3, "activation": "sigmoid"}, IMAGE),
    Case("softmax", Conv2D, {"filters": 3, "activation": "softmax"}, IMAGE),
    Case("one pixel", Conv2D, {"filters": 3, "kernel_size": 1}, (1, 1, 2)),
    Case("window of the whole image", Conv2D, {"filters": 17, "kernel_size": (4, 3)}, (4, 3, 1)),
    Case("everything", Conv2D,
         {"filters": 6, "kernel_size": (2, 3), "strides": (2, 1), "padding": ((1, 0), (2, 1)), "dilation_rate": (1, 2),
          "groups": 2, "activation": "sigmoid", "add_bias": True, "name": "all"}, (5, 6, 2)),
    Case("regularizer", Conv2D, {"filters": 3, "kernel_regularizer": L1L2(0.5, 0.25), "add_bias": True}, IMAGE),
    Case("regularizer by name", Dense, {"output_size": 3, "kernel_regularizer": "l2"}, (5,)),
    Case("regularizer written down", Dense,
         {"output_size": 3, "kernel_regularizer": {"class_name": "L1", "config": {"l1": 0.5}}}, (5,)),
    Case("plain", DepthwiseConv2D, {}, IMAGE),
    Case("multiplier", DepthwiseConv2D, {"kernel_size": (2, 3), "depth_multiplier": 3, "add_bias": True}, (4, 5, 3)),
    Case("one channel", DepthwiseConv2D, {"kernel_size": 2, "depth_multiplier": 2}, (4, 5, 1)),
    Case("same, strides", DepthwiseConv2D, {"strides": 2, "padding": "same", "activation": "relu"}, (5, 6, 3)),
    Case("everything", DepthwiseConv2D,
         {"kernel_size": (2, 3), "strides": (2, 1), "padding": ((1, 0), (2, 1)), "dilation_rate": (1, 2),
          "depth_multiplier": 2, "activation": "sigmoid", "add_bias": True, "name": "all"}, (5, 6, 2)),
    Case("plain", SeparableConv2D, {"filters": 3, "kernel_size": 3}, IMAGE),
    Case("multiplier", SeparableConv2D,
         {"filters": 5, "kernel_size": (2, 3), "depth_multiplier": 2, "add_bias": True}, (4, 5, 3)),
    Case("one channel", SeparableConv2D, {"filters": 2, "kernel_size": 2}, (4, 5, 1)),
    Case("same, strides", SeparableConv2D,
         {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}, (5, 6, 3)),
    Case("everything", SeparableConv2D,
         {"filters": 3, "kernel_size": (2, 3), "strides": (2, 1), "padding": (1, 2), "dilation_rate": (1, 2),
          "depth_multiplier": 2, "activation": "sigmoid", "add_bias": True, "name": "all",
          "depthwise_initializer": "he_normal", "pointwise_initializer": "ones"}, (5, 6, 2)),
    Case("regularizer", DepthwiseConv2D, {"kernel_regularizer": L1L2(0.5, 0.25)}, IMAGE),
    Case("regularizers", SeparableConv2D,
         {"filters": 3, "kernel_size": 3, "depthwise_regularizer": "l2", "pointwise_regularizer": L1L2(0.5, 0.25)}, IMAGE),
    Case("regularizer", Conv2DTranspose, {"filters": 3, "kernel_size": 2, "kernel_regularizer": "l1"}, (3, 3, 2)),
    Case("plain", Conv2DTranspose, {"filters": 3, "kernel_size": 3}, (3, 4, 2)),
    Case("doubles", Conv2DTranspose, {"filters": 5, "kernel_size": 2, "strides": 2, "add_bias": True}, (3, 4, 3)),
    Case("same, strides", Conv2DTranspose,
         {"filters": 3, "kernel_size": 3, "strides": (2, 3), "padding": "same", "activation": "relu"}, (3, 4, 2)),
    Case("same, output padding", Conv2DTranspose,
         {"filters": 2, "kernel_size": 4, "strides": 2, "padding": "same", "output_padding": 1}, (3, 4, 2)),
    Case("gaps", Conv2DTranspose, {"filters": 2, "kernel_size": 1, "strides": 3, "add_bias": True}, (2, 3, 2)),
    Case("four paddings", Conv2DTranspose,
         {"filters": 2, "kernel_size": (2, 3), "padding": ((0, 2), (1, 1))}, (4, 4, 2)),
    Case("everything", Conv2DTranspose,
         {"filters": 6, "kernel_size": (2, 3), "strides": (2, 3), "padding": ((1, 0), (2, 1)), "dilation_rate": (1, 2),
          "output_padding": (1, 2), "groups": 2, "activation": "sigmoid", "add_bias": True, "name": "all"},
         (3, 3, 4)),
    Case("halves", MaxPooling2D, {}, (4, 6, 3)),
    Case("pixels left over", MaxPooling2D, {}, (5, 7, 2)),
    Case("overlap", MaxPooling2D, {"pool_size": 3, "strides": 1}, IMAGE),
    Case("overlap by axis", MaxPooling2D, {"pool_size": (2, 3), "strides": (1, 2)}, IMAGE),
    Case("same, overlap", MaxPooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    Case("padding", MaxPooling2D, {"pool_size": 3, "padding": ((1, 2), (0, 1))}, IMAGE),
    Case("gaps", MaxPooling2D, {"pool_size": 1, "strides": 3, "name": "sparse"}, IMAGE),
    Case("a window of 256 pixels", MaxPooling2D, {"pool_size": 16}, (16, 16, 1)),
    Case("halves", AveragePooling2D, {}, (4, 6, 3)),
    Case("pixels left over", AveragePooling2D, {}, (5, 7, 2)),
    Case("overlap", AveragePooling2D, {"pool_size": 3, "strides": 1}, IMAGE),
    Case("17 channels", AveragePooling2D, {"pool_size": (2, 3), "strides": (1, 2)}, (4, 5, 17)),
    Case("same, overlap", AveragePooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    Case("padding", AveragePooling2D, {"pool_size": 3, "padding": ((1, 2), (0, 1)), "name": "mean"}, IMAGE),
    Case("gaps", AveragePooling2D, {"pool_size": 1, "strides": 3}, IMAGE),
    *(Case(why, layer, options, shape)
      for layer in (GlobalAveragePooling2D, GlobalMaxPooling2D)
      for why, options, shape in (("small", {}, IMAGE), ("256 pixels", {}, (16, 16, 1)), ("17 channels", {"name": "all"}, (3, 2, 17)))),
    Case("one pixel", ZeroPadding2D, {}, IMAGE),
    Case("by axis", ZeroPadding2D, {"padding": (0, 2)}, IMAGE),
    Case("four paddings", ZeroPadding2D, {"padding": ((1, 0), (2, 3)), "name": "border"}, (4, 3, 1)),
    Case("none", ZeroPadding2D, {"padding": 0}, (3, 2, 2)),
    Case("one pixel", Cropping2D, {"cropping": 1}, IMAGE),
    Case("by axis", Cropping2D, {"cropping": (0, 2)}, IMAGE),
    Case("four sides", Cropping2D, {"cropping": ((1, 0), (2, 3)), "name": "cut"}, (4, 7, 1)),
    Case("none", Cropping2D, {}, (3, 2, 2)),
    Case("larger", Resizing, {"height": 8, "width": 7}, IMAGE),
    Case("smaller", Resizing, {"height": 3, "width": 2, "name": "small"}, IMAGE),
    Case("one way each", Resizing, {"height": 9, "width": 3, "input_size": (3, 9)}, (3, 9, 1)),
    Case("the same size", Resizing, {"height": 5, "width": 6}, IMAGE),
    Case("one pixel", Resizing, {"height": 1, "width": 1}, (3, 4, 2)),
    Case("of one pixel", Resizing, {"height": 3, "width": 2}, (1, 1, 2)),
    Case("nearest", Resizing, {"height": 8, "width": 4, "interpolation": "nearest"}, IMAGE),
    Case("nearest, smaller", Resizing, {"height": 2, "width": 15, "interpolation": "nearest"}, IMAGE),
    Case("doubled", UpSampling2D, {}, IMAGE),
    Case("by axis", UpSampling2D, {"size": (1, 3), "name": "wide"}, (4, 3, 17)),
    Case("one channel", UpSampling2D, {"size": (3, 2)}, (2, 3, 1)),
    Case("rows to images", Reshape, {"shape": (3, 2, -1)}, (24,)),
    Case("images to rows", Reshape, {"shape": -1}, IMAGE),
    Case("images to images", Reshape, {"shape": (4, 15, 2), "name": "other"}, IMAGE),
    Case("two axes", Reshape, {"shape": (4, -1)}, IMAGE),
    Case("rows to images, channels_first", Reshape, {"shape": (2, 4, 3)}, (24,)),
    Case("images to rows, channels_first", Reshape, {"shape": (-1,)}, IMAGE),
    Case("images to images, channels_first", Reshape, {"shape": (2, -1, 5)}, IMAGE),
    Case("two axes, channels_first", Reshape, {"shape": (4, -1)}, IMAGE),
    Case("images", Flatten, {}, IMAGE),
    Case("images, channels_first", Flatten, {}, IMAGE),
    Case("rows", Flatten, {"name": "flat"}, (7,)),
    Case("plain", Dense, {"output_size": 4}, (7,)),
    Case("bias", Dense, {"output_size": 3, "add_bias": True}, (5,)),
    Case("relu", Dense, {"output_size": 6, "add_bias": True, "activation": "relu"}, (5,)),
    Case("sigmoid", Dense, {"output_size": 2, "activation": "sigmoid"}, (5,)),
    Case("softmax", Dense, {"output_size": 4, "add_bias": True, "activation": "softmax"}, (5,)),
    Case("one number", Dense, {"output_size": 1}, (1,)),
    Case("images", BatchNormalization, {}, (3, 4, 3)),
    Case("one channel", BatchNormalization, {"momentum": 0.9}, (4, 4, 1)),
    Case("many channels", BatchNormalization, {"epsilon": 0.1}, (1, 2, 67)),
    Case("rows", BatchNormalization, {"momentum": 0.5, "epsilon": 1e-5, "name": "norm"}, (6,)),
    Case("frozen", BatchNormalization, {"trainable": False}, (3, 4, 5)),
    Case("images", LayerNormalization, {}, (3, 4, 5)),
    Case("many channels", LayerNormalization, {"epsilon": 1e-5}, (2, 1, 67)),
    Case("rows", LayerNormalization, {"epsilon": 0.1, "name": "norm"}, (35,)),
    Case("frozen", LayerNormalization, {"trainable": False}, (2, 2, 18)),
    Case("images", GroupNormalization, {"groups": 2}, IMAGE),
    Case("as a whole", GroupNormalization, {"groups": 1, "epsilon": 1e-5}, (3, 2, 6)),
    Case("each channel", GroupNormalization, {"groups": -1}, (3, 4, 5)),
    Case("many channels", GroupNormalization, {"name": "norm"}, (2, 2, 64)),
    Case("one pixel", GroupNormalization, {"groups": 3, "epsilon": 0.1}, (1, 1, 12)),
    Case("rows", GroupNormalization, {"groups": 5}, (35,)),
    Case("frozen", GroupNormalization, {"groups": 2, "trainable": False}, IMAGE),
    Case("images", PReLU, {}, IMAGE),
    Case("by channel", PReLU, {"shared_axes": [1, 2], "alpha_initializer": "ones", "name": "slope"}, IMAGE),
    Case("by row", PReLU, {"shared_axes": [2, 3]}, IMAGE),
    Case("one slope", PReLU, {"shared_axes": [1, 2, 3]}, (3, 4, 1)),
    Case("rows", PReLU, {}, (7,)),
    Case("one slope of rows", PReLU, {"shared_axes": 1}, (7,)),
    Case("frozen", PReLU, {"trainable": False}, (2, 2, 18)),
    Case("images", Dropout, {"rate": 0.4}, IMAGE),
    Case("rows", Dropout, {"rate": 0.7, "name": "rarely"}, (37,)),
    Case("nothing", Dropout, {"rate": 0}, (6,)),
    Case("images", SpatialDropout2D, {"rate": 0.5}, (2, 3, 9)),
    Case("one pixel", SpatialDropout2D, {"rate": 0.25}, (1, 1, 12)),
    Case("images", Rescaling, {"scale": 1 / 3, "name": "small"}, IMAGE),
    Case("rows", Rescaling, {"scale": -0.5, "offset": 2}, (7,)),
    Case("channels", Rescaling, {"scale": [1, 2, -3, 0.25], "offset": (0.5, 1, 2, 3)}, IMAGE),
    Case("one of them by channel", Rescaling, {"scale": 2, "offset": [0.5, 1, 3]}, (3,)),
    Case("images", Normalization, {}, IMAGE),
    Case("rows", Normalization, {"name": "features"}, (7,)),
    Case("known", Normalization, {"mean": [0.5, -1.0, 2.0, 0.1], "variance": 4}, IMAGE),
    Case("images", RandomTranslation, {"height": 0.3, "width": (-0.2, 0.5)}, IMAGE),
    Case("fill", RandomTranslation,
         {"height": (0.1, 0.2), "width": 0, "fill_mode": "constant", "fill_value": -0.5, "name": "down"},
         (3, 4, 1)),
    Case("mirrored", RandomTranslation, {"height": 0.5, "width": 0.5, "fill_mode": "reflect"}, IMAGE),
    Case("images", RandomRotation, {"factor": 0.2}, IMAGE),
    Case("border pixels", RandomRotation, {"factor": 0.3, "fill_mode": "nearest", "name": "round"}, (4, 3, 1)),
    Case("fill", RandomRotation, {"factor": (-0.1, 0.6), "fill_value": 2.0, "input_size": (7, 5)}, (7, 5, 1)),
    Case("images", RandomZoom, {"factor": 0.3}, IMAGE),
    Case("both", RandomZoom, {"factor": (-0.5, 0), "width_factor": (0.5, 1.0), "fill_value": 0.5}, (4, 7, 17)),
    Case("one pixel", RandomZoom, {"factor": 0.5, "width_factor": 0.1, "name": "dot"}, (1, 1, 2)),
    Case("images", RandomFlip, {}, IMAGE),
    *(Case(mode, RandomFlip, {"mode": mode, "name": "mirror"}, (3, 5, 1)) for mode in ("horizontal", "vertical")),
    Case("dark and bright", RandomBrightness, {"factor": 0.5, "value_range": (-1, 1)}, IMAGE),
    Case("brighter", RandomBrightness, {"factor": (0.1, 0.3), "value_range": (-3, 3), "name": "sun"}, (3, 4, 1)),
    Case("images", RandomContrast, {"factor": 0.4, "value_range": (-1, 1)}, IMAGE),
    Case("more", RandomContrast, {"factor": (0, 1), "value_range": (-1.5, 1), "input_size": (7, 5)}, (7, 5, 1)),
    Case("images", RandomCrop, {"height": 3, "width": 4}, IMAGE),
    Case("as large", RandomCrop, {"height": 3, "width": 2, "name": "part"}, (3, 3, 17)),
    Case("images", RandomErasing, {}, IMAGE),
    Case("options", RandomErasing, {"factor": 0.6, "scale": (0.2, 0.9), "ratio": (0.5, 4.0), "fill_value": -0.5}, (4, 7, 1)),
    Case("random flips", Residual, {"layers": inside(RandomFlip(), RandomRotation(0.1))}, IMAGE),
    *(Case(f"{kind}", layer, {}, shape)
      for layer in (RELU, Sigmoid, Softmax, Tanh, LeakyReLU, ELU, GELU, SiLU, Softplus, ReLU6, HardSigmoid, HardSwish, Mish, SELU) for kind, shape in (("images", (3, 4, 3)), ("rows", (6,)))),
    Case("identity", Residual, {"layers": inside(filters(3, activation="sigmoid"), filters(4))}, IMAGE),
    Case("one layer", Residual, {"layers": inside(RELU()), "name": "bent"}, IMAGE),
    Case("projection", Residual,
         {"layers": inside(filters(3, strides=2), filters(5)), "shortcut": inside(filters(5, 1, strides=2))}, IMAGE),
    Case("two layers beside", Residual,
         {"layers": inside(filters(2, padding="valid")),
          "shortcut": inside(MaxPooling2D(2, 1), filters(2, 2, padding="valid"))}, IMAGE),
    Case("batch normalisation and dropout", Residual,
         {"layers": inside(filters(4, add_bias=False), BatchNormalization(), Dropout(0.5), LayerNormalization())},
         IMAGE),
    Case("rows", Residual, {"layers": inside(Dense(3, True, "sigmoid"), Dense(5))}, (5,)),
    Case("block in block", Residual,
         {"layers": inside(Residual(filters(4)), Concatenate([filters(1), []]), filters(4, 1))}, IMAGE),
    Case("branches", Concatenate,
         {"branches": [inside(filters(2, activation="sigmoid")), inside(MaxPooling2D(3, 1, 1), filters(3, 1)), []]},
         IMAGE),
    Case("one branch", Concatenate, {"branches": [inside(filters(2), filters(3))], "name": "alone"}, IMAGE),
    Case("nothing but the input", Concatenate, {"branches": [[], []]}, IMAGE),
    Case("many branches", Concatenate, {"branches": [inside(filters(n, 1)) for n in range(1, 10)]}, IMAGE),
    Case("rows", Concatenate, {"branches": [inside(Dense(3)), inside(Residual(Dense(5)))]}, (5,)),
    Case("images, channels_first", Concatenate,
         {"branches": [inside(Flatten(), Dense(2)), inside(filters(2), Flatten())]}, (3, 4, 2)),
    Case("slope", LeakyReLU, {"negative_slope": 0.05, "name": "leaky"}, (7,)),
    Case("alpha", ELU, {"alpha": 1.5}, (7,)),
    Case("approximate", GELU, {"approximate": True}, (7,)),
    Case("linear", Activation, {"activation": None}, (7,)),
    Case("three by two", imported.ChannelShuffle, {"groups": 3}, (3, 2, 6)),
    Case("many channels", imported.ChannelShuffle, {"groups": 2, "name": "dealt"}, (2, 3, 38)),
    Case("one channel each", imported.ChannelShuffle, {"groups": 4}, IMAGE),
    Case("between", imported.Clip, {"low": -0.4321, "high": 0.5678}, IMAGE),
    Case("from above", imported.Clip, {"high": 0.1234, "name": "cut"}, (7,)),
    Case("images", imported.LogSoftmax, {}, (3, 4, 3)),
    Case("rows", imported.LogSoftmax, {"name": "log"}, (6,)),
    Case("odd", imported.LocalResponseNormalization, {"size": 3, "alpha": 0.5, "bias": 2.0}, (3, 2, 7)),
    Case("even", imported.LocalResponseNormalization, {"size": 4, "beta": 0.5, "alpha": 0.9, "name": "lrn"}, (2, 2, 5)),
    Case("first", imported.OrderedFlatten, {"order": "channels_first"}, IMAGE),
    Case("last", imported.OrderedFlatten, {"order": "channels_last", "name": "flat"}, IMAGE),
    *(Case(name, Activation, {"activation": name, "name": "by name"}, (3, 4, 3)) for name in ACTIVATIONS),
    *(Case(name, Dense, {"output_size": 4, "activation": name}, (5,)) for name in NEW),
    *(Case(name, Conv2D, {"filters": 3, "activation": name, "add_bias": True}, IMAGE) for name in NEW),
    *(Case("gelu", layer, {"activation": "gelu", **options}, IMAGE)
      for layer, options in ((DepthwiseConv2D, {}), (SeparableConv2D, {"filters": 3, "kernel_size": 2}), (Conv2DTranspose, {"filters": 3, "kernel_size": 2}))),
]  # fmt: skip


WINDOW = ("strides", "padding", "dilation_rate")


def product(layer, x, size):
    """Return what a weighted layer's product is; `size` is what to take of each factor."""
    kernel = size(layer.kernel.value)
    bias = size(layer.bias.value) if layer.add_bias else None
    if isinstance(layer, Dense):
        return reference.dense(size(x), kernel, bias)
    options = {name: getattr(layer, name) for name in WINDOW}
    C = layer.in_shape[2]
    if isinstance(layer, Conv2DTranspose):
        more = {name: getattr(layer, name) for name in ("output_padding", "groups")}
        return reference.conv2d_transpose(size(x), kernel, bias, **options, **more)
    if isinstance(layer, (DepthwiseConv2D, SeparableConv2D)):
        first = layer.parameters[0].value
        made = [reference.conv2d(size(x[..., c : c + 1]), size(first[:, :, c : c + 1]), **options) for c in range(C)]
        z = np.concatenate(made, axis=3)
        if isinstance(layer, SeparableConv2D):
            return reference.conv2d(z, kernel, bias)
        return z if bias is None else z + np.float64(bias)
    return reference.conv2d(size(x), kernel, bias, **options, groups=layer.groups)


def differs_in_training(case):
    """Return whether a batch of training is treated in another way than in use, not image by image."""
    inner = list(leaves(case.build()[0]))
    chance = any(isinstance(layer, Dropout) and layer.rate > 0 for layer in inner)
    chance = chance or any(isinstance(layer, RandomLayer) for layer in inner)
    return chance or any(isinstance(layer, BatchNormalization) and layer.trainable for layer in inner)


def normalised(layer, x, magnitude):
    """Return what a normalisation makes of x in use; or the magnitudes that its rounding errors go by."""
    if isinstance(layer, BatchNormalization):
        gamma, beta, mean, variance = (parameter.value for parameter in layer.parameters)
        if magnitude:
            return reference.batch_norm(abs(x), abs(gamma), abs(beta), -abs(mean), variance, layer.epsilon)
        return reference.batch_norm(x, gamma, beta, mean, variance, layer.epsilon)
    gamma, beta = layer.gamma.value, layer.beta.value
    if magnitude:
        spread = np.sqrt(np.var(x, axis=-1, keepdims=True) + layer.epsilon)
        return abs(gamma) * 2 * np.abs(x).max() / spread + abs(beta)
    return reference.layer_norm(x, gamma, beta, layer.epsilon)


def expected(layer, x, magnitude=False):
    """Return what the layer makes of x, by reference.py; or the sums of magnitudes before the activation."""
    size = abs if magnitude else np.asarray
    if isinstance(layer, (Residual, Concatenate)):
        rows = layer.branches if isinstance(layer, Concatenate) else (layer.layers, layer.shortcut)
        made = [functools.reduce(lambda x, inner: expected(inner, x, magnitude), row, size(x)) for row in rows]
        return np.concatenate(made, axis=-1) if isinstance(layer, Concatenate) else made[0] + made[1]
    if isinstance(layer, WeightedLayer):
        z = product(layer, x, size)
        return z if magnitude or layer.activation is None else ACTIVATIONS[layer.activation.name](z)
    if isinstance(layer, PReLU):
        return size(np.where(x > 0, x, np.float64(layer.alpha.value) * x))
    if isinstance(layer, GroupNormalization):
        groups = x.shape[-1] if layer.groups == -1 else layer.groups
        gamma, beta = layer.gamma.value, layer.beta.value
        if not magnitude:
            return reference.group_norm(x, gamma, beta, groups, layer.epsilon)
        spread = np.sqrt(reference.group_variance(x, groups) + layer.epsilon)
        return abs(gamma) * 2 * np.abs(x).max() / spread + abs(beta)
    if isinstance(layer, (BatchNormalization, LayerNormalization)):
        return normalised(layer, x, magnitude)
    if isinstance(layer, Rescaling):
        return size(x) * size(np.float64(layer.scale)) + size(np.float64(layer.offset))
    if isinstance(layer, Normalization):
        mean, variance = (parameter.value for parameter in layer.parameters)
        return (size(x) - (-abs(mean) if magnitude else mean)) / np.sqrt(np.float64(variance) + 1e-14)
    if isinstance(layer, RandomCrop):
        top, left = (x.shape[1] - layer.height) // 2, (x.shape[2] - layer.width) // 2
        return size(x[:, top : top + layer.height, left : left + layer.width])
    if isinstance(layer, (Dropout, RandomLayer)):
        return size(x)
    if isinstance(layer, MaxPooling2D):
        return size(reference.max_pool2d(x, layer.pool_size, layer.strides, layer.padding)[0])
    if isinstance(layer, AveragePooling2D):
        return reference.average_pool2d(size(x), layer.pool_size, layer.strides, layer.padding)
    if isinstance(layer, GlobalAveragePooling2D):
        return size(x).mean(axis=(1, 2))
    if isinstance(layer, GlobalMaxPooling2D):
        return size(x.max(axis=(1, 2)))
    if isinstance(layer, ZeroPadding2D):
        return size(np.pad(x, ((0, 0), *reference.pads(layer.padding, x.shape[1:3], 1), (0, 0))))
    if isinstance(layer, Cropping2D):
        (top, bottom), (left, right) = layer.cropping
        return size(x[:, top : x.shape[1] - bottom, left : x.shape[2] - right])
    if isinstance(layer, Resizing):
        return size(reference.resize(size(x), (layer.height, layer.width), layer.interpolation))
    if isinstance(layer, UpSampling2D):
        return size(x.repeat(layer.size[0], axis=1).repeat(layer.size[1], axis=2))
    if isinstance(layer, imported.ChannelShuffle):
        C, each = x.shape[-1], x.shape[-1] // layer.groups
        return size(x[..., [c for k in range(each) for c in range(k, C, each)]])
    if isinstance(layer, imported.Clip):
        return size(np.clip(x, layer.low, layer.high))
    if isinstance(layer, imported.LogSoftmax):
        return size(np.log(reference.softmax(x)))
    if isinstance(layer, imported.LocalResponseNormalization):
        C, before, after = x.shape[-1], (layer.size - 1) // 2, layer.size // 2
        near = [x[..., max(c - before, 0) : c + after + 1] for c in range(C)]
        sums = np.stack([(part**2).sum(axis=-1) for part in near], axis=-1)
        return size(x / (layer.bias + layer.alpha / layer.size * sums) ** layer.beta)
    if isinstance(layer, imported.OrderedFlatten):
        moved = np.moveaxis(x, -1, 1) if layer.order == "channels_first" else x
        return size(moved.reshape(len(x), -1))
    if isinstance(layer, (Flatten, Reshape)):
        first = layer.channels_first
        moved = np.moveaxis(x, -1, 1) if first and x.ndim == 4 else x
        made = moved.reshape(len(x), *(layer.shape if isinstance(layer, Reshape) else (-1,)))
        return size(np.moveaxis(made, 1, -1) if first and made.ndim == 4 else made)
    return size(x if layer.function is None else ACTIVATIONS[layer.function.name](x, **layer.options))


def terms(layer):
    """Return how many products the sums behind an output of the layer have."""
    return max(sum(_terms(leaf) for leaf in leaves(layer) if hasattr(leaf, "kernel")), 1)


def _terms(layer):
    if isinstance(layer, Conv2DTranspose):
        return layer.kernel.size // layer.filters
    window = layer.parameters[0].size // layer.in_shape[-1] if isinstance(layer, SeparableConv2D) else 0
    return window + layer.kernel.size // layer.kernel.shape[-1]


def inputs(case, N, dtype="float64", seed=1):
    """Return images whose values all differ, and which nobody may write to."""
    x = spaced(np.random.default_rng(seed), (N, *case.in_shape)).astype(dtype)
    x.flags.writeable = False
    return x


def gradients(case, N, dtype="float64", seed=2):
    dy = np.random.default_rng(seed).standard_normal((N, *case.build()[2])).astype(dtype)
    dy.flags.writeable = False
    return dy
