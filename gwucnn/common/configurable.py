"""Objects that are fully described by their constructor's arguments: optimizers, schedules, regularizers, losses.

The config of one is ``{"class_name": ..., "config": {...}}``, like that of a layer, with values that JSON can
represent. When the object is recreated, the class is looked up in a closed table.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from gwucnn.common.attributes import is_ours
from gwucnn.common.names import ChecksArguments, look_up

__all__ = ["Configurable", "classes_by_name", "constructor_repr", "from_config", "to_config"]

T = TypeVar("T")


class Configurable(ChecksArguments):
    """The base class. A derived class keeps each constructor argument in an attribute of the same name."""

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        _, *parameters = inspect.signature(type(self).__init__).parameters.values()
        named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return {name: getattr(self, name) for name in named}

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as values that JSON can represent."""
        return {name: to_config(value) for name, value in self.arguments().items()}

    def __repr__(self) -> str:
        return constructor_repr(self, self.arguments())


def constructor_repr(value: Any, arguments: Mapping[str, Any]) -> str:
    """Return the constructor call of `value` with these arguments, for its repr."""
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{type(value).__name__}({shown})"


def to_config(value: Any) -> Any:
    """Return a Described object as a dict from which `from_config` makes it again, anything else as it is."""
    if not isinstance(value, Configurable):
        return value
    return {"class_name": type(value).__name__, "config": value.config()}


def classes_by_name(base: type[T], table: Mapping[str, type[T]]) -> dict[str, type[T]]:
    """Return the classes that a config can name: those in `table`, and users' own ones derived from `base`.

    If several have the same name, as after running a notebook cell twice, the last one counts. The package's own
    classes take precedence.
    """
    found, derived = {}, [base]
    for kind in derived:
        derived += kind.__subclasses__()
        if not is_ours(kind):
            found[kind.__name__] = kind
    own = {kind.__name__: kind for kind in table.values()}
    return own | {name: kind for name, kind in found.items() if name not in own}


def from_config(caller: str, what: str, given: Mapping[str, Any], table: Mapping[str, type[T]]) -> T:
    """Return the object that a config from `to_config` describes. Raises ValueError for anything else."""
    if given.keys() != {"class_name", "config"} or not isinstance(given["config"], Mapping):
        raise ValueError(f"{caller}: expected {what} as {{'class_name': ..., 'config': {{...}}}}, got {given!r}")
    return look_up(caller, what, given["class_name"], table)(**given["config"])
