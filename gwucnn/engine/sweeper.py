"""Training on many small batches at once, by the compiled loop of `_ext/sweep.pyx`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn._ext.sweep import KINDS, Sweep, unread
from gwucnn.data import Batches, Run
from gwucnn.engine.engine import Engine, Totals
from gwucnn.engine.recorded import Recorded
from gwucnn.engine.team import ALONE

__all__ = ["Sweeper"]


class Sweeper:
    """Trains on batches that are rows of arrays and nothing else, once their step is recorded.

    It gives the same bits as `Engine.train_step` batch by batch, and leaves to that whatever else there is:
    the first batch of its size, samples with weights, images that must be turned, batches that are not sound,
    and those that are shared with other processes.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._made_for: Any = None
        self._sweep: _BoundSweep | None = None

    def __call__(self, run: Run, first: int, totals: Totals) -> int:
        """Train on batches of a run, from number `first` on; return how many, which may be none."""
        sweep = self._bound(run)
        return 0 if sweep is None else sweep.train(run, first, totals)

    def _bound(self, run: Run) -> _BoundSweep | None:
        """Return the sweep for a run's batches, the same one until another size or other data come."""
        if not _sweeps(run.data) or self.engine.team is not ALONE:
            return None
        recorded = self.engine.recorded(run.size)
        if recorded is None:
            return None
        made_for = (run.data, recorded.steps)
        if self._made_for is None or any(a is not b for a, b in zip(self._made_for, made_for, strict=True)):
            self._made_for = made_for
            self._sweep = _BoundSweep(self.engine, recorded, run)
        return self._sweep


def _sweeps(data: Batches) -> bool:
    return data.plain and data.x.dtype.char in KINDS and data.targets.dtype.char in KINDS


class _BoundSweep:
    """A sweep over batches of one size of these data, at most as many as this run has."""

    def __init__(self, engine: Engine, recorded: Recorded, run: Run) -> None:
        self._engine, self._space = engine, recorded.space
        self._batch = run.data.batch(run.indices(0), engine.out_shape, recorded.space)
        self._numbers = np.zeros(len(run) * run.size, np.int64)
        self._losses = np.zeros(len(run))
        # Targets and outputs of all batches, for the metrics.
        rows = (len(self._numbers), *engine.out_shape)
        self._rows = [np.empty(rows, engine.dtype) for _ in range(2)] if engine.measures else []
        # Gradients that only the optimizer reads: a clipped one is read, and changed, before.
        vouching = recorded.finite.others if engine.unclipped else ()
        self._late = [step for step in vouching if unread(step, recorded.steps, recorded.finite)]
        self._sweep = Sweep(
            recorded.steps,
            recorded.loss,
            recorded.finite,
            recorded.updates,
            feeds=[(run.data.x, self._batch.x), (run.data.targets, self._batch.target)],
            kept=list(zip((self._batch.target, recorded.outputs), self._rows, strict=False)),
            numbers=self._numbers,
            losses=self._losses,
            draws=engine.randomness.state if engine.randomness.begun else None,
        )

    def train(self, run: Run, first: int, totals: Totals) -> int:
        """Train on the run's batches from number `first` on; return how many were sound."""
        numbers = run.numbers[first * run.size :]
        self._numbers[: len(numbers)] = numbers
        run.data.fill_shares(run.indices(first), self._batch, self._space)
        optimizer: Any = self._engine.optimizer
        optimizer.defer_gradients(self._late)
        try:
            self._sweep.train(len(numbers) // run.size)
        finally:
            optimizer.apply_deferred()
            self._engine.arena.version += self._sweep.done
        done = self._sweep.done
        totals.add_batches(self._losses[:done], run.size, *(rows[: done * run.size] for rows in self._rows))
        return done
