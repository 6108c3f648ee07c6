"""Data from anything that can be iterated over: generators, PyTorch's DataLoader, tf.data and the like."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np

from gwucnn.data.batches import Batches, Run
from gwucnn.data.streams import Admit, Stream

__all__ = ["IterableStream", "read_ahead"]

# Batches that are read while the network trains on another one.
AHEAD = 2


def read_ahead(items: Iterable[Any], ahead: int = AHEAD) -> Iterator[Any]:
    """Yield the items, which a thread computes up to `ahead` in advance; an exception there is raised here."""
    made: queue.Queue[tuple[str, Any]] = queue.Queue(ahead)
    closed = threading.Event()

    def put(kind: str, value: Any) -> None:
        while not closed.is_set():
            try:
                return made.put((kind, value), timeout=0.1)
            except queue.Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put("item", item)
                if closed.is_set():
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    reader = threading.Thread(target=read, name="gwucnn reads ahead", daemon=True)
    reader.start()
    try:
        while True:
            kind, value = made.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        closed.set()
        reader.join(1.0)  # a source that waits for ever must not hold up the caller


class IterableStream(Stream):
    """Batches in the order in which an iterable yields them.

    An iterable starts anew in each epoch. An iterator, such as a generator, cannot: each epoch takes its next `steps`
    batches.

    Parameters
    ----------
    source : iterable of (x, y) or (x, y, sample_weight)
    admit, caller : as for Stream
    steps : int, optional
        Number of batches in an epoch; by default all of them.
    """

    def __init__(self, source: Any, admit: Admit, caller: str, steps: int | None = None) -> None:
        self._source, self._admit, self._steps = source, admit, steps
        iterator = iter(source)
        self._goes_on = iterator is source
        try:
            first = next(iterator)
        except StopIteration:
            raise ValueError(f"{caller}: expected at least one batch, got none; is a generator used up?") from None
        # The first batch tells the network its shape, and is trained on in its turn.
        self._next = chain([first], iterator)
        count = len(self._admitted(first, f"{caller}: batch 1"))
        self.samples = count * (steps or getattr(source, "__len__", lambda: 1)())

    def require_epochs(self, caller: str, epochs: int) -> None:
        """Raise ValueError if so many epochs would need batches that are gone."""
        if self._goes_on and self._steps is None and epochs > 1:
            kind = type(self._source).__name__
            raise ValueError(
                f"{caller}: expected steps_per_epoch with a {kind}, which cannot start again, got none; give the "
                "number of batches in an epoch, or an object whose __iter__ starts anew"
            )

    def _batches(self) -> Iterator[Any]:
        """Return the batches from where this epoch begins."""
        if self._next is None:
            self._next = iter(self._source)
        batches = self._next
        if not self._goes_on:
            self._next = None  # type: ignore[assignment]
        return batches

    def epoch(self, size: int, rng: Any, where: str) -> Iterator[Run]:
        """Yield each batch as a run of its own."""
        number = samples = 0
        for item in read_ahead(islice(self._batches(), self._steps)):
            batch = self._admitted(item, f"{where}, batch {number + 1}")
            count = len(batch)
            self.watch(batch)
            yield Run(batch, np.arange(count), count, where, number, in_order=True)
            number, samples = number + 1, samples + count
        if self._steps is not None and number < self._steps:
            raise ValueError(f"{where}: expected {self._steps} batches, got {number}; lower steps_per_epoch")
        if not number:
            raise ValueError(f"{where}: expected at least one batch, got none")
        self.samples = samples

    def parts(self, caller: str) -> Iterator[Batches]:
        """Yield all samples in order, batch by batch."""
        for number, item in enumerate(read_ahead(self._batches()), 1):
            yield self._admitted(item, f"{caller}: batch {number}")
