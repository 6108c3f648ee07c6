"""Collective calls that fail on every rank when one rank fails.

An MPI collective call waits until every rank has made it; if one rank fails before that, the others wait forever. Each
collective call here therefore begins with a status exchange: a few numbers from every rank, of the same form for every
kind of call. A rank that fails takes part in one more status exchange, whichever call the others are in, and reports
its error there. Only if every rank has reported the same kind of call do they exchange the data.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import numpy as np

from gwucnn.engine import OtherRankFailed

__all__ = ["CallKind", "Collectives"]


class CallKind(IntEnum):
    """The kind of a collective call, exchanged as its status."""

    ERROR = 0
    OBJECT = 1
    GRADIENTS = 2
    STATISTICS = 3
    TOTALS = 4
    ANSWER = 5
    END = 6


class Collectives:
    """The collective calls of a communicator, each preceded by a status exchange.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, or an object with its Get_rank, Get_size, Allgather, Allreduce, allgather
    """

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self._status = np.zeros(3)  # the kind of call, and two numbers that belong to it
        self._statuses = np.zeros((self.size, 3))
        self._finished = True  # True while no other rank waits for this one
        self._interrupts = _DelayedInterrupts()

    def check_free(self) -> None:
        """Raise RuntimeError between `begin` and the end of the session."""
        if not self._finished:
            raise RuntimeError(
                "fit: expected a DataParallel that is not in use, got that of an enclosing fit; make another "
                "DataParallel()"
            )

    def begin(self) -> None:
        """Begin a session: from now on, the other ranks wait for this one in each collective call."""
        self._finished = False
        self._interrupts.install()

    def leave(self) -> None:
        """Leave the session, after `end` or after an error."""
        self._interrupts.uninstall()

    def sum_in_place(self, array: Any, kind: CallKind) -> None:
        """Replace `array` by its sum over all ranks, bit-identical on each."""
        with self._interrupts.delayed():
            self._exchange(kind)
            self._all_reduce(array)

    def mean_in_place(self, array: Any, weight: float, number: int) -> int:
        """Replace `array` by its mean over all ranks, by their weights; return the `number` of rank 0.

        If all weights are 0, the ranks count equally.
        """
        with self._interrupts.delayed():
            weights, numbers = self._exchange(CallKind.GRADIENTS, weight, number)
            total = sum(weights.tolist())
            share = weight / total if total else 1 / self.size
            if share != 1:
                np.multiply(array, share, out=array)
            self._all_reduce(array)
            return int(numbers[0])

    def gather(self, item: Any) -> list[Any]:
        """Return the item of each rank, in the order of the ranks. Items are pickled."""
        with self._interrupts.delayed():
            self._exchange(CallKind.OBJECT)
            return self._communicator.allgather(item)

    def any(self, answer: bool) -> bool:
        """Return whether the answer of any rank is true."""
        with self._interrupts.delayed():
            return bool(self._exchange(CallKind.ANSWER, float(answer))[0].any())

    def end(self) -> None:
        """End the session, unless another rank reports an error."""
        with self._interrupts.delayed():
            self._exchange(CallKind.END)
            self._finished = True

    def report(self, error: BaseException) -> None:
        """Report to the other ranks, in their next status exchange, that this rank has failed.

        They receive the name of the error's class, and its text.
        """
        if self._finished:
            return
        with self._interrupts.delayed():
            self._finished = True
            self._exchange_status(CallKind.ERROR, 0, 0)
            self._communicator.allgather((type(error).__name__, str(error)))

    def _exchange(self, kind: CallKind, first: float = 0.0, second: float = 0.0) -> tuple[Any, Any]:
        """Exchange the status; return the two numbers of each rank.

        Raises OtherRankFailed if a rank has failed, or if the ranks make different kinds of calls.
        """
        kinds = self._exchange_status(kind, first, second)
        self._finished = bool((kinds != kind).any())
        if (kinds == CallKind.ERROR).any():
            reports = self._communicator.allgather(None)
            raise OtherRankFailed(*next((rank, *report) for rank, report in enumerate(reports) if report))
        if self._finished:
            names = [CallKind(int(number)).name.lower() for number in kinds]
            places = ", ".join(f"{name} on rank {rank}" for rank, name in enumerate(names))
            raise OtherRankFailed(-1, "", f"expected all ranks to do the same, got {places}; run one program on each")
        return self._statuses[:, 1], self._statuses[:, 2]

    def _exchange_status(self, kind: CallKind, first: float, second: float) -> Any:
        self._status[:] = kind, first, second
        self._communicator.Allgather(self._status, self._statuses)
        return self._statuses[:, 0]

    def _all_reduce(self, array: Any) -> None:
        self._communicator.Allreduce(None, array)  # None: in place


class _DelayedInterrupts:
    """Delays Ctrl-C until the end of a collective call: if a rank left in the middle, the others would wait forever."""

    def __init__(self) -> None:
        self._handler: Any = None
        self._is_delayed = False
        self._pending: tuple[Any, ...] = ()

    def install(self) -> None:
        """Wrap the program's own signal handler, if there is one and this is the main thread."""
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and threading.current_thread() is threading.main_thread():
            self._handler = handler
            signal.signal(signal.SIGINT, self._handle)

    def uninstall(self) -> None:
        """Restore the program's own handler."""
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None

    def _handle(self, *details: Any) -> None:
        if self._is_delayed:
            self._pending = details
        else:
            self._handler(*details)

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Delay Ctrl-C to the end of this block."""
        self._is_delayed = True
        try:
            yield
        finally:
            self._is_delayed = False
            pending, self._pending = self._pending, ()
            if pending:
                self._handler(*pending)
