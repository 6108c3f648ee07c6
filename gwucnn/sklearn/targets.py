"""Targets of a classifier: one of several classes, or yes or no to each of K labels, as an array (N, K) of 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

__all__ = ["answers", "class_indices", "is_multi_label"]


def is_multi_label(caller: str, y: Any) -> bool:
    """Whether y has an answer for each of several labels; raise ValueError for columns of other values."""
    kind = type_of_target(y, input_name="y")
    if kind.endswith("-multioutput"):
        raise ValueError(
            f"{caller}: expected y of one class for each sample, (N,), or of 0 and 1 for each of K labels, (N, K), got "
            f"columns of other values ({kind}); give each column of classes a classifier of its own, as "
            "sklearn.multioutput's MultiOutputClassifier does, and quantities CNNRegressor"
        )
    return bool(kind == "multilabel-indicator")


def answers(caller: str, y: Any) -> Any:
    """Return y, which may be sparse, as a float32 array (N, K) of 0 and 1."""
    y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
    wrong = y[(y != 0) & (y != 1)]
    if wrong.size:
        raise ValueError(
            f"{caller}: expected y of 0 and 1 for each of several labels, got {wrong.tolist()[0]!r}; write y == "
            f"{y.max().item()!r}"
        )
    return y.astype(np.float32)


def class_indices(caller: str, y: Any, classes: Any) -> tuple[Any, Any]:
    """Return the classes, which are those in y if they are None, and the index of each label (N,) among them."""
    y = column_or_1d(y, warn=True)
    check_classification_targets(y)
    found = np.unique(y)
    classes = found if classes is None else classes
    if len(classes) < 2:
        raise ValueError(
            f"{caller}: expected y of at least two classes, got one class, {found.tolist()[0]!r}; give samples of "
            "another"
        )
    unknown = np.setdiff1d(found, classes)
    if len(unknown):
        raise ValueError(
            f"{caller}: expected y of the classes {classes.tolist()}, got {unknown.tolist()[0]!r}; give the first "
            "partial_fit all classes, or call fit without warm_start"
        )
    return classes, np.searchsorted(classes, y)
