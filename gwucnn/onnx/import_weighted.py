"""ONNX's convolutions, matrix products and normalisations as layers with weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn import layers
from gwucnn.layers import Layer, imported
from gwucnn.onnx.attributes import Node, slide, transposed_pads
from gwucnn.onnx.imported_tensor import (
    Constants,
    ImportedTensor,
    NodeLayers,
    Reader,
    broadcast,
    constant_input,
    image_layers,
)

__all__ = ["PRODUCTS"]

# ----------------------------------------------------------------------------------------------- products


def _conv(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    before, weight = image_layers(node, x), _filters(node, x, constants)
    window = slide(node, x.image, weight.shape[2:])
    groups = node.get("group", 1)
    if weight.shape[1] * groups != x.channels:
        raise node.refuse(f"a weight for {x.channels} channels in group={groups}, got {weight.shape}")
    layer = layers.Conv2D(
        weight.shape[0],
        window.size,
        window.strides,
        window.pads,
        dilation_rate=window.dilations,
        groups=groups,
        add_bias=2 in constants,
    )
    return _weighted(node, before, layer, weight.transpose(2, 3, 1, 0), constants.get(2))


def _conv_transpose(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    before, weight = image_layers(node, x), _filters(node, x, constants)
    if weight.shape[0] != x.channels:
        raise node.refuse(f"a weight for {x.channels} channels, got {weight.shape}")
    pads, _ = transposed_pads(node, x.image, weight.shape[2:])
    strides, dilations = node.get("strides") or (1, 1), node.get("dilations") or (1, 1)
    more = tuple(max(-after, 0) for _, after in pads)
    wide = any(n >= max(s, d) for n, s, d in zip(more, strides, dilations, strict=True))
    if any(cut < 0 for cut, _ in pads) or (any(more) and wide):
        raise node.refuse(f"pads that cut off, or add less than a stride at the end, got {pads}")
    groups = node.get("group", 1)
    layer = layers.Conv2DTranspose(
        weight.shape[1] * groups,
        weight.shape[2:],
        tuple(strides),
        tuple((cut, max(after, 0)) for cut, after in pads),
        output_padding=more if any(more) else None,
        dilation_rate=tuple(dilations),
        groups=groups,
        add_bias=2 in constants,
    )
    return _weighted(node, before, layer, weight.transpose(2, 3, 1, 0), constants.get(2))


def _filters(node: Node, x: ImportedTensor, constants: Constants) -> Any:
    """Return the weight of a convolution; raise an error unless its size is the one that the node states."""
    weight = constant_input(node, constants, 1, "the weight")
    stated = tuple(node.get("kernel_shape", weight.shape[2:]))
    if weight.ndim != 4 or weight.shape[2:] != stated:
        raise node.refuse(f"a weight of four axes and kernel_shape={stated}, got {weight.shape}")
    return weight


def _weighted(node: Node, before: list[Layer], layer: Any, kernel: Any, bias: Any) -> NodeLayers:
    is_dense = isinstance(layer, layers.Dense)
    made = layer.output_size if is_dense else layer.filters
    if bias is not None and bias.shape != (made,):
        raise node.refuse(f"a bias of shape ({made},), got {bias.shape}")
    layout = "rows" if is_dense else "first"
    return NodeLayers([*before, layer], layout, [[] for _ in before] + [[kernel] if bias is None else [kernel, bias]])


def _gemm(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    if node.get("transA", 0):
        raise node.refuse("transA=0, got 1")
    weight = constant_input(node, constants, 1, "B")
    kernel, alpha = weight.T if node.get("transB", 0) else weight, node.get("alpha", 1.0)
    _need_rows(node, x, kernel)
    if alpha != 1:
        kernel = kernel * weight.dtype.type(alpha)
    bias = constants.get(2)
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = constant_input(node, constants, 2, "C") * weight.dtype.type(node.get("beta", 1.0))
        if bias.size not in (1, kernel.shape[1]) or bias.shape[-1:] not in ((), (bias.size,)):
            raise node.refuse(f"C of shape ({kernel.shape[1]},), got {bias.shape}")
        bias = np.broadcast_to(bias.reshape(-1), kernel.shape[1:])
    layer = layers.Dense(kernel.shape[1], add_bias=bias is not None)
    return _weighted(node, [], layer, kernel, bias)


def _matmul(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    kernel = constant_input(node, constants, 1, "the second factor")
    if x.layout == "last" and kernel.ndim == 2 and kernel.shape[0] == x.channels:
        # A dense layer applied to each pixel is a convolution with a window of one pixel.
        return NodeLayers([layers.Conv2D(kernel.shape[1], 1)], "last", [[kernel[None, None]]])
    _need_rows(node, x, kernel)
    return _weighted(node, [], layers.Dense(kernel.shape[1]), kernel, None)


def _need_rows(node: Node, x: ImportedTensor, kernel: Any) -> None:
    if x.layout != "rows" or len(x.sizes) != 1:
        raise node.refuse(f"rows (N, D), got {x.sizes}")
    if kernel.ndim != 2 or kernel.shape[0] != x.channels:
        raise node.refuse(f"a matrix of {x.channels} rows as second factor, got {kernel.shape}")


# -------------------------------------------------------------------------------------------- normalisation


def _batch_norm(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    if node.get("training_mode", 0) or len([name for name in node.outputs if name]) > 1:
        raise node.refuse("training_mode=0 and one output, got a normalisation in training")
    if node.opset < 9 and not node.get("spatial", 1):
        raise node.refuse("spatial=1, got 0")
    if node.opset < 7 and not node.get("is_test", 0):
        raise node.refuse("is_test=1, got 0")
    if x.layout == "last" or (x.layout == "rows" and len(x.sizes) != 1):
        raise node.refuse(f"channels on axis 1 of images or rows, got {x.sizes}")
    layer = layers.BatchNormalization(min(node.get("momentum", 0.9), 0.999), node.get("epsilon", 1e-5))
    names = ("scale", "B", "mean", "var")
    weights = [constant_input(node, constants, place, name) for place, name in enumerate(names, 1)]
    for name, array in zip(names, weights, strict=True):
        if array.shape != (x.channels,):
            raise node.refuse(f"{name} of shape ({x.channels},), got {array.shape}")
    return NodeLayers([layer], x.layout, [weights])


def _layer_norm(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    axis, gamma = node.get("axis", -1), constant_input(node, constants, 1, "Scale")
    if x.layout not in ("last", "rows") or axis not in (-1, len(x.sizes)) or gamma.size != x.channels:
        raise node.refuse(f"the last axis, with the channels, to be normalised, got axis={axis} of {x.sizes}")
    beta = constants.get(2, np.zeros_like(gamma))
    if beta.size != x.channels:
        raise node.refuse(f"B of shape ({x.channels},), got {beta.shape}")
    layer = layers.LayerNormalization(node.get("epsilon", 1e-5))
    return NodeLayers([layer], x.layout, [[gamma.reshape(-1), beta.reshape(-1)]])


def _group_norm(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    C, vectors = x.channels, [constant_input(node, constants, place, name) for place, name in ((1, "scale"), (2, "B"))]
    groups = C if node.kind == "InstanceNormalization" else node.get("num_groups")
    if x.layout == "last" or (x.layout == "rows" and len(x.sizes) != 1):
        raise node.refuse(f"channels on axis 1 of images or rows, got {x.sizes}")
    if any(array.size not in (groups, C) for array in vectors) or C % groups:
        raise node.refuse(f"scale and B of {groups} or {C} numbers, got {' and '.join(str(a.size) for a in vectors)}")
    layer = layers.GroupNormalization(groups, node.get("epsilon", 1e-5))
    # One number a group, or one a channel.
    return NodeLayers([layer], x.layout, [[np.repeat(array.reshape(-1), C // array.size) for array in vectors]])


def _prelu(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    slope, axes = constant_input(node, constants, 1, "the slope"), len(x.sizes)
    if slope.ndim > axes + 1 or (slope.ndim == axes + 1 and slope.shape[0] != 1):
        raise node.refuse(f"a slope that fits samples {x.sizes}, got {slope.shape}")
    alpha = slope.reshape(*(1,) * (axes - slope.ndim), *slope.shape[-axes:])
    if x.layout == "first":
        alpha = alpha.transpose(1, 2, 0)
    elif x.layout == "pixel":
        alpha = alpha.reshape(-1)
    shared = [axis for axis, length in enumerate(alpha.shape, 1) if length == 1]
    return NodeLayers([layers.PReLU(shared_axes=shared)], x.layout, [[alpha]])


def _lrn(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    if x.layout not in ("first", "pixel"):
        raise node.refuse(f"images (N, C, H, W), got {x.sizes}")
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    return NodeLayers([imported.LocalResponseNormalization(node.get("size"), alpha, beta, bias)], x.layout)


def _scaled(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    """Return x * c, x / c, x + c or x - c as a frozen normalisation of mean 0 and variance 1."""
    (place, given), *_ = constants.items()
    constant = broadcast(node, x, given)
    gamma, beta = ones, zeros = np.ones_like(constant), np.zeros_like(constant)
    if node.kind == "Mul":
        gamma = constant
    elif node.kind == "Div":
        if place == 0 or not constant.all():
            raise node.refuse("a constant to divide by that is nowhere 0, got another,")
        gamma = ones / constant
    elif node.kind == "Sub":
        gamma, beta = (ones, -constant) if place else (-ones, constant)
    else:
        beta = constant
    layer = layers.BatchNormalization(epsilon=0.0, trainable=False)
    return NodeLayers([layer], x.layout, [[gamma, beta, zeros, ones]])


PRODUCTS: dict[str, Reader] = {
    "Add": _scaled,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": _scaled,
    "Gemm": _gemm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _group_norm,
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "Mul": _scaled,
    "PRelu": _prelu,
    "Sub": _scaled,
    "Sum": _scaled,
}
