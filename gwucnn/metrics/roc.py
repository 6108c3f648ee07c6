"""The area under the ROC curve: how often a right answer is given a higher score than a wrong one."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn.common import ShapeError, checks_arguments, look_up
from gwucnn.metrics.classes import to_answers, to_classes
from gwucnn.metrics.pixels import counts_pixels
from gwucnn.metrics.weights import checked_weights, mean

__all__ = ["areas", "auc", "average_area"]

AVERAGES = {name: name for name in ("auto", "macro", "weighted")}


@checks_arguments
@counts_pixels
def auc(
    y_true: Any,
    y_pred: Any,
    average: str | None = "auto",
    *,
    multi_label: bool = False,
    sample_weight: Any = None,
) -> Any:
    """Return the area under the ROC curve: 1 if all positives score higher than all negatives, 0.5 by guessing.

    It is the probability that a positive sample scores higher than a negative one, where equal scores count as half.

    Parameters
    ----------
    y_true : labels (N,), or rows (N, K) of 0 and 1
    y_pred : scores, shape (N,), (N, 1) or (N, K)
        Probabilities or any other numbers; only their order counts. One number per sample is the score of class 1.
    average : 'auto', 'macro', 'weighted' or None
        'macro': the mean over the outputs, each class against all others; 'weighted': the mean weighted by the number
        of positives; None: an array with a value per output. 'auto' is that of class 1 for two classes and 'macro' for
        more.
    multi_label : bool
        Whether the outputs are independent, so that two of them are not the two classes of one question.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        For labels without an output.

    Notes
    -----
    Exact, from the ranks of the scores, in O(N*log(N)) for each output: J. Hanley and B. McNeil, "The Meaning and Use
    of the Area under a Receiver Operating Characteristic (ROC) Curve", 1982. An output of which all samples are
    positive, or all negative, has no curve: it is NaN, and left out of the mean. NaN among the scores of an output
    makes it, and the mean, NaN.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    scores = np.asarray(y_pred, np.float64)
    if scores.ndim not in (1, 2):
        raise ShapeError(f"auc: expected y_pred of shape (N,) or (N, K), got {scores.shape}; give a row per sample")
    scores = scores[:, None] if scores.ndim == 1 else scores
    positive = _positives(np.asarray(y_true), scores.shape)
    weights = checked_weights("auc", sample_weight, len(scores))
    return average_area(*areas(positive, scores, weights), average, multi_label=multi_label)


def _positives(y_true: Any, shape: tuple[int, ...]) -> Any:
    """Return for each output and sample whether it should be high: bool of this shape."""
    N, K = shape
    if K > 1 and y_true.shape == shape:
        return to_answers(y_true)
    if y_true.shape not in {(N,), (N, 1)}:
        raise ShapeError(
            f"auc: expected y_true of shape ({N},) or ({N}, {K}) beside y_pred of shape {shape}, got {y_true.shape}; "
            "give labels, or a number for each output"
        )
    labels, classes = to_classes(y_true), max(K, 2)
    if N and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"auc: expected labels from 0 to {classes - 1}, got {labels.min()} to {labels.max()}; number the classes "
            "from 0, and give a score for each"
        )
    return labels[:, None] == (np.arange(K) if K > 1 else 1)


def areas(positive: Any, scores: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Return the area of each output, NaN where there is none, and the weights of its positives and negatives: (K,).

    positive : bool, shape (N, K). scores : shape (N, K). weights : shape (N,); rows of weight 0 do not count.
    """
    rows = weights > 0
    positive, scores, weights = positive[rows], scores[rows], weights[rows]
    each = [_area(*columns, weights) for columns in zip(positive.T, scores.T, strict=True)]
    return np.array(each, np.float64), weights @ positive, weights @ ~positive


def _area(positive: Any, scores: Any, weights: Any) -> float:
    order = np.argsort(scores)
    positive, scores, weights = positive[order], scores[order], weights[order]
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1])[: len(scores)])
    if not positive.any() or positive.all() or np.isnan(scores[-1]):  # NaN is sorted last
        return float("nan")
    # The weight of positives and of negatives with each score; for each, the negatives below it count in full.
    high, low = (np.add.reduceat(weights * chosen, starts) for chosen in (positive, ~positive))
    return float((high * (np.cumsum(low) - low / 2)).sum() / (high.sum() * low.sum()))


def average_area(
    each: Any, positives: Any, negatives: Any, average: str | None = "auto", *, multi_label: bool = False
) -> Any:
    """Return the mean of `areas`; see `auc`."""
    if average is None:
        return each
    average = look_up("auc", "average", average, AVERAGES)
    if average == "auto" and len(each) == 2 and not multi_label:
        return float(each[1])
    has_curve = (positives > 0) & (negatives > 0)
    return mean(each[has_curve], (positives if average == "weighted" else np.ones(len(each)))[has_curve])
