"""The base of layers with a kernel: Conv2D and its relatives, and Dense."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import prod
from typing import Any

from gwucnn.activation_functions import ACTIVATIONS, ActivationFunction, activation_function
from gwucnn.common import Shape, check_flag, constructor_repr, set_inside, to_config
from gwucnn.initializers import initializer
from gwucnn.layers.base import Array, Layer, Space
from gwucnn.memory import Parameter
from gwucnn.ops import sum_rows
from gwucnn.regularizers import regularizer

__all__ = ["WeightedLayer"]


class WeightedLayer(Layer):
    """A layer that multiplies by a kernel, adds a bias and applies an activation.

    A derived class defines the product and its gradients: `multiply`, `multiply_backward_weight` and
    `multiply_backward_input`.
    """

    replayable = True
    # In a fused step: computes the (kernel, bias or None) to multiply by from the declared ones.
    _make_weights: Callable[[Array, Array | None, Space], tuple[Array, Array | None]] | None = None

    def __init__(
        self,
        *,
        activation: Any,
        add_bias: bool,
        kernel_initializer: str,
        bias_initializer: str,
        kernel_regularizer: Any = None,
        trainable: bool,
        name: str | None,
    ) -> None:
        self.activation: type[ActivationFunction] | None = activation_function(self.label, activation)
        hint = f"; write activation={add_bias!r}" if str(add_bias) in ACTIVATIONS else ""
        self.add_bias = check_flag(self.label, "add_bias", add_bias, hint)
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.trainable = trainable
        self.name = name
        initializer(self.label, "kernel_initializer", kernel_initializer)
        initializer(self.label, "bias_initializer", bias_initializer)
        self.kernel_regularizer = regularizer(self.label, "kernel_regularizer", kernel_regularizer)

    def declare(self, shape: Shape, outputs: int | None = None) -> None:
        """Declare kernel and bias once the shape of the kernel is known.

        The bias has `outputs` elements, by default as many as the last axis of the kernel.
        """
        self.kernel = Parameter(
            "kernel",
            shape,
            initializer(self.label, "kernel_initializer", self.kernel_initializer),
            regularizer=self.kernel_regularizer,
        )
        self.bias = Parameter(
            "bias",
            shape[-1:] if outputs is None else (outputs,),
            initializer(self.label, "bias_initializer", self.bias_initializer),
        )
        self.parameters = (self.kernel, self.bias) if self.add_bias else (self.kernel,)
        self.mark_parameters()

    @property
    def multiply_adds(self) -> int:
        # Each weight is used once per output position, including products with padding.
        return prod(self.out_shape[:-1]) * self.kernel.size

    def weights(self, space: Space) -> tuple[Array, Array | None]:
        """Return the kernel and the bias (or None) that forward uses."""
        kernel, bias = self.kernel.constant, self.bias.constant if self.add_bias else None
        return (kernel, bias) if self._make_weights is None else self._make_weights(kernel, bias, space)

    def multiply(self, x: Array, y: Array, space: Space) -> None:
        """Fill y with the product of x and the kernel, plus the bias."""
        raise NotImplementedError

    def multiply_backward_weight(self, x: Array, dy: Array, space: Space) -> None:
        """Add to the gradient of the kernel."""
        raise NotImplementedError

    def multiply_backward_input(self, dy: Array, dx: Array, space: Space) -> None:
        """Fill dx with the gradient with respect to x."""
        raise NotImplementedError

    def forward(self, x: Array, space: Space) -> Array:
        activation = self.activation
        y = before = space.array("y", (x.shape[0], *self.out_shape))
        if activation is not None and activation.of_input and space.backward_follows:
            before = space.array("before activation", y.shape)
        self.multiply(x, before, space)
        if activation is not None:
            activation.forward(before, y, space)
        space.saved["x"], space.saved["before activation"], space.saved["y"] = x, before, y
        return y

    def backward(self, dy: Array, space: Space) -> Array | None:
        x = space.saved["x"]
        if self.activation is not None:
            before, y = space.saved["before activation"], space.saved["y"]
            dy = self.activation.backward(dy, before, y, space.array("dz", dy.shape), space)
        if self.kernel.trainable:
            self.multiply_backward_weight(x, dy, space)
            if self.add_bias:
                space.run("bias", sum_rows, dy, out=self.bias.grad, accumulate=space.accumulates)
        if not space.needs_dx:
            return None
        dx = space.array("dx", x.shape)
        self.multiply_backward_input(dy, dx, space)
        return dx

    def with_activation(self, activation: type[ActivationFunction] | None) -> WeightedLayer:
        """Return this layer with another activation; the parameters are shared."""
        other = copy.copy(self)
        set_inside(other, activation=activation)
        return other

    def with_weights(self, make: Callable[[Array, Array | None, Space], tuple[Array, Array | None]]) -> WeightedLayer:
        """Return this layer, using the weights that `make(kernel, bias, space)` returns: for inference only."""
        other = copy.copy(self)
        other._make_weights = make
        return other

    def split_activation(self) -> tuple[Layer | None, type[ActivationFunction] | None]:
        return self.with_activation(None), self.activation

    def config(self) -> dict[str, Any]:
        changed = {
            "activation": self.activation.name if self.activation else None,
            "add_bias": self.add_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "kernel_regularizer": to_config(self.kernel_regularizer),
            "trainable": self.trainable,
            "name": self.name,
        }
        return {key: value for key, value in changed.items() if value != DEFAULTS[key]}

    def __repr__(self) -> str:
        shown = self.config()
        if self.kernel_regularizer is not None:
            shown["kernel_regularizer"] = self.kernel_regularizer
        return constructor_repr(self, shown)


# Defaults, which config and repr leave out.
DEFAULTS = {
    "activation": None,
    "add_bias": False,
    "kernel_initializer": "glorot_uniform",
    "bias_initializer": "zeros",
    "kernel_regularizer": None,
    "trainable": True,
    "name": None,
}
