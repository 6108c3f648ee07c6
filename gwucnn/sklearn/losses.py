"""Which losses fit the targets of an estimator."""

from __future__ import annotations

from gwucnn.activation_functions import SigmoidActivation, SoftmaxActivation
from gwucnn.loss_functions import FunctionLoss, LossFunction

__all__ = ["check_loss"]


def check_loss(caller: str, loss: LossFunction, classes: int) -> None:
    """Raise ValueError if a loss is not one for this many classes; for 0, if it is not for answers to several labels.

    A function may be any loss.
    """
    if classes:
        targets, wanted = f"{classes} classes", "cross_entropy"
        wrong = loss.partner is SigmoidActivation and classes > 2
    else:
        targets, wanted = "yes-or-no answers to several labels", "binary_crossentropy"
        wrong = loss.partner is SoftmaxActivation
    if wrong or not (loss.classifies or isinstance(loss, FunctionLoss)):
        raise ValueError(
            f"{caller}: expected a loss for {targets}, such as {wanted!r}, got {loss.name!r}; leave it out"
        )
