"""Calls what watches training: functions of a record, and objects with hooks. See `gwucnn.callbacks`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Callbacks"]

HOOKS = ("set_network", "on_train_begin", "on_epoch_end", "on_train_end")


class Callbacks:
    """Calls each callback's hooks, as far as it has them.

    One that has an attribute `saves` which is true is called after the others, so that what it writes down
    holds the state in which they are after that epoch.
    """

    def __init__(self, callbacks: Iterable[Any], network: Any) -> None:
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"fit: expected a list of callbacks, got {callbacks!r}; write callbacks=[...]")
        callbacks = list(callbacks)
        for callback in callbacks:
            _check(callback)
        self._callbacks = sorted(callbacks, key=lambda callback: bool(getattr(callback, "saves", False)))
        self._call("set_network", network)

    def _call(self, hook: str, *args: Any) -> list[Any]:
        return [getattr(callback, hook)(*args) for callback in self._callbacks if hasattr(callback, hook)]

    def begin(self, names: Iterable[str] = ()) -> None:
        """Training begins; its records will have these names."""
        self._call("check_names", tuple(names))
        self._call("on_train_begin")

    def end_epoch(self, record: dict[str, Any]) -> bool:
        """An epoch has ended; return whether any callback wants to stop."""
        answers = [
            callback.on_epoch_end(record)
            if hasattr(callback, "on_epoch_end")
            else not _has_hooks(callback) and callback(record)
            for callback in self._callbacks
        ]
        return any(answers)

    def end(self) -> None:
        """Training has ended."""
        self._call("on_train_end")


def _has_hooks(callback: Any) -> bool:
    return any(hasattr(callback, hook) for hook in HOOKS)


def _check(callback: Any) -> None:
    """Raise TypeError for what is no callback."""
    if isinstance(callback, type):
        raise TypeError(
            f"fit: expected a callback, got the class {callback.__name__}; write {callback.__name__}(...)"
        )
    if not callable(callback) and not _has_hooks(callback):
        raise TypeError(
            f"fit: expected a callback with any of {', '.join(HOOKS)} or a function, got {callback!r}"
        )
