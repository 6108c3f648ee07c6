"""What users hand to a network, checked once before anything moves."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from gwucnn.common import (
    ShapeError,
    chunks,
    is_batch_source,
    is_number,
    min_and_max,
    quoted_number_hint,
    warn_user,
)
from gwucnn.data.batches import Batches
from gwucnn.loss_functions import LossFunction

__all__ = [
    "as_images",
    "batch_weights",
    "check_finite",
    "data_to_validate",
    "refuse_beside_stream",
    "sample_weights",
    "split_off",
    "warn_missing",
    "warn_unscaled",
    "with_targets",
]

# Pixels are meant to be of the order of 1; above this one forgot to divide 0..255 by 255.
UNSCALED = 20.0


def as_images(caller: str, x: Any, data_format: str = "channels_last") -> Any:
    """Return x as an array of numbers, (N, D) or images (N, ., ., .) with their channels where they were.

    Lists and integers are welcome. Raises TypeError for anything but numbers, ShapeError for a single sample.
    """
    if is_batch_source(x):
        raise TypeError(
            f"{caller}: expected x to be an array of numbers, got {type(x).__name__}, which gives items by "
            "number; if these are batches (x, y) leave y out, else make an array of them"
        )
    try:
        x = np.asarray(x)
    except ValueError:
        sizes = " and ".join(dict.fromkeys(f"{np.shape(sample)}" for sample in x))
        raise ShapeError(
            f"{caller}: expected x of samples of one size, got {sizes}; resize them, or cut them to one size"
        ) from None
    _require_numbers(caller, x)
    if x.ndim == 1 and not x.size:
        raise ValueError(f"{caller}: expected at least one sample, got none; look how x was made")
    if x.ndim not in (2, 3, 4):
        images = "(N, C, H, W)" if data_format == "channels_first" else "(N, H, W, C)"
        raise ShapeError(
            f"{caller}: expected x of shape (N, H, W), {images} or (N, D), got {x.shape}; for one sample pass x[None]"
        )
    if x.ndim == 3:
        x = x[:, None] if data_format == "channels_first" else x[..., None]
    return x


def _require_numbers(caller: str, x: Any) -> None:
    """Raise TypeError unless an array holds real numbers."""
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{caller}: expected x to be an array of numbers, got {_no_numbers(x)}")


def _no_numbers(x: Any) -> str:
    """Return what an array holds instead of numbers, and what to do about it."""
    if x.dtype.kind in "US":
        first = x.ravel()[:1].tolist()
        return f"texts such as {first[0]!r}; read the files that they name into an array first" if first else "texts"
    if x.dtype.kind != "O":
        return f"{x.dtype}"
    inside = x.item() if x.ndim == 0 else _first_odd(x.ravel())
    got = "None" if inside is None else type(inside).__name__
    if x.ndim:
        remedy = "convert them with x.astype(float)" if is_number(inside) else "leave them out"
        return f"objects such as {got}; {remedy}"
    if hasattr(inside, "__next__") or hasattr(inside, "__iter__"):
        return f"{got}; give an array, or for batches (x, y) an object with __len__ and __getitem__"
    return f"{got}; give an array (N, H, W), (N, H, W, C) or (N, D)"


def _first_odd(objects: Any) -> Any:
    """Return the first object that is no number, or if all are, the first of them."""
    return next((thing for thing in objects if not is_number(thing)), objects[0] if len(objects) else None)


def with_targets(
    caller: str, x: Any, y: Any, loss: LossFunction, out_shape: tuple[int, ...], data_format: str
) -> Batches:
    """Return what `as_images` gave together with the targets that the loss makes of y."""
    if y is None:
        raise TypeError(
            f"{caller}: expected y beside x, got x alone; give y too, or as x an object with __len__ and "
            "__getitem__ that gives batches (x, y)"
        )
    first = data_format == "channels_first" and len(out_shape) == 3
    targets = loss.targets(y, (out_shape[2], *out_shape[:2]) if first else out_shape)
    if len(targets) != len(x):
        raise ShapeError(f"{caller}: expected as many y as x, got {len(targets)} and {len(x)}; give one y for each x")
    if not len(x):
        raise ValueError(f"{caller}: expected at least one sample, got none; look how x was made")
    if first and targets.ndim == 4:
        targets = targets.transpose(0, 2, 3, 1)
    return Batches(x, targets, data_format=data_format)


def data_to_validate(given: Any) -> Any:
    """Return validation_data as (x, y, sample_weight), of which the last may be None."""
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValueError(
            "fit: expected validation_data to be a pair (x, y), or (x, y, sample_weight), got "
            f"{type(given).__name__}; write validation_data=(x, y)"
        )
    return (*given, None)[:3]


INSTEAD = {
    "batch_size": "batches come as they are",
    "validation_split": "give validation_data",
    "sample_weight": "give class_weight",
}


def refuse_beside_stream(caller: str, **given: bool) -> None:
    """Raise ValueError if any of these options was given, which only mean something for arrays."""
    for name in (name for name, is_given in given.items() if is_given):
        raise ValueError(
            f"{caller}: expected {name} beside arrays only, got it beside an object that gives batches; leave "
            f"it out, {INSTEAD[name]}"
        )


def check_finite(caller: str, x: Any) -> tuple[float, float]:
    """Return the smallest and the largest number of x; raise ValueError if an image holds NaN or infinity."""
    low, high = min_and_max(x)
    if not (isfinite(low) and isfinite(high)):
        wrong = _first_wrong(x)
        raise ValueError(f"{caller}: expected finite images, got NaN or infinity in image {wrong}; remove or repair it")
    return low, high


def _first_wrong(x: Any) -> int:
    """Return the number of the first image that is not finite."""
    for start, piece in chunks(x):
        wrong = np.flatnonzero(~np.isfinite(piece).all(axis=tuple(range(1, x.ndim))))
        if len(wrong):
            return start + int(wrong[0])
    raise AssertionError("expected an image that is not finite")


def warn_unscaled(caller: str, x: Any, low: float, high: float) -> bool:
    """Warn about pixels, from `low` to `high`, that nobody scaled; return whether there was reason to."""
    largest = max(high, -low) if x.ndim == 4 else 0.0
    if largest > UNSCALED:
        warn_user(
            f"{caller}: expected pixels of about 0 to 1, got values up to {largest:g}; divide by 255, or "
            "training will not get far"
        )
    return largest > UNSCALED


def class_numbers(targets: Any) -> Any:
    """Return each sample's class (N,) from what a loss made of y, or None if not each is of one class."""
    if targets.ndim == 1:
        return targets
    if targets.ndim == 2 and targets.shape[1] == 1:
        return (targets[:, 0] > 0.5).astype(np.int64)
    if targets.ndim == 2 and len(targets) and (abs(targets.sum(axis=1) - 1) < 1e-3).all():
        return targets.argmax(axis=1)
    return None


