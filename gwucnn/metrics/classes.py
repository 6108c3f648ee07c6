"""Classes: read from labels, one-hot rows or probabilities, written as one-hot rows, and how many are right."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from gwucnn.common import ShapeError, check_size, checks_arguments
from gwucnn.metrics.pixels import counts_pixels
from gwucnn.metrics.weights import checked_weights, mean

__all__ = [
    "accuracy",
    "answer_pairs",
    "class_pairs",
    "no_labels",
    "pairs",
    "to_answers",
    "to_categorical",
    "to_classes",
    "top_k_accuracy",
    "top_k_right",
]


def to_classes(y: Any, caller: str = "to_classes") -> Any:
    """Return class numbers from probabilities, one-hot rows or labels.

    For (N, K) with K > 1 this is the index of the largest output, the first one of equals. With one number per row, the
    numbers are labels if all are integers, otherwise probabilities: class 1 above 0.5. Returns int64 of shape (N,).
    Raises ShapeError for other shapes, ValueError for anything but numbers.
    """
    given, y = y, np.asarray(y)
    if y.ndim not in (1, 2):
        got = f"{y.shape}" if y.dtype.kind in "biuf" else type(given).__name__
        raise ShapeError(f"{caller}: expected labels (N,) or rows (N, K), got {got}")
    if y.dtype.kind not in "biuf":
        raise ValueError(f"{caller}: expected labels or rows of numbers, got {no_labels(y.ravel())}")
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    y = y.reshape(-1)
    whole = y.dtype.kind in "iub" or (np.isfinite(y).all() and (y == np.floor(y)).all())
    return (y if whole else y > 0.5).astype(np.int64)


def to_answers(y: Any) -> Any:
    """Return the yes-or-no answers of independent outputs: bool, true above 0.5, in the shape of y."""
    return np.asarray(y) > 0.5


def pairs(caller: str, y_true: Any, y_pred: Any) -> tuple[Any, Any, int]:
    """Return both as classes (N,), and the number of classes that they show, at least 2."""
    columns = [np.shape(y)[1] for y in (y_true, y_pred) if np.ndim(y) == 2 and np.shape(y)[1] > 1]
    if len(set(columns)) > 1:
        raise ShapeError(f"{caller}: expected as many columns in y_true as in y_pred, got {columns}")
    true, predicted = to_classes(y_true, caller), to_classes(y_pred, caller)
    if true.shape != predicted.shape:
        raise ShapeError(f"{caller}: expected as many y_true as y_pred, got {len(true)} and {len(predicted)}")
    return true, predicted, max([2, *columns, *(int(y.max(initial=0)) + 1 for y in (true, predicted))])


def answer_pairs(caller: str, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Return both as yes-or-no answers of independent outputs, bool (N, K)."""
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    if true.ndim != 2 or true.shape != predicted.shape:
        raise ShapeError(
            f"{caller}: expected y_true and y_pred of one shape (N, K) with multi_label=True, got {true.shape} and "
            f"{predicted.shape}; give a number for each output"
        )
    return to_answers(true), to_answers(predicted)


def class_pairs(caller: str, y_true: Any, y_pred: Any) -> tuple[Any, Any, int]:
    """Return what `pairs` does, but refuse rows of y_true with several classes or none: they have no largest value."""
    found, rows = pairs(caller, y_true, y_pred), np.asarray(y_true)
    if rows.ndim == 2 and rows.shape[1] > 1 and ((rows == 0) | (rows == 1)).all():
        wrong = np.flatnonzero(rows.sum(axis=1) != 1)
        if len(wrong):
            raise ValueError(
                f"{caller}: expected one class in each row of y_true, got {rows[wrong[0]].tolist()}; for independent "
                "outputs write multi_label=True"
            )
    return found


