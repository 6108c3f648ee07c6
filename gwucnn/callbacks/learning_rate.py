"""Callbacks that change the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn.callbacks.monitor import Monitor
from gwucnn.common import (
    ChecksArguments,
    NotBuiltError,
    accepts,
    check_between,
    check_flag,
    check_size,
    is_number,
    tell_user,
)

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


def _refuse_schedule(caller: str, network: Any) -> None:
    """Raise ValueError if a schedule already sets the learning rate."""
    schedule = getattr(getattr(network, "optimizer", None), "schedule", None)
    if schedule is not None:
        raise ValueError(f"{caller}: expected an optimizer whose lr is a number, got {schedule!r}; use one of the two")


def _optimizer(caller: str, network: Any) -> Any:
    optimizer = getattr(network, "optimizer", None)
    if optimizer is None:
        raise NotBuiltError(f"{caller}: expected a compiled network; give it to fit(callbacks=[...])")
    return optimizer


class LearningRateScheduler(ChecksArguments):
    """Set the learning rate before each epoch by a function.

    For a rate that changes from batch to batch see `gwucnn.schedules`, which are also saved with the network.

    Parameters
    ----------
    schedule : function (epoch) or (epoch, lr) -> float
        Returns the learning rate of an epoch, counted from 0; lr is the current one.
    verbose : bool
        Print a line for each epoch.

    Raises
    ------
    ValueError
        At the start of training, if the optimizer has a schedule; before an epoch, if the function does not return a
        positive number. The learning rate is then left as it was.

    Notes
    -----
    The arguments are those of Keras' `LearningRateScheduler`. A function with two arguments continues a saved run as if
    it had never stopped, because the learning rate is saved.

    Examples
    --------
    >>> from gwucnn import LearningRateScheduler
    >>> halve = LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch in (10, 15) else lr)
    >>> decay = LearningRateScheduler(lambda epoch: 0.1 * 0.9**epoch)
    """

    def __init__(self, schedule: Callable[..., float], verbose: bool = False) -> None:
        self._caller = type(self).__name__
        if not callable(schedule) or not (accepts(schedule, 0) or accepts(schedule, 0, 1.0)):
            raise TypeError(
                f"{self._caller}: expected schedule to be a function (epoch) or (epoch, lr), got {schedule!r}; write "
                "lambda epoch: ..."
            )
        self.schedule = schedule
        self.verbose = check_flag(self._caller, "verbose", verbose)
        self._takes_lr = accepts(schedule, 0, 1.0)
        self._network: Any = None

    def set_network(self, network: Any) -> None:
        """Set the network whose learning rate is set."""
        self._network = network

    def on_train_begin(self) -> None:
        """Raise ValueError if a schedule already sets the learning rate."""
        _refuse_schedule(self._caller, self._network)

    def on_epoch_begin(self, epoch: int) -> None:
        """Set the learning rate."""
        optimizer = _optimizer(self._caller, self._network)
        lr = self.schedule(epoch, optimizer.lr) if self._takes_lr else self.schedule(epoch)
        if not is_number(lr) or not 0 < lr < float("inf"):
            raise ValueError(
                f"{self._caller}: expected schedule to return a positive number, got {lr!r} for epoch {epoch}; return "
                "the learning rate"
            )
        optimizer.lr = lr
        if self.verbose:
            tell_user(f"epoch {epoch + 1}: lr set to {optimizer.lr:g}")


class ReduceLROnPlateau(Monitor):
    """Reduce the learning rate when a monitored value has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
        Name of the value in the epoch's record.
    factor : float from 0 to less than 1
        Factor by which the learning rate is multiplied.
    patience : int
        Number of epochs without improvement after which the learning rate is reduced.
    verbose : bool
        Print a line for each change.
    mode : 'auto', 'min' or 'max'
        Whether smaller or larger is better; 'auto' decides by the name.
    min_delta : float
        Smaller changes do not count as improvement.
    cooldown : int
        Number of epochs after a reduction that are not counted.
    min_lr : float
        Lower bound of the learning rate.

    Raises
    ------
    ValueError
        At the start of training, if records will not contain the monitored value.
    """

    _assignable = (*Monitor._assignable, "cooling")

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
        self.factor = check_between(self._caller, "factor", factor, 0)
        if not 0 < self.factor < 1:
            raise ValueError(f"{self._caller}: expected factor between 0 and 1, got {factor!r}; try 0.5")
        self.patience = check_size(self._caller, "patience", patience, 0)
        self.verbose = check_flag(self._caller, "verbose", verbose)
        self.cooldown = check_size(self._caller, "cooldown", cooldown, 0)
        self.min_lr = check_between(self._caller, "min_lr", min_lr, 0)
        self._network: Any = None

    def reset(self) -> None:
        super().reset()
        self.cooling = 0

    def set_network(self, network: Any) -> None:
        """Set the network whose learning rate is reduced."""
        self._network = network

    def on_train_begin(self) -> None:
        """Reset the state. Raises ValueError if a schedule already sets the learning rate."""
        _refuse_schedule(self._caller, self._network)
        super().on_train_begin()

    def on_epoch_end(self, record: dict[str, Any]) -> None:
        """Reduce the learning rate if it is due."""
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
        optimizer = _optimizer(self._caller, self._network)
        if optimizer.lr <= self.min_lr:
            return
        optimizer.lr = max(optimizer.lr * self.factor, self.min_lr)
        self.cooling, self.wait = self.cooldown, 0
        if self.verbose:
            tell_user(f"epoch {record['epoch'] + 1}: lr reduced to {optimizer.lr:g}")

    def state(self) -> dict[str, Any]:
        return super().state() | {"cooling": self.cooling}
