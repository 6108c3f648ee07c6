"""What the inputs of a network looked like in training, so that inputs in another range are noticed later."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from math import isfinite, sqrt
from typing import Any

import numpy as np

from gwucnn.common import chunks, min_and_max

__all__ = ["InputStatistics", "difference"]

# Mean and deviation are estimated from about a sixteenth of the values, at least and at most so many, taken from
# samples at equal distances.
FEWEST_VALUES, MOST_VALUES = 2**14, 2**19
FEWEST_SAMPLED = 16

# Values that are in memory as float64 at a time.
VALUES_AT_ONCE = 2**15

# Sets of fewer images may all be dark, bright or alike.
ENOUGH = 10


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """Range, mean and deviation of inputs, over all their values.

    Attributes
    ----------
    low, high : float
        The smallest and the largest value.
    mean, deviation : float
        Of all values, estimated from some of the samples.
    spread : float
        The standard deviation of the means of single samples.
    count : int
        Number of samples.
    """

    low: float
    high: float
    mean: float
    deviation: float
    spread: float
    count: int

    @classmethod
    def of(cls, x: Any, extremes: tuple[float, float] | None = None, most: int = MOST_VALUES) -> InputStatistics | None:
        """Return the statistics of x, at least one sample; None if they are not finite.

        extremes : minimum and maximum of x, if they are known; by default, those of the samples that are looked at.
        most : about how many numbers to look at, at most.
        """
        values = min(most, max(FEWEST_VALUES, x.size // 16))
        wanted = max(FEWEST_SAMPLED, values // max(1, x[:1].size))
        some = x[:: -(-len(x) // wanted)] if len(x) > wanted else x
        low, high = min_and_max(some) if extremes is None else extremes
        if not (some.size and isfinite(low) and isfinite(high)):
            return None
        means, squares = np.empty(len(some)), 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for start, piece in chunks(some, VALUES_AT_ONCE * some.itemsize):
                rows = piece.reshape(len(piece), -1).astype(np.float64)
                centre = means[start : start + len(rows)] = rows.sum(axis=1) / rows.shape[1]
                rows -= centre[:, None]
                squares += float(np.vdot(rows, rows))
            mean = float(means.sum()) / len(means)
            means -= mean
            spread = float(np.vdot(means, means)) / len(means)  # of samples that have a variance of their own
            found = cls(low, high, mean, float(np.sqrt(squares / some.size + spread)), float(np.sqrt(spread)), len(x))
        return found if all(map(isfinite, astuple(found))) else None

    def merged(self, other: InputStatistics) -> InputStatistics:
        """Return the statistics of the samples of both; those of `other` if they are of another range, or the same."""
        if other == self or difference(self, other) is not None:
            return other
        count = self.count + other.count
        a, b = self.count / count, other.count / count
        shift = a * b * (other.mean - self.mean) ** 2
        return InputStatistics(
            min(self.low, other.low),
            max(self.high, other.high),
            a * self.mean + b * other.mean,
            sqrt(a * self.deviation**2 + b * other.deviation**2 + shift),
            sqrt(a * self.spread**2 + b * other.spread**2 + shift),
            count,
        )

    def document(self) -> dict[str, float]:
        """Return the numbers by name, for a file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_document(cls, found: Any) -> InputStatistics:
        """Return the statistics that `document` described; raise ValueError for anything else."""
        names = [field.name for field in fields(cls)]
        if not isinstance(found, dict) or found.keys() != set(names):
            raise ValueError(f"expected statistics of the inputs with {', '.join(names)}, got {str(found)[:60]}")
        count = found["count"]
        numbers = [found[name] for name in names[:-1]]
        if type(count) is not int or count < 1 or not all(type(n) is float and isfinite(n) for n in numbers):
            raise ValueError(f"expected finite statistics of at least one input, got {str(found)[:120]}")
        return cls(**found)

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(self.high, -self.low)

    @property
    def rms(self) -> float:
        """The root of the mean square."""
        return sqrt(self.mean**2 + self.deviation**2)

    def __str__(self) -> str:
        return f"{_short(self.low)}..{_short(self.high)} (mean {_short(self.mean)})"


