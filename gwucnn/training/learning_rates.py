"""The result of the search for a learning rate: losses by rate, and the rate to train with."""

from __future__ import annotations

from math import exp, isfinite, log, nan
from typing import Any

from gwucnn.common import ChecksArguments, html_curves, html_table, panels

__all__ = ["LearningRates", "falls"]

# Decay of the smoothed loss per batch: an average over about ten batches.
DECAY = 0.9
# The ramp ends when the smoothed loss exceeds its minimum by the first factor and the loss before by the second. The
# mean of a few batches may differ as much by chance, so that they decide nothing.
DIVERGED, RISEN = 4.0, 2.0
FEW = 10
# A loss that falls by less than this fraction counts as one that does not fall.
LEAST_FALL = 0.01
# Trials with at least this share of the largest fall of the loss count as equally good; which of them is the best is
# chance.
GOOD = 0.95
# The middle of the good rates is divided by this factor, because that of a trial, which is short, is somewhat too high.
# Measured with the embedded digits, in the experiment of tests/training/test_lr_finder.py, against 1 and 2.2.
SAFETY = 1.6


def falls(loss: float, start: float) -> bool:
    """Whether a loss is lower than it was at the start, by more than rounding and chance explain."""
    return isfinite(loss) and isfinite(start) and start - loss > LEAST_FALL * abs(start)


class LearningRates(ChecksArguments):
    """The losses measured at increasing learning rates, and after trials at constant ones.

    Attributes
    ----------
    lrs : list of float
        The learning rate of each batch of the ramp.
    losses : list of float
        Smoothed losses: an exponential moving average with decay 0.9.
    raw_losses : list of float
        The loss of each batch.
    start : float
        The mean loss of the same batches before; infinity if it was not finite, NaN in an empty result.
    trials : dict of float to float
        For each learning rate that was tried for longer, the mean loss of the same batches in the last pass of the
        trial; infinity if it diverged.
    suggestion : float
        The learning rate to train with. Reading it raises a ValueError if no rate lowers the loss.
    """

    def __init__(self, start: float = nan) -> None:
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self.raw_losses: list[float] = []
        self.start = start
        self.trials: dict[float, float] = {}
        self._mean = 0.0

    def append(self, lr: float, loss: float) -> bool:
        """Add the loss of a batch of the ramp; return whether to continue."""
        self._mean = DECAY * self._mean + (1 - DECAY) * loss
        self.lrs.append(lr)
        self.raw_losses.append(loss)
        # The average starts at 0; the divisor corrects that bias.
        self.losses.append(self._mean / (1 - DECAY ** len(self.lrs)))
        limit = max(DIVERGED * min(self.losses), RISEN * self.start)
        return len(self.lrs) < FEW or self.losses[-1] <= limit

    @property
    def suggestion(self) -> float:
        """The learning rate to train with, a little below the middle of those whose trials lowered the loss most.

        Raises
        ------
        ValueError
            If no rate lowers the loss.
        """
        found = self._found
        if found is None:
            raise ValueError(
                f"LearningRates.suggestion: expected a learning rate that lowers the loss, got none; {self._why_none()}"
            )
        return found

    @property
    def _found(self) -> float | None:
        """The suggestion, or None if no rate lowers the loss."""
        if not (self.lrs and self.trials):
            return None
        best = min(self.trials.values())
        if not falls(best, self.start):
            return None
        good = [log(lr) for lr, loss in self.trials.items() if self.start - loss >= GOOD * (self.start - best)]
        return max(exp(sum(good) / len(good)) / SAFETY, self.lrs[0])

    def _why_none(self) -> str:
        """Return what was found instead of a suggestion, and what to do."""
        tried = sorted([*self.lrs, *self.trials])
        if not isfinite(self.start):
            return "the loss is not finite; scale the images to 0..1, and try a smaller min_lr in lr_find"
        return (
            f"from {tried[0]:.3g} to {tried[-1]:.3g} none lowers it from {self.start:.4g}; the network may have learnt "
            "these samples, or needs other initial weights (see found.plot())"
        )

    def record(self) -> dict[str, float]:
        """Return the numbers that the progress bar shows."""
        return {"loss": self.losses[-1] if self.losses else float("nan")}

    def __repr__(self) -> str:
        span = f"{self.lrs[0]:.3g} to {self.lrs[-1]:.3g}" if self.lrs else "none"
        found = "none, no rate lowers the loss" if self._found is None else f"{self._found:.3g}"
        return f"LearningRates({span}; suggestion {found})"

    def _repr_html_(self) -> str:
        """Return the suggestion and the smoothed losses, for notebooks."""
        if not self.lrs:
            return html_table(["suggestion"], [], "no learning rate was tried")
        found = "none: no rate lowers the loss" if self._found is None else self._found
        rows = [(found, self.lrs[0], self.lrs[-1], len(self.lrs), min(self.losses), len(self.trials))]
        table = html_table(["suggestion", "from", "to", "batches", "least loss", "trials"], rows)
        curve = html_curves("smoothed loss", self.lrs, {"": self.losses}, xlabel="learning rate", log_x=True)
        return f"<div>{table}{curve}</div>"

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses at each learning rate, the results of the trials, and the suggestion.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        matplotlib Figure

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
        ended = sorted((lr, loss) for lr, loss in self.trials.items() if isfinite(loss))
        if ended:
            axis.plot(*zip(*ended, strict=True), "o", color="C2", markersize=4, label="after a trial")
        if self._found is None:
            axis.set_title("no rate lowers the loss", fontsize="medium")
        else:
            axis.axvline(self._found, color="C1", linestyle="--", label=f"suggestion {self._found:.3g}")
        axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
        least, first = min(self.raw_losses + [loss for _, loss in ended]), max(self.raw_losses[:FEW])
        margin = 0.1 * (first - least) or 1.0
        axis.set_ylim(least - margin, first + 4 * margin)  # at the end, losses are many times as large
        axis.grid(alpha=0.3)
        axis.legend()
        return figure
