"""Undoing what a call has changed when its data or options turn out not to fit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["unless_refused"]


def unless_refused(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method that raises TypeError or ValueError leave all attributes of its object as they were.

    Other errors, such as a loss that is not finite or a keyboard interrupt, keep the network as far as it was trained.
    """

    @functools.wraps(method)
    def undoing(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        try:
            return method(self, *args, **kwargs)
        except (TypeError, ValueError):
            vars(self).clear()
            vars(self).update(before)
            raise

    return undoing