def sample_weights(targets: Any, classes: int, class_weight: Any, sample_weight: Any, caller: str = "fit") -> Any:
    """Return how much each sample counts, float64 of shape (N,), or None if all count the same.

    targets : what a loss made of y. classes : how many there are, 0 for quantities.
    """
    weights = batch_weights(targets, classes, class_weight, sample_weight, caller)
    if weights is not None and weights.size and not weights.any():
        raise ValueError(f"{caller}: expected a sample that counts, got weights that are all 0")
    return weights


def batch_weights(targets: Any, classes: int, class_weight: Any, sample_weight: Any = None, caller: str = "fit") -> Any:
    """Return the same for some of the samples, none of which need count."""
    if class_weight is None and sample_weight is None:
        return None
    weights = np.ones(len(targets))
    if sample_weight is not None:
        weights = _as_weights(caller, sample_weight)
        if weights.shape != (len(targets),):
            raise ShapeError(
                f"{caller}: expected sample_weight of shape ({len(targets)},), got {weights.shape}; give one "
                "for each sample"
            )
    if class_weight is not None:
        _multiply_by_class(weights, targets, classes, class_weight)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"{caller}: expected weights of samples and classes that are finite and not negative, got "
            f"{weights.min()}; give 0 to samples that shall not count"
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


def _multiply_by_class(weights: Any, targets: Any, classes: int, class_weight: Any) -> None:
    labels = class_numbers(targets) if classes else None
    if labels is None:
        raise ValueError(
            "fit: expected class_weight only where each sample is of one class, got it for other targets; "
            "give sample_weight"
        )
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"fit: expected class_weight to be a dict such as {{0: 1.0, 1: 2.5}}, got {class_weight!r}")
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
    """Return all but the last `share` of the samples, and those (None for a share of 0)."""
    if not isinstance(share, (int, float, np.floating)) or not 0 <= share < 1:
        raise ValueError(f"fit: expected validation_split from 0 to less than 1, got {share!r}; 0.2 holds out a fifth")
    kept = len(data) - int(len(data) * share)
    if share and kept == len(data):
        raise ValueError(
            f"fit: expected validation_split to hold out a sample, got {share!r} of {len(data)}; give more "
            "samples or validation_data"
        )
    return (data, None) if kept == len(data) else (data.subset(slice(0, kept)), data.subset(slice(kept, None)))


def warn_missing(trained: Any, held_out: Any) -> bool:
    """Warn about classes that are learnt but not validated; return whether there were any."""
    learnt, validated = class_numbers(trained), class_numbers(held_out)
    missing: Any = [] if learnt is None or validated is None else np.setdiff1d(learnt, validated)
    if not len(missing):
        return False
    which = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
    warn_user(
        f"fit: expected every class in the validation split, got none of class {which} in the last "
        f"{len(held_out)} samples; shuffle x and y together before fit, or give validation_data"
    )
    return True
