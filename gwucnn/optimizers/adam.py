"""Adaptive moments, with weight decay as part of the gradient or beside it."""

from __future__ import annotations

from typing import Any

from gwucnn import kernels
from gwucnn.common import check_fraction, check_nonnegative, check_positive
from gwucnn.optimizers.base import Optimizer

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adaptive moments: D. Kingma and J. Ba, arXiv:1412.6980, algorithm 1.

    ::

        m = beta_1 * m + (1 - beta_1) * grad
        v = beta_2 * v + (1 - beta_2) * grad**2
        value -= lr * m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)        t = 1, 2, ...

    Parameters
    ----------
    lr : float or Schedule
    beta_1, beta_2 : float from 0 to less than 1
        Decay rates of the averages of the gradient and of its square.
    epsilon : float
        Added to the square root in the denominator.
    weight_decay : float of at least 0
        Added to the gradients as weight_decay * value before they are averaged, as in PyTorch's Adam. `AdamW` shrinks
        the weights independently of the gradients instead, which is usually better.
    """

    slot_names = ("m", "v")

    def __init__(
        self,
        lr: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        caller = type(self).__name__
        self.weight_decay = check_nonnegative(caller, "weight_decay", weight_decay)
        self.beta_1, self.beta_2 = (
            check_fraction(caller, "beta_1", beta_1),
            check_fraction(caller, "beta_2", beta_2),
        )
        self.epsilon = check_positive(caller, "epsilon", epsilon)

    def _kernel(self, values: Any, grads: Any) -> Any:
        m, v = self.slots["m"], self.slots["v"]
        rule = (self.beta_1, self.beta_2, self.epsilon, self.weight_decay if self._decoupled else 0.0)
        return kernels.active.Adam(values, grads, m, v, *rule)

    def _run(self) -> None:
        self._update.step = self._now.updates
        self._update()


class AdamW(Adam):
    """Adam with decoupled weight decay: I. Loshchilov and F. Hutter, arXiv:1711.05101, algorithm 2.

    First value -= lr * weight_decay * value, including biases, then the step of Adam.

    Parameters
    ----------
    lr, beta_1, beta_2, epsilon
        As in Adam.
    weight_decay : float of at least 0
    """

    _decoupled = True

    def __init__(
        self,
        lr: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(lr, beta_1, beta_2, epsilon, weight_decay)
