"""Groups of nodes that together compute what a single layer does, replaced by one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gwucnn.onnx.attributes import Node

__all__ = ["with_patterns"]

SWAPPED = (0, 2, 1, 3, 4)


def with_patterns(nodes: Sequence[Node], constants: dict[str, Any], sizes: Mapping[str, Any], exit_: str) -> list[Node]:
    """Replace the nodes of each pattern by one node and return all nodes.

    Kinds that ONNX does not have are 'SiLU' and 'ChannelShuffle'.

    A group is replaced only if its inner tensors are not used elsewhere and are not the graph's output.

    Parameters
    ----------
    nodes : sequence of Node
        In topological order.
    constants : mapping
        By name.
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
        for pattern in (_silu, _hard_swish, _gelu, _layer_norm, _strided, _shuffle, _group_norm):
            whole, inside = pattern(node, makers, sizes, constants)
            # Each inner tensor is used by the inner nodes and the last one alone.
            inner = [node, *(makers[name] for name in inside)]
            if whole is not None and all(uses[n] == sum(n in i.inputs for i in inner) for n in inside):
                node = whole
                gone.update(inside)
                makers[node.outputs[0]] = node
                break
        made.append(node)
    return [node for node in made if node.outputs[0] not in gone]


Makers = Mapping[str, Node]  # by the tensors that they make
Found = tuple[Node | None, Sequence[str]]  # the node that replaces them, and the names of the inner tensors
NOTHING: Found = None, ()


def _silu(node: Node, makers: Makers, sizes: Mapping[str, Any], constants: dict[str, Any]) -> Found:
    """Find x * sigmoid(x)."""
    if node.kind == "Mul":
        for x, gate in (tuple(node.inputs), tuple(node.inputs)[::-1]):
            maker = makers.get(gate)
            if maker is not None and maker.kind == "Sigmoid" and list(maker.inputs) == [x]:
                return node._replace(kind="SiLU", inputs=[x]), (gate,)
    return NOTHING


def _chain(
    node: Node, makers: Makers, constants: dict[str, Any], kinds: str
) -> tuple[str, list[Any], list[str]] | None:
    """Return what a chain of nodes begins with, the constants of each node, and the inner tensors; None for another.

    kinds : the operators from the last to the first; each reads the one before and constants.
    """
    found: list[Any] = []
    inside: list[str] = []
    for place, kind in enumerate(kinds.split()):
        given = [name for name in node.inputs if name and name not in constants]
        if node.kind != kind or len(given) != 1:
            return None
        numbers = [constants[name] for name in node.inputs if name in constants]
        found.append([float(each.reshape(())) if each.size == 1 else None for each in numbers])
        if place == len(kinds.split()) - 1:
            return given[0], found, inside
        if given[0] not in makers:
            return None
        inside.append(given[0])
        node = makers[given[0]]
    return None


def _near(found: Sequence[Any], *wanted: Sequence[float]) -> bool:
    """Whether the constants of a chain's nodes are these, but for rounding."""
    return all(
        len(one) == len(other) and all(a is not None and abs(a - b) < 1e-4 for a, b in zip(one, other, strict=True))
        for one, other in zip(found, wanted, strict=True)
    )


def _hard_swish(node: Node, makers: Makers, sizes: Mapping[str, Any], constants: dict[str, Any]) -> Found:
    """Find x * hard_sigmoid(x), x * (clip(x + 3, 0, 6) / 6) and (x * clip(x + 3, 0, 6)) / 6."""
    product = node
    outer: list[str] = []
    if node.kind in ("Div", "Mul") and any(name in constants for name in node.inputs):
        last = _chain(node, makers, constants, node.kind)
        if last is None or not _near(last[1], [6.0 if node.kind == "Div" else 1 / 6]) or last[0] not in makers:
            return NOTHING
        if node.kind == "Div" and node.inputs[0] in constants:
            return NOTHING
        product, outer = makers[last[0]], [last[0]]
    if product.kind != "Mul" or len(product.inputs) != 2 or any(n in constants for n in product.inputs):
        return NOTHING
    for x, gate in (tuple(product.inputs), tuple(product.inputs)[::-1]):
        maker = makers.get(gate)
        if maker is None:
            continue
        whole = node._replace(kind="HardSwish", inputs=[x], attributes={})
        alpha, beta = maker.get("alpha", 0.2), maker.get("beta", 0.5)
        if not outer and maker.kind == "HardSigmoid" and maker.inputs[0] == x and _near([[alpha, beta]], [1 / 6, 0.5]):
            return whole, (gate,)
        for kinds, numbers in (("Clip Add", ([0, 6], [3])),) if outer else _SIXTHS:
            chain = _chain(maker, makers, constants, kinds)
            if chain is not None and chain[0] == x and _near(chain[1], *numbers):
                return whole, (*outer, gate, *chain[2])
    return NOTHING


