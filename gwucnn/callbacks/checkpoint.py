"""A callback that saves the network while it trains."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from gwucnn.callbacks.monitor import Monitor
from gwucnn.common import check_flag, check_path, check_target

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Monitor):
    """Save the network after each epoch, or after each epoch that is the best so far.

    Parameters
    ----------
    filepath : path
        May contain names of the record: 'net-{epoch:02d}-{val_loss:.3f}.safetensors', with epochs counted from 1.
    save_best_only : bool
        Save only when the monitored value is better than in all epochs before.
    monitor, mode
        As in `EarlyStopping`; used only with save_best_only.

    Raises
    ------
    OSError
        At the start of training, if the folder of `filepath` does not exist or `filepath` is a folder, unless that
        depends on a name in braces.
    """

    saves = True  # after the other callbacks, whose states are saved too
    writes = True

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        save_best_only: bool = False,
        *,
        monitor: str = "val_loss",
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = os.fsdecode(check_path(self._caller, "filepath", filepath))
        self.save_best_only = check_flag(self._caller, "save_best_only", save_best_only)
        self._network: Any = None
        self._seen: Any = None
        self._due = False

    def set_network(self, network: Any) -> None:
        """Set the network to save."""
        self._network = network

    def check_names(self, names: Iterable[str]) -> None:
        names = list(names)
        if self.save_best_only:
            super().check_names(names)
        self._path(dict.fromkeys(names, 0))

    def _path(self, record: dict[str, Any]) -> str:
        try:
            return self.filepath.format(**record | {"epoch": record.get("epoch", 0) + 1})
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"{self._caller}: expected filepath with names out of {', '.join(record)} in braces, got "
                f"{self.filepath!r} ({error}); write {{{{ for a brace itself"
            ) from None

    def on_train_begin(self) -> None:
        """Reset the state, unless one has just been restored."""
        if "{" not in os.path.dirname(self.filepath):
            check_target(self._caller, self.filepath)
        super().on_train_begin()

    def look(self, record: dict[str, Any]) -> bool:
        """Return whether to save after this epoch. Called twice with the same record, it gives the same answer."""
        if self._seen is not record:
            self._seen, self._due = record, not self.save_best_only or self.is_better(self.value(record))
            if self._due and self.save_best_only:
                self.best = self.value(record)
        return self._due

    def on_epoch_end(self, record: dict[str, Any]) -> None:
        """Save the network, if this epoch is to be saved."""
        if self.look(record):
            self._network.save(self._path(record))
        self._seen = None
