"""The ONNX nodes of each layer: one function per class."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from gwucnn import activation_layers, layers
from gwucnn.common import Window
from gwucnn.layers import Layer
from gwucnn.layers.imported_functions import Arithmetic
from gwucnn.layers.preprocessing import EPSILON
from gwucnn.onnx.activation_nodes import activation
from gwucnn.onnx.base import GraphBuilder, Value
from gwucnn.onnx.imported_nodes import IMPORTED

__all__ = ["add_layer", "folds"]

Norm = layers.BatchNormalization
Draw = Callable[[GraphBuilder, Any, Value], str]


def add_layer(graph: GraphBuilder, layer: Layer, x: Value, norm: Norm | None = None) -> Value:
    """Add a layer's nodes and return their output; fold the batch normalisation `norm`, if any, into its weights."""
    graph.caller = layer.label
    if type(layer) not in DRAWN:
        raise ValueError(
            f"export_onnx: expected layers that ONNX has operators for, got {layer!r} as {layer.label}; "
            "leave it out, or say it with the package's own layers"
        )
    if norm is not None:
        return Value(WEIGHTED[type(layer)](graph, layer, x, norm), layer.out_shape)
    return Value(DRAWN[type(layer)](graph, layer, x), layer.out_shape)


def merge_values(graph: GraphBuilder, layer: Layer, values: list[Value]) -> Value:
    """Add the node of a layer with several inputs, and return its output."""
    graph.caller = layer.label
    names = [value.name for value in values]
    if type(layer) is layers.Concatenate:
        return Value(graph.node("Concat", *names, axis=1 if values[0].is_image else -1), layer.out_shape)
    if type(layer) is Arithmetic:
        return Value(graph.node(layer.kind, *names), layer.out_shape)
    if type(layer) not in MERGED:
        raise ValueError(f"export_onnx: expected layers that ONNX has operators for, got {layer!r} as {layer.label}")
    kind = MERGED[type(layer)]
    if kind in ("Add", "Mul"):  # which take two
        return Value(reduce(lambda made, name: graph.node(kind, made, name), names), layer.out_shape)
    return Value(graph.node(kind, *names), layer.out_shape)


def folds(layer: Layer, after: Layer | None) -> bool:
    """Return whether a batch normalisation can be folded into the weights of the layer before it."""
    return type(after) is Norm and type(layer) in WEIGHTED and layer.activation is None  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------- layers with weights


def _weights(graph: GraphBuilder, kernel: Any, layer: Any, norm: Norm | None, to: Any = None) -> list[str]:
    """Return the names of a kernel, its outputs on the last axis before `to` permutes them, and of its bias if any."""
    bias = layer.bias.constant if layer.add_bias else None
    if norm is not None:
        gamma, beta, mean, variance = (p.constant.astype(np.float64) for p in norm.parameters)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        kernel, bias = kernel * scale, beta + ((0 if bias is None else bias) - mean) * scale
    names = [graph.constant("kernel", kernel if to is None else kernel.transpose(to))]
    return names if bias is None else [*names, graph.constant("bias", bias)]


def _window(window: Window, image: Any) -> dict[str, Any]:
    (top, bottom), (left, right) = window.pad(image)
    return {
        "kernel_shape": window.size,
        "strides": window.strides,
        "pads": [top, left, bottom, right],
    }


