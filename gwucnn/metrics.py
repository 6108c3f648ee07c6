"""Metrics: how good predictions are.

Everywhere `y_true` and `y_pred` are labels (N,), or rows (N, K) of one-hot values or probabilities; see `to_classes`.
`sample_weight` (N,) is the weight of each sample, 1 by default.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from gwucnn.common import ShapeError, check_size, checks_arguments, look_up

__all__ = [
    "accuracy",
    "class_counts",
    "confusion_matrix",
    "f1",
    "precision",
    "recall",
    "score",
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


def _pairs(caller: str, y_true: Any, y_pred: Any) -> tuple[Any, Any, int]:
    """Return both as classes (N,), and the number of classes that they show, at least 2."""
    columns = [np.shape(y)[1] for y in (y_true, y_pred) if np.ndim(y) == 2 and np.shape(y)[1] > 1]
    if len(set(columns)) > 1:
        raise ShapeError(f"{caller}: expected as many columns in y_true as in y_pred, got {columns}")
    true, predicted = to_classes(y_true, caller), to_classes(y_pred, caller)
    if true.shape != predicted.shape:
        raise ShapeError(f"{caller}: expected as many y_true as y_pred, got {len(true)} and {len(predicted)}")
    return true, predicted, max([2, *columns, *(int(y.max(initial=0)) + 1 for y in (true, predicted))])


def _weights(caller: str, sample_weight: Any, N: int) -> Any:
    """Check sample_weight and return it, or ones for None."""
    if sample_weight is None:
        return np.ones(N)
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (N,):
        raise ShapeError(f"{caller}: expected sample_weight of shape ({N},), got {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"{caller}: expected weights that are finite and not negative")
    return weights


def _mean(values: Any, weights: Any) -> float:
    total = weights.sum()
    return float((values * weights).sum() / total) if total else float("nan")


@checks_arguments
def accuracy(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Return the fraction of rows whose class is predicted correctly, from 0 to 1; NaN without rows.

    Raises ShapeError if their numbers differ.
    """
    true, predicted, _ = _pairs("accuracy", y_true, y_pred)
    return _mean(true == predicted, _weights("accuracy", sample_weight, len(true)))


def top_k_right(labels: Any, y_pred: Any, k: int) -> Any:
    """Return for each row whether fewer than k outputs are larger than that of its label: bool (N,).

    An output that is NaN counts as larger; a label whose output is NaN is never among the best.
    """
    chosen = y_pred[np.arange(len(labels)), labels][:, None]
    larger = ((y_pred > chosen) | np.isnan(y_pred)).sum(axis=1)
    return (larger < k) & ~np.isnan(chosen[:, 0])


@checks_arguments
def top_k_accuracy(y_true: Any, y_pred: Any, k: int = 5, *, sample_weight: Any = None) -> float:
    """Return the fraction of rows whose class is among the k most probable ones, from 0 to 1; NaN without rows.

    y_pred : probabilities (N, K), K at least 2. Ties count in favour of the class. For k >= K the result is 1. In
    `compile`, 'top_k_accuracy' stands for k = 5; for another k use names such as 'top_3_accuracy'.
    """
    caller, y_pred = "top_k_accuracy", np.asarray(y_pred)
    k = check_size(caller, "k", k)
    if y_pred.ndim != 2 or y_pred.shape[1] < 2:
        raise ShapeError(f"{caller}: expected y_pred of shape (N, K), K at least 2, got {y_pred.shape}")
    true, _, _ = _pairs(caller, y_true, y_pred)
    if true.size and not 0 <= true.min() <= true.max() < y_pred.shape[1]:
        raise ValueError(
            f"{caller}: expected classes from 0 to {y_pred.shape[1] - 1}, got {true.min()} to {true.max()}"
        )
    return _mean(top_k_right(true, y_pred, k), _weights(caller, sample_weight, len(true)))


