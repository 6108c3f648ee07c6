"""Things that watch training, epoch by epoch, and may stop it.

A callback is any function of an epoch's record, a dict with `epoch` (from 0), `loss`, `accuracy`, `val_loss`,
`val_accuracy`, `lr` and `seconds`, as far as they exist; or an object that has any of the methods
`set_network(network)`, `on_train_begin()`, `on_epoch_end(record)`, `on_train_end()`. An answer True stops
training.

    network.fit(x, y, epochs=50, callbacks=[lambda record: record['accuracy'] > 0.99])

One that remembers something from epoch to epoch has besides `state()`, a dict of numbers, texts, None and
lists of arrays, and `restore(state)`, which makes the next run go on from there.

Where several processes train one network (`gwucnn.distributed`), each calls its callbacks, with the same
records; but only rank 0 calls those with an attribute `writes` that is true, such as ModelCheckpoint and
CSVLogger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn.checkpoint import ModelCheckpoint
from gwucnn.csv_log import CSVLogger
from gwucnn.errors import NotBuiltError, tell_user
from gwucnn.monitor import Monitor, check_number
from gwucnn.shapes import check_flag, check_size
from gwucnn.suggestions import CheckedCalls

__all__ = ["CSVLogger", "EarlyStopping", "LambdaCallback", "ModelCheckpoint", "ReduceLROnPlateau"]


class EarlyStopping(Monitor):
    """Stop when a number has not become better for `patience` epochs.

    Parameters
    ----------
    monitor : str
        Name in the epoch's record: 'val_loss', 'val_accuracy', 'loss', ...
    patience : int
        Epochs without an improvement that are waited for. 0 and 1 stop at the first.
    min_delta : float
        A change of less is no improvement.
    restore_best_weights : bool
        Leave the network, at the end, with its weights after the best epoch.
    mode : 'auto', 'min' or 'max'
        Whether less or more is better; 'auto' tells by the name.

    Attributes
    ----------
    best, best_epoch
        The best number so far, and the epoch (from 0) of it.

    Raises
    ------
    ValueError
        When training begins and its records will have no such number.

    Examples
    --------
    >>> from gwucnn import EarlyStopping
    >>> EarlyStopping('val_accuracy', patience=3)
    EarlyStopping(monitor='val_accuracy', patience=3)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        restore_best_weights: bool = True,
        *,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = check_size(self._who, "patience", patience, 0)
        self.restore_best_weights = check_flag(self._who, "restore_best_weights", restore_best_weights)
        self._network: Any = None

    def reset(self) -> None:
        super().reset()
        self.best_epoch: int | None = None
        self.best_weights: list[Any] | None = None

    def set_network(self, network: Any) -> None:
        """Take the network whose best weights to keep."""
        self._network = network

    def on_epoch_end(self, record: dict[str, Any]) -> bool:
        """Return whether to stop."""
        value = self.value(record)
        if self.is_better(value):
            self.best, self.best_epoch, self.wait = value, record.get("epoch"), 0
            if self.restore_best_weights and self._network is not None:
                self.best_weights = self._network.get_weights()
            return False
        self.wait += 1
        return self.wait >= self.patience

    def on_train_end(self) -> None:
        """Give the network its best weights."""
        if self.best_weights is not None and self._network is not None:
            self._network.set_weights(self.best_weights)

    def state(self) -> dict[str, Any]:
        more = {"best_epoch": self.best_epoch, "best_weights": self.best_weights}
        return super().state() | more

    def __repr__(self) -> str:
        return f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience})"


class ReduceLROnPlateau(Monitor):
    """Make the learning rate smaller when a number has not become better for `patience` epochs.

    Parameters
    ----------
    monitor : str
        Name in the epoch's record.
    factor : float from 0 to less than 1
        What the learning rate is multiplied by.
    patience : int
        Epochs without an improvement that are waited for.
    verbose : bool
        Print a line at each change.
    mode : 'auto', 'min' or 'max'
        Whether less or more is better; 'auto' tells by the name.
    min_delta : float
        A change of less is no improvement.
    cooldown : int
        Epochs after a change in which none are counted.
    min_lr : float
        The learning rate does not become smaller than this.

    Raises
    ------
    ValueError
        When training begins and its records will have no such number.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: bool = False,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = check_number(self._who, "factor", factor, 0)
        if not 0 < self.factor < 1:
            raise ValueError(f"{self._who}: expected factor between 0 and 1, got {factor!r}; try 0.5")
        self.patience = check_size(self._who, "patience", patience, 0)
        self.verbose = check_flag(self._who, "verbose", verbose)
        self.cooldown = check_size(self._who, "cooldown", cooldown, 0)
        self.min_lr = check_number(self._who, "min_lr", min_lr, 0)
        self._network: Any = None

    def reset(self) -> None:
        super().reset()
        self.cooling = 0

    def set_network(self, network: Any) -> None:
        """Take the network whose optimizer to slow down."""
        self._network = network

    def on_train_begin(self) -> None:
        """Start afresh. Raises ValueError if a schedule sets the learning rate already."""
        schedule = getattr(getattr(self._network, "optimizer", None), "schedule", None)
        if schedule is not None:
            raise ValueError(
                f"{self._who}: expected an optimizer whose lr is a number, got {schedule!r}; use one of the "
                "two"
            )
        super().on_train_begin()

    def on_epoch_end(self, record: dict[str, Any]) -> None:
        """Lower the learning rate if it is time to."""
        value = self.value(record)
        if self.cooling:
            self.cooling, self.wait = self.cooling - 1, 0
        if self.is_better(value):
            self.best, self.wait = value, 0
        elif not self.cooling:
            self.wait += 1
            if self.wait >= self.patience:
                self._lower(record)

    def _lower(self, record: dict[str, Any]) -> None:
        optimizer = getattr(self._network, "optimizer", None)
        if optimizer is None:
            raise NotBuiltError(f"{self._who}: expected a compiled network; give it to fit(callbacks=[...])")
        if optimizer.lr <= self.min_lr:
            return
        optimizer.lr = max(optimizer.lr * self.factor, self.min_lr)
        self.cooling, self.wait = self.cooldown, 0
        if self.verbose:
            tell_user(f"epoch {record['epoch'] + 1}: lr lowered to {optimizer.lr:g}")

    def state(self) -> dict[str, Any]:
        return super().state() | {"cooling": self.cooling}


class LambdaCallback(CheckedCalls):
    """A callback made of functions.

    Parameters
    ----------
    on_train_begin, on_train_end : function without arguments, optional
    on_epoch_end : function of the epoch's record, optional
        A true answer stops training.
    set_network : function of the network, optional

    Examples
    --------
    >>> from gwucnn import LambdaCallback
    >>> stop_early = LambdaCallback(on_epoch_end=lambda record: record['loss'] < 0.1)
    """

    def __init__(
        self,
        on_train_begin: Callable[[], Any] | None = None,
        on_epoch_end: Callable[[dict[str, Any]], Any] | None = None,
        on_train_end: Callable[[], Any] | None = None,
        *,
        set_network: Callable[[Any], Any] | None = None,
    ) -> None:
        hooks = {
            "on_train_begin": on_train_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_end": on_train_end,
            "set_network": set_network,
        }
        if not any(hooks.values()):
            raise TypeError(f"LambdaCallback: expected a function for any of {', '.join(hooks)}, got none")
        for name, function in hooks.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback: expected {name} to be a function, got {function!r}")
            setattr(self, name, function)
