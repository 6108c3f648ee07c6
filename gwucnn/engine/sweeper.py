"""Training on many small batches per call, by the compiled loop of `_ext/sweep.pyx`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn._ext.sweep import KINDS, Sweep, unread
from gwucnn.data import Batches, Run
from gwucnn.engine.engine import Engine
from gwucnn.engine.epoch_totals import Totals
from gwucnn.engine.recorded import TrainingRecording
from gwucnn.engine.team import ALONE

__all__ = ["Sweeper"]


class Sweeper:
    """Trains on runs of batches that are plain rows of arrays, once the training step of their size is recorded.

    The results are bit-identical to calling `Engine.train_step` batch by batch. All other cases are left to
    `train_step`: the first batch of each size, samples with weights, images whose axes must be permuted, labels of
    pixels, batches with a loss or gradients that are not finite, and data-parallel training.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._bound_to: Any = None
        self._sweep: _BoundSweep | None = None

    def __call__(self, run: Run, first: int, totals: Totals) -> int:
        """Train on the batches of a run from number `first` on; return how many were trained on, possibly none."""
        sweep = self._bound(run)
        return 0 if sweep is None else sweep.train(run, first, totals)

    def _bound(self, run: Run) -> _BoundSweep | None:
        """Return the sweep for the batches of a run, the same one as long as neither data nor batch size change."""
        if not _is_sweepable(run.data, self.engine.out_shape) or self.engine.team is not ALONE:
            return None
        recording = self.engine.training_recording(run.size)
        if recording is None:
            return None
        made_for = (run.data, recording.steps)
        if self._bound_to is None or any(a is not b for a, b in zip(self._bound_to, made_for, strict=True)):
            self._bound_to = made_for
            self._sweep = _BoundSweep(self.engine, recording, run)
        return self._sweep


def _is_sweepable(data: Batches, out_shape: tuple[int, ...]) -> bool:
    arrays_fit = data.plain and data.x.dtype.char in KINDS and data.targets.dtype.char in KINDS
    return arrays_fit and data.targets.shape[1:] in ((), out_shape)  # not labels of pixels


class _BoundSweep:
    """A sweep bound to one data set and one batch size, for runs at most as long as `run`."""

    def __init__(self, engine: Engine, recording: TrainingRecording, run: Run) -> None:
        self._engine, self._space = engine, recording.space
        self._batch = run.data.batch(run.indices(0), engine.out_shape, recording.space)
        self._numbers = np.zeros(len(run) * run.size, np.int64)
        self._losses = np.zeros(len(run))
        # Targets and outputs of all batches, for the metrics.
        rows = (len(self._numbers), *engine.out_shape)
        self._rows = [np.empty(rows, engine.dtype) for _ in range(2)] if engine.has_metrics else []
        # Gradients that only the optimizer reads need not be written: it can compute them while it updates the weights.
        # Clipping reads, and changes, gradients before that.
        self_checking = () if engine.clips_gradients else recording.finite.others
        self._unread = [step for step in self_checking if unread(step, recording.steps, recording.finite)]
        self._sweep = Sweep(
            recording.steps,
            recording.loss,
            recording.finite,
            recording.updates,
            feeds=[(run.data.x, self._batch.x), (run.data.targets, self._batch.target)],
            kept=list(zip((self._batch.target, recording.outputs), self._rows, strict=False)),
            numbers=self._numbers,
            losses=self._losses,
            draws=engine.randomness.state if engine.randomness.begun else None,
        )

    def train(self, run: Run, first: int, totals: Totals) -> int:
        """Train on the batches of the run from number `first` on; return how many were finite."""
        numbers = run.numbers[first * run.size :]
        self._numbers[: len(numbers)] = numbers
        run.data.fill_shares(run.indices(first), self._batch, self._space)
        optimizer: Any = self._engine.optimizer
        optimizer.defer_gradients(self._unread)
        try:
            self._sweep.train(len(numbers) // run.size)
        finally:
            optimizer.apply_deferred()
            self._engine.arena.version += self._sweep.done
        done = self._sweep.done
        totals.add_batches(self._losses[:done], run.size, *(rows[: done * run.size] for rows in self._rows))
        return done
