"""What runs instead of what was written.

`network.layers` is what the user wrote and is never edited; the plan is what runs. It is made once, when the
network is built, and shares the layers' parameters, so that saving, counting and printing never notice it. A
network with `fuse=False` runs the layers one by one: the fused steps' oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gwucnn import ops
from gwucnn.activation_functions import ActivationFunction, RELUActivation
from gwucnn.activation_layers import RELU
from gwucnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Layer,
    MaxPooling2D,
    Residual,
    SeparableConv2D,
    SpatialDropout2D,
)
from gwucnn.layers.base import WeightedLayer
from gwucnn.layers.nested import Nested
from gwucnn.ops.conv_pool import gradients_by_winners
from gwucnn.workspace import Space

__all__ = ["ConvPool", "plan"]


def plan(
    layers: Sequence[Layer], *, fuse: bool = True, training: bool = True
) -> tuple[list[Layer], type[ActivationFunction] | None]:
    """Return the steps to run in order, and the last activation, which runs together with the loss.

    Without `training` they are those of a network in use, which have no backward.
    """
    if not layers:
        return [], None
    last, activation = layers[-1].split_activation()
    steps = [*layers[:-1], *([] if last is None else [last])]
    if not fuse:
        return steps, activation
    return _fused(steps) if training else _in_use(steps), activation


def _in_use(steps: list[Layer]) -> list[Layer]:
    """The same as `_fused` for a network in use: no dropout, normalisations folded into the layer before."""
    steps = [step.planned(_in_use) if isinstance(step, Nested) else step for step in steps]
    folded: list[Layer] = []
    for step in steps:
        if type(step) in (Dropout, SpatialDropout2D):
            continue
        made = _folded(folded[-1], step) if folded else None
        if made is None:
            folded.append(step)
        else:
            folded[-1] = made
    return _fused(folded)


# Up to half a vector of filters is computed another way (see few_outputs.pxi).
FEW_FILTERS = 8

# Layers whose filters lie along the last axis of the kernel, or along the last ones together.
FOLDS = (Conv2D, Dense, DepthwiseConv2D, SeparableConv2D)


def _folded(layer: Layer, behind: Layer) -> Layer | None:
    """Return a layer that does the work of both, or None."""
    if type(layer) not in FOLDS or not isinstance(layer, WeightedLayer) or layer.activation:
        return None
    if type(behind) is RELU:
        return layer.with_activation(RELUActivation)
    if type(behind) is not BatchNormalization or layer._make_weights is not None:
        return None
    norm = behind

    def weights(kernel: Any, bias: Any, space: Space) -> tuple[Any, Any]:
        folded_bias = space.array("folded bias", norm.gamma.shape)
        made = space.run(
            "fold",
            ops.fold_batch_norm,
            kernel,
            bias,
            *(parameter.constant for parameter in norm.parameters),
            norm.epsilon,
            bias_out=folded_bias,
            out=space.array("folded kernel", kernel.shape),
        )
        return made, folded_bias

    return layer.with_weights(weights)


def _fused(steps: list[Layer]) -> list[Layer]:
    """Replace runs of layers that one step can do, also inside of layers that hold others."""
    steps = [step.planned(_fused) if isinstance(step, Nested) else step for step in steps]
    fused: list[Layer] = []
    while steps:
        for pattern, make in PATTERNS.items():
            run = steps[: len(pattern)]
            if tuple(map(type, run)) == pattern and (step := make(*run)) is not None:
                fused.append(step)
                steps = steps[len(pattern) :]
                break
        else:
            fused.append(steps[0])
            steps = steps[1:]
    return fused


class ConvRelu(Layer):
    """Convolution, bias and relu in one step; holds the layer's own parameters."""

    replays = True
    overwrites = True

    def __init__(self, conv: Conv2D) -> None:
        self._conv = conv
        self.label = conv.label
        self.parameters = conv.parameters
        self.trainable = conv.trainable
        self.in_shape, self.out_shape = conv.in_shape, conv.out_shape

    def forward(self, x: Any, space: Space) -> Any:
        y = space.array("y", (x.shape[0], *self.out_shape))
        self._conv.multiply(x, y, space, relu=True)
        space.saved["x"] = x
        space.saved["before activation"] = space.saved["y"] = y  # relu's gradient looks at its output alone
        return y

    def backward(self, dy: Any, space: Space) -> Any:
        return self._conv.backward(dy, space)


