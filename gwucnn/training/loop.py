"""The loop of `fit`: trains epoch by epoch, shows and stores the record of each, and calls the callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from gwucnn.callbacks.calling import Callbacks
from gwucnn.callbacks.history import History
from gwucnn.data import Batches, MixedData, Run, Stream
from gwucnn.engine import ALONE, Engine, OtherRankFailed, Sweeper, Team, Totals
from gwucnn.training.progress import Progress

__all__ = ["evaluate", "train", "train_next_batches", "train_step"]

# Validation does not update weights, so its batches may be larger than those of training.
LEAST_VALIDATION_BATCH = 256

Data = Batches | Stream
Step = Callable[[Sweeper, Run, int, Totals], int]


def train_step(where: str, engine: Engine, data: Batches, indices: Any, totals: Totals) -> float:
    """Update the weights once from these samples and return their loss; error messages begin with `where`."""
    draws = engine.randomness.draws
    try:
        return engine.train_step(data, indices, totals)
    except OtherRankFailed:
        engine.randomness.draws = draws
        raise
    except FloatingPointError as error:
        raise FloatingPointError(
            f"{where}: expected finite numbers, but {error}; lower lr or scale the images to 0..1 (the "
            "weights are as they were before that batch)"
        ) from None


def train_next_batches(sweeper: Sweeper, run: Run, first: int, totals: Totals) -> int:
    """Train on one or more batches of a run, from number `first` on; return how many.

    The sweeper takes all it can in one compiled call; otherwise a single batch is trained on here.
    """
    done = sweeper(run, first, totals)
    if not done:
        engine = sweeper.engine
        indices = engine.team.shard(run.data, run.indices(first))
        train_step(run.name(first), engine, run.data, indices, totals)
        engine.team.average_statistics()
    return done or 1


def _batch_by_batch(step: Step, callbacks: Callbacks) -> Step:
    """Return a step that trains on one batch at a time and calls the callbacks' hooks for batches around it."""

    def watched(sweeper: Sweeper, run: Run, first: int, totals: Totals) -> int:
        batch = run.single(first)
        callbacks.begin_batch(batch.first)
        step(sweeper, batch, 0, totals)
        callbacks.end_batch({"batch": batch.first, "batch_loss": totals.batch_loss, **totals.record()})
        return 1

    return watched


def train(
    step: Step,
    engine: Engine,
    data: Data | MixedData,
    validation: Data | None,
    *,
    epochs: range,
    batch_size: int,
    shuffle: bool,
    rng: Any,
    callbacks: Callbacks,
    bar: Progress,
    histories: Iterable[History],
    team: Team = ALONE,
) -> None:
    """Train for these epochs, or until a callback stops, and append their records to each of `histories`.

    step : trains on one or more batches, as `train_next_batches` does. rng : shuffles before each epoch, and draws how
    batches are mixed; None if neither is done.
    """
    engine.update_layout()
    validated = None if validation is None else validation.samples
    mixer = data.mixer if isinstance(data, MixedData) else None
    must_agree = {"epochs": epochs, "batch_size": batch_size, "shuffle": shuffle, "mix": repr(mixer)}
    team.begin(engine, rng, must_agree | {"samples": data.samples, "samples to validate": validated})
    callbacks.begin(_names(engine, validation))
    if callbacks.watch_batches:
        step = _batch_by_batch(step, callbacks)
    try:
        for epoch in epochs:
            start = time.perf_counter()
            callbacks.begin_epoch(epoch)
            bar.begin(f"epoch {epoch + 1}/{epochs.stop}", data.samples)
            runs = data.epoch(batch_size, rng if shuffle else None, f"fit: epoch {epoch + 1}")
            totals = _epoch(step, engine, runs, bar, team)
            record = {"epoch": epoch, **totals.record()}
            if validation is not None:
                size = max(batch_size, LEAST_VALIDATION_BATCH)
                where = f"fit: epoch {epoch + 1}, validation_data"
                record |= evaluate(where, engine, validation, size, team).record("val_")
            record |= {"lr": engine.optimizer.lr, "seconds": time.perf_counter() - start}  # type: ignore[union-attr]
            record = team.broadcast(record)
            for history in histories:
                history.append(record)
            bar.end(record, data.samples)
            if team.any_rank(callbacks.end_epoch(record)):
                break
    finally:
        bar.close()
    callbacks.end()


def _names(engine: Engine, validation: Data | None) -> list[str]:
    """Return the names in the records of epochs, before the first epoch."""
    reported = engine.totals()
    validated = reported.record("val_") if validation is not None else ()
    return ["epoch", *reported.record(), *validated, "lr", "seconds"]


def _epoch(step: Step, engine: Engine, runs: Iterable[Run], bar: Progress, team: Team) -> Totals:
    totals, sweeper = engine.totals(), Sweeper(engine)
    for run in runs:
        done = 0
        while done < len(run):
            batches = step(sweeper, run, done, totals)
            bar.advance(batches * run.size, totals)
            done += batches
    team.merge_totals(totals)
    return totals


def evaluate(caller: str, engine: Engine, data: Data, size: int, team: Team = ALONE) -> Totals:
    """Return the loss and metrics of all samples; weights do not change."""
    totals = engine.totals()
    for part in data.parts(caller):
        engine.evaluate(part.subset(team.shard(part, slice(None))), size, totals)
    team.merge_totals(totals)
    return totals
