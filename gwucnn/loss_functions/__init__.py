"""Loss functions, which training minimizes.

A loss takes the outputs of the network. If the final activation is its partner (sigmoid for log loss, softmax for
cross-entropy), the two are computed together from the input of the activation: no logarithm of a rounded probability is
taken, and the gradient is simply p - t. See `engine/loss_head.py`.

`base.py` has the base class and the checks of targets, `classes.py` the losses for classification, `quantities.py`
those for regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gwucnn.common import classes_by_name, from_config, look_up
from gwucnn.loss_functions.base import LossFunction
from gwucnn.loss_functions.classes import BinaryCrossentropy, CrossEntropy, LogLoss
from gwucnn.loss_functions.quantities import MAE, MSE, Huber

__all__ = [
    "LOSSES",
    "MAE",
    "MSE",
    "BinaryCrossentropy",
    "CrossEntropy",
    "Huber",
    "LogLoss",
    "LossFunction",
    "loss_function",
]

LOSSES: dict[str, type[LossFunction]] = {
    "log_loss": LogLoss,
    "binary_crossentropy": BinaryCrossentropy,
    "cross_entropy": CrossEntropy,
    "categorical_crossentropy": CrossEntropy,
    "sparse_categorical_crossentropy": CrossEntropy,
    "mse": MSE,
    "mae": MAE,
    "huber": Huber,
}


def loss_function(loss: Any) -> LossFunction:
    """Return a loss given by name, as a class, as an object or as a config (see `common/configurable.py`)."""
    if isinstance(loss, LossFunction):
        return loss
    if isinstance(loss, type) and issubclass(loss, LossFunction):
        return loss()
    if isinstance(loss, Mapping):
        return from_config("compile", "loss", loss, classes_by_name(LossFunction, LOSSES))
    return look_up("compile", "loss", loss, LOSSES)()