class ConvPool(Layer):
    """Convolution, bias, relu (or none) and 2x2 max pooling in one step; holds the layers' own parameters."""

    replays = True

    def __init__(self, conv: Conv2D, pool: MaxPooling2D) -> None:
        self._conv = conv
        self.label = conv.label
        self.parameters = conv.parameters
        self.trainable = conv.trainable
        self.in_shape, self.out_shape = conv.in_shape, pool.out_shape
        self._options: dict[str, Any] = {"strides": conv.strides, "padding": conv.padding}

    def forward(self, x: Any, space: Space) -> Any:
        conv = self._conv
        shape = (x.shape[0], *self.out_shape)
        winner = space.array("winner", shape, "uint8") if space.goes_back else None
        space.saved["x"], space.saved["winner"] = x, winner
        return space.run(
            "conv2d_relu_pool",
            ops.conv2d_relu_pool,
            x,
            *conv.weights(space),
            winner=winner,
            winograd=space.winograd,
            scratch=space.scratch,
            constant_weight=space.keeps_weights,
            relu=conv.activation is not None,
            dilation_rate=conv.dilation_rate,
            groups=conv.groups,
            out=space.array("y", shape),
            **self._options,
        )

    def backward(self, dy: Any, space: Space) -> Any:
        conv, x, winner = self._conv, space.saved["x"], space.saved["winner"]
        by_weight, by_input = gradients_by_winners(
            x.shape,
            conv.kernel.shape,
            space.dtype,
            dilation_rate=conv.dilation_rate,
            groups=conv.groups,
            winograd=space.winograd,
            **self._options,
        )
        # Otherwise the gradient of the full-size images is written out after all.
        dz = None
        if (self.trainable and not by_weight) or (space.needs_dx and not by_input):
            dz = self._spread(dy, winner, space)
        if self.trainable:
            self._backward_weight(x, dy, winner, dz if not by_weight else None, space)
        if not space.needs_dx:
            return None
        dx = space.array("dx", x.shape)
        if dz is not None and not by_input:
            conv.multiply_backward_input(dz, dx, space)
            return dx
        op = ops.conv2d_relu_pool_backward_input
        return space.run(
            "winner_input", op, dy, winner, conv.kernel.constant, input_shape=x.shape, out=dx, **self._options
        )

    def _spread(self, dy: Any, winner: Any, space: Space) -> Any:
        """Return the gradient before relu and pooling. A winner of 4, shut by relu, is no pixel."""
        shape = (dy.shape[0], *self._conv.out_shape)
        out = space.array("dz", shape)
        return space.run(
            "spread", ops.max_pool2d_backward, dy, winner, input_shape=shape, pool_size=2, out=out
        )

    def _backward_weight(self, x: Any, dy: Any, winner: Any, dz: Any, space: Space) -> None:
        conv = self._conv
        if dz is not None:
            conv.multiply_backward_weight(x, dz, space)
            if conv.add_bias:
                space.run("bias", ops.sum_rows, dz, out=conv.bias.grad, accumulate=True)
            return
        space.run(
            "winner_weight",
            ops.conv2d_relu_pool_backward_weight,
            x,
            dy,
            winner,
            dilation_rate=conv.dilation_rate,
            bias_grad=conv.bias.grad if conv.add_bias else None,
            out=conv.kernel.grad,
            **self._options,
        )


def _conv_relu(conv: Layer, relu: Layer | None = None) -> Layer | None:
    """Fuse a convolution with its own relu, or with the layer behind; kernels for few filters cannot."""
    if not isinstance(conv, Conv2D) or conv.groups > 1 or conv.filters <= FEW_FILTERS:
        return None
    if relu is not None and conv.activation is None:
        return _conv_relu(conv.with_activation(RELUActivation))
    return ConvRelu(conv) if relu is None and conv.activation is RELUActivation else None


def _conv_pool(conv: Layer, pool: Layer) -> Layer | None:
    """Fuse a convolution, with or without relu, and a pooling of 2x2 windows side by side, or return None."""
    if not isinstance(conv, Conv2D) or conv.activation not in (None, RELUActivation) or conv.groups > 1:
        return None
    if not isinstance(pool, MaxPooling2D) or pool.padding != "valid":
        return None
    if not pool.pool_size == pool.strides == (2, 2):
        return None
    return ConvPool(conv, pool)


def _conv_relu_pool(conv: Layer, relu: Layer, pool: Layer) -> Layer | None:
    """The same with relu as a layer of its own."""
    if not isinstance(conv, Conv2D) or conv.activation is not None:
        return None
    return _conv_pool(conv.with_activation(RELUActivation), pool)


def _residual_relu(block: Layer, relu: Layer) -> Layer | None:
    """Apply relu while the sum is in registers."""
    return block.with_relu() if isinstance(block, Residual) else None


# Longest first. A maker may decline by returning None.
PATTERNS: dict[tuple[type[Layer], ...], Any] = {
    (Conv2D, RELU, MaxPooling2D): _conv_relu_pool,
    (Conv2D, MaxPooling2D): _conv_pool,
    (Residual, RELU): _residual_relu,
    (Conv2D, RELU): _conv_relu,
    (Conv2D,): _conv_relu,
}
