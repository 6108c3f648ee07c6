"""What runs instead of what was written.

`network.layers` is what the user wrote and is never edited; the plan is what runs. It is made once, when the network
is built, and shares the layers' parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from gwucnn.activation_functions import ActivationFunction
from gwucnn.layers import Layer

__all__ = ["plan"]


def plan(layers: Sequence[Layer]) -> tuple[list[Layer], type[ActivationFunction] | None]:
    """Return the steps to run in order, and the last activation, which the loss head runs together with the loss."""
    if not layers:
        return [], None
    last, activation = layers[-1].split_activation()
    return [*layers[:-1], *([] if last is None else [last])], activation
