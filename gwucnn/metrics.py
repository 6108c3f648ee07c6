"""Numbers for people: how good predictions are."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn.errors import ShapeError
from gwucnn.shapes import check_size

__all__ = ["Accuracy", "accuracy", "confusion_matrix", "to_categorical", "to_classes"]


def to_classes(y: Any) -> Any:
    """Return class numbers from probabilities, one-hot rows or labels.

    (N, K) with K > 1 gives the largest output's number, the first of equal ones. One number a row is a label
    if all are whole, otherwise a probability: class 1 above 0.5. Returns int64 of shape (N,).
    """
    y = np.asarray(y)
    if y.ndim not in (1, 2):
        raise ShapeError(f"to_classes: expected (N,) or (N, K), got {y.shape}")
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    y = y.reshape(-1)
    whole = y.dtype.kind in "iub" or (np.isfinite(y).all() and (y == np.floor(y)).all())
    return (y if whole else y > 0.5).astype(np.int64)


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
        raise ShapeError(
            f"confusion_matrix: expected as many y_true as y_pred, got {len(true)} and {len(predicted)}"
        )
    both = np.concatenate([true, predicted, [0]])
    K = (
        int(both.max()) + 1
        if num_classes is None
        else check_size("confusion_matrix", "num_classes", num_classes)
    )
    if both.min() < 0 or both.max() >= K:
        raise ValueError(
            f"confusion_matrix: expected classes from 0 to {K - 1}, got {both.min()} to {both.max()}"
        )
    return np.bincount(true * K + predicted, minlength=K * K).reshape(K, K)


def no_labels(labels: Any) -> str:
    """Return what these are instead of integers, and what to do about it."""
    examples = ", ".join(map(repr, labels[:3].tolist()))
    if labels.dtype.kind not in "fc":
        return f"{examples}; number the classes from 0, as np.unique(y, return_inverse=True)[1] does"
    if not np.isfinite(labels).all():
        return f"{examples}; remove or repair what is not finite"
    return f"{examples}; round them, or for quantities use a loss such as 'mse'"


def to_categorical(y: Any, num_classes: int | None = None) -> Any:
    """Return one-hot rows of integer labels: float32, shape (N, num_classes).

    y : labels from 0, shape (N,) or (N, 1). num_classes : by default one more than the largest label.
    Raises ShapeError for another shape, ValueError for labels that are not integers or out of range.
    """
    labels = np.asarray(y)
    if labels.ndim != 1 and labels.shape[1:] != (1,):
        raise ShapeError(f"to_categorical: expected labels of shape (N,) or (N, 1), got {labels.shape}")
    labels = labels.reshape(-1)
    numbers = labels.dtype.kind in "iub" or (labels.dtype.kind == "f" and np.isfinite(labels).all())
    if not numbers or (labels != np.floor(labels)).any():
        raise ValueError(f"to_categorical: expected integer labels, got {no_labels(labels)}")
    labels = labels.astype(np.int64)
    largest = int(labels.max()) if labels.size else -1
    num_classes = (
        largest + 1 if num_classes is None else check_size("to_categorical", "num_classes", num_classes)
    )
    if labels.size and (labels.min() < 0 or largest >= num_classes):
        raise ValueError(
            f"to_categorical: expected labels from 0 to {num_classes - 1}, got {labels.min()} to {largest}; "
            "number the classes from 0, or raise num_classes"
        )
    rows = np.zeros((labels.size, num_classes), np.float32)
    rows[np.arange(labels.size), labels] = 1
    return rows


class Accuracy:
    """Accuracy of an epoch, gathered batch by batch.

    Rows are collected and compared some hundred at a time: at one image a batch, comparing each by itself
    would cost more than the network.
    """

    def __init__(self, outputs: int) -> None:
        self._room = max(1, min(512, 2**15 // outputs))
        # Wide enough for both precisions: rounded, two outputs that differ could become equal.
        self._true = np.empty((self._room, outputs), np.float64)
        self._predicted = np.empty_like(self._true)
        self._held = self._right = self._rows = 0

    def update(self, y_true: Any, y_pred: Any) -> None:
        """Take the targets and outputs of a batch, both (N, outputs)."""
        for start in range(0, len(y_pred), self._room):
            rows = min(self._room, len(y_pred) - start)
            if self._held + rows > self._room:
                self._compare()
            self._true[self._held : self._held + rows] = y_true[start : start + rows]
            self._predicted[self._held : self._held + rows] = y_pred[start : start + rows]
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
