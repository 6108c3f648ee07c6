"""Things that watch training, epoch by epoch.

A callback is any function of an epoch's record, a dict with `epoch` (from 0), `loss`, `accuracy`, `val_loss`,
`val_accuracy`, `lr` and `seconds`, as far as they exist; or an object that has any of the methods
`set_network(network)`, `on_train_begin()`, `on_epoch_end(record)`, `on_train_end()`. An answer True stops
training.

    network.fit(x, y, epochs=50, callbacks=[lambda record: record['accuracy'] > 0.99])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Callbacks"]

HOOKS = ("set_network", "on_train_begin", "on_epoch_end", "on_train_end")


class Callbacks:
    """Calls each callback's hooks, as far as it has them."""

    def __init__(self, callbacks: Iterable[Any], network: Any) -> None:
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"fit: expected a list of callbacks, got {callbacks!r}; write callbacks=[...]")
        self._callbacks = list(callbacks)
        for callback in self._callbacks:
            if isinstance(callback, type):
                raise TypeError(
                    f"fit: expected a callback, got the class {callback.__name__}; write "
                    f"{callback.__name__}(...)"
                )
            if not callable(callback) and not any(hasattr(callback, hook) for hook in HOOKS):
                raise TypeError(
                    f"fit: expected a callback with any of {', '.join(HOOKS)} or a function, got {callback!r}"
                )
        self._call("set_network", network)

    def _call(self, hook: str, *args: Any) -> list[Any]:
        return [getattr(callback, hook)(*args) for callback in self._callbacks if hasattr(callback, hook)]

    def begin(self) -> None:
        """Training begins."""
        self._call("on_train_begin")

    def end_epoch(self, record: dict[str, Any]) -> bool:
        """An epoch has ended; return whether any callback wants to stop."""
        answers = self._call("on_epoch_end", record)
        plain = [
            callback for callback in self._callbacks if not any(hasattr(callback, hook) for hook in HOOKS)
        ]
        return any([*answers, *[callback(record) for callback in plain]])

    def end(self) -> None:
        """Training has ended."""
        self._call("on_train_end")
