"""A graph of layers as a sequence, its branches as nested layers: Residual for sums, Concatenate for concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gwucnn.activation_layers import Activation
from gwucnn.layers import Concatenate, Layer, Residual
from gwucnn.onnx.attributes import Unsupported

__all__ = ["Step", "in_a_row"]


# Each level of nesting takes a few levels of Python's recursion, which is limited to a thousand.
DEEPEST = 100


class Step(NamedTuple):
    """How a value is computed: a sequence of layers from one value, or a join ('Add', 'Concat') of several."""

    inputs: Sequence[str]
    layers: Sequence[Layer]
    join: str
    node: str


def in_a_row(steps: dict[str, Step], source: str, target: str) -> list[Layer]:
    """Return the layers that compute `target` from `source`; `steps` are in topological order.

    Raises ValueError for a graph whose branches are not nested, each with one start and one end.
    """
    return _Decomposition(steps, source).row(source, target)


class _Decomposition:
    def __init__(self, steps: dict[str, Step], source: str) -> None:
        self.steps, self.used, self.deep = steps, set[str](), 0
        # The immediate dominator of each value, the nearest one that all paths to it pass through, and its depth.
        self.gate: dict[str, str] = {source: source}
        self.depth = {source: 0}
        for value, step in steps.items():
            meeting = step.inputs[0]
            for other in step.inputs[1:]:
                meeting = self._meet(meeting, other)
            self.gate[value], self.depth[value] = meeting, self.depth[meeting] + 1

    def _meet(self, a: str, b: str) -> str:
        while a != b:
            if self.depth[a] >= self.depth[b]:
                a = self.gate[a]
            else:
                b = self.gate[b]
        return a

    def row(self, source: str, target: str) -> list[Layer]:
        """Return the layers from `source` to a value whose paths all pass through `source`."""
        layers: list[Layer] = []
        while target != source:
            step = self.steps[target]
            if target in self.used:
                raise Unsupported(
                    "onnx: expected branches that leave from one place and meet in one, got node "
                    f"{step.node!r}, whose output is used by branches that cross"
                )
            self.used.add(target)
            layers = [*(self._block(step, self.gate[target]) if step.join else step.layers), *layers]
            target = self.gate[target]
        return layers

    def _block(self, step: Step, source: str) -> list[Layer]:
        if self.deep == DEEPEST:
            raise Unsupported(f"onnx: expected blocks in blocks, at most {DEEPEST} deep, got more")
        self.deep += 1
        rows = [self.row(source, value) for value in step.inputs]
        self.deep -= 1
        if step.join == "Concat":
            return [Concatenate(rows)]
        layers, shortcut = rows if rows[0] else rows[::-1]
        # A value that is added to itself takes an identity layer as its second branch.
        return [Residual(layers or [Activation(None)], shortcut or None)]
