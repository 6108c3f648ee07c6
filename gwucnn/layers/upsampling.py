"""Enlarging images by repetition."""

from __future__ import annotations

from typing import Any

from gwucnn import ops
from gwucnn.common import Size, pair
from gwucnn.layers.base import Array, Layer, Shape, Space, image_size

__all__ = ["UpSampling2D"]


class UpSampling2D(Layer):
    """Repeat each pixel (nearest neighbour): y[n, i, j, c] = x[n, i // SH, j // SW, c].

    Backward sums the gradients of the copies of a pixel.

    Parameters
    ----------
    size : int or (SH, SW)
        Number of copies down and across.
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.

    Raises
    ------
    ValueError
        For an invalid size; ShapeError at `add` or `build` for inputs that are not images.
    """

    replayable = True

    def __init__(self, size: Size = 2, *, input_size: Any = None, name: str | None = None) -> None:
        self.size = pair(self.label, "size", size)
        self.input_size = image_size(self.label, input_size)
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        (H, W, C), (SH, SW) = in_shape, self.size
        self.in_shape, self.out_shape = in_shape, (H * SH, W * SW, C)
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", (x.shape[0], *self.out_shape))
        return space.run("upsample2d", ops.upsample2d, x, size=self.size, out=y)

    def backward(self, dy: Array, space: Space) -> Array:
        dx = space.array("dx", (dy.shape[0], *self.in_shape))
        return space.run("upsample2d_backward", ops.upsample2d_backward, dy, size=self.size, out=dx)

    def arithmetic(self) -> str:
        (H, W, _), (SH, SW) = self.in_shape, self.size
        sums = f"{H * SH} = {H} * {SH}", f"{W * SW} = {W} * {SW}"
        return sums[0] if sums[0] == sums[1] else f"{H * SH}x{W * SW}, {sums[0]} and {sums[1]}"

    def config(self) -> dict[str, Any]:
        optional = {"input_size": self.input_size, "name": self.name}
        return {"size": self.size} | {key: value for key, value in optional.items() if value is not None}