@checks_arguments
@counts_pixels
def accuracy(y_true: Any, y_pred: Any, *, multi_label: bool = False, sample_weight: Any = None) -> float:
    """Return the fraction of rows whose class is predicted correctly, from 0 to 1; NaN without rows.

    Parameters
    ----------
    multi_label : bool
        Whether the K outputs are independent yes-or-no answers, of which any number may be right: the fraction of all
        answers that are predicted correctly, yes above 0.5 (Keras' binary accuracy). y_true and y_pred are then (N, K).

    Raises
    ------
    ShapeError
        If their shapes do not fit.
    ValueError
        For rows of y_true with several classes, unless multi_label=True.

    Examples
    --------
    >>> y_true, y_pred = [[1, 1, 0], [0, 0, 0]], [[0.9, 0.2, 0.1], [0.3, 0.2, 0.1]]
    >>> round(accuracy(y_true, y_pred, multi_label=True), 3)
    0.833
    """
    true, predicted = (answer_pairs if multi_label else class_pairs)("accuracy", y_true, y_pred)[:2]
    right = true == predicted
    rows = right.mean(axis=1) if multi_label else right
    return mean(rows, checked_weights("accuracy", sample_weight, len(true)))


def top_k_right(labels: Any, y_pred: Any, k: int) -> Any:
    """Return for each row whether fewer than k outputs are larger than that of its label: bool (N,).

    An output that is NaN counts as larger; a label whose output is NaN is never among the best.
    """
    chosen = y_pred[np.arange(len(labels)), labels][:, None]
    larger = ((y_pred > chosen) | np.isnan(y_pred)).sum(axis=1)
    return (larger < k) & ~np.isnan(chosen[:, 0])


@checks_arguments
@counts_pixels
def top_k_accuracy(y_true: Any, y_pred: Any, k: int = 5, *, sample_weight: Any = None) -> float:
    """Return the fraction of rows whose class is among the k most probable ones, from 0 to 1; NaN without rows.

    y_pred : probabilities (N, K), K at least 2. Ties count in favour of the class. For k >= K the result is 1. In
    `compile`, 'top_k_accuracy' stands for k = 5; for another k use names such as 'top_3_accuracy'.
    """
    caller, y_pred = "top_k_accuracy", np.asarray(y_pred)
    k = check_size(caller, "k", k)
    if y_pred.ndim != 2 or y_pred.shape[1] < 2:
        raise ShapeError(f"{caller}: expected y_pred of shape (N, K), K at least 2, got {y_pred.shape}")
    true, _, _ = pairs(caller, y_true, y_pred)
    if true.size and not 0 <= true.min() <= true.max() < y_pred.shape[1]:
        raise ValueError(
            f"{caller}: expected classes from 0 to {y_pred.shape[1] - 1}, got {true.min()} to {true.max()}"
        )
    return mean(top_k_right(true, y_pred, k), checked_weights(caller, sample_weight, len(true)))


def no_labels(labels: Any) -> str:
    """Return a description of what these are instead of integers, and how to fix it."""
    items = labels[:3].tolist()
    examples = ", ".join(f"an array {item.shape}" if isinstance(item, np.ndarray) else f"{item!r}" for item in items)
    if labels.dtype.kind == "O" and all(isinstance(label, Real) for label in labels[:3].tolist()):
        return f"{examples} as objects; convert them with y.astype(float)"
    if labels.dtype.kind not in "fc":
        return f"{examples}; number the classes from 0, as np.unique(y, return_inverse=True)[1] does"
    if not np.isfinite(labels).all():
        return f"{examples}; remove or repair what is not finite"
    return f"{examples}; round them, or for quantities use a loss such as 'mse'"


@checks_arguments
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
    num_classes = largest + 1 if num_classes is None else check_size("to_categorical", "num_classes", num_classes)
    if labels.size and (labels.min() < 0 or largest >= num_classes):
        raise ValueError(
            f"to_categorical: expected labels from 0 to {num_classes - 1}, got {labels.min()} to {largest}; "
            "number the classes from 0, or raise num_classes"
        )
    rows = np.zeros((labels.size, num_classes), np.float32)
    rows[np.arange(labels.size), labels] = 1
    return rows
