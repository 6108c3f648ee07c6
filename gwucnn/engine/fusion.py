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
from gwucnn.engine.fused_steps import ConvPool, ConvRelu, NormRelu
from gwucnn.engine.slices import sliced
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
from gwucnn.memory import Space

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
    return _fused(steps) if training else sliced(_in_use(steps)), activation


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


def _norm_relu(norm: Layer, relu: Layer) -> Layer | None:
    return NormRelu(norm) if isinstance(norm, BatchNormalization) else None


def _conv_relu(conv: Layer, relu: Layer | None = None) -> Layer | None:
    """Fuse a convolution with its own relu, or with the layer behind; kernels for few filters cannot."""
    if not isinstance(conv, Conv2D | DepthwiseConv2D):
        return None
    if isinstance(conv, Conv2D) and (conv.groups > 1 or conv.filters <= FEW_FILTERS):
        return None
    if relu is None:
        return ConvRelu(conv) if conv.activation is RELUActivation else None
    return ConvRelu(conv.with_activation(RELUActivation)) if conv.activation is None else None


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
    (BatchNormalization, RELU): _norm_relu,
    (DepthwiseConv2D, RELU): _conv_relu,
    (Conv2D,): _conv_relu,
    (DepthwiseConv2D,): _conv_relu,
}
