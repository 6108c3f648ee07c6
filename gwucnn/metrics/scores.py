"""Precision, recall and F1, from counts of classes or of independent outputs; the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn.common import check_size, checks_arguments, look_up
from gwucnn.metrics.classes import answer_pairs, class_pairs, pairs
from gwucnn.metrics.pixels import counts_pixels
from gwucnn.metrics.weights import checked_weights, mean

__all__ = ["answer_counts", "class_counts", "confusion_matrix", "f1", "precision", "recall", "score"]


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


def answer_counts(true: Any, predicted: Any, weights: Any) -> Any:
    """Return for each independent output what `class_counts` returns for each class: float64, shape (3, K).

    true, predicted : bool, shape (N, K).
    """
    return np.array([weights @ (true & predicted), weights @ true, weights @ predicted], np.float64)


AVERAGES = {name: name for name in ("auto", "binary", "macro", "micro", "weighted")}


def score(which: str, counts: Any, average: str | None = "auto", *, multi_label: bool = False) -> Any:
    """Return 'precision', 'recall' or 'f1' for `class_counts`, or with `multi_label` for `answer_counts`."""
    right, true, predicted = counts
    divisor = {"precision": predicted, "recall": true, "f1": (true + predicted) / 2}[which]
    each = _ratio(right, divisor)
    if average is None:
        return each
    average = look_up(which, "average", average, AVERAGES)
    if average == "auto":
        average = "binary" if len(right) == 2 and not multi_label else "macro"
    if not multi_label and not true.sum():
        return float("nan")
    if average == "binary":
        if len(right) != 2 or multi_label:
            got = f"{len(right)} outputs with multi_label=True" if multi_label else f"{len(right)}"
            raise ValueError(
                f"{which}: expected two classes with average='binary', got {got}; give "
                "average='macro', 'micro', 'weighted' or None"
            )
        return float(each[1])
    if average == "micro":
        return float(_ratio(right.sum(), divisor.sum()))
    if average == "weighted":
        return float(_ratio((each * true).sum(), true.sum()))
    return float(each.mean()) if multi_label else mean(each, 1.0 * (true + predicted > 0))


def _ratio(part: Any, whole: Any) -> Any:
    """Return part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)


def _score(which: str, y_true: Any, y_pred: Any, average: str | None, multi_label: bool, sample_weight: Any) -> Any:
    if multi_label:
        answers = answer_pairs(which, y_true, y_pred)
        weights = checked_weights(which, sample_weight, len(answers[0]))
        found = score(which, answer_counts(*answers, weights), average, multi_label=True)
        return found if average is None or weights.any() else float("nan")
    true, predicted, K = class_pairs(which, y_true, y_pred)
    if true.size and min(true.min(), predicted.min()) < 0:
        raise ValueError(f"{which}: expected classes from 0, got {min(true.min(), predicted.min())}")
    weights = checked_weights(which, sample_weight, len(true))
    return score(which, class_counts(true, predicted, K, weights), average)


@checks_arguments
@counts_pixels
def precision(
    y_true: Any, y_pred: Any, average: str | None = "auto", *, multi_label: bool = False, sample_weight: Any = None
) -> Any:
    """Return the fraction of predictions of a class that are correct: correct / predicted.

    Parameters
    ----------
    average : 'auto', 'binary', 'macro', 'micro', 'weighted' or None
        'binary': class 1 of two; 'macro': the mean over the classes that occur; 'weighted': the mean weighted by their
        frequency; 'micro': all classes counted together; None: an array with a value per class. 'auto' is 'binary' for
        two classes and 'macro' for more.
    multi_label : bool
        Whether the K outputs are independent yes-or-no answers, yes above 0.5. Each then counts as a class that may be
        right or wrong beside others; 'auto' is 'macro', over all outputs. y_true and y_pred are then (N, K).

    Notes
    -----
    0 for a class that is never predicted (for recall: that never occurs), NaN without rows. The definitions are those
    of scikit-learn.
    """
    return _score("precision", y_true, y_pred, average, multi_label, sample_weight)


@checks_arguments
@counts_pixels
def recall(
    y_true: Any, y_pred: Any, average: str | None = "auto", *, multi_label: bool = False, sample_weight: Any = None
) -> Any:
    """Return the fraction of samples of a class that are predicted correctly: correct / present. See `precision`."""
    return _score("recall", y_true, y_pred, average, multi_label, sample_weight)


@checks_arguments
@counts_pixels
def f1(
    y_true: Any, y_pred: Any, average: str | None = "auto", *, multi_label: bool = False, sample_weight: Any = None
) -> Any:
    """Return the harmonic mean of precision and recall: 2 * correct / (present + predicted). See `precision`."""
    return _score("f1", y_true, y_pred, average, multi_label, sample_weight)


@checks_arguments
@counts_pixels
def confusion_matrix(y_true: Any, y_pred: Any, num_classes: int | None = None, *, sample_weight: Any = None) -> Any:
    """Count how often class i (row) was predicted as class j (column): int64, shape (K, K).

    num_classes : K, by default one more than the largest class seen. With sample_weight float64.
    """
    caller = "confusion_matrix"
    true, predicted, _ = pairs(caller, y_true, y_pred)
    both = np.concatenate([true, predicted, [0]])
    K = int(both.max()) + 1 if num_classes is None else check_size(caller, "num_classes", num_classes)
    if both.min() < 0 or both.max() >= K:
        raise ValueError(f"{caller}: expected classes from 0 to {K - 1}, got {both.min()} to {both.max()}")
    weights = None if sample_weight is None else checked_weights(caller, sample_weight, len(true))
    return np.bincount(true * K + predicted, weights, K * K).reshape(K, K)
