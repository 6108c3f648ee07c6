"""Padding with zeros."""

from __future__ import annotations

from typing import Any

from gwucnn import ops
from gwucnn.common import Border, border
from gwucnn.layers.base import Array, Layer, Shape, Space, image_size

__all__ = ["ZeroPadding2D"]


class ZeroPadding2D(Layer):
    """Pad images with zeros: y[n, i, j, c] = x[n, i - top, j - left, c], or 0 outside of x.

    Parameters
    ----------
    padding : int, (ph, pw) or ((top, bottom), (left, right))
        Rows and columns of zeros.
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.

    Raises
    ------
    ValueError
        For any other padding; ShapeError at `add` or `build` for inputs that are not images.
    """

    replayable = True

    def __init__(self, padding: Border = 1, *, input_size: Any = None, name: str | None = None) -> None:
        self.padding = border(self.label, padding)
        self.input_size = image_size(self.label, input_size)
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        H, W, C = in_shape
        rows, columns = self.padding
        self.in_shape, self.out_shape = in_shape, (H + sum(rows), W + sum(columns), C)
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", (x.shape[0], *self.out_shape))
        return space.run("zero_pad2d", ops.zero_pad2d, x, padding=self.padding, out=y)

    def backward(self, dy: Array, space: Space) -> Array:
        dx = space.array("dx", (dy.shape[0], *self.in_shape))
        return space.run("zero_pad2d_backward", ops.zero_pad2d_backward, dy, padding=self.padding, out=dx)

    def arithmetic(self) -> str:
        sums = [
            f"{made} = {before} + {length} + {after}"
            for made, length, (before, after) in zip(self.out_shape[:2], self.in_shape[:2], self.padding, strict=True)
        ]
        square = sums[0] == sums[1]
        return sums[0] if square else f"{self.out_shape[0]}x{self.out_shape[1]}, {sums[0]} and {sums[1]}"

    def config(self) -> dict[str, Any]:
        optional = {"input_size": self.input_size, "name": self.name}
        return {"padding": self.padding} | {k: value for k, value in optional.items() if value is not None}
