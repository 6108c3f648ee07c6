"""ONNX's nodes as layers: a function for each operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gwucnn import activation_layers, layers
from gwucnn.layers import Layer, imported
from gwucnn.onnx.attributes import Node, slide, transposed_pads

__all__ = ["READERS", "Made", "Seen", "broadcast"]


class Seen(NamedTuple):
    """A tensor of the graph, as a network has it.

    value : the name under which the layers' output is known.
    layout : 'first' for (N, C, H, W), 'last' for (N, H, W, C), 'pixel' for (N, C, 1, 1) where the network has
    (N, C), 'rows' for all that lies as in the network.
    sizes : of one sample, as in the graph.
    first : whether the network has its channels first.
    """

    value: str
    layout: str
    sizes: tuple[int, ...]
    first: bool

    @property
    def image(self) -> tuple[int, int]:
        """Height and width."""
        return self.sizes[:2] if self.layout == "last" else self.sizes[1:]  # type: ignore[return-value]

    @property
    def channels(self) -> int:
        """C, or D of rows."""
        return self.sizes[-1] if self.layout in ("last", "rows") else self.sizes[0]


class Made(NamedTuple):
    """Layers for a node, the weights of each, and the layout of what they make."""

    layers: list[Layer]
    layout: str
    weights: list[list[Any]] = []  # noqa: RUF012


Constants = Mapping[int, Any]  # the node's constant inputs, by their places
Reader = Callable[[Node, Seen, Constants, Any], Made]


def _image(node: Node, x: Seen) -> list[Layer]:
    """Return what makes a tensor (N, C, H, W) of one, or raise an error."""
    if x.layout == "pixel":
        C = x.sizes[0]
        return [layers.Reshape((C, 1, 1) if x.first else (1, 1, C))]
    if x.layout != "first":
        raise node.refuse(f"images (N, C, H, W), got {x.sizes}")
    return []


def _constant(node: Node, constants: Constants, place: int, what: str) -> Any:
    if place not in constants:
        raise node.refuse(f"{what} to be a constant, got a tensor that is computed,")
    return constants[place]


# ---------------------------------------------------------------------------------------------- weighted


def _conv(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    before, weight = _image(node, x), _constant(node, constants, 1, "the weight")
    window = slide(node, x.image, weight.shape[2:])
    layer = layers.Conv2D(
        weight.shape[0],
        window.size,
        window.strides,
        window.pads,
        dilation_rate=window.dilations,
        groups=node.get("group", 1),
        add_bias=2 in constants,
    )
    return _weighted(before, layer, weight.transpose(2, 3, 1, 0), constants.get(2), "first")


def _conv_transpose(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    before, weight = _image(node, x), _constant(node, constants, 1, "the weight")
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
    return _weighted(before, layer, weight.transpose(2, 3, 1, 0), constants.get(2), "first")


def _weighted(before: list[Layer], layer: Layer, kernel: Any, bias: Any, layout: str) -> Made:
    return Made(
        [*before, layer], layout, [[] for _ in before] + [[kernel] if bias is None else [kernel, bias]]
    )


def _gemm(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    if node.get("transA", 0):
        raise node.refuse("transA=0, got 1")
    _need_rows(node, x)
    weight = _constant(node, constants, 1, "B")
    kernel = (weight.T if node.get("transB", 0) else weight) * weight.dtype.type(node.get("alpha", 1.0))
    bias = constants.get(2)
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = _constant(node, constants, 2, "C") * weight.dtype.type(node.get("beta", 1.0))
        if bias.size not in (1, kernel.shape[1]):
            raise node.refuse(f"C of shape ({kernel.shape[1]},), got {bias.shape}")
        bias = np.broadcast_to(bias.reshape(-1), kernel.shape[1:])
    layer = layers.Dense(kernel.shape[1], add_bias=bias is not None)
    return _weighted([], layer, kernel, bias, "rows")


def _matmul(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    _need_rows(node, x)
    kernel = _constant(node, constants, 1, "the second factor")
    if kernel.ndim != 2:
        raise node.refuse(f"a matrix as second factor, got {kernel.shape}")
    return _weighted([], layers.Dense(kernel.shape[1]), kernel, None, "rows")


def _need_rows(node: Node, x: Seen) -> None:
    if x.layout != "rows" or len(x.sizes) != 1:
        raise node.refuse(f"rows (N, D), got {x.sizes}")


# -------------------------------------------------------------------------------------------- normalisation


def _batch_norm(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    if node.get("training_mode", 0):
        raise node.refuse("training_mode=0, got 1")
    if x.layout == "last" or (x.layout == "rows" and len(x.sizes) != 1):
        raise node.refuse(f"channels on axis 1 of images or rows, got {x.sizes}")
    layer = layers.BatchNormalization(min(node.get("momentum", 0.9), 0.999), node.get("epsilon", 1e-5))
    names = ("scale", "B", "mean", "var")
    return Made([layer], x.layout, [[_constant(node, constants, k + 1, n) for k, n in enumerate(names)]])


def _layer_norm(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    axis, gamma = node.get("axis", -1), _constant(node, constants, 1, "Scale")
    if x.layout not in ("last", "rows") or axis not in (-1, len(x.sizes)) or gamma.size != x.channels:
        raise node.refuse(f"the last axis, with the channels, to be normalised, got axis={axis} of {x.sizes}")
    beta = constants.get(2, np.zeros_like(gamma))
    layer = layers.LayerNormalization(node.get("epsilon", 1e-5))
    return Made([layer], x.layout, [[gamma.reshape(-1), beta.reshape(-1)]])


def _lrn(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    if x.layout not in ("first", "pixel"):
        raise node.refuse(f"images (N, C, H, W), got {x.sizes}")
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    return Made([imported.LocalResponseNormalization(node.get("size"), alpha, beta, bias)], x.layout)


def broadcast(node: Node, x: Seen, constant: Any) -> Any:
    """Return a constant that is put together with a tensor as one number a channel."""
    shape = (1, *x.sizes) if x.layout in ("rows", "last") else (1, x.channels, 1, 1)
    if x.layout in ("rows", "last"):
        shape = (*(1 for _ in x.sizes), x.channels)
    try:
        return np.broadcast_to(constant, shape).reshape(-1)
    except ValueError:
        raise node.refuse(f"a constant of one number, or one a channel, got {constant.shape}") from None


def scaled(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    """Return x * c, x / c, x + c or x - c as a frozen normalisation of mean 0 and variance 1."""
    (place, given), *_ = constants.items()
    constant = broadcast(node, x, given)
    ones, zeros = np.ones_like(constant), np.zeros_like(constant)
    if place == 0 and node.kind == "Div":
        raise node.refuse("a constant to divide by, got one to be divided,")
    gamma, beta = {
        "Mul": (constant, zeros),
        "Div": (ones / constant, zeros),
        "Add": (ones, constant),
        "Sum": (ones, constant),
        "Sub": (ones, -constant) if place else (-ones, constant),
    }[node.kind]
    layer = layers.BatchNormalization(epsilon=0.0, trainable=False)
    return Made([layer], x.layout, [[gamma, beta, zeros, ones]])


# ---------------------------------------------------------------------------------------------- activations


def _plain(make: Callable[[Node], Layer]) -> Reader:
    return lambda node, x, constants, made: Made([make(node)], x.layout)


def _rows(make: Callable[[], Layer]) -> Reader:
    """Return the reader of a function along the channels."""

    def read(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
        axes = len(x.sizes) + 1
        axis = node.get("axis", 1 if node.opset < 13 else -1) % axes
        wanted = axes - 1 if x.layout in ("last", "rows") else 1
        if axis != wanted or (node.opset < 13 and prod(x.sizes) != x.channels):
            raise node.refuse(f"axis={wanted}, that of the channels, got {node.get('axis')}")
        return Made([make()], x.layout)

    return read


def _clip(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    low, high = (
        node.get(name, float(constants[place]) if place in constants else None)
        for place, name in ((1, "min"), (2, "max"))
    )
    if any(node.inputs[place] and place not in constants for place in range(1, len(node.inputs))):
        raise node.refuse("min and max to be constants, got tensors that are computed,")
    low, high = (None if bound is None or abs(bound) > 3e38 else bound for bound in (low, high))
    return Made(
        [activation_layers.RELU() if (low, high) == (0, None) else imported.Clip(low, high)], x.layout
    )


def _dropout(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    rate = node.get("ratio", float(constants.get(1, 0.5)))
    return Made([layers.Dropout(rate)], x.layout)


# ------------------------------------------------------------------------------------------------ pooling


def _pool(make: Any, with_border: bool) -> Reader:
    def read(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
        before, window = _image(node, x), slide(node, x.image)
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
        return Made([*before, make(window.size, window.strides, pads)], "first")

    return read


def _global_pool(make: Callable[[], Layer]) -> Reader:
    return lambda node, x, constants, made: Made([*_image(node, x), make()], "pixel")


def _reduce_mean(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    axes = sorted(axis % 4 for axis in np.asarray(node.get("axes", constants.get(1, ()))).tolist())
    wanted = [1, 2] if x.layout == "last" else [2, 3]
    if len(x.sizes) != 3 or axes != wanted:
        raise node.refuse(f"the mean over the pixels, axes={wanted} of images, got axes={axes}")
    keeps = node.get("keepdims", 1)
    if keeps and x.layout == "last":
        raise node.refuse("keepdims=0, got 1")
    before = _image(node, x) if x.layout != "last" else []
    return Made([*before, layers.GlobalAveragePooling2D()], "pixel" if keeps else "rows")


# ----------------------------------------------------------------------------------------- moving about


def _flat(x: Seen) -> Made:
    """Return what lays a tensor's numbers out in one row, in the order that they have in the graph."""
    if x.layout in ("pixel", "rows"):
        return Made([] if x.layout == "pixel" or len(x.sizes) == 1 else [layers.Flatten()], "rows")
    if (x.layout == "first") == x.first:
        return Made([layers.Flatten()], "rows")
    return Made([imported.OrderedFlatten(f"channels_{x.layout}")], "rows")


