"""Warns once if a network is given inputs in another range than it was trained on, at next to no cost per call."""

from __future__ import annotations

from typing import Any

from gwucnn.common import warn_user
from gwucnn.data import Batches, InputStatistics, JointBatches, Stream, difference

__all__ = ["RangeCheck"]

# The first calls are all looked at, later ones as soon as this many samples have come since the last look, so that the
# cost for small calls is too little to be measured.
FIRST_CALLS = 32
SAMPLES_BETWEEN = 4096

# About how many values a look at a call takes.
VALUES = 2**14


class RangeCheck:
    """Compares the inputs of a network with those that it was trained on.

    Attributes
    ----------
    trained : InputStatistics or None
        None while nothing is known of the training, and nothing is compared.
    """

    def __init__(self) -> None:
        self.trained: InputStatistics | None = None
        self._looks, self._waiting = 0, 0
        self._dtype: Any = None
        self._batches, self._unseen = 0, 0
        self._done = False

    def check(self, caller: str, x: Any) -> None:
        """Warn, once, if the range of x, at least one sample, is not that of training."""
        if self._done or self.trained is None:
            return
        if self._looks >= FIRST_CALLS and x.dtype is self._dtype:
            self._waiting += len(x)
            if self._waiting < SAMPLES_BETWEEN:
                return
        self._looks, self._waiting, self._dtype = self._looks + 1, 0, x.dtype
        given = InputStatistics.of(x, most=VALUES) if x.size else None
        advice = None if given is None else difference(self.trained, given)
        if advice is not None:
            self._done = True
            warn_user(
                f"{caller}: expected inputs in the range that the network was trained on, {self.trained}, got "
                f"{given}; {advice}"
            )

    def learn(self, data: Batches | Stream) -> None:
        """Remember the inputs that training begins with; those of a stream while it is read."""
        if isinstance(data, Batches):
            self._add(data)
        else:
            self._batches, self._unseen = 0, 0
            data.watch = self.learn_batch  # type: ignore[method-assign]

    def learn_batch(self, batch: Batches) -> None:
        """Remember the inputs of a batch; of later ones, one in some thousand samples."""
        self._batches, self._unseen = self._batches + 1, self._unseen + len(batch)
        if self._batches <= FIRST_CALLS or self._unseen >= SAMPLES_BETWEEN:
            self._unseen = 0
            self._add(batch)

    def _add(self, data: Batches) -> None:
        if isinstance(data, JointBatches):
            return  # several inputs have ranges of their own
        found = InputStatistics.of(data.x, data.extremes) if data.x.size else None
        if found is not None:
            self.trained = found if self.trained is None else self.trained.merged(found)
