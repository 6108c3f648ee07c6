"""What nodes compute out of constants alone, computed beforehand, within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from gwucnn.onnx.attributes import Node, naming
from gwucnn.onnx.operators import OPERATORS

__all__ = ["fold"]

# Numbers that nodes may compute, all together: a file of a few bytes could ask for any number of them. The
# largest of the networks that everybody knows, VGG-19, has 144 million.
MOST = 2**28

# What shapes are made with; from so few numbers come no more than their square.
FEW = 1024
ON_SHAPES = frozenset(
    {"Add", "Concat", "Constant", "Div", "Gather", "Identity", "Mul", "Reshape", "Shape", "Squeeze", "Sub",
     "Unsqueeze"}
)  # fmt: skip


def fold(nodes: list[Node], constants: dict[str, Any], sizes: Mapping[str, Any]) -> list[Node]:
    """Return the nodes that depend on the input, and put what the others compute among the constants.

    Raises ValueError, before memory is taken, for more numbers than any network has, or a size not known.
    """
    kept, computed = [], 0
    for node in nodes:
        if node.kind not in OPERATORS or not all(name in constants or not name for name in node.inputs):
            kept.append(node)
            continue
        inputs = [constants[name] if name else None for name in node.inputs]
        with naming(node):
            computed += _size(node, inputs, sizes)
            if computed > MOST:
                raise node.refuse(f"at most {MOST} numbers computed from constants, got {computed}")
            with np.errstate(all="ignore"):
                made = OPERATORS[node.kind](node, *inputs)
        constants.update(zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=False))
    return kept


def _size(node: Node, inputs: list[Any], sizes: Mapping[str, Any]) -> int:
    """Return how many numbers a node makes of constants, or at most makes."""
    made = [sizes.get(name, (None,)) for name in node.outputs if name]
    if all(None not in shape for shape in made):
        return sum(map(prod, made))
    if node.kind == "ConstantOfShape":
        return prod(inputs[0].tolist())
    given = sum(array.size for array in inputs if array is not None)
    if node.kind in ON_SHAPES and given <= FEW:
        return given**2
    raise node.refuse("a constant of a size that is known beforehand, got another")
