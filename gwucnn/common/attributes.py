"""Assignments to attributes of finished objects: those that would have no effect are errors.

Training reads what constructors were given when it plans, records and compiles, and never again. An object of one of
the package's own classes is therefore sealed once its constructor has returned: from then on its public attributes
cannot be assigned, except for those that its class lists in `_assignable`, whose changes take effect at the next step.
Private attributes stay free, and so do objects of users' own classes, which may set what they want, when they want.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from gwucnn.common.suggestions import did_you_mean

__all__ = ["ChecksAssignments", "is_ours", "sealing", "set_inside", "unsealing"]

F = TypeVar("F", bound=Callable[..., Any])


def is_ours(kind: type) -> bool:
    """Whether a class is one of the package's own."""
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


class ChecksAssignments:
    """A base class whose sealed objects refuse assignments that would have no effect.

    What a derived class may set:

    - `_assignable`: the public attributes whose assignment takes effect.
    - `_wrappable`: whether methods of an object can be replaced by other functions.
    - `_remedy`: how to get another value of a constructor's argument; {} stands for the constructor's call.
    """

    _sealed = False
    _assignable: ClassVar[tuple[str, ...]] = ()
    _wrappable: ClassVar[bool] = True
    _remedy: ClassVar[str] = "make a new one, {}"

    def __setattr__(self, name: str, value: Any) -> None:
        if self._sealed and not name.startswith("_") and not self._takes(name, value):
            raise self._refusal(name)
        super().__setattr__(name, value)

    def _seal(self) -> None:
        """Refuse assignments from now on, unless the class is a user's own."""
        if is_ours(type(self)):
            self._sealed = True

    def _takes(self, name: str, value: Any) -> bool:
        if name in self._assignable:
            return True
        return self._wrappable and callable(value) and callable(getattr(type(self), name, None))

    def _refusal(self, name: str) -> AttributeError:
        kind = type(self)
        arguments = [each for each in inspect.signature(kind.__init__).parameters if each != "self"]
        hint = self._instead(name)
        if not hint and name in arguments:
            hint = "; " + self._remedy.format(f"{kind.__name__}({name}=...)")
        if not hint and not hasattr(self, name):
            public = [each for each in dir(self) if not each.startswith("_")]
            hint = did_you_mean(name, [*self._assignable, *arguments, *public])
        assignable = f"{', '.join(self._assignable)} alone" if self._assignable else "no attribute"
        return AttributeError(f"{kind.__name__}: expected an assignment to {assignable}, got one to {name!r}{hint}")

    def _instead(self, name: str) -> str:
        """Return '; what to do' instead of assigning to an attribute of this name, or an empty string."""
        return ""


def set_inside(thing: Any, **values: Any) -> None:
    """Set attributes that only the package itself may assign."""
    for name, value in values.items():
        object.__setattr__(thing, name, value)


def sealing(init: F) -> F:
    """Decorate a constructor so that it seals objects of its own class, rather than of derived ones, at its end."""

    @functools.wraps(init)
    def sealed(self: ChecksAssignments, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self).__init__ is sealed:
            self._seal()

    return sealed  # type: ignore[return-value]


def unsealing(method: F) -> F:
    """Decorate a method so that it may assign to attributes of a sealed object."""

    @functools.wraps(method)
    def unsealed(self: ChecksAssignments, *args: Any, **kwargs: Any) -> Any:
        sealed, self._sealed = self._sealed, False
        try:
            return method(self, *args, **kwargs)
        finally:
            self._sealed = sealed

    return unsealed  # type: ignore[return-value]
