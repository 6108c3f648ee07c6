"""Flatten: images to rows of features."""

from __future__ import annotations

from math import prod
from typing import Any

from gwucnn import ops
from gwucnn.layers.base import Array, Layer, Shape, Space, image_size

__all__ = ["Flatten"]


class Flatten(Layer):
    """Reshape each image to one row of H*W*C features, for a Dense layer. A view: nothing is copied.

    The order of the features is that of memory, channels last. In a network with data_format='channels_first' it is (C,
    H, W), so that weights from channels-first frameworks fit; the images are then permuted first, which does copy.

    Parameters
    ----------
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.
    """

    replayable = True
    passes_values_on = True
    channels_first = False  # set by a channels-first network

    def __init__(self, input_size: Any = None, *, name: str | None = None) -> None:
        self.input_size = image_size(self.label, input_size)
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        self.in_shape, self.out_shape = in_shape, (prod(in_shape),)
        self._permutes = self.channels_first and len(in_shape) == 3
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        N = x.shape[0]
        if self._permutes:
            H, W, C = self.in_shape
            x = space.run("permute", ops.to_channels_first, x, out=space.array("permuted", (N, C, H, W)))
        return space.view("y", x, (N, *self.out_shape))

    def backward(self, dy: Array, space: Space) -> Array:
        N = dy.shape[0]
        if self._permutes:
            H, W, C = self.in_shape
            images = space.view("dy", dy, (N, C, H, W))
            return space.run("permute_back", ops.to_channels_last, images, out=space.array("dx", (N, H, W, C)))
        return space.view("dx", dy, (N, *self.in_shape))

    def arithmetic(self) -> str:
        return f"{self.out_shape[0]} = {' * '.join(map(str, self.in_shape))}"

    def config(self) -> dict[str, Any]:
        optional = {"input_size": self.input_size, "name": self.name}
        return {key: value for key, value in optional.items() if value is not None}
