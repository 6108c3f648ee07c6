"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn.common import ChecksArguments

__all__ = ["LambdaCallback"]


class LambdaCallback(ChecksArguments):
    """A callback made of functions.

    Parameters
    ----------
    on_train_begin, on_train_end : function without arguments, optional
    on_epoch_end : function of the epoch's record, optional
        Training stops if it returns True.
    set_network : function of the network, optional
    on_epoch_begin : function of the epoch's number, optional
    on_batch_begin : function of the batch's number, optional
    on_batch_end : function of the batch's record, optional
        See `gwucnn.callbacks`. Hooks for batches make the training of small networks slower.

    Examples
    --------
    >>> from gwucnn import LambdaCallback
    >>> stop_early = LambdaCallback(on_epoch_end=lambda record: record['loss'] < 0.1)
    >>> losses = []
    >>> keep_losses = LambdaCallback(on_batch_end=lambda record: losses.append(record['batch_loss']))
    """

    def __init__(
        self,
        on_train_begin: Callable[[], Any] | None = None,
        on_epoch_end: Callable[[dict[str, Any]], Any] | None = None,
        on_train_end: Callable[[], Any] | None = None,
        *,
        set_network: Callable[[Any], Any] | None = None,
        on_epoch_begin: Callable[[int], Any] | None = None,
        on_batch_begin: Callable[[int], Any] | None = None,
        on_batch_end: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        hooks = {
            "on_train_begin": on_train_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_end": on_train_end,
            "set_network": set_network,
            "on_epoch_begin": on_epoch_begin,
            "on_batch_begin": on_batch_begin,
            "on_batch_end": on_batch_end,
        }
        if not any(hooks.values()):
            raise TypeError(f"LambdaCallback: expected a function for any of {', '.join(hooks)}, got none")
        for name, function in hooks.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback: expected {name} to be a function, got {function!r}")
            setattr(self, name, function)
