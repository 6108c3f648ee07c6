"""ONNX's activations and poolings as layers, one function per operator, and the table of all operators."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from gwucnn import activation_layers, layers
from gwucnn.layers import Layer, imported
from gwucnn.layers.imported_functions import FUNCTIONS, Function
from gwucnn.layers.imported_shapes import GlobalLpPooling
from gwucnn.onnx.attributes import Node, Unsupported, slide
from gwucnn.onnx.import_shapes import SHAPE_READERS
from gwucnn.onnx.import_weighted import PRODUCTS
from gwucnn.onnx.imported_tensor import Constants, ImportedTensor, NodeLayers, Reader, constant_input, image_layers
from gwucnn.ops.numpy_activation import SELU_ALPHA, SELU_SCALE

__all__ = ["READERS"]

# ---------------------------------------------------------------------------------------------- activations


def _plain(make: Callable[[Node], Layer]) -> Reader:
    return lambda node, x, constants, made: NodeLayers([make(node)], x.layout)


def _rows(make: Callable[[], Layer]) -> Reader:
    """Return the function that imports an activation along the channels, such as softmax."""

    def read(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
        axes = len(x.sizes) + 1
        axis = node.get("axis", 1 if node.opset < 13 else -1) % axes
        wanted = axes - 1 if x.layout in ("last", "rows") else 1
        if axis != wanted:
            raise node.refuse(f"axis={wanted}, that of the channels, got {axis}")
        if node.opset < 13 and prod(x.sizes[axis - 1 :]) != x.channels:
            # Before opset 13 the axis stood for itself and all following ones, taken together.
            raise node.refuse(f"rows, or images of opset 13 or newer, got {x.sizes} of opset {node.opset}")
        return NodeLayers([make()], x.layout)

    return read


def _clip(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    low, high = (
        node.get(name, float(constants[place]) if place in constants else None)
        for place, name in ((1, "min"), (2, "max"))
    )
    if any(node.inputs[place] and place not in constants for place in range(1, len(node.inputs))):
        raise node.refuse("min and max to be constants, got tensors that are computed,")
    low, high = (None if bound is None or abs(bound) > 3e38 else bound for bound in (low, high))
    named: dict[tuple[Any, Any], Callable[[], Layer]] = {
        (0, None): activation_layers.RELU,
        (0, 6): activation_layers.ReLU6,
    }
    make = named.get((low, high))
    return NodeLayers([imported.Clip(low, high) if make is None else make()], x.layout)


def _fixed(make: Callable[[], Layer], **wanted: tuple[float, float]) -> Reader:
    """Return the function that imports an activation whose attributes, (value, ONNX's default), are those of ours."""

    def read(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
        for name, (value, default) in wanted.items():
            if abs(node.get(name, default) - value) > 1e-5:
                raise node.refuse(f"{name}={value:.6g}, got {node.get(name, default):.6g}")
        return NodeLayers([make()], x.layout)

    return read


def _dropout(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    if any(constants.get(2, np.array(False)).reshape(-1)):
        raise node.refuse("training_mode=False, got True")
    rate = node.get("ratio", float(constants.get(1, 0.5)))
    return NodeLayers([layers.Dropout(rate)], x.layout)


# ------------------------------------------------------------------------------------------------ pooling


def _pool(make: Any, with_border: bool) -> Reader:
    def read(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
        before, window = image_layers(node, x), slide(node, x.image)
        if set(window.dilations) != {1}:
            raise node.refuse(f"dilations of 1, got {window.dilations}")
        if len([name for name in node.outputs if name]) > 1:
            raise node.refuse("one output, got two")
        pads = window.pads
        if with_border and node.get("count_include_pad", 0):
            before = [*before, layers.ZeroPadding2D(pads)]
            pads = ((0, 0), (0, 0))
        pads = tuple((b, a + more) for (b, a), more in zip(pads, window.more, strict=True))
        if any(max(pad) >= k for pad, k in zip(pads, window.size, strict=True)):
            raise node.refuse(f"pads smaller than kernel_shape={window.size}, got {pads}")
        return NodeLayers([*before, make(window.size, window.strides, pads)], "first")

    return read


def _global_pool(make: Callable[[], Layer]) -> Reader:
    return lambda node, x, constants, made: NodeLayers([*image_layers(node, x), make()], "pixel")


def _reduce(make: Callable[[], Layer]) -> Reader:
    """Return the function that imports a mean, or a maximum, over the pixels."""

    def read(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
        axes = sorted(axis % 4 for axis in np.asarray(node.get("axes", constants.get(1, ()))).reshape(-1).tolist())
        wanted = [1, 2] if x.layout == "last" else [2, 3]
        if len(x.sizes) != 3 or axes != wanted:
            raise node.refuse(f"the pixels to be reduced, axes={wanted} of images, got axes={axes} of {x.sizes}")
        keeps, last = node.get("keepdims", 1), x.layout == "last"
        before = image_layers(node, x) if not last else []
        if keeps and last:
            C = x.channels
            return NodeLayers([make(), layers.Reshape((C, 1, 1) if x.first else (1, 1, C))], "last")
        return NodeLayers([*before, make()], "pixel" if keeps else "rows")

    return read


def _global_lp(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    return NodeLayers([*image_layers(node, x), GlobalLpPooling(node.get("p", 2))], "pixel")


def _function(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    numbers = {name: node.get(name, default) for name, default in FUNCTIONS[node.kind].numbers.items()}
    return NodeLayers([Function(node.kind, **numbers)], x.layout)


def _power(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    exponent = constant_input(node, constants, 1, "the exponent")
    if exponent.size != 1:
        raise node.refuse(f"an exponent of one number, got {exponent.shape}")
    return NodeLayers([Function("Pow", exponent=float(exponent.reshape(())))], x.layout)


def _either(usual: Reader, otherwise: Reader) -> Reader:
    """Return the function that imports what `otherwise` can, where the usual layer has other numbers."""

    def read(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
        try:
            return usual(node, x, constants, made)
        except Unsupported:
            return otherwise(node, x, constants, made)

    return read


READERS: dict[str, Reader] = {
    **dict.fromkeys(FUNCTIONS, _function),
    **SHAPE_READERS,
    **PRODUCTS,
    "AveragePool": _pool(layers.AveragePooling2D, True),
    "Clip": _clip,
    "Dropout": _dropout,
    "Elu": _plain(lambda node: activation_layers.ELU(node.get("alpha", 1.0))),
    "Gelu": _plain(lambda node: activation_layers.GELU(approximate=node.get("approximate", "none") == "tanh")),
    "GlobalAveragePool": _global_pool(layers.GlobalAveragePooling2D),
    "GlobalLpPool": _global_lp,
    "GlobalMaxPool": _global_pool(layers.GlobalMaxPooling2D),
    "HardSigmoid": _either(_fixed(activation_layers.HardSigmoid, alpha=(1 / 6, 0.2), beta=(0.5, 0.5)), _function),
    "HardSwish": _plain(lambda node: activation_layers.HardSwish()),
    "LeakyRelu": _plain(lambda node: activation_layers.LeakyReLU(node.get("alpha", 0.01))),
    "LogSoftmax": _rows(imported.LogSoftmax),
    "MaxPool": _pool(layers.MaxPooling2D, False),
    "Mish": _plain(lambda node: activation_layers.Mish()),
    "Pow": _power,
    "ReduceMax": _reduce(layers.GlobalMaxPooling2D),
    "ReduceMean": _reduce(layers.GlobalAveragePooling2D),
    "Relu": _plain(lambda node: activation_layers.RELU()),
    "Selu": _either(
        _fixed(activation_layers.SELU, alpha=(SELU_ALPHA, SELU_ALPHA), gamma=(SELU_SCALE, SELU_SCALE)), _function
    ),
    "SiLU": _plain(lambda node: activation_layers.SiLU()),
    "Sigmoid": _plain(lambda node: activation_layers.Sigmoid()),
    "Softmax": _rows(activation_layers.Softmax),
    "Softplus": _plain(lambda node: activation_layers.Softplus()),
    "Tanh": _plain(lambda node: activation_layers.Tanh()),
}
