"""The numbers of an epoch, gathered batch by batch."""

from __future__ import annotations

from typing import Any

from gwucnn.metrics import Accuracy

__all__ = ["Totals"]


class Totals:
    """Loss and accuracy of an epoch so far, each sample with its weight.

    Attributes
    ----------
    penalty : float
        Of weights, where they stay as they are: added to the mean loss.
    """

    def __init__(self, accuracy: Accuracy | None) -> None:
        self.penalty = 0.0
        self._accuracy = accuracy
        self._loss = self._weight = 0.0

    def add(self, loss: float, weight: float, target: Any, outputs: Any) -> None:
        """Take a batch."""
        self._loss += loss * weight
        self._weight += weight
        if self._accuracy is not None:
            self._accuracy.update(target, outputs)

    @property
    def loss(self) -> float:
        """Mean loss; NaN before the first batch."""
        return self._loss / self._weight + self.penalty if self._weight else float("nan")

    def record(self, prefix: str = "") -> dict[str, float]:
        """Return the loss, and the accuracy if there is one, under names that begin with `prefix`."""
        record = {f"{prefix}loss": self.loss}
        if self._accuracy is not None:
            record[f"{prefix}accuracy"] = self._accuracy.result()
        return record
