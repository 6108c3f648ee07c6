"""Gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gwucnn import kernels
from gwucnn.common import check_flag, check_fraction, check_nonnegative
from gwucnn.optimizers.base import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent: value -= lr * grad.

    With momentum, velocity = momentum * velocity + grad replaces the gradient; with nesterov,
    grad + momentum * velocity replaces it (I. Sutskever et al., ICML 2013, section 2, in PyTorch's form).

    Parameters
    ----------
    lr : float or Schedule
    momentum : float from 0 to less than 1
    nesterov : bool
        Requires momentum.
    weight_decay : float of at least 0
        Before each update, weight_decay * value is added to the gradients of all weights, also of biases, as in
        PyTorch. The reported loss does not include it; `kernel_regularizer` penalizes single layers and does.

    Examples
    --------
    >>> from gwucnn import SGD
    >>> SGD(0.1, momentum=0.9, weight_decay=5e-4)
    SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0005)
    """

    def __init__(
        self, lr: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr)
        self.weight_decay = check_nonnegative("SGD", "weight_decay", weight_decay)
        self.momentum = check_fraction("SGD", "momentum", momentum)
        self.nesterov = check_flag("SGD", "nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: expected momentum above 0 with nesterov=True, got 0; try momentum=0.9")

    def _used_slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _kernel(self, values: Any, grads: Any) -> Any:
        return kernels.active.SGD(values, grads, self.slots.get("velocity"), self.momentum, self.nesterov)

    def defer_gradients(self, steps: Iterable[Any]) -> None:
        # An overridden `step` may read the gradients, and weight decay adds to them.
        if type(self) is SGD and "step" not in vars(self) and self._decay is None:
            self._update.defer_gradients(steps)

    def apply_deferred(self) -> None:
        if self._update is not None:
            self._update.apply_deferred()
