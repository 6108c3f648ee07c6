"""The ends of the plan of a network with several outputs: a `LossHead` for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gwucnn import ops
from gwucnn.common import NotBuiltError
from gwucnn.engine.loss_head import LossHead
from gwucnn.engine.recorded import Scaled, Sum
from gwucnn.loss_functions import JointLoss
from gwucnn.memory import Space

__all__ = ["JointHead", "JointOutputs", "make_head"]


class JointOutputs(NamedTuple):
    """What `JointTotals` adds up: the outputs, and what holds the loss of each, without its weight, in `value`."""

    arrays: tuple[Any, ...]
    losses: tuple[Any, ...]


class JointHead:
    """The final activation of each output, and its loss once the network is compiled.

    As in `LossHead`, with a tuple in place of each array. The loss is the weighted sum of those of the outputs.
    """

    def __init__(self, activations: Sequence[Any], loss: JointLoss | None) -> None:
        self.loss_function = loss
        losses = [None] * len(activations) if loss is None else loss.losses
        self._heads = [LossHead(activation, one) for activation, one in zip(activations, losses, strict=True)]

    @property
    def replayable(self) -> bool:
        """Whether all losses are computed by compiled steps, which can be replayed."""
        return all(head.replayable for head in self._heads)

    def outputs(self, z: Sequence[Any], space: Space) -> tuple[Any, ...]:
        """Return the outputs of the network, in buffers of `space`."""
        numbered = enumerate(zip(self._heads, z, strict=True))
        return tuple(head.outputs(one, space.child(number)) for number, (head, one) in numbered)

    def measure(self, z: Sequence[Any], target: Any, share: Any, space: Space) -> tuple[Any, Any, JointOutputs]:
        """Return what holds the loss of a batch in its `value`, the gradients with respect to z, and the outputs."""
        if self.loss_function is None:
            raise NotBuiltError("loss: expected a network with losses, got none; call compile(loss=...) first")
        found: list[tuple[Any, ...]] = []
        weights = self.loss_function.weights
        for number, (head, weight) in enumerate(zip(self._heads, weights, strict=True)):
            inner = space.child(number)
            loss, gradient, y = head.measure(z[number], target[number], share, inner)
            if weight != 1:
                gradient = inner.run("weigh", ops.rescale, gradient, weight, out=inner.array("weighed", gradient.shape))
            found.append((Scaled(loss, weight), gradient, y, loss))
        terms, gradients, outputs, losses = zip(*found, strict=True)
        return Sum(list(terms)), gradients, JointOutputs(outputs, losses)


def make_head(activations: Sequence[Any], loss: Any) -> LossHead | JointHead:
    """Return the end of a plan with these final activations, one for each output."""
    return LossHead(activations[0], loss) if len(activations) == 1 else JointHead(activations, loss)
