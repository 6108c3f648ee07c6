"""Activation functions as layers of their own."""

from __future__ import annotations

from typing import Any, ClassVar

from gwucnn.activation_functions import (
    ActivationFunction,
    RELUActivation,
    SigmoidActivation,
    SoftmaxActivation,
)
from gwucnn.layers.base import Array, Layer, Shape, Space

__all__ = ["RELU", "ActivationLayer", "Sigmoid", "Softmax"]


class ActivationLayer(Layer):
    """Apply an activation function to every number (softmax: to every row of channels or features)."""

    replays = True
    function: ClassVar[type[ActivationFunction]]

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        self.in_shape = self.out_shape = in_shape
        return in_shape

    def forward(self, x: Array, space: Space) -> Array:
        y = space.saved["y"] = space.array("y", x.shape)
        return space.run("forward", self.function.op, x, out=y)

    def backward(self, dy: Array, space: Space) -> Array:
        return space.run(
            "backward", self.function.backward_op, dy, space.saved["y"], out=space.array("dx", dy.shape)
        )

    def split_activation(self) -> tuple[Layer | None, type[ActivationFunction] | None]:
        return None, self.function

    def config(self) -> dict[str, Any]:
        return {} if self.name is None else {"name": self.name}


class Sigmoid(ActivationLayer):
    """y = 1 / (1 + exp(-x)): for one or several yes-or-no outputs."""

    function = SigmoidActivation


class RELU(ActivationLayer):
    """y = max(x, 0): between layers."""

    function = RELUActivation


class Softmax(ActivationLayer):
    """y[k] = exp(x[k]) / sum over l of exp(x[l]): for one class out of several."""

    function = SoftmaxActivation
