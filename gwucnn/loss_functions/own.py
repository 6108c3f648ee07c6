"""Losses that users write in numpy: as a function, or as a class with the two methods of `LossFunction`."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static
from typing import Any

import numpy as np

from gwucnn.common import ShapeError, function_name, real_number
from gwucnn.loss_functions.base import LossFunction, as_rows, class_labels

__all__ = ["FunctionLoss", "check_complete", "numpy_step"]


class FunctionLoss(LossFunction):
    """A loss given as a function (y_true, y_pred) -> (loss, gradient).

    The gradient is the derivative of the loss with respect to each number of y_pred. A function does not say whether
    its targets are classes: integers are taken for labels where they cannot be anything else, and metrics are functions
    too.
    """

    classifies = False

    def __init__(self, function: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self.function = function
        self.name = function_name("compile", "loss", function)  # type: ignore[misc]

    def loss(self, y_true: Any, y_pred: Any) -> float:
        return self.loss_and_derivative(y_true, y_pred)[0]

    def loss_partial_derivative(self, y_true: Any, y_pred: Any) -> Any:
        return self.loss_and_derivative(y_true, y_pred)[1]

    def targets(self, y: Any, out_shape: tuple[int, ...]) -> Any:
        y = as_rows(self.name, y)
        labels = class_labels(self.name, y, out_shape) if y.dtype.kind in "iub" and out_shape[-1] > 1 else None
        return super().targets(y, out_shape) if labels is None else labels

    def loss_and_derivative(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        found = self.function(y_true, y_pred)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                f"{self.name}: expected the loss to return a pair (loss, gradient), got {type(found).__name__}; the "
                "gradient is the derivative of the loss by each number of y_pred"
            )
        return found


def check_complete(loss: LossFunction) -> None:
    """Raise TypeError unless a loss can be computed: by a `step`, or by methods for its value and its derivative."""
    if loss.has_step or type(loss).loss_and_derivative is not LossFunction.loss_and_derivative:
        return
    for method in ("loss", "loss_partial_derivative"):
        if getattr_static(type(loss), method) is vars(LossFunction)[method]:
            raise TypeError(
                f"compile: expected the loss {loss.name} to define {method}(y_true, y_pred), got none; training needs "
                "the loss and its derivative"
            )


def numpy_step(loss: LossFunction, y_pred: Any, y_true: Any, share: Any, gradient: Any) -> float:
    """Return the loss of a batch and fill its gradient with respect to y_pred, by the methods of `loss`.

    y_pred, y_true, gradient : shape (N, *out_shape). share : shape (N,), the weight of each sample, summing to 1 or 0.
    The methods return means over the samples they get: all of them if their weights are equal, otherwise one by one.
    """
    gradient.fill(0)
    y_true, y_pred = y_true.view(), y_pred.view()
    y_true.flags.writeable = y_pred.flags.writeable = False
    weights = [share.max()] if share.size and (share == share[0]).all() else share
    equal, total = len(weights) == 1, 0.0
    for n, weight in enumerate(weights):
        rows = slice(None) if equal else slice(n, n + 1)
        if not weight:
            continue
        value, slopes = loss.loss_and_derivative(y_true[rows], y_pred[rows])
        slopes, shape = np.asarray(slopes), y_pred[rows].shape
        if slopes.shape != shape:
            raise ShapeError(
                f"{loss.name}: expected the gradient of the loss in the shape of y_pred, {shape}, got {slopes.shape}; "
                "return the derivative of the mean loss by each prediction"
            )
        factor = 1.0 if equal else float(weight)
        gradient[rows] = slopes * factor
        total += real_number(loss.name, "the loss", value) * factor
    return total
