"""Metrics: how good predictions are.

Everywhere `y_true` and `y_pred` are labels (N,), or rows (N, K) of one-hot values or probabilities; see `to_classes`.
With `multi_label=True` the K numbers of a row are independent yes-or-no answers. `sample_weight` (N,) is the weight of
each sample, 1 by default. Images of them, (N, H, W) or (N, H, W, C), are rows of pixels with the weight of their image.

`classes.py` has accuracy and the conversion to classes and back, `scores.py` precision, recall and F1, `roc.py` the
area under the ROC curve, `pixels.py` and `weights.py` what these share. `engine/epoch_totals.py` accumulates them batch
by batch.
"""

from gwucnn.metrics.classes import (
    accuracy,
    no_labels,
    to_answers,
    to_categorical,
    to_classes,
    top_k_accuracy,
    top_k_right,
)
from gwucnn.metrics.roc import areas, auc, average_area
from gwucnn.metrics.scores import answer_counts, class_counts, confusion_matrix, f1, precision, recall, score

__all__ = [
    "accuracy",
    "answer_counts",
    "areas",
    "auc",
    "average_area",
    "class_counts",
    "confusion_matrix",
    "f1",
    "no_labels",
    "precision",
    "recall",
    "score",
    "to_answers",
    "to_categorical",
    "to_classes",
    "top_k_accuracy",
    "top_k_right",
]
