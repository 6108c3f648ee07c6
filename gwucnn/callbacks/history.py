"""What is known of a training afterwards."""

from __future__ import annotations

import os
from itertools import pairwise
from math import nan
from numbers import Real
from typing import Any

from gwucnn.common import check_path, check_target

__all__ = ["History"]


class History:
    """The course of a training: of its own epochs what `fit` returns, of the whole run `network.history`.

    A `fit` with an initial_epoch goes on with a run, also with one that a file holds: `network.history` then
    begins with the epochs before that one. A `fit` without begins a new run.

    Attributes
    ----------
    history : dict of name to list
        One number an epoch: `loss`, `accuracy` (from 0 to 1, for losses that classify), `val_loss`,
        `val_accuracy`, `lr`. NaN for epochs that had no such number, as before there was validation data.
    epoch : list of int
        The epochs' numbers, counted from 0 as in Keras.
    seconds : list of float
        How long each epoch took.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds: list[float] = []

    def append(self, record: dict[str, Any]) -> None:
        """Add one epoch's record."""
        earlier = len(self.epoch)
        self.epoch.append(record["epoch"])
        self.seconds.append(record["seconds"])
        numbers = {key: value for key, value in record.items() if key not in ("epoch", "seconds")}
        for key in dict.fromkeys([*self.history, *numbers]):
            self.history.setdefault(key, [nan] * earlier).append(numbers.get(key, nan))

    def check(self, caller: str) -> None:
        """Raise ValueError unless there is one number an epoch of all, and the epochs go up."""
        count = len(self.epoch)
        if any(type(epoch) is not int or epoch < 0 for epoch in self.epoch) or any(
            later <= epoch for epoch, later in pairwise(self.epoch)
        ):
            raise ValueError(f"{caller}: expected epochs that go up from 0, got {str(self.epoch)[:60]}")
        for name, values in {**self.history, "seconds": self.seconds}.items():
            if len(values) != count or not all(isinstance(value, Real) for value in values):
                raise ValueError(
                    f"{caller}: expected {count} numbers of {name!r}, one an epoch, got {str(values)[:60]}"
                )

    def before(self, epoch: int) -> History:
        """Return a copy with the epochs before this one."""
        found = History()
        for number, each in enumerate(self.epoch):
            if each < epoch:
                values = {key: column[number] for key, column in self.history.items()}
                found.append({**values, "epoch": each, "seconds": self.seconds[number]})
        return found

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row an epoch, with a head line. Raises OSError if there is no folder for the file."""
        import csv

        path = check_path("History.to_csv", "path", path)
        check_target("History.to_csv", path)
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self.history, "seconds"])
            writer.writerows(zip(self.epoch, *self.history.values(), self.seconds, strict=True))

    def __repr__(self) -> str:
        last = ", ".join(f"{key}={values[-1]:.4g}" for key, values in self.history.items() if values)
        return f"History({len(self.epoch)} epochs{'; last: ' + last if last else ''})"
