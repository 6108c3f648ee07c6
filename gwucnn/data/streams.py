"""Data that come batch by batch from an object of the user's: larger than memory, read or computed on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import numpy as np

from gwucnn.common import check_size
from gwucnn.data.batches import Batches, Run
from gwucnn.data.checks import batch_weights

__all__ = ["Stream", "check_steps", "inputs_of", "is_indexed", "is_stream"]

Admit = Callable[[str, Any, Any], Batches]


def is_stream(x: Any) -> bool:
    """Whether x gives batches (x, y), by number or one after the other, and is not an array.

    A list counts if its items are tuples; a list of arrays holds images.
    """
    if isinstance(x, np.ndarray):
        return False
    if isinstance(x, list):
        return bool(x) and all(isinstance(item, tuple) for item in x)
    if isinstance(x, (tuple, str, bytes, Mapping, Set, type)) or hasattr(x, "__array__"):
        return False
    return is_indexed(x) or hasattr(x, "__iter__")


def is_indexed(x: Any) -> bool:
    """Whether a stream returns batches by number, so that their order can be shuffled."""
    return hasattr(x, "__len__") and hasattr(x, "__getitem__")


def check_steps(caller: str, steps_per_epoch: Any, x: Any, y: Any) -> int | None:
    """Return the number of batches in an epoch, None if it is not given; only iterables leave it open."""
    if steps_per_epoch is None:
        return None
    steps = check_size(caller, "steps_per_epoch", steps_per_epoch)
    if y is not None or not is_stream(x) or is_indexed(x):
        raise ValueError(
            f"{caller}: expected steps_per_epoch with an iterable of batches only, got it with data of known length; "
            "leave it out"
        )
    return steps


class Stream:
    """Batches returned by an object with `__len__` and `__getitem__`.

    Parameters
    ----------
    source : object
        `source[i]` is the batch (x, y), for i from 0 to less than `len(source)`.
    admit : function (where, x, y) -> Batches
        Checks a batch; error messages begin with `where`.
    caller : str
        The function that reads the first batch now, so that the network knows its shape.

    Attributes
    ----------
    samples : int
        Samples per epoch: estimated from the first batch until an epoch has been completed.
    """

    def __init__(self, source: Any, admit: Admit, caller: str) -> None:
        self._source, self._admit = source, admit
        self.samples = self._length(caller) * len(self._batch(0, f"{caller}: x[0]"))

    def watch(self, batch: Batches) -> None:
        """Take note of a batch before it is trained on. Whoever wants to know sets a function in place of this."""

    def _length(self, caller: str) -> int:
        length = len(self._source)
        if not length:
            raise ValueError(f"{caller}: expected at least one batch, got none")
        return length

    def _batch(self, number: int, where: str) -> Batches:
        return self._admitted(self._source[number], where)

    def _admitted(self, item: Any, where: str) -> Batches:
        """Check a batch of the user's."""
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            count = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
            raise TypeError(
                f"{where}: expected a batch (x, y) or (x, y, sample_weight), got {type(item).__name__}{count}"
            )
        try:
            batch = self._admit(where, *item[:2])
            if len(item) == 3:
                weights = batch_weights(batch.targets, 0, None, item[2], where)
                batch.weights = weights if batch.weights is None else batch.weights * weights
            return batch
        except (ValueError, TypeError) as error:
            if str(error).startswith(where):
                raise
            raise type(error)(f"{where}: {error}") from None

    def epoch(self, size: int, rng: Any, where: str) -> Iterator[Run]:
        """Yield each batch as a run of its own."""
        length, samples = self._length(where), 0
        order = range(length) if rng is None else rng.permutation(length).tolist()
        for number, index in enumerate(order):
            note = f" (x[{index}])"
            batch = self._batch(index, f"{where}, batch {number + 1}{note}")
            count = len(batch)
            samples += count
            self.watch(batch)
            yield Run(batch, np.arange(count), count, where, number, note, in_order=True)
        self.samples = samples

    def parts(self, caller: str) -> Iterator[Batches]:
        """Yield all samples in order, batch by batch."""
        for index in range(self._length(caller)):
            yield self._batch(index, f"{caller}: x[{index}]")


def inputs_of(source: Any, caller: str) -> Iterator[Any]:
    """Yield the inputs of each batch, which is a tuple (x, ...) or x itself."""
    items = (source[number] for number in range(len(source))) if is_indexed(source) else iter(source)
    empty = True
    for item in items:
        empty = False
        yield item[0] if isinstance(item, tuple) and item else item
    if empty:
        raise ValueError(f"{caller}: expected at least one batch, got none")
