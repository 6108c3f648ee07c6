"""Options of the estimators, checked and copied: an estimator never changes what its user passed."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from gwucnn.common import check_size, is_number

__all__ = ["batch_size", "copied_callbacks", "held_out_size", "is_same"]

# The value of batch_size='auto', if there are as many samples. Chosen together with 20 epochs by cross-validation on
# seven small data sets, from scikit-learn's iris to images of CIFAR-10: in batches of 200, as in MLPClassifier, a
# thousand samples mean too few updates of the weights.
BATCH = 32


def batch_size(caller: str, size: Any, samples: int) -> int:
    """Return the number of samples in a batch; raise ValueError unless it is 'auto' or at least 1."""
    if isinstance(size, str) and size == "auto":
        return min(BATCH, samples)
    return check_size(caller, "batch_size", size)


def held_out_size(caller: str, size: Any, samples: int) -> Any:
    """Return the fraction or number of samples to hold out, or raise ValueError."""
    if is_number(size) and (0 < size < 1 or (isinstance(size, (int, np.integer)) and 0 < size < samples)):
        return size
    raise ValueError(
        f"{caller}: expected validation_fraction between 0 and 1, or a number of samples below {samples}, got "
        f"{size!r}; try 0.1"
    )


def copied_callbacks(caller: str, callbacks: Any) -> list[Any]:
    """Return copies of callbacks, or of none, for one `fit`; raise TypeError for anything but a list."""
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"{caller}: expected a list of callbacks, got {callbacks!r}; write callbacks=[...]")
    return list(copy.deepcopy(callbacks))


def is_same(one: Any, other: Any) -> bool:
    """Whether two options are the same, by their repr: with an address in it, only one object is the same."""
    return repr(one) == repr(other)
