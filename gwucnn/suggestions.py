"""Look-ups of names that users type, with a hint where one is unknown."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

__all__ = ["check_keywords", "keywords_checked", "look_up"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def _hint(name: object, known: Iterable[str]) -> str:
    import difflib  # a name is wrong once in a while, the package is imported each time

    close = difflib.get_close_matches(name.lower(), known, n=1) if isinstance(name, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def look_up(who: str, what: str, name: object, table: Mapping[str, T]) -> T:
    """Return table[name], or raise a ValueError that lists the names and suggests the nearest."""
    if isinstance(name, str) and name in table:
        return table[name]
    known = ", ".join(map(repr, table))
    raise ValueError(f"{who}: expected {what} to be one of {known}, got {name!r}{_hint(name, table)}")


def check_keywords(who: str, function: Callable[..., Any], given: Iterable[str]) -> None:
    """Raise a TypeError that suggests the nearest unless the method `function` takes all `given` keywords."""
    _, *parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters]
    for name in given:
        if name not in known:
            takes = f"the arguments {', '.join(known)}" if known else "no arguments"
            raise TypeError(f"{who}: expected {takes}, got {name!r}{_hint(name, known)}")


def keywords_checked(method: F) -> F:
    """Let a method answer to an unknown keyword with the nearest one that it knows."""
    known = frozenset(inspect.signature(method).parameters)

    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not kwargs.keys() <= known:
            who = type(args[0]).__name__ if method.__name__ == "__init__" else method.__name__
            check_keywords(who, method, kwargs)
        return method(*args, **kwargs)

    return checked  # type: ignore[return-value]
