"""The plan: which steps run in place of the layers that the user wrote.

`network.layers` is what the user wrote and is never edited; the plan is what runs. It is made once, when the network is
built, and shares the parameters of the layers, so that saving, counting and printing are not affected. A network with
`fuse=False` runs the layers one by one, and serves as the oracle for the fused steps.
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
    RandomBrightness,
    RandomContrast,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Residual,
    SeparableConv2D,
    SpatialDropout2D,
)
from gwucnn.layers.nested import Nested
from gwucnn.layers.weighted import WeightedLayer
from gwucnn.memory import Space

__all__ = ["ConvPool", "plan"]


def plan(
    layers: Sequence[Layer], *, fuse: bool = True, training: bool = True
) -> tuple[list[Layer], type[ActivationFunction] | None]:
    """Return the steps to run, in order, and the final activation, which runs together with the loss.

    With `training=False` they are for inference, and have no backward pass.
    """
    if not layers:
        return [], None
    last, activation = layers[-1].split_activation()
    steps = [*layers[:-1], *([] if last is None else [last])]
    if not fuse:
        return steps, activation
    return _fused(steps) if training else sliced(_for_inference(steps)), activation


# Layers that change nothing in inference.
TRAINING_ONLY = (
    Dropout,
    RandomBrightness,
    RandomContrast,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    SpatialDropout2D,
)


def _for_inference(steps: list[Layer]) -> list[Layer]:
    """Return the plan for inference: without dropout and augmentation, and with fewer steps.

    Relu and batch normalisation are folded into the layer before, but only layers of exactly these classes, because a
    class derived from them may compute something else.
    """
    steps = [step.planned(_for_inference) if isinstance(step, Nested) else step for step in steps]
    folded: list[Layer] = []
    for step in steps:
        if type(step) in TRAINING_ONLY:
            continue
        combined = _folded(folded[-1], step) if folded else None
        if combined is None:
            folded.append(step)
        else:
            folded[-1] = combined
    return _fused(folded)


# Convolutions of at most this many filters (half an AVX-512 vector) have kernels of their own (see few_outputs.pxi).
FEW_FILTERS = 8

# Layers whose filters are indexed by the last axis of the kernel, or by the last axes together.
FOLDS = (Conv2D, Dense, DepthwiseConv2D, SeparableConv2D)


def _folded(layer: Layer, following: Layer) -> Layer | None:
    """Return one layer that computes both, or None."""
    if type(layer) not in FOLDS or not isinstance(layer, WeightedLayer) or layer.activation:
        return None
    if type(following) is RELU:
        return layer.with_activation(RELUActivation)
    if type(following) is not BatchNormalization or layer._make_weights is not None:
        return None
    norm = following

    def weights(kernel: Any, bias: Any, space: Space) -> tuple[Any, Any]:
        folded_bias = space.array("folded bias", norm.gamma.shape)
        folded_kernel = space.run(
            "fold",
            ops.fold_batch_norm,
            kernel,
            bias,
            *(parameter.constant for parameter in norm.parameters),
            norm.epsilon,
            bias_out=folded_bias,
            out=space.array("folded kernel", kernel.shape),
        )
        return folded_kernel, folded_bias

    return layer.with_weights(weights)


def _fused(steps: list[Layer]) -> list[Layer]:
    """Replace sequences of layers that a single step can compute, also inside layers that contain others."""
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
    """Fuse a convolution with its own relu, or with a following relu layer. Kernels for few filters have no relu."""
    if not isinstance(conv, Conv2D | DepthwiseConv2D):
        return None
    if isinstance(conv, Conv2D) and (conv.groups > 1 or conv.filters <= FEW_FILTERS):
        return None
    if relu is None:
        return ConvRelu(conv) if conv.activation is RELUActivation else None
    return ConvRelu(conv.with_activation(RELUActivation)) if conv.activation is None else None


def _conv_pool(conv: Layer, pool: Layer) -> Layer | None:
    """Fuse a convolution, with or without relu, and max pooling over adjacent 2x2 windows."""
    if not isinstance(conv, Conv2D) or conv.activation not in (None, RELUActivation) or conv.groups > 1:
        return None
    if not isinstance(pool, MaxPooling2D) or pool.padding != "valid":
        return None
    if not pool.pool_size == pool.strides == (2, 2):
        return None
    return ConvPool(conv, pool)


def _conv_relu_pool(conv: Layer, relu: Layer, pool: Layer) -> Layer | None:
    """Do what `_conv_pool` does for a relu that is a separate layer."""
    if not isinstance(conv, Conv2D) or conv.activation is not None:
        return None
    return _conv_pool(conv.with_activation(RELUActivation), pool)


def _residual_relu(block: Layer, relu: Layer) -> Layer | None:
    """Apply relu while the sum of the branches is in registers."""
    return block.with_relu() if isinstance(block, Residual) else None


# Longest first. A function may decline by returning None.
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
