"""Groups of nodes that together compute what a single layer does, replaced by one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gwucnn.onnx.attributes import Node

__all__ = ["with_patterns"]

SWAPPED = (0, 2, 1, 3, 4)


def with_patterns(nodes: Sequence[Node], sizes: Mapping[str, Any], exit_: str) -> list[Node]:
    """Replace the nodes of each pattern by one node and return all nodes.

    Kinds that ONNX does not have are 'SiLU' and 'ChannelShuffle'.

    A group is replaced only if its inner tensors are not used elsewhere and are not the graph's output.

    Parameters
    ----------
    nodes : sequence of Node
        In topological order.
    sizes : mapping
        Of the tensors whose sizes are known, by name.
    exit_ : str
        The output of the graph.
    """
    uses: dict[str, int] = {exit_: 1}
    for node in nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    makers = {node.outputs[0]: node for node in nodes}
    gone: set[str] = set()
    made = []
    for node in nodes:
        for pattern in (_silu, _shuffle, _group_norm):
            whole, inside = pattern(node, makers, sizes)
            if whole is not None and all(uses[name] == 1 for name in inside):
                node = whole
                gone.update(inside)
        made.append(node)
    return [node for node in made if node.outputs[0] not in gone]


Found = tuple[Node | None, Sequence[str]]  # the node that replaces them, and the names of the inner tensors
NOTHING: Found = None, ()


def _silu(node: Node, makers: Mapping[str, Node], sizes: Mapping[str, Any]) -> Found:
    """Find x * sigmoid(x)."""
    if node.kind == "Mul":
        for x, gate in (tuple(node.inputs), tuple(node.inputs)[::-1]):
            maker = makers.get(gate)
            if maker is not None and maker.kind == "Sigmoid" and list(maker.inputs) == [x]:
                return node._replace(kind="SiLU", inputs=[x]), (gate,)
    return NOTHING


def _shuffle(node: Node, makers: Mapping[str, Node], sizes: Mapping[str, Any]) -> Found:
    """Find (N, C, H, W) reshaped to (N, G, K, H, W), transposed to (N, K, G, H, W) and reshaped back."""
    turn = makers.get(node.inputs[0]) if node.kind == "Reshape" else None
    split = makers.get(turn.inputs[0]) if turn is not None and turn.kind == "Transpose" else None
    if turn is None or split is None or split.kind != "Reshape" or tuple(turn.get("perm", ())) != SWAPPED:
        return NOTHING
    x = split.inputs[0]
    before, parts, after = (sizes.get(name, ()) for name in (x, split.outputs[0], node.outputs[0]))
    if len(before) != 4 or len(parts) != 5 or before != after or None in (*before[1:], *parts[1:]):
        return NOTHING
    if parts[3:] != before[2:] or parts[0] != before[0]:
        return NOTHING
    groups = {"groups": parts[1]}
    whole = node._replace(kind="ChannelShuffle", inputs=[x], attributes=groups)
    return whole, (split.outputs[0], turn.outputs[0])


def _group_norm(node: Node, makers: Mapping[str, Node], sizes: Mapping[str, Any]) -> Found:
    """Find (N, C, ...) reshaped to (N, G, ...), normalised by InstanceNormalization and reshaped back."""
    norm = makers.get(node.inputs[0]) if node.kind == "Reshape" else None
    split = makers.get(norm.inputs[0]) if norm is not None and norm.kind == "InstanceNormalization" else None
    if norm is None or split is None or split.kind != "Reshape":
        return NOTHING
    x = split.inputs[0]
    before, parts, after = (sizes.get(name, ()) for name in (x, split.outputs[0], node.outputs[0]))
    if len(before) < 2 or len(parts) != 3 or before != after or None in (*before[1:], *parts[1:]):
        return NOTHING
    if parts[0] != before[0] or before[1] % parts[1]:
        return NOTHING
    how = {"num_groups": parts[1], "epsilon": norm.get("epsilon", 1e-5)}
    whole = node._replace(kind="GroupNormalization", inputs=[x, *norm.inputs[1:]], attributes=how)
    return whole, (split.outputs[0], norm.outputs[0])
