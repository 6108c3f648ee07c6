"""The numbers of an epoch, gathered batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gwucnn.common import look_up
from gwucnn.metrics import class_counts, score, to_classes, top_k_right

__all__ = ["METRICS", "Metrics", "Totals", "check_metrics"]

# What `compile` takes, and beside these 'top_3_accuracy' and the like.
METRICS = {name: name for name in ("accuracy", "top_k_accuracy", "precision", "recall", "f1")}
SCORES = ("precision", "recall", "f1")
TOP_K = 5


def top_k(name: str) -> int | None:
    """Return k of 'top_3_accuracy' and the like, 5 of 'top_k_accuracy', None of other names."""
    k = name.removeprefix("top_").removesuffix("_accuracy")
    if name != f"top_{k}_accuracy":
        return None
    return TOP_K if k == "k" else int(k) if k.isdecimal() and k[0] != "0" else None


def _name(given: Any) -> str:
    """Return a metric's name, or raise ValueError with the nearest that exists."""
    if isinstance(given, str) and top_k(given) is not None:
        return given
    k = "".join(filter(str.isdecimal, given)).lstrip("0") if isinstance(given, str) else ""
    nearest = {f"top_{k or 3}_accuracy": ""} if isinstance(given, str) and "top" in given else {}
    return look_up("compile", "metrics", given, METRICS | nearest)


def check_metrics(names: Any, loss: Any, outputs: int | None = None) -> tuple[str, ...]:
    """Return the metrics to report, given their names: of classes, so that other losses have no accuracy.

    Raises ValueError for unknown names, for other metrics beside a loss of quantities, and for the best k of
    one output, or of fewer than a k that was named.
    """
    names = (names,) if isinstance(names, str) else () if names is None else names
    if not isinstance(names, Iterable):
        raise TypeError(f"compile: expected metrics to be a list of names, got {names!r}; write ['accuracy']")
    names = tuple(dict.fromkeys(_name(name) for name in names))
    others = [name for name in names if name != "accuracy"]
    if not loss.classifies and others:
        raise ValueError(
            f"compile: expected metrics of classes beside a loss of classes, got {others[0]!r} beside "
            f"{loss.name!r}; leave it out"
        )
    for name in names:
        least = 2 if name == "top_k_accuracy" else top_k(name)
        if least is not None and outputs is not None and outputs < least:
            fix = f"'top_{outputs - 1}_accuracy'" if outputs > 2 else "'accuracy'"
            raise ValueError(
                f"compile: expected {name} of a network of at least {least} outputs, got one of {outputs}; use {fix}"
            )
    return names if loss.classifies else ()


class Metrics:
    """Metrics of an epoch, gathered batch by batch.

    Rows are collected and compared some hundred at a time: at one image a batch, comparing each by itself
    would cost more than the network. Of the confusion matrix only its diagonal and its sums are kept.

    Parameters
    ----------
    names : iterable of str
        Some of METRICS, 'top_3_accuracy' and the like.
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
        self._right = self._weight = 0.0
        # Of each k that is asked for, the weight of the rows whose class is among the best k.
        self._top = {name: 0.0 for name in self._names if top_k(name) is not None}

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
        for name in self._top:
            self._top[name] += float(weights[top_k_right(true, outputs, top_k(name) or TOP_K)].sum())
        if any(name in self._names for name in SCORES):
            self._counts += class_counts(true, predicted, self._classes, weights)
        self._held = 0

    @property
    def sums(self) -> Any:
        """All that was added up, float64 in one row; may be set."""
        self._count()
        return np.concatenate([(self._right, self._weight, *self._top.values()), self._counts.ravel()])

    @sums.setter
    def sums(self, sums: Any) -> None:
        self._right, self._weight = sums[:2].tolist()
        counts = 2 + len(self._top)
        self._top = dict(zip(self._top, sums[2:counts].tolist(), strict=True))
        self._counts[...] = sums[counts:].reshape(self._counts.shape)

    def results(self) -> dict[str, float]:
        """Return each metric so far; NaN before the first row."""
        self._count()
        shares = {"accuracy": self._right, **self._top}
        weight = self._weight or float("nan")
        return {name: shares[name] / weight if name in shares else score(name, self._counts) for name in self._names}


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