_SIXTHS: Any = (("Div Clip Add", ([6], [0, 6], [3])), ("Mul Clip Add", ([1 / 6], [0, 6], [3])))


def _gelu(node: Node, makers: Makers, sizes: Mapping[str, Any], constants: dict[str, Any]) -> Found:
    """Find x * (1 + erf(x / sqrt(2))) / 2, its factors in any order."""
    factors: list[str] = []
    inside: list[str] = []
    half = 1.0
    waiting = [node.outputs[0]] if node.kind == "Mul" else []
    while waiting:
        name = waiting.pop()
        maker = makers.get(name)
        if name in constants and constants[name].size == 1:
            half *= float(constants[name].reshape(()))
        elif maker is not None and maker.kind == "Mul" and len(inside) < 3:
            inside.append(name)
            waiting += maker.inputs
        else:
            factors.append(name)
    for x, gate in (tuple(factors), tuple(factors)[::-1]) if len(factors) == 2 and abs(half - 0.5) < 1e-6 else ():
        for kind, number in (("Div", 2**0.5), ("Mul", 0.5**0.5)):
            chain = _chain(makers[gate], makers, constants, f"Add Erf {kind}") if gate in makers else None
            if chain is not None and chain[0] == x and _near(chain[1], [1], [], [number]):
                return node._replace(kind="Gelu", inputs=[x], attributes={}), (*inside[1:], gate, *chain[2])
    return NOTHING


def _layer_norm(node: Node, makers: Makers, sizes: Mapping[str, Any], constants: dict[str, Any]) -> Found:
    """Find (x - mean) / sqrt(mean((x - mean)**2) + epsilon) along the last axis."""
    root = makers.get(node.inputs[1]) if node.kind == "Div" and len(node.inputs) == 2 else None
    centred = makers.get(node.inputs[0])
    if root is None or centred is None or centred.kind != "Sub":
        return NOTHING
    x, mean = centred.inputs
    chain = _chain(root, makers, constants, "Sqrt Add ReduceMean Pow")
    if mean not in makers or chain is None or chain[0] != centred.outputs[0]:
        return NOTHING
    spread, rank = makers[chain[2][1]], len(sizes.get(x, ()))
    for reduced in (makers[mean], spread):
        axes = reduced.get("axes", constants.get(reduced.inputs[1]) if len(reduced.inputs) > 1 else None)
        last = axes is not None and [int(axis) % max(rank, 1) for axis in axes] == [rank - 1]
        if reduced.kind != "ReduceMean" or not last or not reduced.get("keepdims", 1):
            return NOTHING
    numbers = chain[1]
    fits = makers[mean].inputs[0] == x and len(numbers[1]) == 1 and numbers[1][0] is not None and numbers[3] == [2.0]
    size = sizes.get(x, (None,))[-1]
    if not fits or size is None:
        return NOTHING
    ones = f"ones of {node.outputs[0]}"
    constants[ones] = np.ones(size, np.float32)
    inside = (node.inputs[0], mean, node.inputs[1], *chain[2])
    return node._replace(kind="LayerNormalization", inputs=[x, ones], attributes={"epsilon": numbers[1][0]}), inside


def _strided(node: Node, makers: Makers, sizes: Mapping[str, Any], constants: dict[str, Any]) -> Found:
    """Find one sample reshaped to a single axis, of which all elements are gathered in order, as as_strided is."""
    flat = makers.get(node.inputs[0]) if node.kind == "Gather" and not node.get("axis", 0) else None
    places = constants.get(node.inputs[1]) if flat is not None else None
    if flat is None or places is None or flat.kind != "Reshape":
        return NOTHING
    before = sizes.get(flat.inputs[0], ())
    if before != places.shape or before[:1] != (1,) or (places.reshape(-1) != np.arange(places.size)).any():
        return NOTHING
    return node._replace(kind="Identity", inputs=[flat.inputs[0]], attributes={}), (flat.outputs[0],)


def _shuffle(node: Node, makers: Makers, sizes: Mapping[str, Any], constants: dict[str, Any]) -> Found:
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


def _group_norm(node: Node, makers: Makers, sizes: Mapping[str, Any], constants: dict[str, Any]) -> Found:
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
