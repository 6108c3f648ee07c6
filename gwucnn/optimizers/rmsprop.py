"""Gradients divided by the root of a running average of their squares."""

from __future__ import annotations

from typing import Any

from gwucnn import kernels
from gwucnn.common import check_flag, check_fraction, check_positive
from gwucnn.optimizers.base import Optimizer

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Divide by the square root of a running average of squares: T. Tieleman and G. Hinton, lecture 6.5, 2012.

    ::

        square = rho * square + (1 - rho) * grad**2
        value -= lr * grad / (sqrt(square) + epsilon)

    With `centered`, the root is that of square - mean**2, with mean = rho * mean + (1 - rho) * grad (A. Graves,
    arXiv:1308.0850, section 4.2). With momentum, velocity = momentum * velocity + grad / (...) replaces the quotient.
    epsilon is added outside of the root, as in PyTorch.

    Parameters
    ----------
    lr : float or Schedule
    rho : float from 0 to less than 1
        Decay rate of the averages.
    momentum : float from 0 to less than 1
    epsilon : float above 0
    centered : bool
    """

    def __init__(
        self,
        lr: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
    ) -> None:
        super().__init__(lr)
        self.rho = check_fraction("RMSprop", "rho", rho)
        self.momentum = check_fraction("RMSprop", "momentum", momentum)
        self.epsilon = check_positive("RMSprop", "epsilon", epsilon)
        self.centered = check_flag("RMSprop", "centered", centered)

    def _used_slots(self) -> tuple[str, ...]:
        return ("square", *["mean"] * self.centered, *["velocity"] * (self.momentum > 0))

    def _kernel(self, values: Any, grads: Any) -> Any:
        slots = [self.slots.get(name) for name in ("square", "mean", "velocity")]
        return kernels.active.RMSprop(values, grads, *slots, self.rho, self.momentum, self.epsilon)
