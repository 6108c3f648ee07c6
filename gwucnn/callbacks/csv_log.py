"""A log of training, as a CSV file that other programs can read while it grows."""

from __future__ import annotations

import os
from typing import Any

from gwucnn.common import ChecksArguments, check_flag, check_path, check_target

__all__ = ["CSVLogger"]


class CSVLogger(ChecksArguments):
    """Append the record of each epoch to a CSV file as soon as the epoch ends.

    The file is closed between epochs, so that it is complete however training ends. Epochs are counted from 1, as in
    progress bars and in the names of `ModelCheckpoint`.

    Parameters
    ----------
    path : path
    append : bool
        Continue an existing file, with its columns, instead of replacing it. Rows of epochs that are repeated are
        dropped. In a file that counts from 0, as Keras' CSVLogger does, epochs are renumbered.

    Raises
    ------
    OSError
        At the start of training, if the folder of `path` does not exist or `path` is a folder.
    ValueError
        With append, if the columns of the file differ from the names in records.
    """

    writes = True

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = check_path("CSVLogger", "path", path)
        self.append = check_flag("CSVLogger", "append", append)
        self._continues = self.append
        self._begun = False
        self._columns: list[str] = []

    def on_train_begin(self) -> None:
        """Start a new file, or continue an existing one. Raises OSError if the folder is missing."""
        check_target("CSVLogger", self.path)
        self._begun = False

    def on_epoch_end(self, record: dict[str, Any]) -> None:
        """Append a row."""
        record = record | {"epoch": record["epoch"] + 1}
        if not self._begun:
            self._begin(record)
            self._begun = True
        import csv  # takes longer to import than this whole module

        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerow(record[name] for name in self._columns)

    def _begin(self, record: dict[str, Any]) -> None:
        """Write the header, and the rows of earlier epochs if the file is continued."""
        import csv

        rows = self._earlier(record) if self._continues and os.path.exists(self.path) else []
        self._continues = self.append
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
        column = head.index("epoch")
        rows = [row for row in rows if len(row) == len(head)]
        if rows and float(rows[0][column]) == 0:
            for row in rows:
                row[column] = f"{float(row[column]) + 1:.0f}"
        return [row for row in rows if float(row[column]) < record["epoch"]]

    def state(self) -> dict[str, Any]:
        """Return an empty state: everything is in the file."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue the file at the next `fit`."""
        self._continues = True