def _short(number: float) -> str:
    return f"{number:.3g}".replace("0.", ".", 1) if 0 < abs(number) < 1 else f"{number:.3g}"


# The thresholds are far from what changes of the light, noise or augmentation make of images, and near enough that
# single MNIST and CIFAR-10 images scaled by 255 or 16 are all found.
SCALED = 10.0
SCALED_FAR = 100.0


def difference(trained: InputStatistics, given: InputStatistics) -> str | None:
    """Return what to do about inputs in another range than that of training, or None if they look alike.

    It knows inputs that are much too large or too small, inverted (1 - x), or in -1..1 instead of 0..1 and vice versa.
    Nothing is concluded from inputs that are all equal, nor, but for those much too large or clearly inverted, from
    fewer than ten. A network trained on fewer than ten is not judged either.
    """
    if not (given.deviation > 0 and trained.deviation > 0 and trained.count >= ENOUGH):
        return None
    enough = given.count >= ENOUGH
    if given.largest >= SCALED * trained.largest and given.rms >= SCALED * trained.rms:
        return _scaling("divide", trained, given.high) if given.low >= 0 else SCALE
    if enough and _too_small(trained, given):
        return _scaling("multiply", given, trained.high)
    if _inverted(trained, given):
        return f"subtract them from {_short(trained.low + trained.high)}, as they seem to be inverted"
    if enough and _one_sided(given, trained):
        return "they seem to be in 0..1 instead of -1..1: write 2 * x - 1"
    if enough and _one_sided(trained, given):
        return "they seem to be in -1..1 instead of 0..1: write (x + 1) / 2"
    return None


SCALE = "scale them as for training"


def _scaling(verb: str, small: InputStatistics, largest: float) -> str:
    """Return the advice to bring images to the range of others, by 255 if that is what the ranges suggest."""
    is_unit = small.low >= 0 and 0.5 <= small.high <= 1.0
    if verb == "divide" and _is_signed(small) and 100 <= largest <= 255:
        return "write x / 127.5 - 1"
    if is_unit and 100 <= largest <= 255:
        return f"{verb} by 255"
    if is_unit and largest == 16:
        return f"{verb} by 16"
    return SCALE


def _too_small(trained: InputStatistics, given: InputStatistics) -> bool:
    """Whether inputs are much smaller than in training, or in 0..1 instead of 0..16 or more."""
    is_unit = given.low >= 0 and 0.5 <= given.high <= 1.0
    factor = SCALED if is_unit else SCALED_FAR
    return given.largest * factor <= trained.largest and given.rms * factor <= trained.rms * 4


def _inverted(trained: InputStatistics, given: InputStatistics) -> bool:
    """Whether the range is the same, and the mean is where that of inverted images would be."""
    span = trained.high - trained.low
    same_range = (
        trained.low - 0.05 * span <= given.low <= trained.low + 0.25 * span
        and trained.high - 0.25 * span <= given.high <= trained.high + 0.05 * span
    )
    distance = trained.low + trained.high - 2 * trained.mean  # from the mean to that of inverted images
    # Single images vary by their spread, sets of one kind less.
    apart = abs(distance) >= (3.0 if given.count >= ENOUGH else 10.0) * trained.spread and abs(distance) > 0.3 * span
    return (
        same_range
        and apart
        and 0.6 <= (given.mean - trained.mean) / distance <= 1.4
        and 0.3 * trained.deviation <= given.deviation <= 2 * trained.deviation
    )


def _is_signed(inputs: InputStatistics) -> bool:
    """Whether the range is -1..1."""
    return abs(inputs.low + 1) <= 0.02 and abs(inputs.high - 1) <= 0.02


def _one_sided(positive: InputStatistics, signed: InputStatistics) -> bool:
    """Whether one range is 0..1 and the other -1..1, with a mean that is lower accordingly."""

    is_unit = abs(positive.low) <= 0.02 and abs(positive.high - 1) <= 0.02
    expected = 2 * positive.mean - 1
    return is_unit and _is_signed(signed) and abs(expected - signed.mean) <= 0.2 * (2 - positive.mean - signed.mean)
