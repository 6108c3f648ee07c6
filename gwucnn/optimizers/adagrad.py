"""Gradients divided by the root of the sum of all their squares."""

from __future__ import annotations

from typing import Any

from gwucnn import kernels
from gwucnn.common import check_nonnegative, check_positive
from gwucnn.optimizers.base import Optimizer

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Divide by the square root of the sum of all squares: J. Duchi et al., JMLR 12 (2011), figure 1.

    accumulator += grad**2; value -= lr * grad / (sqrt(accumulator) + epsilon).

    Parameters
    ----------
    lr : float or Schedule
    initial_accumulator_value : float of at least 0
    epsilon : float above 0
    """

    slot_names = ("accumulator",)

    def __init__(self, lr: Any = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7) -> None:
        super().__init__(lr)
        self.initial_accumulator_value = self._slots_start_at = check_nonnegative(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value
        )
        self.epsilon = check_positive("Adagrad", "epsilon", epsilon)

    def _kernel(self, values: Any, grads: Any) -> Any:
        return kernels.active.Adagrad(values, grads, self.slots["accumulator"], self.epsilon)
