"""Checking and calling callbacks: functions of a record, and objects with hooks. See `gwucnn.callbacks`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from gwucnn.callbacks.state import STATE_CHECKS
from gwucnn.common import accepts, did_you_mean

__all__ = ["Callbacks"]

# The hooks: the names of the arguments of each, and their description.
HOOKS: dict[str, tuple[tuple[str, ...], str]] = {
    "set_network": (("network",), "the network"),
    "on_train_begin": ((), "no argument"),
    "on_epoch_begin": (("epoch",), "the number of the epoch"),
    "on_batch_begin": (("batch",), "the number of the batch"),
    "on_batch_end": (("record",), "the batch's record"),
    "on_epoch_end": (("record",), "the epoch's record"),
    "on_train_end": ((), "no argument"),
}

# Hooks of other libraries, and near misses of ours. They are refused; all other methods are the callback's own
# business.
FOREIGN_HOOK = re.compile(r"on_(epoch|batch|train|test|predict|train_batch|test_batch|predict_batch)_\w+")


class Callbacks:
    """Calls the hooks that each callback has.

    Callbacks whose attribute `saves` is true are called after the others. All of them look at the record before the
    first one saves, so that saved states are those after the epoch.

    In data-parallel training, only the process with `writes=True` calls callbacks whose attribute `writes` is true.
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
        """Return the state of each callback that has one, with the name of its class."""
        return [(_name(callback), callback.state()) for callback in self._with_state()]

    def restore(self, states: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Restore the states of callbacks. Several callbacks of the same class get their states in order."""
        remaining = list(states)
        for callback in self._with_state():
            found = next((entry for entry in remaining if entry[0] == _name(callback)), None)
            if found is not None:
                remaining.remove(found)
                callback.restore(found[1])

    def _with_state(self) -> list[Any]:
        return [
            callback
            for callback in self._callbacks
            if all(callable(getattr(callback, name, None)) for name in ("state", "restore"))
        ]

    def begin(self, names: Iterable[str] = ()) -> None:
        """Start training. Records will have these names."""
        self._call("check_names", tuple(names))
        self._call("on_train_begin")

    def begin_epoch(self, epoch: int) -> None:
        """Start an epoch, counted from 0."""
        self._call("on_epoch_begin", epoch)

    @property
    def watch_batches(self) -> bool:
        """Whether any callback is called batch by batch."""
        hooks = ("on_batch_begin", "on_batch_end")
        return any(hasattr(callback, hook) for callback in self._callbacks for hook in hooks)

    def begin_batch(self, batch: int) -> None:
        """Start a batch, counted from 0 in its epoch."""
        self._call("on_batch_begin", batch)

    def end_batch(self, record: dict[str, Any]) -> None:
        """Pass on the record of a batch."""
        self._call("on_batch_end", record)

    def end_epoch(self, record: dict[str, Any]) -> bool:
        """Pass on the record of an epoch; return whether any callback stops training."""
        watching = [callback for callback in self._callbacks if not _has(callback, "saves")]
        saving = [callback for callback in self._callbacks if _has(callback, "saves")]
        answers = [_end_epoch(callback, record) for callback in watching]
        for callback in saving:
            if hasattr(callback, "look"):
                callback.look(record)
        return any(answers + [_end_epoch(callback, record) for callback in saving])

    def end(self) -> None:
        """Finish training."""
        self._call("on_train_end")


def _name(callback: Any) -> str:
    """Return the name of a callback's class, qualified by its module if it clashes with one of the package's."""
    kind = type(callback)
    is_ours = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return kind.__name__ if is_ours or kind.__name__ not in STATE_CHECKS else f"{kind.__module__}.{kind.__name__}"


def _has(callback: Any, flag: str) -> bool:
    return bool(getattr(callback, flag, False))


def _end_epoch(callback: Any, record: dict[str, Any]) -> Any:
    """Call a callback with the record of an epoch; return its answer, True to stop."""
    if hasattr(callback, "on_epoch_end"):
        return callback.on_epoch_end(record)
    return not _has_hooks(callback) and callback(record)


def _has_hooks(callback: Any) -> bool:
    return any(hasattr(callback, hook) for hook in HOOKS)


def _check(callback: Any) -> None:
    """Raise TypeError for anything but a callback, and for hooks that are never called or cannot be called."""
    if isinstance(callback, type):
        raise TypeError(f"fit: expected a callback, got the class {callback.__name__}; write {callback.__name__}(...)")
    if callable(callback) and not _has_hooks(callback) and not accepts(callback, {}):
        raise TypeError(
            f"fit: expected a callback that takes the epoch's record, got {callback!r}, which cannot be "
            "called with one argument; write lambda record: ..."
        )
    if not callable(callback) and not _has_hooks(callback):
        raise TypeError(f"fit: expected a callback with any of {', '.join(HOOKS)} or a function, got {callback!r}")
    _check_hooks(callback)


def _check_hooks(callback: Any) -> None:
    for name in dir(callback):
        if FOREIGN_HOOK.fullmatch(name) and name not in HOOKS and callable(getattr(callback, name)):
            free = [hook for hook in HOOKS if not hasattr(callback, hook)]
            raise TypeError(
                f"fit: expected a callback with any of {', '.join(HOOKS)}, got one with {name}, which is "
                f"never called{did_you_mean(name, free)}"
            )
    for hook, (arguments, meaning) in HOOKS.items():
        method = getattr(callback, hook, None)
        if method is not None and not accepts(method, *arguments):
            got = ", ".join(inspect.signature(method).parameters)
            raise TypeError(
                f"fit: expected a callback whose {hook} can be called with {meaning}, got {hook}({got}); "
                f"write def {hook}({', '.join(('self', *arguments))})"
            )
