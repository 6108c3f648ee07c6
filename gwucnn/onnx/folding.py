"""Constant folding: nodes that depend on constants or shapes alone are computed once, within a limit of memory.

Shapes may contain the size of the batch, which is dynamic. They are computed twice, for one batch size and for
twice that: what is equal in both is a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from gwucnn.onnx.attributes import Node, naming
from gwucnn.onnx.operators import OPERATORS

__all__ = ["FOLDED", "Folding"]

# Limit of the elements that all nodes together may compute: a file of a few bytes could ask for any number. VGG-19, the
# largest of the well-known networks, has 144 million weights.
MOST = 2**28

# Operators that compute shapes; from few elements they compute at most the square of that number.
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
        # Ends before the first element are clipped, not counted from the end.
        cut[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(cut)]


FOLDED: dict[str, Any] = {**OPERATORS, "Cast": _cast, "Slice": _slice}


class Folding:
    """Computes what does not depend on the input's values, and adds what is constant to `constants`."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self.constants, self.computed = constants, 0
        self.sizes: Mapping[str, Any] = {}
        # Values that depend on the batch size, for one size and for twice that.
        self.shapes: dict[str, tuple[Any, Any]] = {}

    def fold(self, nodes: Sequence[Node], sizes: Mapping[str, Any]) -> list[Node]:
        """Return the nodes that remain, given the sizes known so far.

        Raises ValueError, before memory is allocated, for more elements than the limit or an unknown size.
        """
        self.sizes, kept = sizes, []
        for node in nodes:
            with naming(node):
                if not self._compute(node):
                    kept.append(self._with_free_batch(node))
        return kept

    def _compute(self, node: Node) -> bool:
        """Compute a node if its inputs are known, and return whether they are."""
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
        """Return an upper bound of the number of elements that a node computes."""
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
        """Return a Reshape to a shape that begins with the batch size as one that keeps the batch axis.

        A Resize gets the sizes for one batch size: only those of the pixels matter.
        """
        if node.kind == "Resize" and node.inputs[-1] in self.shapes:
            free = f"{node.inputs[-1]} of {node.outputs[0]}"
            self.constants[free] = self.shapes[node.inputs[-1]][0]
            return node._replace(inputs=[*node.inputs[:-1], free])
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
