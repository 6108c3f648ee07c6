"""ONNX's nodes with several computed inputs as merging layers, and those with several outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gwucnn import layers
from gwucnn.layers import Layer
from gwucnn.layers.imported_functions import Arithmetic
from gwucnn.onnx.attributes import Node
from gwucnn.onnx.import_shapes import part_of_channels
from gwucnn.onnx.imported_tensor import Constants, ImportedTensor, NodeLayers

__all__ = ["MERGES", "merged", "split"]

# Operators of several tensors, and the layers for tensors of one shape.
MERGES: dict[str, Any] = {
    "Add": layers.Add,
    "Concat": layers.Concatenate,
    "Div": None,
    "Max": layers.Maximum,
    "Mean": layers.Average,
    "Min": None,
    "Mul": layers.Multiply,
    "Sub": layers.Subtract,
    "Sum": layers.Add,
}
PAIRWISE = {"Sum": "Add"}  # the operator of two whose repetition is the same


def merged(node: Node, given: Sequence[ImportedTensor]) -> tuple[list[Layer], str]:
    """Return the layer that merges tensors, or one for each tensor after the first, and the layout of the result."""
    layouts = {x.layout for x in given}
    if len(layouts) > 1:
        raise node.refuse(f"tensors of one layout, got {', '.join(sorted(layouts))},")
    (layout,) = layouts
    if node.kind == "Concat":
        axes = len(given[0].sizes) + 1
        wanted = axes - 1 if layout in ("last", "rows") else 1
        if node.get("axis", 1) % axes != wanted:
            raise node.refuse(f"axis={wanted}, that of the channels, got {node.get('axis')}")
        return [layers.Concatenate()], layout
    make = MERGES[node.kind]
    same = len({x.sizes for x in given}) == 1
    if make is not None and (same or (node.kind == "Mul" and len(given) == 2 and _is_gate(given))):
        return [make()], layout
    kind = PAIRWISE.get(node.kind, node.kind)
    if kind == "Mean" or (not same and len({len(x.sizes) for x in given}) > 1):
        raise node.refuse(f"tensors of one shape, got {' and '.join(str(x.sizes) for x in given)},")
    return [Arithmetic(kind) for _ in given[1:]], layout


def _is_gate(given: Sequence[ImportedTensor]) -> bool:
    """Whether one of two tensors has a number for each channel, or for each pixel, of the other, an image."""
    if any(len(x.sizes) != 3 or x.layout == "pixel" for x in given):
        return False
    for image, gate in (given, given[::-1]):
        if gate.sizes != image.sizes and (gate.image, gate.channels) in (
            ((1, 1), image.channels),
            (image.image, 1),
        ):
            return True
    return False


def split(
    node: Node, x: ImportedTensor, constants: Constants, sizes: Mapping[str, tuple[Any, ...]]
) -> list[NodeLayers]:
    """Return the layers of each output of a Split node along the channels."""
    rank, axis = len(x.sizes) + 1, node.get("axis", 0)
    stated = node.get("split", constants.get(1))
    if stated is None:
        made = [sizes.get(name, ())[axis % rank :][:1] for name in node.outputs]
        stated = [length for each in made for length in each]
    lengths = np.asarray(stated).reshape(-1).tolist()
    if len(lengths) != len(node.outputs) or None in lengths or sum(lengths) != ((None, *x.sizes)[axis % rank] or 0):
        raise node.refuse(f"parts of the {x.channels} channels for {len(node.outputs)} outputs, got {lengths}")
    ends = np.cumsum(lengths).tolist()
    return [part_of_channels(node, x, end - length, end) for length, end in zip(lengths, ends, strict=True)]
