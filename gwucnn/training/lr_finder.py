"""The search for a learning rate: train on batches with increasing rates, and see where the loss falls.

L. Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any

import numpy as np

from gwucnn.common import ChecksArguments, check_between, check_size, html_curves, html_table, panels
from gwucnn.data import Batches, Stream
from gwucnn.engine import Engine, Totals
from gwucnn.training.progress import Progress

__all__ = ["LearningRates", "rates", "sweep"]

# Decay of the smoothed loss per batch: an average over about ten batches.
DECAY = 0.9
# The sweep ends when the smoothed loss exceeds its minimum by this factor.
DIVERGED = 4.0
# The suggestion is divided by this factor: the rate at which the loss falls fastest in a short sweep is too high for
# a long training.
SAFETY = 3.0
# A loss that falls by less than this fraction counts as one that does not fall.
LEAST_FALL = 0.01
# The smallest learning rate that may be tried.
LEAST_LR = 1e-12


class LearningRates(ChecksArguments):
    """The losses measured at increasing learning rates.

    Attributes
    ----------
    lrs : list of float
        The learning rate of each batch.
    losses : list of float
        Smoothed losses: an exponential moving average with decay 0.9.
    raw_losses : list of float
        The loss of each batch.
    suggestion : float or None
        A third of the learning rate at which the smoothed loss has fallen half of the way to its minimum; None if it
        does not fall.
    """

    def __init__(self) -> None:
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self.raw_losses: list[float] = []
        self._mean = 0.0

    def append(self, lr: float, loss: float) -> bool:
        """Add the loss of a batch; return whether to continue."""
        self._mean = DECAY * self._mean + (1 - DECAY) * loss
        self.lrs.append(lr)
        self.raw_losses.append(loss)
        # The average starts at 0; the divisor corrects that bias.
        self.losses.append(self._mean / (1 - DECAY ** len(self.lrs)))
        return self.losses[-1] <= DIVERGED * min(self.losses)

    @property
    def suggestion(self) -> float | None:
        """A learning rate at which the loss falls fast, or None if it never falls."""
        if not self.losses:
            return None
        first = float(np.mean(self.raw_losses[: max(1, len(self.lrs) // 10)]))
        index = int(np.argmin(self.losses))
        if self.losses[index] > (1 - LEAST_FALL) * first:
            return None
        half = (first + self.losses[index]) / 2
        while index and self.losses[index - 1] <= half:
            index -= 1
        return max(self.lrs[index] / SAFETY, self.lrs[0])

    def record(self) -> dict[str, float]:
        """Return the numbers that the progress bar shows."""
        return {"loss": self.losses[-1] if self.losses else float("nan")}

    def __repr__(self) -> str:
        span = f"{self.lrs[0]:.3g} to {self.lrs[-1]:.3g}" if self.lrs else "none"
        found = "none" if self.suggestion is None else f"{self.suggestion:.3g}"
        return f"LearningRates({span}; suggestion {found})"

    def _repr_html_(self) -> str:
        """Return the suggestion and the smoothed losses, for notebooks."""
        if not self.lrs:
            return html_table(["suggestion"], [], "no learning rate was tried")
        found = "none: the loss does not fall" if self.suggestion is None else self.suggestion
        rows = [(found, self.lrs[0], self.lrs[-1], len(self.lrs), min(self.losses))]
        table = html_table(["suggestion", "from", "to", "batches", "least loss"], rows)
        curve = html_curves("smoothed loss", self.lrs, {"": self.losses}, xlabel="learning rate", log_x=True)
        return f"<div>{table}{curve}</div>"

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses at each learning rate, and the suggestion; return the matplotlib Figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Raises
        ------
        ValueError
            If no learning rate was tried.
        """
        if not self.lrs:
            raise ValueError("LearningRates.plot: expected losses, got none; try a smaller min_lr in lr_find")
        figure, (axis,) = panels("LearningRates.plot", ax, ["losses"], (5.5, 3.6))
        axis.plot(self.lrs, self.raw_losses, color="0.75", label="each batch")
        axis.plot(self.lrs, self.losses, color="C0", label="smoothed")
        if self.suggestion is not None:
            axis.axvline(self.suggestion, color="C1", linestyle="--", label=f"suggestion {self.suggestion:.3g}")
        axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
        least, first = min(self.raw_losses), self.losses[0]
        margin = 0.1 * (first - least) or 1.0
        axis.set_ylim(least - margin, first + 4 * margin)  # at the end, losses are many times as large
        axis.grid(alpha=0.3)
        axis.legend()
        return figure


def rates(min_lr: Any, max_lr: Any, steps: Any) -> list[float]:
    """Return learning rates from the smallest to the largest, in a geometric sequence."""
    low, high = (check_between("lr_find", name, lr, LEAST_LR) for name, lr in (("min_lr", min_lr), ("max_lr", max_lr)))
    if low >= high:
        raise ValueError(
            f"lr_find: expected min_lr below max_lr, got {min_lr} and {max_lr}; give the smaller one first"
        )
    return np.geomspace(low, high, check_size("lr_find", "steps", steps, 2)).tolist()


def sweep(
    engine: Engine, data: Batches | Stream, lrs: list[float], *, batch_size: int, rng: Any, bar: Progress
) -> LearningRates:
    """Train on one batch with each learning rate until the loss diverges, and restore everything afterwards."""
    found = LearningRates()
    optimizer: Any = engine.optimizer
    with _restored_afterwards(engine, rng):
        try:
            start = time.perf_counter()
            bar.begin("lr_find", len(lrs))
            batches = _endless(data, batch_size, rng)
            for lr, (batch, indices) in zip(lrs, batches, strict=False):
                optimizer.lr = lr
                try:
                    loss = engine.train_step(batch, indices, Totals())
                except FloatingPointError:
                    break
                proceed = isfinite(loss) and found.append(lr, loss)
                bar.advance(1, found)
                if not proceed:
                    break
            bar.end(found.record() | {"seconds": time.perf_counter() - start}, len(found.lrs))
        finally:
            bar.close()
    return found


def _endless(data: Batches | Stream, batch_size: int, rng: Any) -> Iterator[tuple[Batches, Any]]:
    while True:
        for run in data.epoch(batch_size, rng, "lr_find"):
            yield from ((run.data, run.indices(batch)) for batch in range(len(run)))


@contextmanager
def _restored_afterwards(engine: Engine, rng: Any) -> Iterator[None]:
    """Restore weights, optimizer and random states on exit, also after an exception."""
    engine.update_layout()
    optimizer: Any = engine.optimizer
    values, state = engine.arena.values.copy(), rng.bit_generator.state
    slots = {name: slot.copy() for name, slot in optimizer.slots.items()}
    attributes, progress = dict(vars(optimizer)), (optimizer.updates, optimizer.lr)
    counts = [p.updates for layer in engine.layers for p in layer.parameters if p.updates is not None]
    updates, draws = [count.copy() for count in counts], engine.randomness.draws
    try:
        yield
    finally:
        engine.arena.values[...] = values
        rng.bit_generator.state = state
        engine.randomness.draws = draws
        for count, before in zip(counts, updates, strict=True):
            count[...] = before
        vars(optimizer).update(attributes)
        optimizer.resume(*progress)
        for name, slot in slots.items():
            optimizer.slots[name][...] = slot
