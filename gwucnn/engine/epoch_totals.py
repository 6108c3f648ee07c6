"""The loss and the metrics of an epoch, accumulated batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gwucnn.common import look_up
from gwucnn.metrics import class_counts, score, to_classes, top_k_right

__all__ = ["METRICS", "Metrics", "Totals", "check_metrics"]

# Names that `compile` accepts, besides 'top_3_accuracy' and the like for any k.
METRICS = {name: name for name in ("accuracy", "top_k_accuracy", "precision", "recall", "f1")}
SCORES = ("precision", "recall", "f1")
TOP_K = 5


def top_k(name: str) -> int | None:
    """Return k for 'top_3_accuracy' and the like, 5 for 'top_k_accuracy', None for other names."""
    k = name.removeprefix("top_").removesuffix("_accuracy")
    if name != f"top_{k}_accuracy":
        return None
    return TOP_K if k == "k" else int(k) if k.isdecimal() and k[0] != "0" else None


def _checked_name(given: Any) -> str:
    """Return the name of a metric, or raise ValueError with the nearest existing name."""
    if isinstance(given, str) and top_k(given) is not None:
        return given
    k = "".join(filter(str.isdecimal, given)).lstrip("0") if isinstance(given, str) else ""
    nearest = {f"top_{k or 3}_accuracy": ""} if isinstance(given, str) and "top" in given else {}
    return look_up("compile", "metrics", given, METRICS | nearest)


def check_metrics(names: Any, loss: Any, outputs: int | None = None) -> tuple[str, ...]:
    """Return the names of the metrics to report. With a regression loss there are none, not even accuracy.

    Raises ValueError for unknown names, for metrics other than accuracy with a regression loss, and for a top-k
    accuracy of a network with a single output or with fewer than k outputs.
    """
    names = (names,) if isinstance(names, str) else () if names is None else names
    if not isinstance(names, Iterable):
        raise TypeError(f"compile: expected metrics to be a list of names, got {names!r}; write ['accuracy']")
    names = tuple(dict.fromkeys(_checked_name(name) for name in names))
    others = [name for name in names if name != "accuracy"]
    if not loss.classifies and others:
        raise ValueError(
            f"compile: expected no classification metric with a regression loss, got {others[0]!r} with "
            f"{loss.name!r}; leave it out"
        )
    for name in names:
        least = 2 if name == "top_k_accuracy" else top_k(name)
        if least is not None and outputs is not None and outputs < least:
            fix = f"'top_{outputs - 1}_accuracy'" if outputs > 2 else "'accuracy'"
            raise ValueError(f"compile: expected at least {least} outputs for {name}, got {outputs}; use {fix}")
    return names if loss.classifies else ()


class Metrics:
    """Metrics of an epoch, accumulated batch by batch.

    Rows are buffered and compared a few hundred at a time: with one image per batch, comparing each on its own would
    cost more than running the network. Of the confusion matrix only the diagonal and the row and column sums are kept.

    Parameters
    ----------
    names : iterable of str
        From METRICS, or 'top_3_accuracy' and the like.
    outputs : int
    """

    def __init__(self, names: Iterable[str], outputs: int) -> None:
        self._names = tuple(names)
        self._capacity = max(1, min(512, 2**15 // outputs))
        # float64 holds both precisions: after rounding, two outputs that differ could become equal.
        self._true = np.empty((self._capacity, outputs), np.float64)
        self._predicted = np.empty_like(self._true)
        self._weights = np.empty(self._capacity)
        self._classes = max(outputs, 2)
        self._counts = np.zeros((3, self._classes))
        self._buffered = 0
        self._right = self._weight = 0.0
        # For each requested k, the weight of the rows whose class is among the k largest outputs.
        self._top = {name: 0.0 for name in self._names if top_k(name) is not None}

    def update(self, y_true: Any, y_pred: Any, weights: Any = None) -> None:
        """Add the targets and outputs of a batch, both (N, outputs), and the weights (N,) unless they are equal."""
        for start in range(0, len(y_pred), self._capacity):
            rows = min(self._capacity, len(y_pred) - start)
            if self._buffered + rows > self._capacity:
                self._count()
            free, batch = slice(self._buffered, self._buffered + rows), slice(start, start + rows)
            self._true[free] = y_true[batch]
            self._predicted[free] = y_pred[batch]
            self._weights[free] = 1.0 if weights is None else weights[batch]
            self._buffered += rows

    def _count(self) -> None:
        rows = slice(0, self._buffered)
        outputs, weights = self._predicted[rows], self._weights[rows]
        true, predicted = to_classes(self._true[rows]), to_classes(outputs)
        self._right += float(weights[true == predicted].sum())
        self._weight += float(weights.sum())
        for name in self._top:
            self._top[name] += float(weights[top_k_right(true, outputs, top_k(name) or TOP_K)].sum())
        if any(name in self._names for name in SCORES):
            self._counts += class_counts(true, predicted, self._classes, weights)
        self._buffered = 0

    @property
    def sums(self) -> Any:
        """Everything that was accumulated, as one float64 vector; may be set."""
        self._count()
        return np.concatenate([(self._right, self._weight, *self._top.values()), self._counts.ravel()])

    @sums.setter
    def sums(self, sums: Any) -> None:
        self._right, self._weight = sums[:2].tolist()
        counts = 2 + len(self._top)
        self._top = dict(zip(self._top, sums[2:counts].tolist(), strict=True))
        self._counts[...] = sums[counts:].reshape(self._counts.shape)

    def results(self) -> dict[str, float]:
        """Return the metrics so far; NaN before the first row."""
        self._count()
        shares = {"accuracy": self._right, **self._top}
        weight = self._weight or float("nan")
        return {name: shares[name] / weight if name in shares else score(name, self._counts) for name in self._names}


class Totals:
    """Loss and metrics of an epoch so far, weighted by sample.

    Attributes
    ----------
    batch_loss : float
        Mean loss of the last batch; NaN before the first.
    penalty : float
        Regularization penalty, added to the mean loss in evaluation. In training each batch's loss includes its own.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.penalty, self.batch_loss = 0.0, float("nan")
        self._metrics = metrics
        self._loss = self._weight = 0.0

    def add(self, loss: float, weight: float, target: Any, outputs: Any, weights: Any = None) -> None:
        """Add a batch: its mean loss and sum of weights, and the weight of each row unless all are 1."""
        self.batch_loss = loss
        self._loss += loss * weight
        self._weight += weight
        if self._metrics is not None:
            self._metrics.update(target, outputs, weights)

    def add_batches(self, losses: Any, size: int, target: Any = None, outputs: Any = None) -> None:
        """Add batches of `size` samples of weight 1: the loss of each batch, and the rows of all of them."""
        # One by one, so that the sum is rounded as if `add` had been called for each batch.
        for loss in losses.tolist():
            self._loss += loss * size
        if len(losses):
            self.batch_loss = float(losses[-1])
        self._weight += size * len(losses)
        if self._metrics is not None:
            self._metrics.update(target, outputs)

    @property
    def sums(self) -> Any:
        """Everything that was accumulated, as one float64 vector; may be set, for example to the sum over ranks."""
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
        """Return the loss and the metrics, if any, under names that begin with `prefix`."""
        metrics = {} if self._metrics is None else self._metrics.results()
        return {f"{prefix}{name}": value for name, value in {"loss": self.loss, **metrics}.items()}
