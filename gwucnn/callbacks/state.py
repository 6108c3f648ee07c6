"""What callbacks remember from epoch to epoch, checked when it comes out of a file.

That of a user's own callback is its own: nothing is known of it before `fit` gets such a callback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from gwucnn.common import check_size

__all__ = ["REMEMBERED", "check_names", "check_states"]

Check = Callable[[str, str, Any, Sequence[Any]], None]


def _count(caller: str, name: str, value: Any, weights: Sequence[Any]) -> None:
    check_size(caller, name, value, 0)


def _epoch(caller: str, name: str, value: Any, weights: Sequence[Any]) -> None:
    """Raise ValueError for what is no epoch, nor None for none yet."""
    if value is not None:
        check_size(caller, name, value, 0)


def _seen(caller: str, name: str, value: Any, weights: Sequence[Any]) -> None:
    """Raise ValueError for what is no number of a record, nor None for none yet."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
        raise ValueError(f"{caller}: expected {name} to be a number or null, got {str(value)[:60]!r}")


def _weights(caller: str, name: str, value: Any, weights: Sequence[Any]) -> None:
    """Raise ValueError for what are no such weights, nor None for none yet."""
    if value is None:
        return
    if not isinstance(value, list) or len(value) != len(weights):
        got = f"{len(value)} of them" if isinstance(value, list) else repr(str(value)[:60])
        raise ValueError(f"{caller}: expected {name} to be {len(weights)} arrays, one a weight, got {got}")
    for number, pair in enumerate(zip(weights, value, strict=True)):
        wanted, got = (
            f"{each.dtype} of shape {each.shape}" if hasattr(each, "dtype") else str(each)[:60] for each in pair
        )
        if got != wanted:
            raise ValueError(f"{caller}: expected {name}, array {number}, to be {wanted}, got {got}")


WATCHED: dict[str, Check] = {"best": _seen, "wait": _count}

# The package's callbacks that have a state, and what is in it.
REMEMBERED: dict[str, dict[str, Check]] = {
    "CSVLogger": {},
    "EarlyStopping": {**WATCHED, "best_epoch": _epoch, "best_weights": _weights},
    "ModelCheckpoint": WATCHED,
    "ReduceLROnPlateau": {**WATCHED, "cooling": _count},
}


def check_names(caller: str, state: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise ValueError unless a state has these names and no others."""
    if state.keys() != set(names):
        wanted, got = (", ".join(found) or "nothing" for found in (names, state))
        raise ValueError(f"{caller}: expected a state of {wanted}, got {got[:200]}")


def check_states(states: Iterable[tuple[str, Mapping[str, Any]]], weights: Sequence[Any]) -> None:
    """Raise ValueError for a state that no callback of that class can be in, in a network of `weights`."""
    for caller, state in states:
        if caller in REMEMBERED:
            check_names(caller, state, REMEMBERED[caller])
            for name, check in REMEMBERED[caller].items():
                check(caller, name, state[name], weights)
