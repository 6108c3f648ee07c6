"""Takes a batch through a network in use a few samples at a time: what layers make then stays in the cache.

A layer of 64 channels of 32x32 pixels makes 8 MB of a batch of 32, which the next layer reads again from far
away; of two samples it reads them where they were left. The weights are then read once for each slice: that
pays where they are few beside what layers make of a slice, as in MobileNet, not in VGG. (mobilenet-b32
predict: 16.7 ms before, 14.2 after.)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from gwucnn import kernels, ops
from gwucnn.layers.base import Layer, leaves
from gwucnn.memory import Space

__all__ = ["Slices", "sliced"]

# What a layer reads and writes of a slice, in numbers: 1 MB of float32, the second-level cache of a core.
NUMBERS = 1 << 18

# Of smaller images than this allows, a usual batch fits the caches well enough.
MOST_SAMPLES = 16

# Winograd's filters are so many times as large.
WINOGRAD = 4


def sliced(steps: list[Layer]) -> list[Layer]:
    """Return the steps as one that takes slices of a batch, or as they are where that would not pay."""
    inside = [leaf for step in steps for leaf in leaves(step)]
    if not inside or not all(leaf.replayable and _ours(leaf) for leaf in [*steps, *inside]):
        return steps
    size = NUMBERS // max(prod(leaf.in_shape) + prod(leaf.out_shape) for leaf in inside)
    made = sum(prod(leaf.out_shape) for leaf in inside)
    weights = sum(_weights(leaf) for leaf in inside)
    return [Slices(steps, size)] if 0 < size <= MOST_SAMPLES and weights <= size * made else steps


def _ours(layer: Layer) -> bool:
    """Whether it is known that a sample's output does not depend on the rest of the batch."""
    return type(layer).__module__.partition(".")[0] == __name__.partition(".")[0]


def _weights(layer: Layer) -> int:
    """Return how many numbers are read for the layer's weights, as a convolution may hold them."""
    return sum(
        parameter.size * (WINOGRAD if parameter.shape[:2] == (3, 3) and parameter.shape[-1] > 1 else 1)
        for parameter in layer.parameters
    )


class Slices(Layer):
    """Steps of a network in use, for `size` samples a thread at a time."""

    replayable = True

    def __init__(self, steps: Sequence[Layer], size: int) -> None:
        self._steps, self._size = steps, size
        self.label = steps[0].label
        self.children = tuple(steps)
        self.parameters = tuple(parameter for step in steps for parameter in step.parameters)
        self.in_shape, self.out_shape = steps[0].in_shape, steps[-1].out_shape

    def forward(self, x: Any, space: Space) -> Any:
        size = self._size * kernels.get_num_threads()
        if len(x) <= size or not space.constant_weights:  # else weights would be prepared for each slice
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
        for number, step in enumerate(self._steps):
            x = step.forward(x, space.child(number, needs_dx=space.needs_dx or number > 0))
        return x
