"""What goes wrong, by kind, and how users hear of it and of what else is worth a line.

Every message has the form ``who: expected X, got Y; how to fix``, where *who* is the function or the layer
with its place in the network, such as ``2.Conv2D``.
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

_SPEAKS = ContextVar("speaks", default=True)


class ShapeError(ValueError):
    """Raised when the sizes of arrays or layers do not fit each other."""


class NotBuiltError(RuntimeError):
    """Raised when a call comes too early, such as ``fit`` before ``compile``."""


class FormatError(ValueError):
    """Raised when a file is damaged, truncated or of another format than expected."""


class SizeMismatchWarning(UserWarning):
    """Issued when a stated ``input_size`` differs from what the layer before really makes."""


@contextmanager
def user_messages(aloud: bool) -> Iterator[None]:
    """Keep quiet meanwhile unless `aloud`: of processes that all do the same, one says it."""
    before = _SPEAKS.set(aloud)
    try:
        yield
    finally:
        _SPEAKS.reset(before)


def tell_user(line: str) -> None:
    """Print a line to where progress bars are, so that the two do not mix."""
    if _SPEAKS.get():
        print(line, file=sys.stderr)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn about the line of the user's program that led here, however deep in the package this is."""
    if not _SPEAKS.get():
        return
    package, level = __name__.partition(".")[0], 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
