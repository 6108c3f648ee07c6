"""The search for a learning rate: a ramp over all rates, then trials at constant rates.

The ramp trains on one batch with each of many increasing rates (L. Smith, "Cyclical Learning Rates for Training Neural
Networks", arXiv:1506.01186, section 3.3). It shows from where on the loss explodes, but not which rate trains best: the
more a network has learnt, the less the loss falls in a single batch, at any rate. So trials follow, from the largest
rate downwards. Each begins with the same weights and trains at a constant rate, for several passes over the same
batches: their losses differ by the rate alone, not by the choice of batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import islice
from math import inf, isfinite
from typing import Any

import numpy as np

from gwucnn.common import check_between, check_size
from gwucnn.data import Batches, Stream
from gwucnn.engine import Engine, Totals
from gwucnn.training.learning_rates import DIVERGED, LearningRates
from gwucnn.training.progress import Progress

__all__ = ["rates", "search"]

# The smallest learning rate that may be tried.
LEAST_LR = 1e-12
# The batches that are trained on, again and again: at most so many.
BATCHES = 16
# How often a trial trains on all of them. In a network that has learnt, rates that are best in the long run first raise
# the loss: with less than six passes, too low ones win.
PASSES = 8
# From one trial to the next, the rate falls by this factor: three trials a decade.
RATIO = 10 ** (1 / 3)
# The usual number of trials, for the progress bar, which learns the true one in the end.
USUAL = 12
# A loss that is still above this fraction of that of the pass before does not come down.
STALLED = 0.9
# A first pass that raises the loss by more than this fraction tells that the rate is not a low one.
BOUNCE = 0.05
# A loss of which at least this share of the fall is in the second half of a trial is still falling.
STILL_FALLING = 0.1
# A trial that changes the loss by less than this fraction has no effect.
LEAST_CHANGE = 1e-4

Batch = tuple[Batches, Any]


def rates(min_lr: Any, max_lr: Any, steps: Any) -> list[float]:
    """Return learning rates from the smallest to the largest, in a geometric sequence."""
    low, high = (check_between("lr_find", name, lr, LEAST_LR) for name, lr in (("min_lr", min_lr), ("max_lr", max_lr)))
    if low >= high:
        raise ValueError(
            f"lr_find: expected min_lr below max_lr, got {min_lr} and {max_lr}; give the smaller one first"
        )
    return np.geomspace(low, high, check_size("lr_find", "steps", steps, 2)).tolist()


def search(
    engine: Engine, data: Batches | Stream, lrs: list[float], *, batch_size: int, rng: Any, bar: Progress
) -> LearningRates:
    """Run the ramp over `lrs`, until the loss diverges, and the trials; restore everything afterwards."""
    engine.update_layout()
    before = _State(engine, rng)
    try:
        batches = _first_batches(data, batch_size, rng)
        found = LearningRates(_loss_before(engine, batches))
        before.restore()
        _ramp(engine, batches, lrs, bar, found)
        if isfinite(found.start):
            _Trials(engine, batches, before, bar, found).run(lrs[-1], lrs[0])
    finally:
        before.restore()
        bar.close()
    return found


def _first_batches(data: Batches | Stream, batch_size: int, rng: Any) -> list[Batch]:
    """Return the first batches of an epoch: indices of arrays, and what a stream returned."""
    with closing(_batches(data, batch_size, rng)) as batches:
        return list(islice(batches, BATCHES))


def _batches(data: Batches | Stream, batch_size: int, rng: Any) -> Generator[Batch, None, None]:
    runs: Any = data.epoch(batch_size, rng, "lr_find")
    with closing(runs):
        for run in runs:
            yield from ((run.data, run.indices(batch)) for batch in range(len(run)))


def _loss_before(engine: Engine, batches: list[Batch]) -> float:
    """Return the mean loss before any training, with dropout and normalisation as in training."""
    engine.optimizer.lr = LEAST_LR  # type: ignore[union-attr]  # at this rate nothing changes
    return _pass(engine, batches, lambda totals: None)


def _ramp(engine: Engine, batches: list[Batch], lrs: list[float], bar: Progress, found: LearningRates) -> None:
    """Train on one batch with each learning rate until the loss diverges, and fill in the losses."""
    start = time.perf_counter()
    bar.begin("lr_find", len(lrs))
    for number, lr in enumerate(lrs):
        engine.optimizer.lr = lr  # type: ignore[union-attr]
        loss = _loss_of_step(engine, batches[number % len(batches)], Totals())
        proceed = isfinite(loss) and found.append(lr, loss)
        bar.advance(1, found)
        if not proceed:
            break
    bar.end(found.record() | {"seconds": time.perf_counter() - start}, len(found.lrs))


def _pass(engine: Engine, batches: list[Batch], advance: Callable[[Totals], None]) -> float:
    """Train on each batch once; return their mean loss, infinity as soon as one is not finite."""
    totals = Totals()
    for batch in batches:
        if not isfinite(_loss_of_step(engine, batch, totals)):
            return inf
        advance(totals)
    return totals.record()["loss"]


def _loss_of_step(engine: Engine, batch: Batch, totals: Totals) -> float:
    """Train on a batch; return its loss before the update, infinity if it or a gradient was not finite."""
    try:
        return engine.train_step(*batch, totals)
    except FloatingPointError:
        return inf


class _Trials:
    """Trials at constant rates, each from the state before."""

    def __init__(
        self, engine: Engine, batches: list[Batch], before: _State, bar: Progress, found: LearningRates
    ) -> None:
        self._engine, self._batches, self._before, self._bar, self._found = engine, batches, before, bar, found
        self._done = 0  # batches

    def run(self, high: float, low: float) -> None:
        """Try rates from the highest down, until two in a row are clearly too low, and fill in their losses."""
        found, began, too_low, lr = self._found, time.perf_counter(), 0, high
        self._bar.begin("lr_find: trials", USUAL * PASSES * len(self._batches))
        while too_low < 2 and lr >= low:
            losses = self._trial(lr)
            found.trials[lr] = losses[-1]
            best = min(found.trials.values())
            too_low = too_low + 1 if _is_too_low(losses, found.start, best) else 0
            lr /= RATIO
        self._bar.end({"loss": best, "seconds": time.perf_counter() - began}, self._done)

    def _trial(self, lr: float) -> list[float]:
        """Return the mean loss of each pass at this rate; the last is infinity if it diverges."""
        self._before.restore()
        self._engine.optimizer.lr = lr  # type: ignore[union-attr]
        limit, losses = DIVERGED * abs(self._found.start), [inf]
        for _ in range(PASSES):
            losses.append(_pass(self._engine, self._batches, self._advance))
            # Far too large, and not on its way down: most often all relus are shut.
            hopeless = losses[-1] > limit and losses[-1] > STALLED * losses[-2]
            if hopeless or not isfinite(losses[-1]):
                return [*losses[1:], inf]
        return losses[1:]

    def _advance(self, totals: Totals) -> None:
        self._done += 1
        self._bar.advance(1, totals)


def _is_too_low(losses: list[float], start: float, best: float) -> bool:
    """Whether a rate is too low, given the losses of its passes, the one before, and that of the best trial so far.

    A rate that is too high may end anywhere, also near the loss before: where all relus are shut, the loss is that of
    guessing. But it makes the loss bounce at first, or leaves it where it is from then on. One that is too low has no
    effect, or lowers the loss slowly to the end.
    """
    first, middle, last = losses[0], losses[len(losses) // 2], losses[-1]
    if max(abs(first - start), abs(last - start)) <= LEAST_CHANGE * abs(start):
        return True
    return last > best and first - start <= BOUNCE * abs(start) and middle - last > STILL_FALLING * (start - last) > 0


class _State:
    """The weights, optimizer and random states of a network that is to be restored."""

    def __init__(self, engine: Engine, rng: Any) -> None:
        self._engine, self._rng = engine, rng
        optimizer: Any = engine.optimizer
        self._optimizer = optimizer
        self._values, self._random = engine.arena.values.copy(), rng.bit_generator.state
        self._slots = {name: slot.copy() for name, slot in optimizer.slots.items()}
        self._attributes, self._progress = dict(vars(optimizer)), (optimizer.updates, optimizer.lr)
        self._counts = [p.updates for layer in engine.layers for p in layer.parameters if p.updates is not None]
        self._updates, self._draws = [count.copy() for count in self._counts], engine.randomness.draws

    def restore(self) -> None:
        """Put everything back as it was."""
        engine = self._engine
        engine.arena.values[...] = self._values
        engine.arena.version += 1
        self._rng.bit_generator.state = self._random
        engine.randomness.draws = self._draws
        for count, before in zip(self._counts, self._updates, strict=True):
            count[...] = before
        vars(self._optimizer).update(self._attributes)
        self._optimizer.resume(*self._progress)
        for name, slot in self._slots.items():
            self._optimizer.slots[name][...] = slot