def class_counts(true: Any, predicted: Any, K: int, weights: Any = None) -> Any:
    """Return the diagonal, row sums and column sums of the confusion matrix: float64, shape (3, K).

    For each class: the number of samples predicted correctly, the number of samples, and the number of predictions.
    """
    right = true == predicted
    chosen = ((true, right), (true, slice(None)), (predicted, slice(None)))
    return np.array(
        [np.bincount(y[rows], None if weights is None else weights[rows], K) for y, rows in chosen],
        np.float64,
    )


AVERAGES = {name: name for name in ("auto", "binary", "macro", "micro", "weighted")}


def score(which: str, counts: Any, average: str | None = "auto") -> Any:
    """Return 'precision', 'recall' or 'f1' for the result of `class_counts`; see `precision`."""
    right, true, predicted = counts
    divisor = {"precision": predicted, "recall": true, "f1": (true + predicted) / 2}[which]
    each = np.divide(right, divisor, out=np.zeros(len(right)), where=divisor > 0)
    if average is None:
        return each
    average = look_up(which, "average", average, AVERAGES)
    if average == "auto":
        average = "binary" if len(right) == 2 else "macro"
    if not true.sum():
        return float("nan")
    if average == "binary":
        if len(right) != 2:
            raise ValueError(
                f"{which}: expected two classes with average='binary', got {len(right)}; give "
                "average='macro', 'micro', 'weighted' or None"
            )
        return float(each[1])
    if average == "micro":
        return float(right.sum() / divisor.sum())
    return _mean(each, true if average == "weighted" else 1.0 * (true + predicted > 0))


def _score(which: str, y_true: Any, y_pred: Any, average: str | None, sample_weight: Any) -> Any:
    true, predicted, K = _pairs(which, y_true, y_pred)
    if true.size and min(true.min(), predicted.min()) < 0:
        raise ValueError(f"{which}: expected classes from 0, got {min(true.min(), predicted.min())}")
    weights = _weights(which, sample_weight, len(true))
    return score(which, class_counts(true, predicted, K, weights), average)


@checks_arguments
def precision(y_true: Any, y_pred: Any, average: str | None = "auto", *, sample_weight: Any = None) -> Any:
    """Return the fraction of predictions of a class that are correct: correct / predicted.

    Parameters
    ----------
    average : 'auto', 'binary', 'macro', 'micro', 'weighted' or None
        'binary': class 1 of two; 'macro': the mean over the classes that occur; 'weighted': the mean weighted by their
        frequency; 'micro': all classes counted together; None: an array with a value per class. 'auto' is 'binary' for
        two classes and 'macro' for more.

    Notes
    -----
    0 for a class that is never predicted (for recall: that never occurs), NaN without rows. The definitions are those
    of scikit-learn.
    """
    return _score("precision", y_true, y_pred, average, sample_weight)


@checks_arguments
def recall(y_true: Any, y_pred: Any, average: str | None = "auto", *, sample_weight: Any = None) -> Any:
    """Return the fraction of samples of a class that are predicted correctly: correct / present. See `precision`."""
    return _score("recall", y_true, y_pred, average, sample_weight)


@checks_arguments
def f1(y_true: Any, y_pred: Any, average: str | None = "auto", *, sample_weight: Any = None) -> Any:
    """Return the harmonic mean of precision and recall: 2 * correct / (present + predicted). See `precision`."""
    return _score("f1", y_true, y_pred, average, sample_weight)


@checks_arguments
def confusion_matrix(y_true: Any, y_pred: Any, num_classes: int | None = None, *, sample_weight: Any = None) -> Any:
    """Count how often class i (row) was predicted as class j (column): int64, shape (K, K).

    num_classes : K, by default one more than the largest class seen. With sample_weight float64.
    """
    caller = "confusion_matrix"
    true, predicted, _ = _pairs(caller, y_true, y_pred)
    both = np.concatenate([true, predicted, [0]])
    K = int(both.max()) + 1 if num_classes is None else check_size(caller, "num_classes", num_classes)
    if both.min() < 0 or both.max() >= K:
        raise ValueError(f"{caller}: expected classes from 0 to {K - 1}, got {both.min()} to {both.max()}")
    weights = None if sample_weight is None else _weights(caller, sample_weight, len(true))
    return np.bincount(true * K + predicted, weights, K * K).reshape(K, K)


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
