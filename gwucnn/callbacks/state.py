"""Checks of the states of callbacks that come from a file.

Only the states of the package's own callbacks can be checked: the contents of others are unknown until `fit` gets such
a callback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from gwucnn.common import check_size

__all__ = ["STATE_CHECKS", "check_names", "check_states"]

Check = Callable[[str, str, Any, Sequence[Any]], None]


def _count(caller: str, name: str, value: Any, weights: Sequence[Any]) -> None:
    check_size(caller, name, value, 0)


def _epoch(caller: str, name: str, value: Any, weights: Sequence[Any]) -> None:
    """Raise ValueError unless `value` is the number of an epoch, or None for none yet."""
    if value is not None:
        check_size(caller, name, value, 0)


def _value(caller: str, name: str, value: Any, weights: Sequence[Any]) -> None:
    """Raise ValueError unless `value` is a number, or None for none yet."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
        raise ValueError(f"{caller}: expected {name} to be a number or null, got {str(value)[:60]!r}")


def _weights(caller: str, name: str, value: Any, weights: Sequence[Any]) -> None:
    """Raise ValueError unless `value` is a list of arrays like `weights`, or None for none yet."""
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


MONITOR: dict[str, Check] = {"best": _value, "wait": _count}

# The package's callbacks that have a state, with a check for each entry of it.
STATE_CHECKS: dict[str, dict[str, Check]] = {
    "CSVLogger": {},
    "EarlyStopping": {**MONITOR, "best_epoch": _epoch, "best_weights": _weights},
    "ModelCheckpoint": MONITOR,
    "ReduceLROnPlateau": {**MONITOR, "cooling": _count},
}


def check_names(caller: str, state: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise ValueError unless a state has exactly these entries."""
    if state.keys() != set(names):
        wanted, got = (", ".join(found) or "nothing" for found in (names, state))
        raise ValueError(f"{caller}: expected a state of {wanted}, got {got[:200]}")


def check_states(states: Iterable[tuple[str, Mapping[str, Any]]], weights: Sequence[Any]) -> None:
    """Raise ValueError for a state that is impossible for a callback of its class, in a network of `weights`."""
    for caller, state in states:
        if caller in STATE_CHECKS:
            check_names(caller, state, STATE_CHECKS[caller])
            for name, check in STATE_CHECKS[caller].items():
                check(caller, name, state[name], weights)
