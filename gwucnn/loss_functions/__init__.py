"""Loss functions, which training minimizes.

A loss takes the outputs of the network. If the final activation is its partner (sigmoid for log loss, softmax for
cross-entropy), the two are computed together from the input of the activation: no logarithm of a rounded probability is
taken, and the gradient is simply p - t. See `engine/loss_head.py`.

`base.py` has the base class and the checks of targets, `classes.py` the losses for classification, `quantities.py`
those for regression, `own.py` what runs losses that users write, `joint.py` the loss of several outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gwucnn.common import classes_by_name, from_config, look_up
from gwucnn.loss_functions.base import LossFunction
from gwucnn.loss_functions.classes import BinaryCrossentropy, CrossEntropy, LogLoss
from gwucnn.loss_functions.joint import JointLoss
from gwucnn.loss_functions.own import FunctionLoss, check_complete, numpy_step
from gwucnn.loss_functions.quantities import MAE, MSE, Huber

__all__ = [
    "LOSSES",
    "MAE",
    "MSE",
    "BinaryCrossentropy",
    "CrossEntropy",
    "FunctionLoss",
    "Huber",
    "JointLoss",
    "LogLoss",
    "LossFunction",
    "loss_function",
    "numpy_step",
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
    """Return a loss given by name, as a class, an object, a function or a config (see `common/configurable.py`)."""
    if isinstance(loss, type) and issubclass(loss, LossFunction):
        loss = loss()
    if isinstance(loss, LossFunction):
        check_complete(loss)
        return loss
    if isinstance(loss, Mapping):
        return from_config("compile", "loss", loss, classes_by_name(LossFunction, LOSSES))
    if hasattr(loss, "loss") and hasattr(loss, "loss_partial_derivative"):
        name = loss.__name__ if isinstance(loss, type) else type(loss).__name__
        raise TypeError(
            f"compile: expected a loss of a class derived from LossFunction, got {name}; write "
            f"class {name}(gwucnn.LossFunction)"
        )
    if callable(loss) and not isinstance(loss, type):
        return FunctionLoss(loss)
    return look_up("compile", "loss", loss, LOSSES)()
