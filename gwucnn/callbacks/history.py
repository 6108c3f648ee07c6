"""The history that `fit` returns."""

from __future__ import annotations

import os
from itertools import pairwise
from math import nan
from numbers import Real
from typing import Any

from gwucnn.common import ChecksArguments, check_path, check_target, html_curves, html_table

__all__ = ["History"]

# As many rows has the table that notebooks show.
MOST_ROWS = 10


class History(ChecksArguments):
    """The values recorded in training: `fit` returns those of its own epochs, `network.history` has the whole run.

    `fit` with an initial_epoch continues a run, which may come from a file: `network.history` then begins with the
    epochs before that one. Without it, a new run begins.

    Attributes
    ----------
    history : dict of name to list
        One value per epoch: `loss`, `accuracy` (from 0 to 1, for classification), `val_loss`, `val_accuracy`, `lr`. NaN
        for epochs without such a value, for example before there was validation data.
    epoch : list of int
        The numbers of the epochs, counted from 0 as in Keras.
    seconds : list of float
        The duration of each epoch.
    """

    _assignable = ("epoch", "history", "seconds")

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds: list[float] = []

    def append(self, record: dict[str, Any]) -> None:
        """Append the record of an epoch."""
        earlier = len(self.epoch)
        self.epoch.append(record["epoch"])
        self.seconds.append(record["seconds"])
        numbers = {key: value for key, value in record.items() if key not in ("epoch", "seconds")}
        for key in dict.fromkeys([*self.history, *numbers]):
            self.history.setdefault(key, [nan] * earlier).append(numbers.get(key, nan))

    def check(self, caller: str) -> None:
        """Raise ValueError unless every list has one value per epoch, and epochs increase."""
        count = len(self.epoch)
        if any(type(epoch) is not int or epoch < 0 for epoch in self.epoch) or any(
            later <= epoch for epoch, later in pairwise(self.epoch)
        ):
            raise ValueError(f"{caller}: expected increasing epochs of at least 0, got {str(self.epoch)[:60]}")
        for name, values in {**self.history, "seconds": self.seconds}.items():
            if len(values) != count or not all(isinstance(value, Real) for value in values):
                raise ValueError(
                    f"{caller}: expected {count} values of {name!r}, one per epoch, got {str(values)[:60]}"
                )

    def before(self, epoch: int) -> History:
        """Return a copy that has only the epochs before this one."""
        found = History()
        for number, each in enumerate(self.epoch):
            if each < epoch:
                values = {key: column[number] for key, column in self.history.items()}
                found.append({**values, "epoch": each, "seconds": self.seconds[number]})
        return found

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file with a header and a row per epoch, counted from 1 as in the files of `CSVLogger`.

        Raises OSError if its folder does not exist.
        """
        import csv

        path = check_path("History.to_csv", "path", path)
        check_target("History.to_csv", path)
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *self.history, "seconds"])
            epochs = [epoch + 1 for epoch in self.epoch]
            writer.writerows(zip(epochs, *self.history.values(), self.seconds, strict=True))

    def __repr__(self) -> str:
        last = ", ".join(f"{key}={values[-1]:.4g}" for key, values in self.history.items() if values)
        return f"History({len(self.epoch)} epochs{'; last: ' + last if last else ''})"

    def _repr_html_(self) -> str:
        """Return the last epochs as a table, and the course of the loss and of each metric, for notebooks."""
        if not self.epoch:
            return html_table(["epoch"], [], "no epochs yet")
        epochs = [epoch + 1 for epoch in self.epoch]
        rows = list(zip(epochs, *self.history.values(), self.seconds, strict=True))
        hidden = len(rows) - MOST_ROWS
        note = f"the last {MOST_ROWS} of {len(rows)} epochs" if hidden > 0 else ""
        pictures = [
            html_curves(name, epochs, self._both(name), xlabel="epoch")
            for name in self.history
            if not name.startswith("val_") and (name != "lr" or len(set(self.history[name])) > 1)
        ]
        table = html_table(["epoch", *self.history, "seconds"], rows[-MOST_ROWS:], note)
        return f"<div>{table}{''.join(pictures)}</div>"

    def _both(self, name: str) -> dict[str, list[float]]:
        """Return the values of training and, if there are any, of validation."""
        keys = {"training": name, "validation": f"val_{name}"}
        return {label: self.history[key] for label, key in keys.items() if key in self.history}
