"""The loss of a network with several outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gwucnn.loss_functions.base import LossFunction

__all__ = ["JointLoss"]


class JointLoss:
    """The weighted sum of a loss for each output.

    Parameters
    ----------
    names : sequence of str
        Of the outputs.
    losses : sequence of LossFunction
    weights : sequence of float
        The factor of each loss in the sum.
    """

    # Targets of several outputs have no common classes that samples could be weighted by, or compared.
    classifies = False

    def __init__(self, names: Sequence[str], losses: Sequence[LossFunction], weights: Sequence[float]) -> None:
        self.names, self.losses, self.weights = tuple(names), tuple(losses), tuple(weights)

    @property
    def replayable(self) -> bool:
        """Whether all losses are computed by compiled steps."""
        return all(loss.replayable for loss in self.losses)

    def check_outputs(self, activations: Sequence[Any], out_shapes: Sequence[tuple[int, ...]]) -> None:
        """Raise an error if outputs of these final activations and shapes cannot be trained with these losses."""
        for loss, activation, shape in zip(self.losses, activations, out_shapes, strict=True):
            loss.check_outputs(activation, shape)

    def __repr__(self) -> str:
        terms = zip(self.names, self.losses, self.weights, strict=True)
        return f"<{' + '.join(f'{weight:g} * {loss!r} of {name}' for name, loss, weight in terms)}>"
