"""Losses for regression."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gwucnn import ops
from gwucnn.common import check_positive
from gwucnn.loss_functions.base import LossFunction, class_or_object, pair
from gwucnn.memory import Space

__all__ = ["MAE", "MSE", "Huber"]


class ErrorLoss(LossFunction):
    """The mean, over outputs and batch, of a function of the errors e = y - t."""

    replayable = True
    classifies = False
    op: ClassVar[ops.Op]
    _options: ClassVar[dict[str, float]] = {}

    def _terms(self, e: Any) -> Any:
        raise NotImplementedError

    def _slopes(self, e: Any) -> Any:
        raise NotImplementedError

    @class_or_object
    def loss(self, y_true: Any, y_pred: Any) -> float:
        t, y = pair(y_true, y_pred, self.name)
        return float(self._terms(y - t).sum() / max(t.size, 1))

    @class_or_object
    def loss_partial_derivative(self, y_true: Any, y_pred: Any) -> Any:
        t, y = pair(y_true, y_pred, self.name)
        return self._slopes(y - t) / max(t.size, 1)

    def step(self, space: Space, z: Any, target: Any, share: Any, p: Any, gradient: Any) -> float:
        scale = 1.0 / z.shape[1]
        return space.run("loss", self.op, z, target, share, gradient=gradient, scale=scale, **self._options)


class MSE(ErrorLoss):
    """Mean squared error, averaged over outputs and batch: (1/(N*K)) * sum of (y - t)**2."""

    name = "mse"
    op = ops.squared_error

    def _terms(self, e: Any) -> Any:
        return e**2

    def _slopes(self, e: Any) -> Any:
        return 2 * e


class MAE(ErrorLoss):
    """Mean absolute error, averaged over outputs and batch: (1/(N*K)) * sum of abs(y - t).

    The gradient is 0 where y = t.
    """

    name = "mae"
    op = ops.absolute_error

    def _terms(self, e: Any) -> Any:
        return np.abs(e)

    def _slopes(self, e: Any) -> Any:
        return np.sign(e)


class Huber(ErrorLoss):
    """Huber loss, quadratic for small errors and linear for large ones, averaged over all: P. Huber, 1964.

    (1/(N*K)) * sum of e**2 / 2 where abs(e) <= delta, delta * (abs(e) - delta / 2) elsewhere, e = y - t.

    Parameters
    ----------
    delta : float above 0
        The size from which errors count as large.
    """

    name = "huber"
    op = ops.huber

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = check_positive("Huber", "delta", delta)
        self._options = {"delta": self.delta}  # type: ignore[misc]

    def _terms(self, e: Any) -> Any:
        size = np.abs(e)
        return np.where(size <= self.delta, e**2 / 2, self.delta * (size - self.delta / 2))

    def _slopes(self, e: Any) -> Any:
        return np.clip(e, -self.delta, self.delta)
