"""One of something, or several: networks with one input have an array where those with several have a tuple."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["each", "only"]


def only(items: Iterable[Any]) -> Any:
    """Return the only one of these items, or all of them as a tuple. An item must not be a tuple itself."""
    several = tuple(items)
    return several[0] if len(several) == 1 else several


def each(given: Any) -> tuple[Any, ...]:
    """Return as a tuple what `only` made of one or several items."""
    return given if isinstance(given, tuple) else (given,)
