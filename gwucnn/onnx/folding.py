"""What nodes compute out of constants, or out of sizes alone, computed beforehand and within bounds.

Shapes may contain the size of the batch, which is free. They are computed twice, for a batch and for one of
twice its size: what is the same in both is a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from gwucnn.onnx.attributes import Node, naming
from gwucnn.onnx.operators import OPERATORS

__all__ = ["Folding"]

# Numbers that nodes may compute, all together: a file of a few bytes could ask for any number of them. The
# largest of the networks that everybody knows, VGG-19, has 144 million.
MOST = 2**28

# Shapes are made with these; from so few numbers come no more than their square.
FEW = 1024
ON_SHAPES = frozenset(
    {"Add", "Cast", "Concat", "Constant", "Div", "Gather", "Identity", "Mul", "Reshape", "Shape", "Slice",
     "Squeeze", "Sub", "Transpose", "Unsqueeze"}
)  # fmt: skip


def _cast(node: Node, x: Any) -> Any:
    kinds = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 11: "float64"}  # by TensorProto.DataType
    if node.get("to") not in kinds:
        raise node.refuse(f"to of {', '.join(kinds.values())}, got {node.get('to')}")
    return x.astype(kinds[node.get("to")])


def _slice(node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    starts, ends = (np.asarray(node.get(name, given)).tolist() for name, given in (("starts", starts), ("ends", ends)))
    axes = np.asarray(node.get("axes", range(len(starts)) if axes is None else axes)).tolist()
    steps = [1] * len(starts) if steps is None else steps.tolist()
    cut = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # Ends beyond the first number of all are meant to be beyond it, and not counted from behind.
        cut[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(cut)]


FOLDED: dict[str, Any] = {**OPERATORS, "Cast": _cast, "Slice": _slice}


class Folding:
    """Computes what does not depend on the input's numbers, and puts what is constant among `constants`."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self.constants, self.computed = constants, 0
        self.sizes: Mapping[str, Any] = {}
        # Values that differ with the batch, for one and for twice its size.
        self.shapes: dict[str, tuple[Any, Any]] = {}

    def fold(self, nodes: Sequence[Node], sizes: Mapping[str, Any]) -> list[Node]:
        """Return the nodes that are left, in view of the sizes that are known by now.

        Raises ValueError, before memory is taken, for more numbers than any network has, or a size not known.
        """
        self.sizes, kept = sizes, []
        for node in nodes:
            with naming(node):
                if not self._compute(node):
                    kept.append(self._with_free_batch(node))
        return kept

    def _compute(self, node: Node) -> bool:
        """Compute a node if it can be, and return whether it was."""
        names = [name for name in node.inputs if name]
        if node.kind == "Shape" and names[0] not in self.constants:
            return self._take_shape(node, self.sizes.get(names[0], (None,)))
        if node.kind not in FOLDED or any(n not in self.constants and n not in self.shapes for n in names):
            return False
        if any(name in self.shapes for name in names):
            if node.kind not in ON_SHAPES or len(node.outputs) > 1:
                return False
            self._put(node, self._result(node, 0), self._result(node, 1))
        else:
            made = self._result(node, 0)
            made = made if isinstance(made, tuple) else (made,)
            self.constants.update(zip(node.outputs, made, strict=False))
        return True

    def _take_shape(self, node: Node, sizes: Sequence[Any]) -> bool:
        known = bool(sizes) and None not in sizes
        if known:
            one, two = (np.broadcast_to(0, (N, *sizes[1:])) for N in (sizes[0], 2 * sizes[0]))
            self._put(node, FOLDED["Shape"](node, one), FOLDED["Shape"](node, two))
        return known

    def _put(self, node: Node, small: Any, large: Any) -> None:
        if np.array_equal(small, large):
            self.constants[node.outputs[0]] = small
        else:
            self.shapes[node.outputs[0]] = small, large

    def _result(self, node: Node, which: int) -> Any:
        inputs = []
        for name in node.inputs:
            pair = self.shapes.get(name)
            inputs.append((self.constants[name] if name else None) if pair is None else pair[which])
        self.computed += self._size(node, inputs)
        if self.computed > MOST:
            raise node.refuse(f"at most {MOST} numbers computed from constants, got {self.computed}")
        with np.errstate(all="ignore"):
            return FOLDED[node.kind](node, *inputs)

    def _size(self, node: Node, inputs: Sequence[Any]) -> int:
        """Return how many numbers a node makes, or at most makes."""
        made = [self.sizes.get(name, (None,)) for name in node.outputs if name]
        if all(None not in shape for shape in made):
            return sum(map(prod, made))
        if node.kind == "ConstantOfShape":
            return prod(inputs[0].tolist())
        given = sum(array.size for array in inputs if array is not None)
        if node.kind in ON_SHAPES and given <= FEW:
            return given**2
        raise node.refuse("a constant of a size that is known beforehand, got another")

    def _with_free_batch(self, node: Node) -> Node:
        """Return a Reshape to a shape that begins with the batch as one that leaves the batch as it is."""
        if node.kind != "Reshape" or node.inputs[-1] not in self.shapes:
            return node
        x, name = node.inputs
        small, large = self.shapes[name]
        batch = self.sizes.get(x, (None,))[0]
        if batch is None:
            return node
        if small.ndim != 1 or small[0] != batch or large[0] != 2 * batch or (small[1:] != large[1:]).any():
            raise node.refuse(f"a shape that begins with the batch, got {small.tolist()} for one of {batch}")
        free = f"{name} of {node.outputs[0]}"
        self.constants[free] = np.array([0, *small[1:]], np.int64)
        return node._replace(inputs=[x, free])
