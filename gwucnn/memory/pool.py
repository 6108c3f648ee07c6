"""Memory for arrays that only a few steps of a pass need, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn.memory.aligned import aligned_empty

__all__ = ["Pool"]


class Pool:
    """Lends memory to the arrays of a pass, and lends it again as soon as nobody holds them.

    A pass has steps. `take` lends memory for an array; whoever needs the array beyond the current step calls `hold`,
    and `drop` when done. `settle`, at the end of a step, takes back what nobody holds. Views of an array, in whatever
    shape, count as the array.

    The next pass uses the arrays that this one took, in the same order, and takes nothing; if its batch is larger, it
    takes new memory. What an earlier pass took is therefore never lent again.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a pass."""
        self._free: list[Any] = []
        self._taken: dict[int, Any] = {}  # of this pass, by the object that owns the memory
        self._holders: dict[int, int] = {}
        self._new: list[int] = []  # taken in the current step

    def take(self, size: int, dtype: Any) -> Any:
        """Return a flat array of at least `size` elements: the smallest that is free, or a new one."""
        fitting = [memory for memory in self._free if memory.dtype == dtype and memory.size >= size]
        memory = min(fitting, key=lambda memory: memory.size) if fitting else aligned_empty((size,), dtype)
        self._free = [other for other in self._free if other is not memory]
        owner = _owner(memory)
        self._taken[owner] = memory
        self._new.append(owner)
        return memory

    def hold(self, array: Any) -> None:
        """Keep the memory of an array until `drop` was called as often as `hold`. Other arrays are ignored."""
        owner = _owner(array)
        self._holders[owner] = self._holders.get(owner, 0) + 1

    def drop(self, array: Any) -> None:
        """Take back the memory of an array if nobody else holds it."""
        owner = _owner(array)
        self._holders[owner] -= 1
        if not self._holders[owner]:
            self._take_back(owner)

    def settle(self) -> None:
        """Take back the memory that was taken since the last call and that nobody holds."""
        for owner in self._new:
            if not self._holders.get(owner):
                self._take_back(owner)
        self._new = []

    def _take_back(self, owner: int) -> None:
        memory = self._taken.pop(owner, None)
        if memory is not None:
            self._free.append(memory)


def _owner(array: Any) -> int:
    """Return the identity of the object that owns the memory of an array."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array)
