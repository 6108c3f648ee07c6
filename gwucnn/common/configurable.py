"""Small objects that are nothing but their constructor's arguments: written down, shown and made again.

Optimizers, schedules, regularizers, losses. Written down, one is ``{"class_name": ..., "config": {...}}``, as
layers are: values that JSON can hold, with the class looked up in a closed table when it is made again.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from gwucnn.common.names import ChecksArguments, look_up

__all__ = ["Configurable", "classes_by_name", "constructor_repr", "from_config", "to_config"]

T = TypeVar("T")


class Configurable(ChecksArguments):
    """The base. A derived class keeps each of its constructor's arguments in an attribute of that name."""

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as they are."""
        _, *parameters = inspect.signature(type(self).__init__).parameters.values()
        named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return {name: getattr(self, name) for name in named}

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, in values that JSON can hold."""
        return {name: to_config(value) for name, value in self.arguments().items()}

    def __repr__(self) -> str:
        return constructor_repr(self, self.arguments())


def constructor_repr(thing: Any, arguments: Mapping[str, Any]) -> str:
    """Return the call of the class of `thing` with these arguments, for its repr."""
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{type(thing).__name__}({shown})"


def to_config(thing: Any) -> Any:
    """Return a Described object as a dict from which `from_config` makes it again, anything else as it is."""
    if not isinstance(thing, Configurable):
        return thing
    return {"class_name": type(thing).__name__, "config": thing.config()}


def classes_by_name(base: type[T], table: Mapping[str, type[T]]) -> dict[str, type[T]]:
    """Return the classes that descriptions can name: those in `table`, and users' own derived from `base`.

    Of several of one name, as when a cell of a notebook runs again, the last; the package's before a user's.
    """
    package, found, derived = __name__.partition(".")[0], {}, [base]
    for kind in derived:
        derived += kind.__subclasses__()
        if kind.__module__.partition(".")[0] != package:
            found[kind.__name__] = kind
    own = {kind.__name__: kind for kind in table.values()}
    return own | {name: kind for name, kind in found.items() if name not in own}


def from_config(caller: str, what: str, given: Mapping[str, Any], table: Mapping[str, type[T]]) -> T:
    """Return the object that `to_config` wrote down. Raises ValueError for anything else."""
    if given.keys() != {"class_name", "config"} or not isinstance(given["config"], Mapping):
        raise ValueError(f"{caller}: expected {what} as {{'class_name': ..., 'config': {{...}}}}, got {given!r}")
    return look_up(caller, what, given["class_name"], table)(**given["config"])
