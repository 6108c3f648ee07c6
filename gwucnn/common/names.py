"""Look-ups of names that users type, with suggestions for unknown ones."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from gwucnn.common.attributes import ChecksAssignments, is_ours, sealing
from gwucnn.common.suggestions import did_you_mean, elsewhere

__all__ = [
    "ChecksArguments",
    "check_arguments",
    "checks_arguments",
    "function_name",
    "look_up",
    "quoted_number_hint",
    "unknown_argument",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


# Arguments that take a list, whose items users tend to pass one by one.
LIST_ARGUMENTS = ("branches", "input_size", "layers", "shape")


def look_up(caller: str, what: str, name: object, table: Mapping[str, T]) -> T:
    """Return table[name], or raise a ValueError that lists the names and suggests the closest one."""
    if isinstance(name, str) and name in table:
        return table[name]
    known = ", ".join(map(repr, table))
    raise ValueError(f"{caller}: expected {what} to be one of {known}, got {name!r}{did_you_mean(name, table)}")


def function_name(caller: str, what: str, function: Any) -> str:
    """Return the name of a user's function, or raise ValueError for a lambda and the like, which have none."""
    name = getattr(function, "__name__", type(function).__name__)
    if not hasattr(function, "__name__") or not name.isidentifier():
        raise ValueError(
            f"{caller}: expected {what} to be a function with a name, got {name}; define it with def, since its name "
            "stands in messages and in the history"
        )
    return name


def quoted_number_hint(value: object) -> str:
    """Return a hint if `value` is a number in quotes, otherwise an empty string."""
    if not isinstance(value, str) or not any(map(str.isdigit, value)):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return f"; write {value} without quotes"


def unknown_argument(caller: str, known: Sequence[str], name: str) -> TypeError:
    """Return the error for an argument that does not exist."""
    takes = f"the arguments {', '.join(known)}" if known else "no arguments"
    return TypeError(f"{caller}: expected {takes}, got {name!r}{did_you_mean(name, known) or elsewhere(name)}")


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function, or of a method without `self`."""
    return [p for p in inspect.signature(function).parameters.values() if p.name != "self"]


def check_arguments(
    caller: str, function: Callable[..., Any], given: Iterable[str], args: Sequence[Any] | None = None
) -> None:
    """Raise a helpful TypeError unless the function or method accepts all `given` keywords.

    With `args`, also if there are too many positional arguments, or if a required argument is missing.
    """
    parameters = _parameters(function)
    kinds = {parameter.kind for parameter in parameters}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return
    known = [parameter.name for parameter in parameters]
    for name in given:
        if name not in known:
            raise unknown_argument(caller, known, name)
    if args is None or inspect.Parameter.VAR_POSITIONAL in kinds:
        return
    named = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    places = known[: len(known) - len(named)]
    if len(args) > len(places):
        remedy = f"; write {named[0]}=..." if named else ""
        if len(places) == 1 and places[0] in LIST_ARGUMENTS and not isinstance(args[0], list):
            remedy = "; pass them as one list"
        most = f"{_count(len(places), 'argument')} without a name at most, {', '.join(places)}"
        raise TypeError(
            f"{caller}: expected {most if places else 'no argument without a name'}, got {len(args)}{remedy}"
        )
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in {*places[: len(args)], *given}:
            raise TypeError(
                f"{caller}: expected the argument {parameter.name}, got none; write {caller}({parameter.name}=...)"
            )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def checks_arguments(function: F) -> F:
    """Decorate a function or method so that wrong arguments raise an error that lists the right ones."""
    every = inspect.signature(function).parameters.values()  # once: it takes a good part of the time of an import
    parameters = [parameter for parameter in every if parameter.name != "self"]
    known = frozenset(parameter.name for parameter in parameters)
    most = sum(parameter.kind is not inspect.Parameter.KEYWORD_ONLY for parameter in parameters)
    needed = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    own = len(every) - len(parameters)  # 1 for `self`

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        count = len(args) - own
        missing = count < len(needed) and not kwargs.keys() >= set(needed[count:])
        if missing or count > most or not kwargs.keys() <= known:
            caller = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
            check_arguments(caller, function, kwargs, args[own:])
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


class ChecksArguments(ChecksAssignments):
    """A base class of classes whose constructors raise a helpful error for wrong arguments.

    So do assignments to attributes later on: see `attributes.py`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = sealing(checks_arguments(cls.__init__))  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.__init__ is object.__init__ and (args or kwargs):
            remedy = "" if is_ours(cls) else "; define __init__ to take them"
            raise TypeError(f"{cls.__name__}: expected no arguments, got {(*args, *kwargs)}{remedy}")
        made = super().__new__(cls)
        if cls.__init__ is object.__init__:  # which seals nothing
            made._seal()
        return made
