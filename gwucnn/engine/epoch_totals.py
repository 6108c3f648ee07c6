"""The loss and the metrics of an epoch, accumulated batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np

from gwucnn.engine.metric_kinds import Kind, Rows, accumulator
from gwucnn.engine.metric_names import metric_name
from gwucnn.engine.own_metric import OwnMetric

__all__ = ["Metrics", "Totals"]

# Rows of a large batch that are compared at once: few enough that what is computed from them stays in the cache.
MOST_ROWS = 2**14


class Metrics:
    """Metrics of an epoch, accumulated batch by batch.

    Rows are buffered and compared a few hundred at a time: with one image per batch, comparing each on its own would
    cost more than running the network. Large batches, such as the pixels of images, are compared where they are.

    Parameters
    ----------
    metrics : iterable of str or function
        As `check_metrics` returns them.
    outputs : int
    multi_label : bool
        Whether the outputs are independent yes-or-no answers, rather than classes of which one is right.
    """

    def __init__(self, metrics: Iterable[Any], outputs: int, *, multi_label: bool = False) -> None:
        self._multi_label = multi_label and outputs > 1
        self._kinds: dict[str, Kind] = {}
        for metric in metrics:
            by_name = isinstance(metric, str)
            kind = accumulator(metric, outputs, multi_label=self._multi_label) if by_name else OwnMetric(metric)
            self._kinds[metric_name(metric)] = kind
        self._own = [kind for kind in self._kinds.values() if isinstance(kind, OwnMetric)]
        self._by_rows = [kind for kind in self._kinds.values() if not isinstance(kind, OwnMetric)]
        self._capacity = max(1, min(512, 2**15 // outputs))
        # float64 holds both precisions: after rounding, two outputs that differ could become equal.
        self._true = np.empty((self._capacity, outputs), np.float64)
        self._predicted = np.empty_like(self._true)
        self._weights = np.empty(self._capacity)
        self._buffered = 0

    def update(self, y_true: Any, y_pred: Any, weights: Any = None, size: int | None = None) -> None:
        """Add targets and outputs, (N, outputs) or (N, H, W, outputs), and the weights (N,) unless they are equal.

        Each pixel of an image is a row, with the weight of its image. size : samples per batch; by default all are one.
        """
        for own in self._own:
            own.add_batches(y_true, y_pred, weights, len(y_pred) if size is None else size)
        if not self._by_rows:
            return
        if y_pred.ndim > 2:
            outputs = y_pred.shape[-1]
            pixels = prod(y_pred.shape[1:-1])
            y_true, y_pred = y_true.reshape(-1, outputs), y_pred.reshape(-1, outputs)
            weights = None if weights is None else np.repeat(weights, pixels)
        self._add_rows(y_true, y_pred, weights)

    def _add_rows(self, y_true: Any, y_pred: Any, weights: Any) -> None:
        count = len(y_pred)
        if count > self._capacity:
            self._count()
            weights = np.ones(count) if weights is None else weights
            for start in range(0, count, MOST_ROWS):
                part = slice(start, start + MOST_ROWS)
                self._compare(y_true[part], y_pred[part], weights[part])
            return
        if self._buffered + count > self._capacity:
            self._count()
        free = slice(self._buffered, self._buffered + count)
        self._true[free] = y_true
        self._predicted[free] = y_pred
        self._weights[free] = 1.0 if weights is None else weights
        self._buffered += count

    def _count(self) -> None:
        """Compare the buffered rows."""
        if self._buffered:
            full = slice(0, self._buffered)
            self._compare(self._true[full], self._predicted[full], self._weights[full])
            self._buffered = 0

    def _compare(self, y_true: Any, y_pred: Any, weights: Any) -> None:
        rows = Rows(y_true, y_pred, weights, self._multi_label)
        for kind in self._by_rows:
            kind.add(rows)

    @property
    def sums(self) -> Any:
        """Everything that was accumulated in numbers, as one float64 vector; may be set."""
        self._count()
        return np.concatenate([kind.sums for kind in self._kinds.values()])

    @sums.setter
    def sums(self, sums: Any) -> None:
        start = 0
        for kind in self._kinds.values():
            kind.sums[...] = sums[start : start + kind.sums.size]
            start += kind.sums.size

    @property
    def kept(self) -> list[Any]:
        """The rows that metrics keep because they need all of them at once; may be set. Empty if none does."""
        self._count()
        return [kind.kept for kind in self._kinds.values() if kind.kept is not None]

    @kept.setter
    def kept(self, kept: list[Any]) -> None:
        for kind, rows in zip((k for k in self._kinds.values() if k.kept is not None), kept, strict=True):
            kind.kept = rows

    def results(self, *, quick: bool = False) -> dict[str, float]:
        """Return the metrics so far; NaN before the first row. `quick` leaves out those that go through all rows."""
        self._count()
        return {name: kind.result() for name, kind in self._kinds.items() if not (quick and kind.kept is not None)}


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
            self._metrics.update(target, outputs, size=size)

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
    def kept(self) -> list[Any]:
        """The rows that metrics keep, which cannot be summed; may be set, for example to those of all ranks."""
        return [] if self._metrics is None else self._metrics.kept

    @kept.setter
    def kept(self, kept: list[Any]) -> None:
        if self._metrics is not None:
            self._metrics.kept = kept

    @property
    def loss(self) -> float:
        """Mean loss; NaN before the first batch."""
        return self._loss / self._weight + self.penalty if self._weight else float("nan")

    def record(self, prefix: str = "", *, quick: bool = False) -> dict[str, float]:
        """Return the loss and the metrics, if any, under names that begin with `prefix`.

        quick : whether to leave out metrics that take long, as a progress bar does, which asks often.
        """
        metrics = {} if self._metrics is None else self._metrics.results(quick=quick)
        return {f"{prefix}{name}": value for name, value in {"loss": self.loss, **metrics}.items()}
