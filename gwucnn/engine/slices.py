"""Inference on a batch a few samples at a time, so that activations stay in the cache from layer to layer.

For a batch of 32, a layer with 64 channels of 32x32 pixels writes 8 MB, which the next layer has to read from main
memory; for two samples they are still in the L2 cache. The price is that the weights are read once per slice. That pays
if they are small compared with the activations of a slice, as in MobileNet, but not in VGG. (mobilenet-b32 predict:
16.7 ms before, 14.2 after.)
"""

from __future__ import annotations

from math import prod
from typing import Any

from gwucnn import kernels, ops
from gwucnn.layers.base import Layer
from gwucnn.layers.graphs.graph import Graph
from gwucnn.memory import Space

__all__ = ["Slices", "sliced"]

# Elements that a layer may read and write per slice: 1 MB of float32, the L2 cache of a core.
SLICE_ELEMENTS = 1 << 18

# If more samples fit a slice, the images are so small that a usual batch fits the caches well enough.
MOST_SAMPLES = 16

# Factor by which Winograd's algorithm enlarges 3x3 filters: 36 elements for 9.
WINOGRAD_FACTOR = 4


def sliced(graph: Graph) -> Graph:
    """Return a single step that runs this graph slice by slice, or the graph itself if that would not pay."""
    steps = graph.steps
    if graph.inputs > 1 or len(graph.outputs) > 1 or not steps:
        return graph
    if not all(step.replayable and _is_per_sample(step) for step in steps):
        return graph
    size = SLICE_ELEMENTS // max(prod(_in_shape(step)) + prod(step.out_shape) for step in steps)
    activations = sum(prod(step.out_shape) for step in steps)
    weights = sum(_weights(step) for step in {id(step): step for step in steps}.values())
    pays = 0 < size <= MOST_SAMPLES and weights <= size * activations
    return Graph.row([Slices(graph, size)]) if pays else graph


def _in_shape(step: Layer) -> Any:
    """Return the shape of the input, or of the largest of several."""
    shape: Any = step.in_shape
    return max(shape, key=prod) if shape and isinstance(shape[0], tuple) else shape


def _is_per_sample(layer: Layer) -> bool:
    """Whether the output for a sample is known not to depend on the rest of the batch: the package's own layers."""
    return type(layer).__module__.partition(".")[0] == __name__.partition(".")[0]


def _weights(layer: Layer) -> int:
    """Return how many elements a layer reads for its weights, in the form in which a convolution may keep them."""
    return sum(
        parameter.size * (WINOGRAD_FACTOR if parameter.shape[:2] == (3, 3) and parameter.shape[-1] > 1 else 1)
        for parameter in layer.parameters
    )


class Slices(Layer):
    """Inference on `size` samples per thread at a time, through a graph of one input and one output."""

    replayable = True

    def __init__(self, graph: Graph, size: int) -> None:
        self._graph, self._size = graph, size
        steps = graph.steps
        self.label = steps[0].label
        self.children = tuple(steps)
        self.parameters = tuple(parameter for step in steps for parameter in step.parameters)
        self.in_shape, self.out_shape = _in_shape(steps[0]), steps[graph.outputs[0] - 1].out_shape

    def forward(self, x: Any, space: Space) -> Any:
        size = self._size * kernels.get_num_threads()
        if len(x) <= size or not space.constant_weights:  # otherwise weights would be transformed again for each slice
            return self._through(x, space)
        y = space.array("y", (len(x), *self.out_shape))
        all_x, all_y = space.view("all x", x, (1, x.size)), space.view("all y", y, (1, y.size))
        for start in range(0, len(x), size):
            count = min(size, len(x) - start)
            part = space.array("part", (count, *self.in_shape))
            flat = space.view(f"{count} x", part, (1, part.size))
            first, numbers = start * prod(self.in_shape), part.size
            space.run(f"take {start}", ops.take_channels, all_x, start=first, channels=numbers, out=flat)
            made = self._through(part, space)
            flat = space.view(f"{count} y", made, (1, made.size))
            first = start * prod(self.out_shape)
            space.run(f"put {start}", ops.put_channels, flat, start=first, out=all_y)
        return y

    def _through(self, x: Any, space: Space) -> Any:
        spaces = [space.child(number) for number in range(len(self._graph.nodes))]
        return self._graph.forward([x], spaces)[self._graph.outputs[0]]
