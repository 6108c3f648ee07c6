"""The base of callbacks that monitor a value in the records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from gwucnn.callbacks.state import check_names
from gwucnn.common import ChecksArguments, check_between, look_up

__all__ = ["Monitor"]

# Values with these words in their name improve when they grow; all others improve when they shrink, also
# the loss of an output called 'auc'.
LARGER_IS_BETTER = ("accuracy", "precision", "recall", "f1", "auc")


class Monitor(ChecksArguments):
    """Watches one number of the records; the base of callbacks that act when it gets no better.

    Parameters
    ----------
    monitor : str
        Name in the record.
    mode : 'auto', 'min' or 'max'
        Whether less or more is better; 'auto' tells by the name.
    min_delta : float
        By how much a number must be better than the best so far to count as better.
    """

    _assignable: ClassVar[tuple[str, ...]] = ("best", "wait")

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        self._caller = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{self._caller}: expected monitor to be a name such as 'val_loss', got {monitor!r}")
        self.monitor = monitor
        larger = any(word in monitor for word in LARGER_IS_BETTER) and not monitor.endswith("loss")
        automatic = 1 if larger else -1
        self._sign = look_up(self._caller, "mode", mode, {"auto": automatic, "min": -1, "max": 1})
        self.min_delta = check_between(self._caller, "min_delta", min_delta, 0)
        self._restored = False
        self.reset()

    def reset(self) -> None:
        """Discard the best value and the count of epochs without improvement."""
        self.best: float | None = None
        self.wait = 0

    def check_names(self, names: Iterable[str]) -> None:
        """Raise ValueError unless the monitored value is among the names in records."""
        names = dict.fromkeys(names)
        if self.monitor in names:
            return
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in names):
            raise ValueError(
                f"{self._caller}: expected monitor to be one of {', '.join(map(repr, names))}, got "
                f"{self.monitor!r}; give fit validation_data or validation_split, or an estimator "
                "early_stopping=True"
            )
        look_up(self._caller, "monitor", self.monitor, names)

    def value(self, record: dict[str, Any]) -> float:
        """Return the monitored value of an epoch; raise ValueError if the record lacks it."""
        self.check_names(record)
        return float(record[self.monitor])

    def is_better(self, value: float) -> bool:
        """Whether this value is better than the best so far; NaN never is."""
        if self.best is None:
            return value == value
        return self._sign * (value - self.best) > self.min_delta

    def on_train_begin(self) -> None:
        """Reset the state, unless one has just been restored."""
        if not self._restored:
            self.reset()
        self._restored = False

    def state(self) -> dict[str, Any]:
        """Return the state, to be saved with the network."""
        return {"best": self.best, "wait": self.wait}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state` at the next `fit`. Raises ValueError if it is not a state of this kind of callback."""
        check_names(self._caller, state, self.state())
        for name, value in state.items():
            setattr(self, name, value)
        self._restored = True
