"""Checks of data that users pass to a network, made once before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from gwucnn.common import (
    ShapeError,
    chunks,
    each,
    is_batch_source,
    is_number,
    min_and_max,
    quoted_number_hint,
    warn_user,
)
from gwucnn.data.batches import Batches
from gwucnn.loss_functions import LossFunction
from gwucnn.loss_functions.base import as_rows

__all__ = [
    "as_images",
    "batch_weights",
    "check_finite",
    "check_targets_fit",
    "data_to_validate",
    "refuse_beside_stream",
    "sample_weights",
    "split_off",
    "warn_missing",
    "warn_unscaled",
    "with_targets",
]

# Pixels should be of the order of 1; larger ones were probably not divided by 255.
LARGEST_SCALED = 20.0


def as_images(caller: str, x: Any, data_format: str = "channels_last") -> Any:
    """Return x as an array of numbers: features (N, D), or images with four axes in the user's order.

    Lists and integers are accepted. Raises TypeError for anything but numbers, ShapeError for a single sample.
    """
    if is_batch_source(x):
        raise TypeError(
            f"{caller}: expected x to be an array of numbers, got {type(x).__name__}, which returns items by "
            "number; if these are batches (x, y) leave y out, otherwise convert them to an array"
        )
    try:
        x = np.asarray(x)
    except ValueError:
        raise _sizes_differ(caller, x) from None
    if x.dtype.kind == "O" and x.ndim == 1 and x.size and all(isinstance(sample, np.ndarray) for sample in x):
        if len({sample.shape for sample in x}) > 1:
            raise _sizes_differ(caller, x)
        raise TypeError(f"{caller}: expected x to be one array, got an array of arrays; write np.stack(x)")
    _require_numbers(caller, x)
    if x.ndim == 1 and not x.size:
        raise ValueError(f"{caller}: expected at least one sample, got none; check how x was made")
    if x.ndim not in (2, 3, 4):
        images = "(N, C, H, W)" if data_format == "channels_first" else "(N, H, W, C)"
        raise ShapeError(
            f"{caller}: expected x of shape (N, H, W), {images} or (N, D), got {x.shape}; for one sample pass x[None]"
        )
    if x.ndim == 3:
        x = x[:, None] if data_format == "channels_first" else x[..., None]
    return x


def _sizes_differ(caller: str, x: Any) -> ShapeError:
    sizes = list(dict.fromkeys(f"{np.shape(sample)}" for sample in x))
    some = " and ".join(sizes[:3]) + (f" and {len(sizes) - 3} others" if len(sizes) > 3 else "")
    return ShapeError(f"{caller}: expected samples of one size in x, got {some}; resize or crop them")


def _require_numbers(caller: str, x: Any) -> None:
    """Raise TypeError unless an array holds real numbers."""
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{caller}: expected x to be an array of numbers, got {_describe_non_numbers(x)}")


def _describe_non_numbers(x: Any) -> str:
    """Return a description of what an array contains instead of numbers, and how to fix it."""
    if x.dtype.kind in "US":
        first = x.ravel()[:1].tolist()
        if not first:
            return "strings"
        return f"strings such as {first[0]!r}; read the files that they name into an array first"
    if x.dtype.kind != "O":
        return f"{x.dtype}"
    inside = x.item() if x.ndim == 0 else _first_non_number(x.ravel())
    got = "None" if inside is None else type(inside).__name__
    if x.ndim:
        remedy = "convert them with x.astype(float)" if is_number(inside) else "leave them out"
        if isinstance(inside, (np.ndarray, list, tuple)):
            remedy = "make one array of numbers of them"
        return f"objects such as {got}; {remedy}"
    if hasattr(inside, "__next__") or hasattr(inside, "__iter__"):
        return f"{got}; give an array, or to fit and evaluate batches (x, y) without y"
    return f"{got}; give an array (N, H, W), (N, H, W, C) or (N, D)"


def _first_non_number(objects: Any) -> Any:
    """Return the first object that is not a number, or the first of all if every one is."""
    return next((item for item in objects if not is_number(item)), objects[0] if len(objects) else None)


def with_targets(
    caller: str, x: Any, y: Any, loss: LossFunction, out_shape: tuple[int, ...], data_format: str
) -> Batches:
    """Return inputs from `as_images` together with y in the form that the loss needs."""
    if y is None:
        raise TypeError(
            f"{caller}: expected x and y, got x alone; give y too, or as x anything that yields batches (x, y)"
        )
    first = data_format == "channels_first" and len(out_shape) == 3
    targets = _targets_channels_first(y, loss, out_shape) if first else loss.targets(y, out_shape)
    if len(targets) != len(x):
        raise ShapeError(f"{caller}: expected as many y as x, got {len(targets)} and {len(x)}; give one y for each x")
    if not len(x):
        raise ValueError(f"{caller}: expected at least one sample, got none; check how x was made")
    return Batches(x, targets, data_format=data_format)


def _targets_channels_first(y: Any, loss: LossFunction, out_shape: tuple[int, ...]) -> Any:
    """Return images y (N, C, H, W), or labels of pixels (N, H, W), in the form of the loss; out_shape is (H, W, C)."""
    y, shape = as_rows(loss.name, y), (out_shape[2], *out_shape[:2])
    if y.shape[1:] == shape:
        return loss.targets(y.transpose(0, 2, 3, 1), out_shape)
    if y.shape[1:] == out_shape[:2] or y.shape in {(len(y),), (len(y), 1)}:
        return loss.targets(y, out_shape)
    return LossFunction.targets(loss, y, shape).transpose(0, 2, 3, 1)


def data_to_validate(given: Any) -> Any:
    """Return validation_data as (x, y, sample_weight), where the last one may be None."""
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValueError(
            "fit: expected validation_data to be a pair (x, y), or (x, y, sample_weight), got "
            f"{type(given).__name__}; write validation_data=(x, y)"
        )
    return (*given, None)[:3]


ALTERNATIVES = {
    "batch_size": "batches have their own size",
    "validation_split": "give validation_data",
    "sample_weight": "give class_weight",
}


def refuse_beside_stream(caller: str, **given: bool) -> None:
    """Raise ValueError if any of these options was given; they are meaningful for arrays only."""
    for name in (name for name, is_given in given.items() if is_given):
        raise ValueError(
            f"{caller}: expected no {name} with an object that returns batches, got one; leave it out, "
            f"{ALTERNATIVES[name]}"
        )


def check_finite(caller: str, x: Any, dtype: Any) -> tuple[float, float]:
    """Return the minimum and maximum of x.

    Raises ValueError if an image contains NaN, infinity or numbers that would be infinite in `dtype`.
    """
    low, high = min_and_max(x)
    if not (isfinite(low) and isfinite(high)):
        wrong = _first_non_finite(x)
        raise ValueError(f"{caller}: expected finite images, got NaN or infinity in image {wrong}; remove or repair it")
    _check_fits(caller, "x", low, high, dtype)
    return low, high


def check_targets_fit(caller: str, y: Any, dtype: Any) -> None:
    """Raise ValueError if a target would be infinite in `dtype`.

    `LossFunction.targets` has found them finite, so that integers and floats of no wider type need no look.
    """
    if y.dtype.kind == "f" and y.dtype.itemsize > np.dtype(dtype).itemsize:
        _check_fits(caller, "y", *min_and_max(y), dtype)


def _check_fits(caller: str, name: str, low: float, high: float, dtype: Any) -> None:
    """Raise ValueError if a number between `low` and `high` would be infinite in `dtype`."""
    largest = max(high, -low)
    if largest > float(np.finfo(dtype).max):
        raise ValueError(
            f"{caller}: expected {name} to fit into {np.dtype(dtype)}, up to {np.finfo(dtype).max:.2g}, got "
            f"{largest:.2g}; scale {name}, or write GWUNetwork(precision='float64')"
        )


def _first_non_finite(x: Any) -> int:
    """Return the number of the first image that is not finite."""
    for start, piece in chunks(x):
        wrong = np.flatnonzero(~np.isfinite(piece).all(axis=tuple(range(1, x.ndim))))
        if len(wrong):
            return start + int(wrong[0])
    raise AssertionError("expected an image that is not finite")


def warn_unscaled(caller: str, x: Any, low: float, high: float) -> bool:
    """Warn if pixels from `low` to `high` were not scaled; return whether they were not."""
    largest = max(high, -low) if x.ndim == 4 else 0.0
    if largest > LARGEST_SCALED:
        warn_user(
            f"{caller}: expected pixels of about 0 to 1, got values up to {largest:g}; divide by 255, or "
            "training will not get far"
        )
    return largest > LARGEST_SCALED


def class_numbers(targets: Any) -> Any:
    """Return the class of each sample, shape (N,), given targets; None unless each has exactly one class."""
    if targets.ndim == 1:
        return targets
    if targets.ndim == 2 and targets.shape[1] == 1:
        return (targets[:, 0] > 0.5).astype(np.int64)
    if targets.ndim == 2 and len(targets) and (abs(targets.sum(axis=1) - 1) < 1e-3).all():
        return targets.argmax(axis=1)
    return None


def sample_weights(targets: Any, classes: int, class_weight: Any, sample_weight: Any, caller: str = "fit") -> Any:
    """Return the weight of each sample, float64 of shape (N,), or None if all are 1.

    targets : y in the form of the loss. classes : their number, 0 for regression.
    """
    weights = batch_weights(targets, classes, class_weight, sample_weight, caller)
    if weights is not None and weights.size and not weights.any():
        raise ValueError(f"{caller}: expected a positive sample weight, got only zeros")
    return weights


def batch_weights(targets: Any, classes: int, class_weight: Any, sample_weight: Any = None, caller: str = "fit") -> Any:
    """Return the weights of some of the samples, all of which may be 0."""
    if class_weight is None and sample_weight is None:
        return None
    count = len(each(targets)[0])
    weights = np.ones(count)
    if sample_weight is not None:
        weights = _as_weights(caller, sample_weight)
        if weights.shape != (count,):
            raise ShapeError(
                f"{caller}: expected sample_weight of shape ({count},), got {weights.shape}; give one for each sample"
            )
    if class_weight is not None:
        _multiply_by_class(weights, targets, classes, class_weight)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"{caller}: expected finite weights of at least 0 for samples and classes, got "
            f"{weights.min()}; give 0 to samples to be ignored"
        )
    return weights


def _as_weights(caller: str, sample_weight: Any) -> Any:
    try:
        return np.array(sample_weight, np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"{caller}: expected sample_weight to be a number for each sample, got something else in a "
            f"{type(sample_weight).__name__}; give an array (N,)"
        ) from None


def _balanced(labels: Any) -> dict[int, float]:
    """Return weights that give each class that occurs the same influence: N / (number of classes * samples of it)."""
    present, counts = np.unique(labels, return_counts=True)
    return dict(zip(present.tolist(), (len(labels) / (len(present) * counts)).tolist(), strict=True))


def _multiply_by_class(weights: Any, targets: Any, classes: int, class_weight: Any) -> None:
    labels = class_numbers(targets) if classes else None
    if labels is None:
        raise ValueError(
            "fit: expected targets with one class per sample for class_weight, got others; give sample_weight"
        )
    if isinstance(class_weight, str) and class_weight == "balanced":
        class_weight = _balanced(labels)
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"fit: expected class_weight to be a dict such as {{0: 1.0, 1: 2.5}} or 'balanced', got {class_weight!r}"
        )
    for label, weight in class_weight.items():
        if label not in range(classes):
            raise ValueError(
                f"fit: expected class_weight for classes from 0 to {classes - 1}, got one for {label!r}"
                f"{quoted_number_hint(label) or '; leave it out'}"
            )
        if not isinstance(weight, Real):
            raise TypeError(f"fit: expected class_weight to give numbers, got {weight!r} for class {label}")
        weights[labels == label] *= float(weight)


def split_off(data: Batches, share: float) -> tuple[Batches, Batches | None]:
    """Return all but the last `share` of the samples, and that last part (None for a share of 0)."""
    if not isinstance(share, (int, float, np.floating)) or not 0 <= share < 1:
        raise ValueError(f"fit: expected validation_split from 0 to less than 1, got {share!r}; 0.2 holds out a fifth")
    kept = len(data) - int(len(data) * share)
    if share and kept == len(data):
        raise ValueError(
            f"fit: expected validation_split to hold out a sample, got {share!r} of {len(data)}; give more "
            "samples or validation_data"
        )
    return (data, None) if kept == len(data) else (data.subset(slice(0, kept)), data.subset(slice(kept, None)))


def warn_missing(trained: Any, validated: Any) -> bool:
    """Warn if classes of the training data are missing from the validation data; return whether any are."""
    learnt, checked = class_numbers(trained), class_numbers(validated)
    missing: Any = [] if learnt is None or checked is None else np.setdiff1d(learnt, checked)
    if not len(missing):
        return False
    which = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
    warn_user(
        f"fit: expected every class in the validation split, got none of class {which} in the last "
        f"{len(validated)} samples; shuffle x and y together before fit, or give validation_data"
    )
    return True
