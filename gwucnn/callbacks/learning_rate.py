"""Learning rates that callbacks change."""

from __future__ import annotations

from typing import Any

from gwucnn.callbacks.monitor import Monitor
from gwucnn.common import NotBuiltError, check_between, check_flag, check_size, tell_user

__all__ = ["ReduceLROnPlateau"]


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
        """Take the network whose optimizer to slow down."""
        self._network = network

    def on_train_begin(self) -> None:
        """Start afresh. Raises ValueError if a schedule sets the learning rate already."""
        schedule = getattr(getattr(self._network, "optimizer", None), "schedule", None)
        if schedule is not None:
            raise ValueError(
                f"{self._caller}: expected an optimizer whose lr is a number, got {schedule!r}; use one of the two"
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
            raise NotBuiltError(f"{self._caller}: expected a compiled network; give it to fit(callbacks=[...])")
        if optimizer.lr <= self.min_lr:
            return
        optimizer.lr = max(optimizer.lr * self.factor, self.min_lr)
        self.cooling, self.wait = self.cooldown, 0
        if self.verbose:
            tell_user(f"epoch {record['epoch'] + 1}: lr lowered to {optimizer.lr:g}")

    def state(self) -> dict[str, Any]:
        return super().state() | {"cooling": self.cooling}
