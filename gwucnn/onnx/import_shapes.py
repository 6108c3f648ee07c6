"""ONNX's nodes that change shapes, as layers or as another layout of the same values."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gwucnn import layers
from gwucnn.layers import Layer, imported
from gwucnn.layers.imported_shapes import PLACES, Channels, DepthToSpace, Resample
from gwucnn.onnx.attributes import Node
from gwucnn.onnx.imported_tensor import Constants, ImportedTensor, NodeLayers, Reader, constant_input, image_layers

__all__ = ["SHAPE_READERS", "part_of_channels"]


def _flat(x: ImportedTensor) -> NodeLayers:
    """Return the layers that flatten a tensor in the element order of the graph."""
    if x.layout in ("pixel", "rows"):
        return NodeLayers([] if x.layout == "pixel" or len(x.sizes) == 1 else [layers.Flatten()], "rows")
    if (x.layout == "first") == x.first:
        return NodeLayers([layers.Flatten()], "rows")
    return NodeLayers([imported.OrderedFlatten(f"channels_{x.layout}")], "rows")


def _flatten(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    if node.get("axis", 1) not in (1, -len(x.sizes)):
        raise node.refuse(f"axis=1, got {node.get('axis')}")
    return _flat(x)


def _reshape(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    if made is None or None in made[1:]:
        raise node.refuse("a shape that is known, got one that is computed,")
    sizes = made[1:]
    if prod(sizes) != prod(x.sizes):
        raise node.refuse(f"a shape of {prod(x.sizes)} numbers a sample, got {sizes}")
    if sizes == x.sizes:
        return NodeLayers([], x.layout)
    if len(sizes) == 1:
        return _flat(x)
    own = x.layout in ("rows", "pixel") or (x.layout == "first") == x.first
    if not own:
        raise node.refuse(f"images in the order of the input, got {x.sizes} turned")
    if len(sizes) == 3:
        return NodeLayers([layers.Reshape(sizes)], "first" if x.first else "last")
    return NodeLayers([layers.Reshape(sizes)], "rows")


def _transpose(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    axes = len(x.sizes) + 1
    perm = tuple(axis % axes for axis in node.get("perm", range(axes - 1, -1, -1)))
    if perm == tuple(range(axes)):
        return NodeLayers([], x.layout)
    if (x.layout, perm) == ("last", (0, 3, 1, 2)):
        return NodeLayers([], "first")
    if x.layout in ("first", "pixel") and perm == (0, 2, 3, 1):
        return NodeLayers(image_layers(node, x), "last")
    raise node.refuse(f"a perm that moves the channels, got {perm} of {x.sizes}")


def _axes(node: Node, constants: Constants, rank: int) -> list[int]:
    """Return the axes that a node removes from, or adds to, a tensor of `rank` axes."""
    return [axis % rank for axis in np.asarray(node.get("axes", constants.get(1, ()))).reshape(-1).tolist()]


def _squeeze(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    axes = _axes(node, constants, len(x.sizes) + 1)
    if x.layout == "pixel" and axes and min(axes) >= 2:
        return NodeLayers([], "pixel" if len(axes) < len(x.sizes) - 1 else "rows")
    if x.layout in ("first", "last") and made is not None and made[1:] == (prod(x.sizes),):
        return _flat(x)
    raise node.refuse(f"axes of one pixel, got {axes} of {x.sizes}")


def _unsqueeze(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    rank = len(x.sizes) + 1 + np.asarray(node.get("axes", constants.get(1, ()))).size
    axes = _axes(node, constants, rank)
    is_row = x.layout == "pixel" or (x.layout == "rows" and len(x.sizes) == 1)
    if is_row and rank <= 4 and min(axes, default=0) >= 2:
        return NodeLayers([], "pixel")
    raise node.refuse(f"axes that make a pixel of rows, got {axes} of {x.sizes}")


def _pad(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    pads = np.asarray(node.get("pads", node.get("paddings", constants.get(1, ())))).tolist()
    value = node.get("value", float(constants[2]) if 2 in constants and constants[2].size else 0.0)
    if node.get("mode", "constant") != "constant" or value:
        raise node.refuse(f"mode='constant' and zeros, got {node.get('mode', 'constant')!r} and {value}")
    if 3 in constants:
        given, pads, half = pads, [0] * 8, len(pads) // 2
        for number, axis in enumerate(constants[3].reshape(-1).tolist()):
            pads[axis % 4], pads[4 + axis % 4] = given[number], given[half + number]
    order = (0, 3, 1, 2) if x.layout == "last" else (0, 1, 2, 3)
    if x.layout not in ("first", "last") or len(pads) != 8 or min(pads) < 0:
        raise node.refuse(f"pads of 0 or more for images, got {pads}")
    _, channels, *border = ((pads[axis], pads[4 + axis]) for axis in order)
    if any(pads[order[0] :: 4]) or any(channels):
        raise node.refuse(f"pads of pixels only, got {pads}")
    return NodeLayers([layers.ZeroPadding2D(border)], x.layout)


def _resize(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    scales = constants.get(2, constants.get(1) if node.opset < 11 else None)
    how = (
        node.get("mode", "nearest"),
        node.get("coordinate_transformation_mode", "half_pixel"),
        node.get("nearest_mode", "round_prefer_floor"),
    )
    resizing = _resizing(node, x, scales, made, how)
    if resizing is None:
        known = (("nearest", "asymmetric", "floor"), ("nearest", "half_pixel", "round_prefer_floor"))
        whole = scales is not None and scales.size == 4 and (scales == scales.round()).all() and min(scales) >= 1
        if whole and scales[0] == scales[1] == 1 and how in known:
            resizing = layers.UpSampling2D(tuple(map(int, scales[2:])))
        else:
            resizing = _resampling(node, x, scales, made, how)
    return NodeLayers([*image_layers(node, x), resizing], "first")


def _resampling(node: Node, x: ImportedTensor, scales: Any, made: Any, how: tuple[str, str, str]) -> Layer:
    mode, places, rounding = how
    odd = [name for name in ("antialias", "exclude_outside") if node.get(name, 0)]
    if odd or made is None or len(made) != 4 or len(x.sizes) != 3 or x.sizes[0] != made[1]:
        raise node.refuse(f"images to be resized without {' and '.join(odd) or 'other channels'}, got {x.sizes}")
    stretches = node.get("keep_aspect_ratio_policy", "stretch") == "stretch"
    if mode not in ("nearest", "linear") or places not in PLACES or not stretches:
        raise node.refuse(f"mode nearest or linear and places {', '.join(PLACES)}, got {how}")
    if scales is not None and scales.size:
        if scales.size not in (2, 4):
            raise node.refuse(f"scales of images, got {scales}")
        scales = scales.reshape(-1)[-2:].tolist()
    else:
        scales = None
    return Resample(made[2], made[3], mode, places, rounding, scales)


def _resizing(node: Node, x: ImportedTensor, scales: Any, made: Any, how: tuple[str, str, str]) -> Any:
    """Return the layer of a Resize node that interpolates as `Resizing` does, None for any other."""
    mode, places, rounding = how
    if places != "half_pixel" or node.get("antialias", 0) or made is None or len(x.sizes) != 3 or len(made) != 4:
        return None
    (C, H, W), (channels, height, width) = x.sizes, made[1:]
    exact = scales is None or not scales.size or [*scales.reshape(-1)[-2:]] == [height / H, width / W]
    if C != channels or not exact or node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    if mode == "linear":
        return layers.Resizing(height, width)
    return layers.Resizing(height, width, "nearest") if (mode, rounding) == ("nearest", "round_prefer_ceil") else None


def _slice(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    given = [node.get(name, constants.get(place)) for place, name in enumerate(("starts", "ends", "axes", "steps"), 1)]
    starts, ends, axes, steps = (None if each is None else np.asarray(each).reshape(-1).tolist() for each in given)
    if starts is None or ends is None:
        raise node.refuse(f"constant starts and ends of images, got {starts} and {ends} of {x.sizes}")
    axes, steps = axes or [*range(len(starts))], steps or [1] * len(starts)
    rank = len(x.sizes) + 1
    if [axis % rank for axis in axes] == [_channel_axis(x)]:
        return _channels(x, [*range(x.channels)[slice(starts[0], ends[0], steps[0])]])
    if x.layout not in ("first", "last"):
        raise node.refuse(f"a part of images, or of the channels, got {x.sizes} cut along {axes}")
    cut = dict.fromkeys(range(1, 4), (0, 0))
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step != 1 or axis % 4 == 0:
            raise node.refuse(f"steps of 1 along rows and columns, got steps={steps} and axes={axes}")
        length = x.sizes[axis % 4 - 1]
        first, last, _ = slice(start, end).indices(length)
        cut[axis % 4] = (first, length - last)
    channels, *image = (cut[axis] for axis in ((1, 2, 3) if x.layout == "first" else (3, 1, 2)))
    if any(channels):
        raise node.refuse(f"a part of the pixels with all channels, got axes={axes}")
    return NodeLayers([layers.Cropping2D(image)], x.layout)


def _channel_axis(x: ImportedTensor) -> int:
    return len(x.sizes) if x.layout in ("last", "rows") else 1


def _channels(x: ImportedTensor, numbers: list[int]) -> NodeLayers:
    """Return the layer that selects channels, none if it selects all."""
    return NodeLayers([] if numbers == [*range(x.channels)] else [Channels(numbers)], x.layout)


def part_of_channels(node: Node, x: ImportedTensor, start: int, stop: int) -> NodeLayers:
    """Return the layer that selects the channels from `start` to `stop`."""
    if node.get("axis", 0) % (len(x.sizes) + 1) != _channel_axis(x):
        raise node.refuse(f"axis={_channel_axis(x)}, that of the channels, got {node.get('axis', 0)}")
    return _channels(x, [*range(start, stop)])


def _gather(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    numbers = constant_input(node, constants, 1, "the indices")
    if node.get("axis", 0) % (len(x.sizes) + 1) != _channel_axis(x) or numbers.ndim != 1:
        raise node.refuse(f"a list of channels, got {numbers.shape} along axis={node.get('axis', 0)}")
    return _channels(x, [int(number) % x.channels for number in numbers])


def _depth_to_space(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    return NodeLayers([*image_layers(node, x), DepthToSpace(node.get("blocksize"), node.get("mode", "DCR"))], "first")


def _shuffle(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    return NodeLayers([*image_layers(node, x), imported.ChannelShuffle(node.get("groups"))], "first")


def _same(node: Node, x: ImportedTensor, constants: Constants, made: Any) -> NodeLayers:
    return NodeLayers([], x.layout)


SHAPE_READERS: dict[str, Reader] = {
    "ChannelShuffle": _shuffle,
    "DepthToSpace": _depth_to_space,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _same,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
