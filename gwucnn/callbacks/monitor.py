"""A number of the records that a callback keeps its eye on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gwucnn.callbacks.state import check_names
from gwucnn.common import ChecksArguments, check_between, look_up

__all__ = ["Monitor"]

# Records whose largest value is the best; of all others it is the smallest.
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

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        self._caller = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{self._caller}: expected monitor to be a name such as 'val_loss', got {monitor!r}")
        self.monitor = monitor
        automatic = 1 if any(word in monitor for word in LARGER_IS_BETTER) else -1
        self._sign = look_up(self._caller, "mode", mode, {"auto": automatic, "min": -1, "max": 1})
        self.min_delta = check_between(self._caller, "min_delta", min_delta, 0)
        self._restored = False
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self.best: float | None = None
        self.wait = 0

    def check_names(self, names: Iterable[str]) -> None:
        """Raise ValueError if records have no number of this name."""
        names = dict.fromkeys(names)
        if self.monitor in names:
            return
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in names):
            raise ValueError(
                f"{self._caller}: expected monitor to be one of {', '.join(map(repr, names))}, got "
                f"{self.monitor!r}; give fit validation_data or validation_split"
            )
        look_up(self._caller, "monitor", self.monitor, names)

    def value(self, record: dict[str, Any]) -> float:
        """Return the number of an epoch; raise ValueError that lists the record's names if it has none."""
        self.check_names(record)
        return float(record[self.monitor])

    def is_better(self, value: float) -> bool:
        """Whether this is better than the best so far; NaN never is."""
        if self.best is None:
            return value == value
        return self._sign * (value - self.best) > self.min_delta

    def on_train_begin(self) -> None:
        """Start afresh, unless a state was restored just before."""
        if not self._restored:
            self.reset()
        self._restored = False

    def state(self) -> dict[str, Any]:
        """Return what was seen so far."""
        return {"best": self.best, "wait": self.wait}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on, at the next `fit`, where `state` was taken. Raises ValueError for another kind of state."""
        check_names(self._caller, state, self.state())
        for name, value in state.items():
            setattr(self, name, value)
        self._restored = True
