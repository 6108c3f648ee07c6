"""Numbers that users give: checked where they come in, with the argument's name in the error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from gwucnn.suggestions import unquoted

__all__ = ["check_fraction", "check_not_negative", "check_path", "check_positive", "gives_items", "is_number"]


def is_number(value: Any) -> bool:
    """Return whether `value` is a real number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _wrong(who: str, name: str, value: Any, wanted: str) -> ValueError:
    return ValueError(f"{who}: expected {name} to be {wanted}, got {value!r}{unquoted(value)}")


def check_fraction(who: str, name: str, value: Any) -> float:
    """Return `value` as a float from 0 to less than 1, or raise a ValueError that names it."""
    if not is_number(value) or not 0 <= value < 1:
        raise _wrong(who, name, value, "a number from 0 to less than 1")
    return float(value)


def check_positive(who: str, name: str, value: Any) -> float:
    """Return `value` as a finite float above 0, or raise a ValueError that names it."""
    if not is_number(value) or not 0 < value < inf:
        raise _wrong(who, name, value, "a positive number")
    return float(value)


def check_not_negative(who: str, name: str, value: Any) -> float:
    """Return `value` as a finite float of at least 0, or raise a ValueError that names it."""
    if not is_number(value) or not 0 <= value < inf:
        raise _wrong(who, name, value, "a number of at least 0")
    return float(value)


def check_path(who: str, name: str, value: Any) -> Any:
    """Return a path as a str (or bytes, if it is), or raise a TypeError that names it."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"{who}: expected {name} to be a path, got {value!r}; write it as a text")
    return os.fspath(value)


def gives_items(value: Any) -> bool:
    """Whether an object hands out items by number but is no array and no sequence of Python's.

    numpy would go on asking such an object for items until there is an IndexError, which may never come.
    """
    if isinstance(value, np.ndarray):
        return False  # soon: this is asked for each single image
    if isinstance(value, (Sequence, Mapping)) or hasattr(value, "__array_interface__"):
        return False
    return all(hasattr(value, name) for name in ("__len__", "__getitem__")) and not hasattr(
        value, "__array__"
    )