def _flatten(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    if node.get("axis", 1) not in (1, -len(x.sizes)):
        raise node.refuse(f"axis=1, got {node.get('axis')}")
    return _flat(x)


def _reshape(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    if made is None or None in made[1:]:
        raise node.refuse("a shape that is known, got one that is computed,")
    sizes = made[1:]
    if prod(sizes) != prod(x.sizes):
        raise node.refuse(f"a shape of {prod(x.sizes)} numbers a sample, got {sizes}")
    if sizes == x.sizes:
        return Made([], x.layout)
    if len(sizes) == 1:
        return _flat(x)
    own = x.layout in ("rows", "pixel") or (x.layout == "first") == x.first
    if not own:
        raise node.refuse(f"images in the order of the input, got {x.sizes} turned")
    if len(sizes) == 3:
        return Made([layers.Reshape(sizes)], "first" if x.first else "last")
    return Made([layers.Reshape(sizes)], "rows")


def _transpose(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    perm = tuple(node.get("perm", range(len(x.sizes), -1, -1)))
    if x.layout == "pixel" or (x.layout, perm) not in (("first", (0, 2, 3, 1)), ("last", (0, 3, 1, 2))):
        raise node.refuse(f"a perm that moves the channels, got {perm} of {x.sizes}")
    return Made([], "last" if x.layout == "first" else "first")


def _squeeze(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    axes = np.asarray(node.get("axes", constants.get(1, ()))).tolist()
    if x.layout == "pixel" and sorted(axis % 4 for axis in axes) == [2, 3]:
        return Made([], "rows")
    if x.layout in ("first", "last") and made is not None and len(made) == 2:
        return _flat(x)
    raise node.refuse(f"axes of one pixel, got {axes} of {x.sizes}")


def _unsqueeze(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    axes = np.asarray(node.get("axes", constants.get(1, ()))).tolist()
    if x.layout == "rows" and len(x.sizes) == 1 and sorted(axis % 4 for axis in axes) == [2, 3]:
        return Made([], "pixel")
    raise node.refuse(f"axes that make a pixel of rows, got {axes} of {x.sizes}")


def _pad(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    pads = np.asarray(node.get("pads", constants.get(1, ()))).tolist()
    value = node.get("value", float(constants[2]) if 2 in constants and constants[2].size else 0.0)
    if node.get("mode", "constant") != "constant" or value or 3 in constants:
        raise node.refuse(f"mode='constant' and zeros on all axes, got {node.get('mode')!r} and {value}")
    order = (0, 3, 1, 2) if x.layout == "last" else (0, 1, 2, 3)
    if x.layout not in ("first", "last") or len(pads) != 8 or min(pads) < 0:
        raise node.refuse(f"pads of 0 or more for images, got {pads}")
    _, channels, *border = ((pads[axis], pads[4 + axis]) for axis in order)
    if any(pads[order[0] :: 4]) or any(channels):
        raise node.refuse(f"pads of pixels only, got {pads}")
    return Made([layers.ZeroPadding2D(border)], x.layout)


def _resize(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    scales = constants.get(2, constants.get(1) if node.opset < 11 else None)
    how = (
        node.get("mode", "nearest"),
        node.get("coordinate_transformation_mode", "half_pixel"),
        node.get("nearest_mode", "round_prefer_floor"),
    )
    known = (("nearest", "asymmetric", "floor"), ("nearest", "half_pixel", "round_prefer_floor"))
    whole = scales is not None and scales.size == 4 and (scales == scales.round()).all()
    if not whole or scales[0] != 1 or scales[1] != 1 or how not in known:
        raise node.refuse(f"pixels repeated a whole number of times, got scales={scales} and {how}")
    return Made([*_image(node, x), layers.UpSampling2D(tuple(map(int, scales[2:])))], "first")


def _same(node: Node, x: Seen, constants: Constants, made: Any) -> Made:
    return Made([], x.layout)


READERS: dict[str, Reader] = {
    "Add": scaled,
    "AveragePool": _pool(layers.AveragePooling2D, True),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": scaled,
    "Dropout": _dropout,
    "Elu": _plain(lambda node: activation_layers.ELU(node.get("alpha", 1.0))),
    "Flatten": _flatten,
    "Gelu": _plain(
        lambda node: activation_layers.GELU(approximate=node.get("approximate", "none") == "tanh")
    ),
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool(layers.GlobalAveragePooling2D),
    "GlobalMaxPool": _global_pool(layers.GlobalMaxPooling2D),
    "Identity": _same,
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _plain(lambda node: activation_layers.LeakyReLU(node.get("alpha", 0.01))),
    "LogSoftmax": _rows(imported.LogSoftmax),
    "MatMul": _matmul,
    "MaxPool": _pool(layers.MaxPooling2D, False),
    "Mul": scaled,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _plain(lambda node: activation_layers.RELU()),
    "Reshape": _reshape,
    "Resize": _resize,
    "SiLU": _plain(lambda node: activation_layers.SiLU()),
    "Sigmoid": _plain(lambda node: activation_layers.Sigmoid()),
    "Softmax": _rows(activation_layers.Softmax),
    "Softplus": _plain(lambda node: activation_layers.Softplus()),
    "Squeeze": _squeeze,
    "Sub": scaled,
    "Sum": scaled,
    "Tanh": _plain(lambda node: activation_layers.Tanh()),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
