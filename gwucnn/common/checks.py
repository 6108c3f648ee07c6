"""Checks of arguments that users pass; errors name the caller and the argument."""

from __future__ import annotations

import inspect
import os
from collections.abc import Hashable, Mapping, Sequence
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np

from gwucnn.common.names import quoted_number_hint

__all__ = [
    "accepts",
    "check_between",
    "check_flag",
    "check_fraction",
    "check_nonnegative",
    "check_number",
    "check_path",
    "check_positive",
    "check_size",
    "is_batch_source",
    "is_number",
    "misplaced_word_hint",
    "real_number",
]


def accepts(function: Any, *args: Any) -> bool:
    """Return whether a function can be called with these arguments; True if its signature is unknown."""
    try:
        inspect.signature(function).bind(*args)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def is_number(value: Any) -> bool:
    """Return whether `value` is a real number. True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _error(caller: str, name: str, value: Any, wanted: str) -> ValueError:
    return ValueError(f"{caller}: expected {name} to be {wanted}, got {value!r}{quoted_number_hint(value)}")


def check_fraction(caller: str, name: str, value: Any) -> float:
    """Return `value` as a float from 0 to less than 1, or raise a ValueError that names it."""
    if not is_number(value) or not 0 <= value < 1:
        raise _error(caller, name, value, "a number from 0 to less than 1")
    return float(value)


def check_positive(caller: str, name: str, value: Any) -> float:
    """Return `value` as a finite float above 0, or raise a ValueError that names it."""
    if not is_number(value) or not 0 < value < inf:
        raise _error(caller, name, value, "a positive number")
    return float(value)


def check_nonnegative(caller: str, name: str, value: Any) -> float:
    """Return `value` as a finite float of at least 0, or raise a ValueError that names it."""
    if not is_number(value) or not 0 <= value < inf:
        raise _error(caller, name, value, "a number of at least 0")
    return float(value)


def check_between(caller: str, name: str, value: Any, least: float, most: float = inf) -> float:
    """Return `value` as a float within bounds, or raise a ValueError that names it."""
    if not is_number(value) or not least <= float(value) <= most:
        span = f"of at least {least:g}" if most == inf else f"from {least:g} to {most:g}"
        raise ValueError(f"{caller}: expected {name} to be a number {span}, got {value!r}{quoted_number_hint(value)}")
    return float(value)


# Numeric arguments in whose place users write a later argument, as in Conv2D(8, 3, "relu").
BEFORE_WORDS = ("filters", "kernel_size", "strides", "pool_size", "output_size")


def check_size(caller: str, name: str, value: object, least: int = 1) -> int:
    """Return `value` as an int of at least `least`, or raise a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        hint = misplaced_word_hint(name, value)
        raise ValueError(f"{caller}: expected {name} to be an integer of at least {least}, got {value!r}{hint}")
    return int(value)


def misplaced_word_hint(name: str, value: object) -> str:
    """Return a hint for a string in place of a number: write it without quotes, or as the argument it was meant for."""
    if not isinstance(value, str):
        return ""
    if value.isdigit():
        return quoted_number_hint(value)
    if name not in BEFORE_WORDS:
        return ""
    argument = "padding" if value.lower() in ("valid", "same") else "activation"
    return f"; write it by name, such as {argument}={value!r}"


def check_number(caller: str, name: str, value: object) -> float:
    """Return `value` as a finite float, or raise a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise ValueError(f"{caller}: expected {name} to be a finite number, got {value!r}{quoted_number_hint(value)}")
    return float(value)


def real_number(caller: str, what: str, value: Any) -> float:
    """Return as a float what a user's function returned, NaN included; raise TypeError for anything but a number."""
    number = np.asarray(value)
    if number.shape != () or number.dtype.kind not in "biuf":
        got = f"an array of shape {number.shape}" if number.shape else type(value).__name__
        raise TypeError(f"{caller}: expected {what} to be a number, got {got}; return a mean over the batch")
    return float(number)


def check_flag(caller: str, name: str, value: object, hint: str = "") -> bool:
    """Return `value` as a bool, or raise a ValueError that names it."""
    if not isinstance(value, Hashable) or value not in (True, False):
        raise ValueError(f"{caller}: expected {name} to be True or False, got {value!r}{hint}")
    return bool(value)


def check_path(caller: str, name: str, value: Any) -> Any:
    """Return a path as str, or as bytes if it is bytes; raise a TypeError that names it for anything else."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"{caller}: expected {name} to be a path, got {value!r}; write it as a string")
    return os.fspath(value)


def is_batch_source(value: Any) -> bool:
    """Whether an object returns items by number but is neither an array nor a Python sequence or mapping.

    np.asarray would request items from such an object until it raises IndexError, which may never happen.
    """
    if isinstance(value, np.ndarray):
        return False  # first, because this is called for each single image
    if isinstance(value, (Sequence, Mapping)) or hasattr(value, "__array_interface__"):
        return False
    return all(hasattr(value, name) for name in ("__len__", "__getitem__")) and not hasattr(value, "__array__")
