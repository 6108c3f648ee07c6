"""The numbers of an epoch, gathered batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gwucnn.metrics import class_counts, score, to_classes, top_k_right
from gwucnn.suggestions import look_up

__all__ = ["METRICS", "Metrics", "Totals", "check_metrics"]

# What `compile` takes.
METRICS = {name: name for name in ("accuracy", "top_k_accuracy", "precision", "recall", "f1")}
SCORES = ("precision", "recall", "f1")
TOP_K = 5


def check_metrics(names: Any, loss: Any, outputs: int | None = None) -> tuple[str, ...]:
    """Return the metrics to report, given their names: of classes, so that other losses have no accuracy.

    Raises ValueError for unknown names, for other metrics beside a loss of quantities, and for
    top_k_accuracy of one output.
    """
    names = (names,) if isinstance(names, str) else tuple(names or ())
    names = tuple(dict.fromkeys(look_up("compile", "metrics", name, METRICS) for name in names))
    others = [name for name in names if name != "accuracy"]
    if not loss.classifies and others:
        raise ValueError(
            f"compile: expected metrics of classes beside a loss of classes, got {others[0]!r} beside "
            f"{loss.name!r}; leave it out"
        )
    if "top_k_accuracy" in names and outputs == 1:
        raise ValueError(
            "compile: expected top_k_accuracy of one output for each class, got a network of one output; use "
            "'accuracy'"
        )
    return names if loss.classifies else ()


class Metrics:
    """Metrics of an epoch, gathered batch by batch.

    Rows are collected and compared some hundred at a time: at one image a batch, comparing each by itself
    would cost more than the network. Of the confusion matrix only its diagonal and its sums are kept.

    Parameters
    ----------
    names : iterable of str
        Some of METRICS.
    outputs : int
    """

    def __init__(self, names: Iterable[str], outputs: int) -> None:
        self._names = tuple(names)
        self._room = max(1, min(512, 2**15 // outputs))
        # Wide enough for both precisions: rounded, two outputs that differ could become equal.
        self._true = np.empty((self._room, outputs), np.float64)
        self._predicted = np.empty_like(self._true)
        self._weights = np.empty(self._room)
        self._classes = max(outputs, 2)
        self._counts = np.zeros((3, self._classes))
        self._held = 0
        self._right = self._top = self._weight = 0.0

    def update(self, y_true: Any, y_pred: Any, weights: Any = None) -> None:
        """Take the targets and outputs of a batch, both (N, outputs), and the weights (N,) if they differ."""
        for start in range(0, len(y_pred), self._room):
            rows = min(self._room, len(y_pred) - start)
            if self._held + rows > self._room:
                self._count()
            place, batch = slice(self._held, self._held + rows), slice(start, start + rows)
            self._true[place] = y_true[batch]
            self._predicted[place] = y_pred[batch]
            self._weights[place] = 1.0 if weights is None else weights[batch]
            self._held += rows

    def _count(self) -> None:
        held = slice(0, self._held)
        outputs, weights = self._predicted[held], self._weights[held]
        true, predicted = to_classes(self._true[held]), to_classes(outputs)
        self._right += float(weights[true == predicted].sum())
        self._weight += float(weights.sum())
        if "top_k_accuracy" in self._names:
            self._top += float(weights[top_k_right(true, outputs, TOP_K)].sum())
        if any(name in self._names for name in SCORES):
            self._counts += class_counts(true, predicted, self._classes, weights)
        self._held = 0

    @property
    def sums(self) -> Any:
        """All that was added up, float64 in one row; may be set."""
        self._count()
        return np.concatenate([(self._right, self._top, self._weight), self._counts.ravel()])

    @sums.setter
    def sums(self, sums: Any) -> None:
        self._right, self._top, self._weight = sums[:3].tolist()
        self._counts[...] = sums[3:].reshape(self._counts.shape)

    def results(self) -> dict[str, float]:
        """Return each metric so far; NaN before the first row."""
        self._count()
        shares = {"accuracy": self._right, "top_k_accuracy": self._top}
        weight = self._weight or float("nan")
        return {
            name: shares[name] / weight if name in shares else score(name, self._counts)
            for name in self._names
        }


class Totals:
    """Loss and metrics of an epoch so far, each sample with its weight.

    Attributes
    ----------
    penalty : float
        Of weights, where they stay as they are: added to the mean loss.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.penalty = 0.0
        self._metrics = metrics
        self._loss = self._weight = 0.0

    def add(self, loss: float, weight: float, target: Any, outputs: Any, weights: Any = None) -> None:
        """Take a batch: its mean loss and sum of weights, and each row's weight unless all are 1."""
        self._loss += loss * weight
        self._weight += weight
        if self._metrics is not None:
            self._metrics.update(target, outputs, weights)

    def add_batches(self, losses: Any, size: int, target: Any = None, outputs: Any = None) -> None:
        """Take batches of `size` samples that count the same: their losses, and all their rows together."""
        # One after the other: the sum is rounded as if each batch had been added by itself.
        for loss in losses.tolist():
            self._loss += loss * size
        self._weight += size * len(losses)
        if self._metrics is not None:
            self._metrics.update(target, outputs)

    @property
    def sums(self) -> Any:
        """All that was added up, float64 in one row; may be set, such as to the sum of several of them."""
        metrics = () if self._metrics is None else self._metrics.sums
        return np.concatenate([(self._loss, self._weight), metrics])

    @sums.setter
    def sums(self, sums: Any) -> None:
        self._loss, self._weight = sums[:2].tolist()
        if self._metrics is not None:
            self._metrics.sums = sums[2:]

    @property
    def loss(self) -> float:
        """Mean loss; NaN before the first batch."""
        return self._loss / self._weight + self.penalty if self._weight else float("nan")

    def record(self, prefix: str = "") -> dict[str, float]:
        """Return the loss, and the metrics if there are any, under names that begin with `prefix`."""
        metrics = {} if self._metrics is None else self._metrics.results()
        return {f"{prefix}{name}": value for name, value in {"loss": self.loss, **metrics}.items()}