def _slide(layer: Any) -> dict[str, Any]:
    window = Window.of(layer.label, layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
    return _window(window, layer.in_shape[:2]) | {"dilations": layer.dilation_rate}


def _activated(graph: GraphBuilder, layer: Any, name: str) -> str:
    return activation(graph, layer.activation, Value(name, layer.out_shape))


def _conv(graph: GraphBuilder, layer: Any, x: Value, norm: Norm | None = None) -> str:
    weights = _weights(graph, layer.kernel.constant, layer, norm, (3, 2, 0, 1))
    return _activated(graph, layer, graph.node("Conv", x.name, *weights, group=layer.groups, **_slide(layer)))


def _by_channel(kernel: Any) -> Any:
    """Return filters (KH, KW, C, M) as (KH, KW, 1, C * M), which are the same numbers in the same order."""
    return kernel.reshape(*kernel.shape[:2], 1, -1)


def _depthwise(graph: GraphBuilder, layer: Any, x: Value, norm: Norm | None = None) -> str:
    weights = _weights(graph, _by_channel(layer.kernel.constant), layer, norm, (3, 2, 0, 1))
    return _activated(graph, layer, graph.node("Conv", x.name, *weights, group=x.shape[2], **_slide(layer)))


def _separable(graph: GraphBuilder, layer: Any, x: Value, norm: Norm | None = None) -> str:
    first = _by_channel(layer.depthwise_kernel.constant).transpose(3, 2, 0, 1)
    filtered = graph.node("Conv", x.name, graph.constant("depthwise_kernel", first), group=x.shape[2], **_slide(layer))
    weights = _weights(graph, layer.kernel.constant, layer, norm, (3, 2, 0, 1))
    return _activated(graph, layer, graph.node("Conv", filtered, *weights, kernel_shape=(1, 1)))


def _dense(graph: GraphBuilder, layer: Any, x: Value, norm: Norm | None = None) -> str:
    weights = _weights(graph, layer.kernel.constant, layer, norm)
    return _activated(graph, layer, graph.node("Gemm", x.name, *weights))


def _conv_transpose(graph: GraphBuilder, layer: Any, x: Value) -> str:
    # The crop at the end is negative where pixels are added instead.
    H, W, _ = layer.out_shape
    sizes = zip((H, W), x.shape, layer.strides, layer.kernel_size, layer.dilation_rate, strict=False)
    whole = [(length - 1) * s + (k - 1) * d + 1 - made for made, length, s, k, d in sizes]
    before = layer._window.offset(x.shape[:2])
    after = [cut - first for cut, first in zip(whole, before, strict=True)]
    product = graph.node(
        "ConvTranspose",
        x.name,
        *_weights(graph, layer.kernel.constant, layer, None, (3, 2, 0, 1)),
        kernel_shape=layer.kernel_size,
        strides=layer.strides,
        dilations=layer.dilation_rate,
        group=layer.groups,
        pads=[*before, *(max(cut, 0) for cut in after)],
        output_padding=[max(-cut, 0) for cut in after],
    )
    return _activated(graph, layer, product)


def _activation_layer(graph: GraphBuilder, layer: Any, x: Value) -> str:
    return activation(graph, layer.split_activation()[1], x)


# ------------------------------------------------------------------------------------- pooling and shapes


def _pool(kind: str) -> Draw:
    def drawn(graph: GraphBuilder, layer: Any, x: Value) -> str:
        window = Window.of(layer.label, layer.pool_size, layer.strides, layer.padding, name="pool_size")
        return graph.node(kind, x.name, **_window(window, layer.in_shape[:2]))

    return drawn


def _global_pool(kind: str) -> Draw:
    return lambda graph, layer, x: graph.node("Flatten", graph.node(kind, x.name))


def _pad(graph: GraphBuilder, layer: Any, x: Value) -> str:
    (top, bottom), (left, right) = layer.padding
    pads = graph.constant("pads", (0, 0, top, left, 0, 0, bottom, right), np.int64)
    return graph.node("Pad", x.name, pads)


def _upsampling(graph: GraphBuilder, layer: Any, x: Value) -> str:
    return graph.node(
        "Resize",
        x.name,
        "",
        # ONNX requires scales in float32 whatever the type of the tensor.
        graph.constant("scales", (1, 1, *layer.size), np.float32),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _cropping(graph: GraphBuilder, layer: Any, x: Value) -> str:
    (top, _), (left, _) = layer.cropping
    return _part(graph, layer, x, top, left)


def _random_crop(graph: GraphBuilder, layer: Any, x: Value) -> str:
    return _part(graph, layer, x, *layer.middle)


def _part(graph: GraphBuilder, layer: Any, x: Value, top: int, left: int) -> str:
    """Return the name of the part of an image that begins at this row and column."""
    H, W, _ = layer.out_shape
    ends = {"starts": (top, left), "ends": (top + H, left + W), "axes": (2, 3)}
    return graph.node("Slice", x.name, *(graph.constant(what, numbers, np.int64) for what, numbers in ends.items()))


def _resizing(graph: GraphBuilder, layer: Any, x: Value) -> str:
    sizes = graph.image_sizes(x, (layer.height, layer.width))
    return graph.node(
        "Resize",
        x.name,
        "",
        "",
        sizes,
        mode="nearest" if layer.interpolation == "nearest" else "linear",
        coordinate_transformation_mode="half_pixel",
        nearest_mode="round_prefer_ceil",
    )


def _flatten(graph: GraphBuilder, layer: Any, x: Value) -> str:
    return graph.node("Flatten", x.name if layer.channels_first else graph.channels_last(x))


def _reshape(graph: GraphBuilder, layer: Any, x: Value) -> str:
    made = Value("", layer.out_shape)
    if layer.channels_first:
        return graph.reshaped(x.name, made.sizes)
    name = graph.reshaped(graph.channels_last(x), layer.out_shape)
    return graph.channels_first(name) if made.is_image else name


def _nothing(graph: GraphBuilder, layer: Any, x: Value) -> str:
    return x.name


# ------------------------------------------------------------------------------------------ normalisation


def _batch_norm(graph: GraphBuilder, layer: Any, x: Value) -> str:
    constants = [graph.constant(p.name, p.constant) for p in layer.parameters]
    # ONNX has the channels on axis 1; tensors of two axes per sample have them last.
    turn = {"perm": (0, 2, 1)}
    moved = graph.node("Transpose", x.name, **turn) if len(x.shape) == 2 else x.name
    made = graph.node("BatchNormalization", moved, *constants, epsilon=layer.epsilon)
    return graph.node("Transpose", made, **turn) if len(x.shape) == 2 else made


def _layer_norm(graph: GraphBuilder, layer: Any, x: Value) -> str:
    constants = [graph.constant(p.name, p.constant) for p in layer.parameters]
    last = graph.node("Transpose", x.name, perm=(0, 2, 3, 1)) if x.is_image else x.name
    made = graph.node("LayerNormalization", last, *constants, axis=-1, epsilon=layer.epsilon)
    return graph.channels_first(made) if x.is_image else made


def _group_norm(graph: GraphBuilder, layer: Any, x: Value) -> str:
    C, turn = layer.in_shape[-1], {"perm": (0, 2, 1)}
    first = graph.node("Transpose", x.name, **turn) if len(x.shape) == 2 else x.name
    sizes = (C, x.shape[0]) if len(x.shape) == 2 else x.sizes
    G = C if layer.groups == -1 else layer.groups
    # ONNX's own GroupNormalization changed its meaning in opset 21. PyTorch writes these nodes too.
    units = graph.constant("ones", np.ones(G)), graph.constant("zeros", np.zeros(G))
    made = graph.node("InstanceNormalization", graph.reshaped(first, (G, -1)), *units, epsilon=layer.epsilon)
    made = graph.reshaped(made, sizes)
    last = graph.node("Transpose", made, **turn) if len(x.shape) == 2 else made
    gamma, beta = (graph.constant(p.name, _beside_channels(p.constant, x)) for p in layer.parameters)
    return graph.node("Add", graph.node("Mul", last, gamma), beta)


def _prelu(graph: GraphBuilder, layer: Any, x: Value) -> str:
    alpha = layer.alpha.constant
    return graph.node("PRelu", x.name, graph.constant("alpha", alpha.transpose(2, 0, 1) if x.is_image else alpha))


def _rescaling(graph: GraphBuilder, layer: Any, x: Value) -> str:
    scale, offset = (graph.constant(n, _beside_channels(getattr(layer, n), x)) for n in ("scale", "offset"))
    return graph.node("Add", graph.node("Mul", x.name, scale), offset)


def _normalization(graph: GraphBuilder, layer: Any, x: Value) -> str:
    mean, variance = layer.statistics()
    centred = graph.node("Sub", x.name, graph.constant("mean", _beside_channels(mean, x)))
    root = np.sqrt(np.float64(variance) + EPSILON)
    return graph.node("Div", centred, graph.constant("deviation", _beside_channels(root, x)))


def _beside_channels(numbers: Any, x: Value) -> Any:
    """Return one number, or one for each channel in a shape that broadcasts along the channels of the graph."""
    numbers = np.asarray(numbers)
    return numbers.reshape(-1, 1, 1) if numbers.ndim and x.is_image else numbers


# --------------------------------------------------------------------------------------------- the tables

MERGED: dict[type, str] = {
    layers.Add: "Add",
    layers.Average: "Mean",
    layers.Maximum: "Max",
    layers.Multiply: "Mul",
    layers.Subtract: "Sub",
}

WEIGHTED: dict[type, Callable[..., str]] = {
    layers.Conv2D: _conv,
    layers.Dense: _dense,
    layers.DepthwiseConv2D: _depthwise,
    layers.SeparableConv2D: _separable,
}

DRAWN: dict[type, Draw] = {
    **WEIGHTED,
    layers.AveragePooling2D: _pool("AveragePool"),
    layers.BatchNormalization: _batch_norm,
    layers.Conv2DTranspose: _conv_transpose,
    layers.Cropping2D: _cropping,
    layers.Dropout: _nothing,
    layers.Flatten: _flatten,
    layers.GlobalAveragePooling2D: _global_pool("GlobalAveragePool"),
    layers.GlobalMaxPooling2D: _global_pool("GlobalMaxPool"),
    layers.GroupNormalization: _group_norm,
    layers.LayerNormalization: _layer_norm,
    layers.MaxPooling2D: _pool("MaxPool"),
    layers.Normalization: _normalization,
    layers.PReLU: _prelu,
    layers.RandomBrightness: _nothing,
    layers.RandomContrast: _nothing,
    layers.RandomCrop: _random_crop,
    layers.RandomErasing: _nothing,
    layers.RandomFlip: _nothing,
    layers.RandomRotation: _nothing,
    layers.RandomTranslation: _nothing,
    layers.RandomZoom: _nothing,
    layers.Rescaling: _rescaling,
    layers.Reshape: _reshape,
    layers.Resizing: _resizing,
    layers.SpatialDropout2D: _nothing,
    layers.UpSampling2D: _upsampling,
    layers.ZeroPadding2D: _pad,
    **IMPORTED,
    **{getattr(activation_layers, name): _activation_layer for name in activation_layers.__all__},
}
