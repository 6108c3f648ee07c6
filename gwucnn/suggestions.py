"""Look-ups of names that users type, with a hint where one is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["look_up"]

T = TypeVar("T")


def look_up(who: str, what: str, name: object, table: Mapping[str, T]) -> T:
    """Return table[name], or raise a ValueError that lists the names and suggests the nearest."""
    if isinstance(name, str) and name in table:
        return table[name]
    close = difflib.get_close_matches(name.lower(), table, n=1) if isinstance(name, str) else []
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{who}: expected {what} to be one of {', '.join(map(repr, table))}, got {name!r}{hint}")
