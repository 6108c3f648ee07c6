"""The ONNX nodes of layers that only imported networks have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gwucnn.layers import imported
from gwucnn.layers.imported_functions import Function
from gwucnn.layers.imported_shapes import Channels, DepthToSpace, GlobalLpPooling, Resample
from gwucnn.onnx.base import GraphBuilder, Value

__all__ = ["IMPORTED"]


def _flatten(graph: GraphBuilder, layer: Any, x: Value) -> str:
    first = layer.order == "channels_first"
    return graph.node("Flatten", x.name if first else graph.channels_last(x))


def _shuffle(graph: GraphBuilder, layer: Any, x: Value) -> str:
    C, H, W = x.sizes
    parts = graph.reshaped(x.name, (layer.groups, C // layer.groups, H, W))
    return graph.reshaped(graph.node("Transpose", parts, perm=(0, 2, 1, 3, 4)), x.sizes)


def _lrn(graph: GraphBuilder, layer: Any, x: Value) -> str:
    given = {"alpha": layer.alpha, "beta": layer.beta, "bias": layer.bias, "size": layer.size}
    return graph.node("LRN", x.name, **given)


def _clip(graph: GraphBuilder, layer: Any, x: Value) -> str:
    bounds = (layer.low, layer.high)
    return graph.node("Clip", x.name, *("" if bound is None else graph.constant("bound", bound) for bound in bounds))


def _log_softmax(graph: GraphBuilder, layer: Any, x: Value) -> str:
    return graph.node("LogSoftmax", x.name, axis=1 if x.is_image else -1)


def _channels(graph: GraphBuilder, layer: Any, x: Value) -> str:
    axis = 1 if x.is_image else len(x.shape)
    if not layer.consecutive:
        return graph.node("Gather", x.name, graph.constant("channels", layer.numbers, np.int64), axis=axis)
    ends = {"start": layer.numbers[0], "end": layer.numbers[-1] + 1, "axis": axis}
    return graph.node("Slice", x.name, *(graph.constant(what, [number], np.int64) for what, number in ends.items()))


def _function(graph: GraphBuilder, layer: Any, x: Value) -> str:
    if layer.kind == "Pow":
        return graph.node("Pow", x.name, graph.constant("exponent", layer.numbers["exponent"]))
    if layer.kind == "Celu" and graph.dtype != np.float32:
        raise ValueError(f"export_onnx: expected precision='float32' for Celu in {layer.label}, got {graph.dtype}")
    return graph.node(layer.kind, x.name, **layer.numbers)


def _depth_to_space(graph: GraphBuilder, layer: Any, x: Value) -> str:
    return graph.node("DepthToSpace", x.name, blocksize=layer.size, mode=layer.mode)


def _resample(graph: GraphBuilder, layer: Any, x: Value) -> str:
    how = {"mode": layer.mode, "coordinate_transformation_mode": layer.places, "nearest_mode": layer.rounding}
    if layer.scales is not None:
        return graph.node("Resize", x.name, "", graph.constant("scales", (1, 1, *layer.scales), np.float32), **how)
    return graph.node("Resize", x.name, "", "", graph.image_sizes(x, (layer.height, layer.width)), **how)


def _global_lp(graph: GraphBuilder, layer: Any, x: Value) -> str:
    return graph.node("Flatten", graph.node("GlobalLpPool", x.name, p=layer.p))


IMPORTED: dict[type, Callable[[GraphBuilder, Any, Value], str]] = {
    Channels: _channels,
    DepthToSpace: _depth_to_space,
    Function: _function,
    GlobalLpPooling: _global_lp,
    Resample: _resample,
    imported.ChannelShuffle: _shuffle,
    imported.Clip: _clip,
    imported.LocalResponseNormalization: _lrn,
    imported.LogSoftmax: _log_softmax,
    imported.OrderedFlatten: _flatten,
}
