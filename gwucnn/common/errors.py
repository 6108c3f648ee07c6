"""Exceptions, and the functions that print messages and warnings for users.

Every message has the form ``caller: expected X, got Y; how to fix``, where *caller* is the function, or the layer with
its place in the network, such as ``2.Conv2D``.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = [
    "FormatError",
    "NotBuiltError",
    "ShapeError",
    "SizeMismatchWarning",
    "tell_user",
    "user_messages",
    "warn_user",
]

_ENABLED = ContextVar("user_messages", default=True)


class ShapeError(ValueError):
    """Raised when the sizes of arrays or layers do not fit each other."""


class NotBuiltError(RuntimeError):
    """Raised when a call comes too early, such as ``fit`` before ``compile``."""


class FormatError(ValueError):
    """Raised when a file is damaged, truncated or of another format than expected."""


class SizeMismatchWarning(UserWarning):
    """Issued when a stated ``input_size`` differs from the output size of the layer before."""


@contextmanager
def user_messages(enabled: bool) -> Iterator[None]:
    """Enable or disable messages and warnings in this block: of processes that do the same, one should print them."""
    before = _ENABLED.set(enabled)
    try:
        yield
    finally:
        _ENABLED.reset(before)


def tell_user(line: str) -> None:
    """Print a line to standard error, where progress bars are, so that the two do not mix."""
    if _ENABLED.get():
        print(line, file=sys.stderr)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points to the line of the user's program, however deep in the package this is called."""
    if not _ENABLED.get():
        return
    package, level = __name__.partition(".")[0], 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
