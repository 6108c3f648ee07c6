"""Where NaN or infinity first appeared in a training step whose loss or gradients are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gwucnn.common import each
from gwucnn.layers.graphs.graph import Graph
from gwucnn.memory import Space

__all__ = ["describe_nonfinite"]


def describe_nonfinite(loss: float, graph: Graph, x: Any, spaces: Sequence[Space]) -> str:
    """Return a sentence that names the first layer whose outputs, or else the last whose gradients, are not finite.

    It runs the forward pass once more, so the caller has to reset the state of the random numbers before and after.

    graph : the steps, just run forward and backward. x : inputs of the batch, a tuple for several. spaces : one for
    each step.
    """
    values = graph.forward(each(x), spaces)
    for step, y in zip(graph.steps, values[graph.inputs :], strict=True):
        if not np.isfinite(y).all():
            return f"the loss is {loss}, and numbers that are not finite begin at {step.label}"
    for step in reversed(graph.steps):
        for parameter in step.parameters:
            if not np.isfinite(parameter.grad).all():
                return f"the gradient of {step.label}'s {parameter.name} is not finite"
    return f"the loss is {loss}"
