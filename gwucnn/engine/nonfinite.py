"""Where NaN or infinity first appeared in a training step whose loss or gradients are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gwucnn.layers import Layer
from gwucnn.layers.base import leaves
from gwucnn.memory import Space

__all__ = ["describe_nonfinite"]


def describe_nonfinite(loss: float, steps: Sequence[Layer], x: Any, spaces: Sequence[Space]) -> str:
    """Return a sentence that names the first layer whose outputs, or else the last whose gradients, are not finite.

    It runs the forward pass once more, so the caller has to reset the state of the random numbers before and after.

    steps : the plan, just run forward and backward. x : inputs of the batch. spaces : one for each step.
    """
    for step, space in zip(steps, spaces, strict=True):
        y = step.forward(x, space)
        if not np.isfinite(y).all():
            return f"the loss is {loss}, and numbers that are not finite begin at {step.find_nonfinite(space)}"
        x = y
    for layer in reversed([leaf for step in steps for leaf in leaves(step)]):
        for parameter in layer.parameters:
            if not np.isfinite(parameter.grad).all():
                return f"the gradient of {layer.label}'s {parameter.name} is not finite"
    return f"the loss is {loss}"
