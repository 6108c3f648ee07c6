"""How each kind of metric is accumulated, a few hundred rows at a time.

kind       metrics                   accumulates
Share      accuracy, top-k accuracy  the weight of the rows that are right, and of all rows
Score      precision, recall, F1     the diagonal, row sums and column sums of the confusion matrix
Area       AUC                       all rows, because each score is compared with each other one
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from gwucnn.engine.metric_names import top_k
from gwucnn.metrics import (
    answer_counts,
    areas,
    average_area,
    class_counts,
    score,
    to_answers,
    to_classes,
    top_k_right,
)

__all__ = ["Kind", "Rows", "accumulator"]


class Rows:
    """Targets and outputs, both (n, outputs), with their weights (n,). What several metrics need is computed once."""

    def __init__(self, true: Any, outputs: Any, weights: Any, multi_label: bool) -> None:
        self.true, self.outputs, self.weights, self._multi_label = true, outputs, weights, multi_label

    @cached_property
    def classes(self) -> tuple[Any, Any]:
        """The true and the predicted class of each row, int64 (n,)."""
        return to_classes(self.true), to_classes(self.outputs)

    @cached_property
    def answers(self) -> tuple[Any, Any]:
        """The true and the predicted answers of independent outputs, bool (n, outputs)."""
        return to_answers(self.true), to_answers(self.outputs)

    @cached_property
    def counts(self) -> Any:
        """The counts from which precision, recall and F1 are computed."""
        if self._multi_label:
            return answer_counts(*self.answers, self.weights)
        return class_counts(*self.classes, max(self.true.shape[1], 2), self.weights)

    @cached_property
    def weight(self) -> float:
        """The sum of the weights."""
        return self.weights.sum()

    @property
    def right(self) -> Any:
        """Whether the class of each row is right, or the share of its answers that are."""
        true, predicted = self.answers if self._multi_label else self.classes
        right = true == predicted
        return right.mean(axis=1) if self._multi_label else right


class Kind:
    """The base class: an accumulator of one metric.

    Attributes
    ----------
    sums : float64 vector
        What can be added up over batches and over processes.
    kept : list or None
        Rows that cannot be summed up, of a metric that needs all of them at once.
    """

    kept: list[Any] | None = None

    def __init__(self, size: int) -> None:
        self.sums = np.zeros(size)

    def add(self, rows: Rows) -> None:
        """Add some rows, whose arrays will be overwritten."""
        raise NotImplementedError

    def result(self) -> float:
        """Return the metric of all rows so far; NaN without any."""
        raise NotImplementedError


class Share(Kind):
    """The share of rows that are right: accuracy, or with k whether the class is among the k largest outputs."""

    def __init__(self, k: int | None = None) -> None:
        super().__init__(2)
        self._k = k

    def add(self, rows: Rows) -> None:
        right = rows.right if self._k is None else top_k_right(rows.classes[0], rows.outputs, self._k)
        # Where no row is right in part, picking their weights is faster than multiplying.
        parts = rows.weights[right] if right.dtype == bool else rows.weights * right
        self.sums[0] += parts.sum()
        self.sums[1] += rows.weight

    def result(self) -> float:
        right, weight = self.sums.tolist()
        return right / weight if weight else float("nan")


class Score(Kind):
    """Precision, recall or F1."""

    def __init__(self, name: str, outputs: int, *, multi_label: bool) -> None:
        super().__init__(1 + 3 * max(outputs, 2))
        self._name, self._multi_label = name, multi_label

    def add(self, rows: Rows) -> None:
        self.sums[0] += rows.weight
        self.sums[1:] += rows.counts.ravel()

    def result(self) -> float:
        if not self.sums[0]:
            return float("nan")
        return score(self._name, self.sums[1:].reshape(3, -1), multi_label=self._multi_label)


class Area(Kind):
    """The area under the ROC curve, exact: it keeps 9 bytes for each output of each sample of the epoch."""

    def __init__(self, outputs: int, *, multi_label: bool) -> None:
        super().__init__(0)
        self.kept = []
        self._outputs, self._multi_label = outputs, multi_label

    def add(self, rows: Rows) -> None:
        self.kept.append((to_answers(rows.true), rows.outputs.copy(), rows.weights.copy()))  # type: ignore[union-attr]

    def result(self) -> float:
        if not self.kept:
            return float("nan")
        positive, scores, weights = map(np.concatenate, zip(*self.kept, strict=True))
        return average_area(*areas(positive, scores, weights), multi_label=self._multi_label)


def accumulator(name: str, outputs: int, *, multi_label: bool) -> Kind:
    """Return an accumulator of the metric called `name` that has no rows yet."""
    if name == "auc":
        return Area(outputs, multi_label=multi_label)
    if name == "accuracy" or top_k(name) is not None:
        return Share(top_k(name))
    return Score(name, outputs, multi_label=multi_label)
