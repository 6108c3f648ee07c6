"""What `fit` returns."""

from __future__ import annotations

import os
from typing import Any

from gwucnn.checks import check_path

__all__ = ["History"]


class History:
    """The course of a training run.

    Attributes
    ----------
    history : dict of name to list
        One number an epoch: `loss`, `accuracy` (from 0 to 1, for losses that classify), `val_loss`,
        `val_accuracy`, `lr`.
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
        self.epoch.append(record["epoch"])
        self.seconds.append(record["seconds"])
        for key, value in record.items():
            if key not in ("epoch", "seconds"):
                self.history.setdefault(key, []).append(value)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row an epoch, with a head line."""
        import csv

        with open(check_path("History.to_csv", "path", path), "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self.history, "seconds"])
            writer.writerows(zip(self.epoch, *self.history.values(), self.seconds, strict=True))

    def __repr__(self) -> str:
        last = ", ".join(f"{key}={values[-1]:.4g}" for key, values in self.history.items() if values)
        return f"History({len(self.epoch)} epochs{'; last: ' + last if last else ''})"
