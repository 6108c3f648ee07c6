"""Learning rate schedules: functions of the number of updates so far.

Use one in place of a number: ``SGD(lr=CosineDecay(0.1, 1000))``, or ``compile(lr=...)`` with the name of an optimizer.
There is one update per batch: an epoch of N images in batches of B has ceil(N / B) updates. The first update has step
0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import cos, floor, isfinite, pi
from typing import Any

from gwucnn.common import (
    Configurable,
    check_flag,
    check_fraction,
    check_nonnegative,
    check_positive,
    check_size,
    classes_by_name,
    from_config,
)

__all__ = [
    "SCHEDULES",
    "CosineDecay",
    "ExponentialDecay",
    "OneCycle",
    "PiecewiseConstant",
    "Schedule",
    "schedule",
]


class Schedule(Configurable):
    """The base class of schedules, also of your own: a function of the step.

    Example
    -------
    >>> class Inverse(Schedule):
    ...     def __call__(self, step):
    ...         return 0.1 / (1 + step / 100)
    >>> Inverse()(100)
    0.05
    """

    _remedy = "assign a new schedule, optimizer.lr = {}"

    def __call__(self, step: int) -> float:
        """Return the learning rate, at least 0, of the update that follows `step` earlier ones."""
        raise NotImplementedError(f"{type(self).__name__}: expected a schedule that defines __call__(step)")

    def rate(self, step: int) -> float:
        """Return the learning rate, checked. Raises ValueError if it is negative, infinite or not a number."""
        rate = self(step)
        if not isfinite(rate) or rate < 0:
            raise ValueError(
                f"{type(self).__name__}: expected a learning rate of at least 0, got {rate!r} at step {step}"
            )
        return float(rate)


class ExponentialDecay(Schedule):
    """Decay exponentially, by the factor `decay_rate` every `decay_steps` steps.

    lr(step) = initial_learning_rate * decay_rate**(step / decay_steps); with `staircase` the exponent is
    rounded down, so that the rate falls in steps. The rule and the names are those of Keras.

    Parameters
    ----------
    initial_learning_rate, decay_rate : float above 0
    decay_steps : int
    staircase : bool

    Examples
    --------
    >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200)
    0.025
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        caller = type(self).__name__
        self.initial_learning_rate = check_positive(caller, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = check_size(caller, "decay_steps", decay_steps)
        self.decay_rate = check_positive(caller, "decay_rate", decay_rate)
        self.staircase = check_flag(caller, "staircase", staircase)

    def __call__(self, step: int) -> float:
        exponent = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (floor(exponent) if self.staircase else exponent)


class CosineDecay(Schedule):
    """Decay along half a cosine, after a linear warm-up if there is one.

    For step < warmup_steps: initial_learning_rate + (top - initial_learning_rate) * step / warmup_steps with top =
    warmup_target. Then, with t = min(1, (step - warmup_steps) / decay_steps): lr = top * ((1 - alpha) * (1 + cos(pi*t))
    / 2 + alpha). Without a warm-up top = initial_learning_rate and warmup_steps = 0. I. Loshchilov and F. Hutter,
    "SGDR", arXiv:1608.03983, section 3, without restarts; the rule and the names are those of Keras.

    Parameters
    ----------
    initial_learning_rate : float
        Above 0; with a warm-up it may be 0.
    decay_steps : int
        Number of steps of the decay.
    alpha : float from 0 to 1
        The final rate as a fraction of the highest one.
    warmup_target : float above 0, optional
        The rate at the end of the warm-up.
    warmup_steps : int
        Number of steps of the warm-up. Raises ValueError if only one of the last two is given.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        caller = type(self).__name__
        check = check_positive if warmup_target is None else check_nonnegative
        self.initial_learning_rate = check(caller, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = check_size(caller, "decay_steps", decay_steps)
        self.alpha = 1.0 if alpha == 1 else check_fraction(caller, "alpha", alpha)
        self.warmup_steps = check_size(caller, "warmup_steps", warmup_steps, 0)
        self.warmup_target = None if warmup_target is None else check_positive(caller, "warmup_target", warmup_target)
        if (self.warmup_target is None) != (not self.warmup_steps):
            raise ValueError(
                f"{caller}: expected warmup_target and warmup_steps together, got {warmup_target!r} and "
                f"{warmup_steps!r}; give both or none"
            )

    def __call__(self, step: int) -> float:
        start = self.initial_learning_rate
        top = start if self.warmup_target is None else self.warmup_target
        if step < self.warmup_steps:
            return start + (top - start) * step / self.warmup_steps
        t = min(1.0, (step - self.warmup_steps) / self.decay_steps)
        return top * ((1 - self.alpha) * 0.5 * (1 + cos(pi * t)) + self.alpha)


class PiecewiseConstant(Schedule):
    """Use constant rates piece by piece: values[i] for boundaries[i-1] < step <= boundaries[i].

    The PiecewiseConstantDecay of Keras.

    Parameters
    ----------
    boundaries : sequence of int, increasing
        The last step of each value except the last value.
    values : sequence of float above 0
        One more value than boundaries.

    Examples
    --------
    >>> rate = PiecewiseConstant([1000, 2000], [0.1, 0.01, 0.001])
    >>> rate(1000), rate(1001), rate(5000)
    (0.1, 0.01, 0.001)
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        caller = type(self).__name__
        for name, given in (("boundaries", boundaries), ("values", values)):
            if isinstance(given, str) or not isinstance(given, Iterable):
                raise TypeError(f"{caller}: expected {name} to be a list of numbers, got {given!r}")
        self.boundaries = [check_size(caller, "each of boundaries", step, 0) for step in boundaries]
        self.values = [check_positive(caller, "each of values", value) for value in values]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{caller}: expected one value more than boundaries, got {len(self.values)} values and "
                f"{len(self.boundaries)} boundaries"
            )
        if self.boundaries != sorted(set(self.boundaries)):
            raise ValueError(f"{caller}: expected boundaries that rise, got {self.boundaries}")

    def __call__(self, step: int) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class OneCycle(Schedule):
    """Rise to a high learning rate, then fall far below the initial one, each along half a cosine.

    Steps 0 to r = pct_start * total_steps - 1 rise from max_learning_rate / div_factor to max_learning_rate;
    from there to step total_steps - 1 it falls to max_learning_rate / div_factor / final_div_factor, where it
    stays. L. Smith and N. Topin, "Super-Convergence", arXiv:1708.07120, section 3; the rule and the
    defaults are those of PyTorch's OneCycleLR.

    Parameters
    ----------
    max_learning_rate : float above 0
    total_steps : int, at least 2
        Number of updates of the whole training.
    pct_start : float from 0 to less than 1
        Fraction of them for the rise.
    div_factor, final_div_factor : float above 0
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        caller = type(self).__name__
        self.max_learning_rate = check_positive(caller, "max_learning_rate", max_learning_rate)
        self.total_steps = check_size(caller, "total_steps", total_steps, 2)
        self.pct_start = check_fraction(caller, "pct_start", pct_start)
        self.div_factor = check_positive(caller, "div_factor", div_factor)
        self.final_div_factor = check_positive(caller, "final_div_factor", final_div_factor)

    def __call__(self, step: int) -> float:
        high, first = self.max_learning_rate, self.max_learning_rate / self.div_factor
        top, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if step <= top:
            return _half_cosine(first, high, step / top if top else 1.0)
        return _half_cosine(high, first / self.final_div_factor, min(1.0, (step - top) / (end - top)))


def _half_cosine(start: float, end: float, t: float) -> float:
    return end + (start - end) / 2 * (1 + cos(pi * t))


SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__: kind for kind in (ExponentialDecay, CosineDecay, PiecewiseConstant, OneCycle)
}


def schedule(caller: str, what: str, given: Any) -> Schedule | None:
    """Return a schedule given as an object or as a config, None for anything else."""
    if isinstance(given, type) and issubclass(given, Schedule):
        raise ValueError(f"{caller}: expected {what} to be a schedule, got its class; write {given.__name__}(...)")
    if isinstance(given, Mapping):
        return from_config(caller, what, given, classes_by_name(Schedule, SCHEDULES))
    return given if isinstance(given, Schedule) else None
