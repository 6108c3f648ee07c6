"""The plan: which steps run in place of the layers that the user wrote.

`network.layers` is what the user wrote and is never edited; the plan is what runs. It is made once, when the network is
built, and shares the parameters of the layers, so that saving, counting and printing are not affected. A network with
`fuse=False` runs the layers one by one, and serves as the oracle for the fused steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gwucnn import ops
from gwucnn.activation_functions import ActivationFunction, RELUActivation
from gwucnn.activation_layers import RELU
from gwucnn.engine.fused_steps import Activate, ConvPool, ConvRelu, NormRelu
from gwucnn.engine.slices import sliced
from gwucnn.layers import (
    Add,
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
    SeparableConv2D,
    SpatialDropout2D,
)
from gwucnn.layers.graphs.graph import OUTPUT, Graph, GraphBuilder
from gwucnn.layers.graphs.nested import expanded
from gwucnn.layers.weighted import WeightedLayer
from gwucnn.memory import Space

__all__ = ["ConvPool", "Plan", "plan", "without_last_activations"]


class Plan(NamedTuple):
    """The graph of steps to run, and the final activation of each output, which runs together with the loss."""

    graph: Graph
    activations: tuple[type[ActivationFunction] | None, ...]


def plan(graph: Graph, *, fuse: bool = True, training: bool = True) -> Plan:
    """Return what runs in place of a graph of layers.

    With `training=False` the steps are for inference, and have no backward pass.
    """
    graph, activations = without_last_activations(expanded(graph))
    if fuse:
        graph = _fused(graph) if training else sliced(_for_inference(graph))
    return Plan(graph, activations)


def without_last_activations(graph: Graph) -> Plan:
    """Take the final activations off the outputs. What else reads such an output gets it from a step of its own."""
    readers = graph.readers()
    builder, places = GraphBuilder(graph.inputs), list(range(graph.inputs))
    outputs: dict[int, tuple[int, Any]] = {}  # of the old values: the new value before the activation, and it
    for number, (layer, sources) in enumerate(graph.nodes):
        value, read = graph.inputs + number, [places[source] for source in sources]
        rest, activation = layer.split_activation() if OUTPUT in readers[value] else (layer, None)
        before = read[0] if rest is None else builder.add(rest, read)
        outputs[value] = before, activation
        if activation is not None and any(reader != OUTPUT for reader in readers[value]):
            before = builder.add(Activate(activation, layer), [before])
        places.append(before)
    ends = [outputs.get(output, (output, None)) for output in graph.outputs]
    return Plan(builder.graph([value for value, _ in ends]), tuple(activation for _, activation in ends))


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


def _for_inference(graph: Graph) -> Graph:
    """Return the plan for inference: without dropout and augmentation, and with fewer steps.

    Relu and batch normalisation are folded into the layer before, but only layers of exactly these classes, because a
    class derived from them may compute something else.
    """
    builder, places = GraphBuilder(graph.inputs), list(range(graph.inputs))
    for layer, sources in graph.nodes:
        read = [places[source] for source in sources]
        places.append(read[0] if type(layer) in TRAINING_ONLY else builder.add(layer, read))
    graph = builder.graph([places[output] for output in graph.outputs])
    return _fused(_with_chains_replaced(graph, _folded_chain))


# Given layers that follow one another, a function of this kind returns how many of them, from the first on, one step
# computes, and this step.
Combine = Callable[[list[Layer]], tuple[int, Layer]]

# Layers that are looked at together: a convolution, batch normalisation and relu, and one more.
LONGEST_CHAIN = 4


def _with_chains_replaced(graph: Graph, combine: Combine) -> Graph:
    """Return the graph with the first layers of each chain replaced by the step that `combine` makes of them."""
    builder, places = GraphBuilder(graph.inputs), {value: value for value in range(graph.inputs)}
    done: set[int] = set()
    for chain in graph.chains(LONGEST_CHAIN):
        first = chain[0]
        if first in done:
            continue
        count, step = combine([graph.nodes[number].layer for number in chain])
        done.update(chain[:count])
        value = builder.add(step, [places[source] for source in graph.nodes[first].sources])
        places[graph.inputs + chain[count - 1]] = value
    return builder.graph([places[output] for output in graph.outputs])


def _folded_chain(layers: list[Layer]) -> tuple[int, Layer]:
    """Fold as many layers as possible into the first one."""
    step = layers[0]
    for count, following in enumerate(layers[1:], 1):
        combined = _folded(step, following)
        if combined is None:
            return count, step
        step = combined
    return len(layers), step


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


def _fused(graph: Graph) -> Graph:
    """Replace sequences of layers that a single step can compute."""
    return _with_chains_replaced(graph, _fused_chain)


def _fused_chain(layers: list[Layer]) -> tuple[int, Layer]:
    """Make the first layers one step, by the first pattern that fits."""
    for pattern, make in PATTERNS.items():
        run = layers[: len(pattern)]
        if tuple(map(type, run)) == pattern and (step := make(*run)) is not None:
            return len(pattern), step
    return 1, layers[0]


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


def _add_relu(add: Layer, relu: Layer) -> Layer | None:
    """Apply relu while the sum is in registers."""
    return add.with_relu() if isinstance(add, Add) else None


# Longest first. A function may decline by returning None.
PATTERNS: dict[tuple[type[Layer], ...], Any] = {
    (Conv2D, RELU, MaxPooling2D): _conv_relu_pool,
    (Conv2D, MaxPooling2D): _conv_pool,
    (Add, RELU): _add_relu,
    (Conv2D, RELU): _conv_relu,
    (BatchNormalization, RELU): _norm_relu,
    (DepthwiseConv2D, RELU): _conv_relu,
    (Conv2D,): _conv_relu,
    (DepthwiseConv2D,): _conv_relu,
}
