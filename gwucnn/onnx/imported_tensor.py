"""The input and the result of a function that imports a node: a tensor as the network stores it, and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gwucnn import layers
from gwucnn.layers import Layer
from gwucnn.onnx.attributes import Node

__all__ = ["Constants", "ImportedTensor", "NodeLayers", "Reader", "broadcast", "constant_input", "image_layers"]


class ImportedTensor(NamedTuple):
    """A tensor of the graph, and how the network stores it.

    value : the name of the layers' output.
    layout : 'first' for (N, C, H, W), 'last' for (N, H, W, C), 'pixel' for (N, C, 1, 1) or (N, C, 1) where
    the network has (N, C), 'rows' for all tensors with the same layout in both.
    sizes : shape of one sample, as in the graph.
    first : whether the network's data_format is channels_first.
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
        """C, or D for rows."""
        return self.sizes[-1] if self.layout in ("last", "rows") else self.sizes[0]


class NodeLayers(NamedTuple):
    """The layers of a node, the weights of each, and the layout of their output."""

    layers: list[Layer]
    layout: str
    weights: list[list[Any]] = []  # noqa: RUF012


Constants = Mapping[int, Any]  # the node's constant inputs by position
Reader = Callable[[Node, ImportedTensor, Constants, Any], NodeLayers]


def image_layers(node: Node, x: ImportedTensor) -> list[Layer]:
    """Return the layers that make the tensor an image (N, C, H, W), or raise an error."""
    if x.layout == "pixel" and len(x.sizes) == 3:
        C = x.sizes[0]
        return [layers.Reshape((C, 1, 1) if x.first else (1, 1, C))]
    if x.layout != "first":
        raise node.refuse(f"images (N, C, H, W), got {x.sizes}")
    return []


def constant_input(node: Node, constants: Constants, place: int, what: str) -> Any:
    """Return a constant input by position, or raise the error that `what` is not constant."""
    if place not in constants:
        raise node.refuse(f"{what} to be a constant, got a tensor that is computed,")
    return constants[place]


def broadcast(node: Node, x: ImportedTensor, constant: Any) -> Any:
    """Return a constant, broadcast against the tensor, as one number per channel."""
    axis, axes = node.get("axis"), len(x.sizes) + 1
    if node.opset < 7 and axis is not None and constant.ndim:
        # Before opset 7 a constant's axes could match any consecutive axes of the tensor.
        constant = constant.reshape(constant.shape + (1,) * (axes - axis % axes - constant.ndim))
    rows = x.layout in ("rows", "last")
    shape = (*(1 for _ in x.sizes), x.channels) if rows else (1, x.channels, *(1 for _ in x.sizes[1:]))
    try:
        return np.broadcast_to(constant, shape).reshape(-1)
    except ValueError:
        raise node.refuse(f"a constant of one number, or one a channel, got {constant.shape}") from None
