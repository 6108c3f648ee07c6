"""Numbers for people: how good predictions are."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn.errors import ShapeError

__all__ = ["Accuracy", "accuracy", "confusion_matrix", "to_classes", "to_categorical"]


def to_classes(y: Any) -> Any:
    """Return class numbers from probabilities, one-hot rows or labels.

    (N, K) with K > 1 gives the largest output's number; one output is class 1 above 0.5. Labels (N,) of an integer
    type stay as they are. Returns int64 of shape (N,).
    """
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    if y.ndim > 2:
        raise ShapeError(f"to_classes: expected (N,) or (N, K), got {y.shape}")
    y = y.reshape(-1)
    return y.astype(np.int64) if y.dtype.kind in "iub" else (y > 0.5).astype(np.int64)


def accuracy(y_true: Any, y_pred: Any) -> float:
    """Return the share of rows whose class is predicted right, from 0 to 1; NaN of no rows.

    y_true : labels (N,), or probabilities or one-hot rows (N, K). y_pred : the same.
    """
    true, predicted = to_classes(y_true), to_classes(y_pred)
    if true.shape != predicted.shape:
        raise ShapeError(f"accuracy: expected as many y_true as y_pred, got {len(true)} and {len(predicted)}")
    return float((true == predicted).mean()) if len(true) else float("nan")


def confusion_matrix(y_true: Any, y_pred: Any, num_classes: int | None = None) -> Any:
    """Count how often class i (row) was predicted as class j (column): int64, shape (K, K).

    y_true, y_pred : as in `accuracy`. num_classes : K, by default one more than the largest class seen.
    """
    true, predicted = to_classes(y_true), to_classes(y_pred)
    if true.shape != predicted.shape:
        raise ShapeError(f"confusion_matrix: expected as many y_true as y_pred, got {len(true)} and {len(predicted)}")
    both = np.concatenate([true, predicted, [0]])
    K = int(both.max()) + 1 if num_classes is None else num_classes
    if both.min() < 0 or both.max() >= K:
        raise ValueError(f"confusion_matrix: expected classes from 0 to {K - 1}, got {both.min()} to {both.max()}")
    return np.bincount(true * K + predicted, minlength=K * K).reshape(K, K)


def to_categorical(y: Any, num_classes: int | None = None) -> Any:
    """Return one-hot rows of integer labels: float32, shape (N, num_classes).

    y : labels from 0, shape (N,) or (N, 1). num_classes : by default one more than the largest label.
    Raises ValueError for labels that are not integers or out of range.
    """
    labels = np.asarray(y).reshape(-1)
    if labels.dtype.kind not in "iub" and (labels != np.floor(labels)).any():
        raise ValueError(f"to_categorical: expected integer labels, got {labels[:3]!r}")
    labels = labels.astype(np.int64)
    largest = int(labels.max()) if labels.size else -1
    num_classes = largest + 1 if num_classes is None else num_classes
    if labels.size and (labels.min() < 0 or largest >= num_classes):
        raise ValueError(
            f"to_categorical: expected labels from 0 to {num_classes - 1}, got {labels.min()} to {largest}"
        )
    rows = np.zeros((labels.size, num_classes), np.float32)
    rows[np.arange(labels.size), labels] = 1
    return rows


class Accuracy:
    """Accuracy of an epoch, gathered batch by batch.

    Rows are collected and compared some hundred at a time: at one image a batch, comparing each by itself would
    cost more than the network.
    """

    ROWS = 512

    def __init__(self, outputs: int) -> None:
        self._true = np.empty((self.ROWS, outputs), np.float32)
        self._predicted = np.empty_like(self._true)
        self._held = self._right = self._rows = 0

    def update(self, y_true: Any, y_pred: Any) -> None:
        """Take the targets and outputs of a batch, both (N, outputs)."""
        rows = len(y_pred)
        if rows > self.ROWS:
            self.update(y_true[: self.ROWS], y_pred[: self.ROWS])
            self.update(y_true[self.ROWS :], y_pred[self.ROWS :])
            return
        if self._held + rows > self.ROWS:
            self._compare()
        self._true[self._held : self._held + rows] = y_true
        self._predicted[self._held : self._held + rows] = y_pred
        self._held += rows

    def _compare(self) -> None:
        true, predicted = to_classes(self._true[: self._held]), to_classes(self._predicted[: self._held])
        self._right += int(np.count_nonzero(true == predicted))
        self._rows += self._held
        self._held = 0

    def result(self) -> float:
        """Return the accuracy so far; NaN before the first row."""
        self._compare()
        return self._right / self._rows if self._rows else float("nan")
