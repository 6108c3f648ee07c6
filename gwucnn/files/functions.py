"""The user's own functions that a saved network names: a file cannot hold them, the user gives them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gwucnn.common import warn_user

__all__ = ["Functions"]


class Functions:
    """Finds the functions that a document names; those that are missing are left out, with one warning.

    Parameters
    ----------
    caller : str
        The beginning of the warning.
    given : mapping of name to function
    """

    def __init__(self, caller: str, given: Mapping[str, Callable[..., Any]]) -> None:
        self._caller, self._given = caller, given
        self._missing: list[str] = []
        self._without_loss = False

    def loss(self, entry: Any) -> Any:
        """Return the loss to compile with: a config, or a function; None if the function is missing.

        For several outputs it is a list, and None if any of the functions is missing.
        """
        several = [self._found(one) for one in (entry if isinstance(entry, list) else [entry])]
        missing = any(loss is None for loss in several)
        loss = None if missing else several if isinstance(entry, list) else several[0]
        self._without_loss = loss is None
        return loss

    def metrics(self, entries: list[Any], *, each: bool = False) -> Any:
        """Return the metrics to compile with, without those that are missing; with `each`, those of each output."""
        if each:
            return tuple(self.metrics(of_it) for of_it in entries)
        return [metric for metric in map(self._found, entries) if metric is not None]

    def _found(self, entry: Any) -> Any:
        if not isinstance(entry, dict) or entry.keys() != {"function"} or not isinstance(entry["function"], str):
            return entry
        if entry["function"] not in self._given:
            self._missing.append(entry["function"])
        return self._given.get(entry["function"])

    def warn_missing(self) -> None:
        """Warn if any function was missing, and say what follows from it."""
        if not self._missing:
            return
        names = ", ".join(dict.fromkeys(self._missing))
        effect = "the network is not compiled" if self._without_loss else "they are left out of its metrics"
        warn_user(
            f"{self._caller}: expected the functions that the network was compiled with, got none called {names}; "
            f"{effect}; to continue training write load(path, functions=[{names}])"
        )
