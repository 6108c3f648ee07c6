"""The losses and the metrics of an epoch of a network with several outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gwucnn.engine.epoch_totals import Metrics, Totals
from gwucnn.engine.joint_head import JointOutputs
from gwucnn.engine.metric_names import check_metrics
from gwucnn.loss_functions import JointLoss

__all__ = ["JointTotals", "make_totals", "metrics_of"]


class JointTotals(Totals):
    """The weighted loss of all outputs, as in `Totals`, and the loss and metrics of each.

    Parameters
    ----------
    parts : mapping of the name of each output to its Totals
    """

    def __init__(self, parts: Mapping[str, Totals]) -> None:
        super().__init__()
        self._parts = dict(parts)

    def add(self, loss: float, weight: float, target: Any, outputs: JointOutputs, weights: Any = None) -> None:
        super().add(loss, weight, None, None)
        for part, y_true, y_pred, step in zip(self._parts.values(), target, *outputs, strict=True):
            part.add(step.value, weight, y_true, y_pred, weights)

    @property
    def sums(self) -> Any:
        """Everything that was accumulated, as one float64 vector; may be set, for example to the sum over ranks."""
        return np.concatenate([super().sums, *(part.sums for part in self._parts.values())])

    @sums.setter
    def sums(self, sums: Any) -> None:
        Totals.sums.fset(self, sums[:2])  # type: ignore[attr-defined]
        start = 2
        for part in self._parts.values():
            count = part.sums.size
            part.sums = sums[start : start + count]
            start += count

    @property
    def kept(self) -> list[Any]:
        """The rows that metrics keep, which cannot be summed; may be set, for example to those of all ranks."""
        return [rows for part in self._parts.values() for rows in part.kept]

    @kept.setter
    def kept(self, kept: list[Any]) -> None:
        start = 0
        for part in self._parts.values():
            count = len(part.kept)
            part.kept = kept[start : start + count]
            start += count

    def record(self, prefix: str = "", *, quick: bool = False) -> dict[str, float]:
        found = super().record(prefix, quick=quick)
        each = {name: part.record(quick=quick) for name, part in self._parts.items()}
        found |= {f"{prefix}{name}_loss": record["loss"] for name, record in each.items()}
        for name, record in each.items():
            found |= {f"{prefix}{name}_{key}": value for key, value in record.items() if key != "loss"}
        return found


def make_totals(loss: Any, metrics: Any, out_shape: Any) -> Totals:
    """Return empty totals for an epoch. metrics, out_shape : for a JointLoss, those of each output."""
    if isinstance(loss, JointLoss):
        each = zip(loss.names, loss.losses, metrics, out_shape, strict=True)
        return JointTotals({name: make_totals(one, of_it, shape) for name, one, of_it, shape in each})
    if loss is None or not metrics:
        return Totals()
    return Totals(Metrics(metrics, out_shape[-1], multi_label=loss.multi_label))


def metrics_of(given: Any, loss: Any, out_shape: Any) -> Any:
    """Return the metrics to report, as `check_metrics` does; for a JointLoss, those of each output."""
    if isinstance(loss, JointLoss):
        each = zip(given, loss.losses, out_shape, strict=True)
        return tuple(check_metrics(of_it, one, shape[-1]) for of_it, one, shape in each)
    return check_metrics(given, loss, out_shape[-1])
