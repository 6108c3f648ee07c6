"""Data whose batches are mixed before a network trains on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gwucnn.data.batches import Batches, Run
from gwucnn.data.mixers import Mixer
from gwucnn.data.streams import Stream
from gwucnn.memory import Space

__all__ = ["MixedData", "check_mixer"]


def check_mixer(caller: str, mix: Any, batch_size: int | None) -> None:
    """Raise an error unless `mix` is None, or a mixer for batches of this size (None if their sizes are unknown)."""
    if mix is None:
        return
    if not isinstance(mix, Mixer):
        got = f"the class {mix.__name__}" if isinstance(mix, type) else repr(mix)
        raise TypeError(f"{caller}: expected mix to be MixUp(...) or CutMix(...), got {got}; write mix=MixUp(0.2)")
    if batch_size == 1:
        raise ValueError(
            f"{caller}: expected batches of at least 2 samples, which mix can mix, got batch_size=1; give batch_size=32"
        )


class MixedData:
    """Samples of `data`, of which each batch is mixed when its turn comes.

    What is mixed are arrays as the network computes with, made for one run of batches at a time and then reused.
    Everything behind that, such as compiled sweeps and sharing batches among processes, does not know of mixing.

    Parameters
    ----------
    data : Batches or Stream
    mixer : Mixer
    rng : numpy Generator
        Draws what is mixed; also the one that shuffles.
    x_shape, y_shape : tuple of int
        Of the inputs and outputs of one sample, channels last.
    """

    def __init__(self, data: Batches | Stream, mixer: Mixer, rng: Any, x_shape: Any, y_shape: Any, dtype: Any) -> None:
        if isinstance(x_shape[0], tuple) or isinstance(y_shape[0], tuple):
            raise ValueError(
                "fit: expected no mix with several inputs or outputs, got one; leave it out, or give batches that "
                "are mixed already"
            )
        weighted = getattr(data, "weights", None) is not None
        mixer.require_mixable("fit", x_shape, y_shape, weighted=weighted)
        self._data, self.mixer, self._rng = data, mixer, rng
        self._x_shape, self._y_shape, self._dtype = x_shape, y_shape, dtype
        self._space = Space(dtype)
        self._made = self._empty(0, weighted)

    @property
    def samples(self) -> int:
        """The number of samples in an epoch."""
        return self._data.samples

    def epoch(self, size: int, rng: Any, where: str) -> Iterator[Run]:
        """Yield the batches of an epoch, mixed, in runs; each is valid until the next one."""
        for run in self._data.epoch(size, rng, where):
            yield self._mixed(run)

    def _mixed(self, run: Run) -> Run:
        count, weighted = len(run) * run.size, run.data.weights is not None
        if count > len(self._made) or weighted != (self._made.weights is not None):
            self._made = self._empty(count, weighted)
        made = self._made
        if weighted:
            self.mixer.require_mixable(run.name(0), self._x_shape, self._y_shape, weighted=True)
        for number in range(len(run)):
            batch = run.data.batch(run.indices(number), self._y_shape, self._space)
            at = slice(number * run.size, (number + 1) * run.size)
            x, targets, weights = self.mixer.mixed(batch.x, batch.target, batch.weights, self._rng)
            made.x[at], made.targets[at] = x, targets
            if weighted:
                made.weights[at] = weights
        return replace(run, data=made, numbers=np.arange(count), in_order=True)

    def _empty(self, count: int, weighted: bool) -> Batches:
        x, targets = (np.empty((count, *shape), self._dtype) for shape in (self._x_shape, self._y_shape))
        return Batches(x, targets, np.empty(count) if weighted else None)
