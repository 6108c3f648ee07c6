"""The layer of gwucnn for each layer of Keras that it has. A closed table: no other class can be made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn import activation_layers, layers
from gwucnn.interop.keras_config import KerasLayer, KerasOptions
from gwucnn.layers import Layer

__all__ = ["layers_for"]

# Keras' names of activations that mean the same here.
ACTIVATIONS = {name: name for name in ("relu", "sigmoid", "tanh", "softmax", "elu", "selu", "silu", "gelu", "softplus",
                                       "relu6", "hard_sigmoid", "mish")} | {"hard_silu": "hard_swish"}  # fmt: skip
ACTIVATIONS |= {"swish": "silu", "hard_swish": "hard_swish"}

Made = list[Layer]
Maker = Callable[[KerasOptions, bool], Made]


def layers_for(caller: str, layer: KerasLayer, *, channels_first: bool) -> Made:
    """Return new layers that together compute what a layer of Keras does, mostly one.

    Raises ValueError, which names the layer and its class, for a class or an option that gwucnn does not have.
    """
    options = KerasOptions(caller, layer)
    maker = MAKERS.get(layer.kind)
    if maker is None:
        code = ", because gwucnn runs no code from files" if layer.kind == "Lambda" else ""
        hint = "; save its layers one by one" if layer.kind in ("Sequential", "Functional", "Model") else code
        raise ValueError(
            f"{caller}: expected layers that gwucnn has, got layer {layer.name!r} of class {layer.kind}{hint}"
        )
    if layer.dtype not in (None, "float32", "float64"):
        raise options.refuse("dtype float32 or float64", repr(layer.dtype))
    options.take("data_format")  # the caller compares those of all layers
    try:
        made = maker(options, channels_first)
    except (OverflowError, TypeError, ValueError) as error:
        if str(error).startswith(caller):
            raise
        raise options.refuse("options that gwucnn has", f"others ({error})") from None
    options.finish()
    if layer.config.get("trainable") is False:
        for each in made:
            each.trainable = False
    return made


def _activated(options: KerasOptions, make: Callable[..., Layer], *args: Any, **named: Any) -> Made:
    """Return a layer with a bias and an activation, or followed by the latter."""
    name = options.take("activation", "linear")
    named["add_bias"] = options.take("use_bias", True)
    if name == "leaky_relu":  # 0.3 here, by name
        return [make(*args, **named), activation_layers.LeakyReLU(0.2)]
    return [make(*args, activation=_activation(options, name), **named)]


def _activation(options: KerasOptions, name: Any) -> str | None:
    if name in (None, "linear"):
        return None
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise options.refuse("an activation that gwucnn has", repr(name))
    return ACTIVATIONS[name]


def _window(options: KerasOptions) -> dict[str, Any]:
    named = {key: options.take(key, 1) for key in ("strides", "dilation_rate")}
    return named | {"padding": options.take("padding", "valid")}


def _conv(options: KerasOptions, first: bool) -> Made:
    filters, size, groups = options.take("filters"), options.take("kernel_size"), options.take("groups", 1)
    return _activated(options, layers.Conv2D, filters, size, groups=groups, **_window(options))


def _depthwise(options: KerasOptions, first: bool) -> Made:
    size, multiplier = options.take("kernel_size"), options.take("depth_multiplier", 1)
    return _activated(options, layers.DepthwiseConv2D, size, depth_multiplier=multiplier, **_window(options))


def _separable(options: KerasOptions, first: bool) -> Made:
    filters, size = options.take("filters"), options.take("kernel_size")
    multiplier = options.take("depth_multiplier", 1)
    return _activated(options, layers.SeparableConv2D, filters, size, depth_multiplier=multiplier, **_window(options))


def _transposed(options: KerasOptions, first: bool) -> Made:
    options.require("groups", 1)
    filters, size, more = options.take("filters"), options.take("kernel_size"), options.take("output_padding")
    return _activated(options, layers.Conv2DTranspose, filters, size, output_padding=more, **_window(options))


def _dense(options: KerasOptions, first: bool) -> Made:
    return _activated(options, layers.Dense, options.take("units"))


def _pool(kind: type[Layer]) -> Maker:
    def make(options: KerasOptions, first: bool) -> Made:
        return [kind(options.take("pool_size", 2), options.take("strides"), options.take("padding", "valid"))]

    return make


def _global_pool(kind: type[Layer]) -> Maker:
    def make(options: KerasOptions, first: bool) -> Made:
        options.require("keepdims", False)
        return [kind()]

    return make


def _require_channel_axis(options: KerasOptions, first: bool) -> None:
    """Raise ValueError unless a layer works along the channels, or the features."""
    options.require("axis", *((1, (1,)) if first else (-1, (-1,), 3, (3,))))


def _norm(kind: type[Layer], *keys: str) -> Maker:
    def make(options: KerasOptions, first: bool) -> Made:
        _require_channel_axis(options, first)
        for key in ("center", "scale"):
            options.require(key, True)
        options.take("renorm_momentum")
        options.take("synchronized")  # over devices
        return [kind(**{key: options.take(key) for key in keys})]

    return make


def _normalization(options: KerasOptions, first: bool) -> Made:
    _require_channel_axis(options, first)
    for key in ("mean", "variance"):
        if options.take(key) is not None:
            raise options.refuse("statistics that adapt has measured", f"{key} as an argument")
    return [layers.Normalization()]


def _relu(options: KerasOptions, first: bool) -> Made:
    options.require("threshold", 0)
    most, slope = options.take("max_value"), options.take("negative_slope", 0)
    if most not in (None, 6) or (slope and most):
        raise options.refuse("max_value None, or 6 without negative_slope", f"{most} and {slope}")
    if slope:
        return [activation_layers.LeakyReLU(slope)]
    return [activation_layers.ReLU6() if most else activation_layers.RELU()]


def _prelu(options: KerasOptions, first: bool) -> Made:
    if first:
        raise options.refuse("channels_last images for slopes", "channels_first")
    return [layers.PReLU(shared_axes=options.take("shared_axes"))]


def _softmax(options: KerasOptions, first: bool) -> Made:
    options.require("axis", -1, (-1,))
    return [activation_layers.Softmax()]


def _activation_layer(options: KerasOptions, first: bool) -> Made:
    name = options.take("activation")
    if name == "leaky_relu":
        return [activation_layers.LeakyReLU(0.2)]
    known = _activation(options, name)
    return [] if known is None else [activation_layers.Activation(known)]


def _upsampling(options: KerasOptions, first: bool) -> Made:
    options.require("interpolation", "nearest")
    return [layers.UpSampling2D(options.take("size", 2))]


def _resizing(options: KerasOptions, first: bool) -> Made:
    options.take("fill_mode"), options.take("fill_value")  # of what pad_to_aspect_ratio adds
    return [layers.Resizing(options.take("height"), options.take("width"), options.take("interpolation"))]


def _rescaling(options: KerasOptions, first: bool) -> Made:
    return [layers.Rescaling(options.take("scale"), options.take("offset", 0.0))]


def _simple(kind: Callable[..., Layer], *keys: str) -> Maker:
    return lambda options, first: [kind(*(options.take(key) for key in keys))]


MAKERS: dict[str, Maker] = {
    "Activation": _activation_layer,
    "AveragePooling2D": _pool(layers.AveragePooling2D),
    "BatchNormalization": _norm(layers.BatchNormalization, "momentum", "epsilon"),
    "Conv2D": _conv,
    "Conv2DTranspose": _transposed,
    "Cropping2D": _simple(layers.Cropping2D, "cropping"),
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _simple(layers.Dropout, "rate"),
    "ELU": _simple(activation_layers.ELU, "alpha"),
    "Flatten": _simple(layers.Flatten),
    "GlobalAveragePooling2D": _global_pool(layers.GlobalAveragePooling2D),
    "GlobalMaxPooling2D": _global_pool(layers.GlobalMaxPooling2D),
    "GroupNormalization": _norm(layers.GroupNormalization, "groups", "epsilon"),
    "LayerNormalization": _norm(layers.LayerNormalization, "epsilon"),
    "LeakyReLU": _simple(activation_layers.LeakyReLU, "negative_slope"),
    "MaxPooling2D": _pool(layers.MaxPooling2D),
    "Normalization": _normalization,
    "PReLU": _prelu,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _simple(layers.Reshape, "target_shape"),
    "Resizing": _resizing,
    "SeparableConv2D": _separable,
    "Softmax": _softmax,
    "SpatialDropout2D": _simple(layers.SpatialDropout2D, "rate"),
    "UpSampling2D": _upsampling,
    "ZeroPadding2D": _simple(layers.ZeroPadding2D, "padding"),
}
