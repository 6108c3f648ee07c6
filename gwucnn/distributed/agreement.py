"""How ranks meet: whoever waits for the others learns if one of them will not come.

Each meeting begins with a roll call, a few numbers from every rank, the same for all kinds of meetings. A
rank that ends with an error goes to the next roll call, whichever that is for the others, and says so there
instead of being missed. Only then do the ranks exchange what they met for.
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

__all__ = ["Agreement", "Kind"]


class Kind(IntEnum):
    """What ranks meet for."""

    ERROR = 0
    OBJECT = 1
    GRADIENTS = 2
    STATISTICS = 3
    TOTALS = 4
    ANSWER = 5
    END = 6


class Agreement:
    """Meetings of the ranks of a communicator.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, or an object with its Get_rank, Get_size, Allgather, Allreduce, allgather
    """

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self._mine = np.zeros(3)  # kind of meeting, and two numbers that go with it
        self._all = np.zeros((self.size, 3))
        self._parted = True  # nobody waits for this rank
        self._ctrl_c = _CtrlC()

    def check_free(self) -> None:
        """Raise RuntimeError inside of what has begun and not ended."""
        if not self._parted:
            raise RuntimeError(
                "fit: expected a DataParallel that trains nothing else meanwhile, got that of the fit around "
                "this one; make another DataParallel()"
            )

    def begin(self) -> None:
        """From here on, until `leave`, the others wait for this rank at each meeting."""
        self._parted = False
        self._ctrl_c.watch()

    def leave(self) -> None:
        """Go one's own way, after `end` or with an error."""
        self._ctrl_c.unwatch()

    def add_up(self, array: Any, kind: Kind) -> None:
        """Put in the place of `array` its sum over all ranks, the same bits on each."""
        with self._ctrl_c.waits():
            self._call(kind)
            self._sum(array)

    def mean(self, array: Any, weight: float, number: int) -> int:
        """Put in the place of `array` its mean over all ranks by their weights; return rank 0's number.

        Weights that are all 0 count as equal.
        """
        with self._ctrl_c.waits():
            weights, numbers = self._call(Kind.GRADIENTS, weight, number)
            whole = sum(weights.tolist())
            share = weight / whole if whole else 1 / self.size
            if share != 1:
                np.multiply(array, share, out=array)
            self._sum(array)
            return int(numbers[0])

    def gather(self, thing: Any) -> list[Any]:
        """Return what each rank has, in their order; things are pickled on their way."""
        with self._ctrl_c.waits():
            self._call(Kind.OBJECT)
            return self._communicator.allgather(thing)

    def any(self, answer: bool) -> bool:
        """Return whether any rank says yes."""
        with self._ctrl_c.waits():
            return bool(self._call(Kind.ANSWER, float(answer))[0].any())

    def end(self) -> None:
        """Part, if nobody has an error to tell of until here."""
        with self._ctrl_c.waits():
            self._call(Kind.END)
            self._parted = True

    def tell(self, error: BaseException) -> None:
        """Let the others know, at the roll call to which they come next, that this rank will not go on.

        They get the error's text, and its type if it is about numbers that are not finite.
        """
        if self._parted:
            return
        with self._ctrl_c.waits():
            self._parted = True
            self._roll_call(Kind.ERROR, 0, 0)
            self._communicator.allgather((type(error).__name__, str(error)))

    def _call(self, kind: Kind, first: float = 0.0, second: float = 0.0) -> tuple[Any, Any]:
        """Return the two numbers of each rank, once all are there for the same and none has failed."""
        kinds = self._roll_call(kind, first, second)
        self._parted = bool((kinds != kind).any())
        if (kinds == Kind.ERROR).any():
            told = self._communicator.allgather(None)
            raise OtherRankFailed(*next((rank, *news) for rank, news in enumerate(told) if news))
        if self._parted:
            names = [Kind(int(number)).name.lower() for number in kinds]
            places = ", ".join(f"{name} on rank {rank}" for rank, name in enumerate(names))
            raise OtherRankFailed(-1, "", f"expected all ranks to do the same, got {places}; run one program on each")
        return self._all[:, 1], self._all[:, 2]

    def _roll_call(self, kind: Kind, first: float, second: float) -> Any:
        self._mine[:] = kind, first, second
        self._communicator.Allgather(self._mine, self._all)
        return self._all[:, 0]

    def _sum(self, array: Any) -> None:
        self._communicator.Allreduce(None, array)  # None: in place


class _CtrlC:
    """Lets Ctrl-C wait until ranks have parted: one that left in between would be waited for for ever."""

    def __init__(self) -> None:
        self._before: Any = None
        self._waits = False
        self._came: tuple[Any, ...] = ()

    def watch(self) -> None:
        """Stand before the program's own handler, if there is one and it can be reached from this thread."""
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and threading.current_thread() is threading.main_thread():
            self._before = handler
            signal.signal(signal.SIGINT, self._handle)

    def unwatch(self) -> None:
        """Leave Ctrl-C to the program again."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _handle(self, *details: Any) -> None:
        if self._waits:
            self._came = details
        else:
            self._before(*details)

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Let it come at the end of this block."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            came, self._came = self._came, ()
            if came:
                self._before(*came)
