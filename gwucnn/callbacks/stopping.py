"""Stopping when training no longer helps."""

from __future__ import annotations

from typing import Any

from gwucnn.callbacks.monitor import Monitor
from gwucnn.common import check_flag, check_size

__all__ = ["EarlyStopping"]


class EarlyStopping(Monitor):
    """Stop training when a monitored value has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
        Name of the value in the epoch's record: 'val_loss', 'val_accuracy', 'loss', ...
    patience : int
        Number of epochs without improvement after which training stops. 0 and 1 stop at the first.
    min_delta : float
        Smaller changes do not count as improvement.
    restore_best_weights : bool
        At the end of training, restore the weights from the best epoch.
    mode : 'auto', 'min' or 'max'
        Whether smaller or larger is better; 'auto' decides by the name.
    start_from_epoch : int
        Earlier epochs, counted from 0, are ignored: as in Keras, they neither count as best nor against `patience`.

    Attributes
    ----------
    best, best_epoch
        The best value so far, and its epoch (from 0).

    Raises
    ------
    ValueError
        At the start of training, if records will not contain the monitored value.

    Examples
    --------
    >>> from gwucnn import EarlyStopping
    >>> EarlyStopping('val_accuracy', patience=3)
    EarlyStopping(monitor='val_accuracy', patience=3)
    """

    _assignable = (*Monitor._assignable, "best_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        restore_best_weights: bool = True,
        *,
        mode: str = "auto",
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = check_size(self._caller, "patience", patience, 0)
        self.restore_best_weights = check_flag(self._caller, "restore_best_weights", restore_best_weights)
        self.start_from_epoch = check_size(self._caller, "start_from_epoch", start_from_epoch, 0)
        self._network: Any = None

    def reset(self) -> None:
        super().reset()
        self.best_epoch: int | None = None
        self.best_weights: list[Any] | None = None

    def set_network(self, network: Any) -> None:
        """Set the network whose best weights are kept."""
        self._network = network

    def on_epoch_end(self, record: dict[str, Any]) -> bool:
        """Return whether to stop training."""
        value = self.value(record)
        if record.get("epoch", self.start_from_epoch) < self.start_from_epoch:
            return False
        if self.is_better(value):
            self.best, self.best_epoch, self.wait = value, record.get("epoch"), 0
            if self.restore_best_weights and self._network is not None:
                self.best_weights = self._network.get_weights()
            return False
        self.wait += 1
        return self.wait >= self.patience

    def on_train_end(self) -> None:
        """Restore the best weights."""
        if self.best_weights is not None and self._network is not None:
            self._network.set_weights(self.best_weights)

    def state(self) -> dict[str, Any]:
        own = {"best_epoch": self.best_epoch, "best_weights": self.best_weights}
        return super().state() | own

    def __repr__(self) -> str:
        return f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience})"
