"""Calls what watches training: functions of a record, and objects with hooks. See `gwucnn.callbacks`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from gwucnn.callbacks.state import REMEMBERED
from gwucnn.common import hint

__all__ = ["Callbacks"]

# The names of a hook's arguments, and what they are.
HOOKS = {
    "set_network": ("network", "the network"),
    "on_train_begin": ("", "no argument"),
    "on_epoch_end": ("record", "the epoch's record"),
    "on_train_end": ("", "no argument"),
}

# What other libraries call too, and what is nearly the name of a hook. Other methods are a callback's own.
NOT_CALLED = re.compile(r"on_(epoch|batch|train|test|predict|train_batch|test_batch|predict_batch)_\w+")


class Callbacks:
    """Calls each callback's hooks, as far as it has them.

    One that has an attribute `saves` which is true is called after the others, and all of those look at the
    record before one of them saves, so that what is written down holds the states after that epoch.

    Where several processes train one network, one of them alone (`writes`) calls callbacks that have an
    attribute `writes` which is true.
    """

    def __init__(self, callbacks: Iterable[Any], network: Any, *, writes: bool = True) -> None:
        if isinstance(callbacks, str) or not isinstance(callbacks, Iterable):
            raise TypeError(f"fit: expected a list of callbacks, got {callbacks!r}; write callbacks=[...]")
        self._callbacks = list(callbacks)
        for callback in self._callbacks:
            _check(callback)
        if not writes:
            self._callbacks = [callback for callback in self._callbacks if not _has(callback, "writes")]
        self._call("set_network", network)

    def _call(self, hook: str, *args: Any) -> list[Any]:
        return [getattr(callback, hook)(*args) for callback in self._callbacks if hasattr(callback, hook)]

    def states(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what callbacks remember from epoch to epoch, each with the name of its class."""
        return [(_name(callback), callback.state()) for callback in self._rememberers()]

    def restore(self, states: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Let callbacks go on from states: of several of one class each from its own, in their order."""
        left = list(states)
        for callback in self._rememberers():
            found = next((entry for entry in left if entry[0] == _name(callback)), None)
            if found is not None:
                left.remove(found)
                callback.restore(found[1])

    def _rememberers(self) -> list[Any]:
        return [
            callback
            for callback in self._callbacks
            if all(callable(getattr(callback, name, None)) for name in ("state", "restore"))
        ]

    def begin(self, names: Iterable[str] = ()) -> None:
        """Training begins; its records will have these names."""
        self._call("check_names", tuple(names))
        self._call("on_train_begin")

    def end_epoch(self, record: dict[str, Any]) -> bool:
        """An epoch has ended; return whether any callback wants to stop."""
        first = [callback for callback in self._callbacks if not _has(callback, "saves")]
        last = [callback for callback in self._callbacks if _has(callback, "saves")]
        answers = [_told(callback, record) for callback in first]
        for callback in last:
            if hasattr(callback, "look"):
                callback.look(record)
        return any(answers + [_told(callback, record) for callback in last])

    def end(self) -> None:
        """Training has ended."""
        self._call("on_train_end")


def _name(callback: Any) -> str:
    """Return the name of a callback's class, with its module's if one of the package's is called so too."""
    kind = type(callback)
    ours = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return kind.__name__ if ours or kind.__name__ not in REMEMBERED else f"{kind.__module__}.{kind.__name__}"


def _has(callback: Any, flag: str) -> bool:
    return bool(getattr(callback, flag, False))


def _told(callback: Any, record: dict[str, Any]) -> Any:
    """Tell of an epoch; return the answer, true to stop."""
    if hasattr(callback, "on_epoch_end"):
        return callback.on_epoch_end(record)
    return not _has_hooks(callback) and callback(record)


def _has_hooks(callback: Any) -> bool:
    return any(hasattr(callback, hook) for hook in HOOKS)


def _takes(function: Any, *args: Any) -> bool:
    """Return whether a function can be called with these arguments, as far as one can tell."""
    try:
        inspect.signature(function).bind(*args)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _check(callback: Any) -> None:
    """Raise TypeError for what is no callback, or has hooks that nobody calls or that cannot be called."""
    if isinstance(callback, type):
        raise TypeError(f"fit: expected a callback, got the class {callback.__name__}; write {callback.__name__}(...)")
    if callable(callback) and not _has_hooks(callback) and not _takes(callback, {}):
        raise TypeError(
            f"fit: expected a callback that takes the epoch's record, got {callback!r}, which cannot be "
            "called with one argument; write lambda record: ..."
        )
    if not callable(callback) and not _has_hooks(callback):
        raise TypeError(f"fit: expected a callback with any of {', '.join(HOOKS)} or a function, got {callback!r}")
    _check_hooks(callback)


def _check_hooks(callback: Any) -> None:
    for name in dir(callback):
        if NOT_CALLED.fullmatch(name) and name not in HOOKS and callable(getattr(callback, name)):
            free = [hook for hook in HOOKS if not hasattr(callback, hook)]
            raise TypeError(
                f"fit: expected a callback with any of {', '.join(HOOKS)}, got one with {name}, which nobody "
                f"calls{hint(name, free)}"
            )
    for hook, (argument, meaning) in HOOKS.items():
        method = getattr(callback, hook, None)
        if method is not None and not _takes(method, *[None] * bool(argument)):
            got = ", ".join(inspect.signature(method).parameters)
            raise TypeError(
                f"fit: expected a callback whose {hook} can be called with {meaning}, got {hook}({got}); "
                f"write def {hook}({', '.join(filter(None, ('self', argument)))})"
            )
