"""A log of training that other programs can read while it grows."""

from __future__ import annotations

import os
from typing import Any

from gwucnn.common import check_flag, check_path, check_target, checks_arguments

__all__ = ["CSVLogger"]


class CSVLogger:
    """Write each epoch's record as a row of a table, as soon as it is there.

    The file is closed between epochs: whatever breaks off the training, what was done stands in it.

    Parameters
    ----------
    path : path
    append : bool
        Go on with a file that is there, in its columns, instead of replacing it. Rows of epochs that are now
        done again are dropped.

    Raises
    ------
    OSError
        When training begins, if `path` lies in no folder, or is one.
    ValueError
        With append, if the file has a column that no record has, or lacks one.
    """

    writes = True

    @checks_arguments
    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = check_path("CSVLogger", "path", path)
        self.append = check_flag("CSVLogger", "append", append)
        self._goes_on = self.append
        self._begun = False
        self._columns: list[str] = []

    def on_train_begin(self) -> None:
        """Begin a new table, or go on with the one that is there. Raises OSError for a missing folder."""
        check_target("CSVLogger", self.path)
        self._begun = False

    def on_epoch_end(self, record: dict[str, Any]) -> None:
        """Write a row."""
        if not self._begun:
            self._begin(record)
            self._begun = True
        import csv  # takes longer to import than all of this module

        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerow(record[name] for name in self._columns)

    def _begin(self, record: dict[str, Any]) -> None:
        """Write the head line, and the rows of earlier epochs where the table goes on."""
        import csv

        rows = self._earlier(record) if self._goes_on and os.path.exists(self.path) else []
        self._goes_on = self.append
        with open(self.path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self._columns if rows else list(record))
            writer.writerows(rows)
        if not rows:
            self._columns = list(record)

    def _earlier(self, record: dict[str, Any]) -> list[list[str]]:
        import csv

        with open(self.path, newline="") as file:
            head, *rows = csv.reader(file) if os.path.getsize(self.path) else [list(record)]
        if set(head) != set(record):
            raise ValueError(
                f"CSVLogger: expected {self.path} to have the columns {', '.join(record)}, got "
                f"{', '.join(head)}; give another path, or append=False"
            )
        self._columns = head
        epoch = head.index("epoch")
        return [row for row in rows if len(row) == len(head) and float(row[epoch]) < record["epoch"]]

    def state(self) -> dict[str, Any]:
        """Return nothing that the file does not hold."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the file at the next `fit`."""
        self._goes_on = True
