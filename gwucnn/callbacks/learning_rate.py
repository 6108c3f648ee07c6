"""Callbacks that change the learning rate."""

from __future__ import annotations

from typing import Any

from gwucnn.callbacks.monitor import Monitor
from gwucnn.common import NotBuiltError, check_between, check_flag, check_size, tell_user

__all__ = ["ReduceLROnPlateau"]


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
        schedule = getattr(getattr(self._network, "optimizer", None), "schedule", None)
        if schedule is not None:
            raise ValueError(
                f"{self._caller}: expected an optimizer whose lr is a number, got {schedule!r}; use one of the two"
            )
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
        optimizer = getattr(self._network, "optimizer", None)
        if optimizer is None:
            raise NotBuiltError(f"{self._caller}: expected a compiled network; give it to fit(callbacks=[...])")
        if optimizer.lr <= self.min_lr:
            return
        optimizer.lr = max(optimizer.lr * self.factor, self.min_lr)
        self.cooling, self.wait = self.cooldown, 0
        if self.verbose:
            tell_user(f"epoch {record['epoch'] + 1}: lr reduced to {optimizer.lr:g}")

    def state(self) -> dict[str, Any]:
        return super().state() | {"cooling": self.cooling}
