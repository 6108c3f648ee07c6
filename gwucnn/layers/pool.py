"""Pooling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gwucnn import ops
from gwucnn.errors import ShapeError
from gwucnn.layers.base import Array, Layer, Shape, Space, image_size
from gwucnn.ops.pool import winner_dtype
from gwucnn.shapes import Padding, Size, Window

__all__ = ["MaxPooling2D"]


class MaxPooling2D(Layer):
    """Shrink images by keeping the largest value of each window of each channel.

    ::

        y[n, i, j, c] = max over u < PH, v < PW of x[n, i*SH + u - top, j*SW + v - left, c]

    Backward routes each gradient to the pixel that won its window (not the pixel's value, as the slides did);
    where windows overlap, gradients add.

    Parameters
    ----------
    pool_size : int or (PH, PW)
        In pixels.
    strides : int or (SH, SW), optional
        `pool_size` by default.
    padding : 'valid', 'same', int, (ph, pw) or ((top, bottom), (left, right))
    input_size : int, (H, W) or (H, W, C), optional
        Checked against what the layer before makes.
    """

    replays = True

    def __init__(
        self,
        pool_size: Size = 2,
        strides: Size | None = None,
        padding: Padding = "valid",
        *,
        input_size: Any = None,
        name: str | None = None,
    ) -> None:
        strides = pool_size if strides is None else strides
        self._window = Window.of(self.label, pool_size, strides, padding, name="pool_size")
        self.pool_size, self.strides = self._window.size, self._window.strides
        self.padding = self._window.padding
        self.input_size = image_size(self.label, input_size)
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        self.need_image(in_shape)
        H, W, C = in_shape
        self._window = replace(self._window, who=self.label)
        pads = self._window.pad((H, W))
        if max(pads[0]) >= self.pool_size[0] or max(pads[1]) >= self.pool_size[1]:
            raise ShapeError(
                f"{self.label}: expected padding smaller than the window {self.pool_size}, got {pads}; "
                "lower padding, or raise pool_size"
            )
        self.in_shape, self.out_shape = in_shape, (*self._window.output((H, W)), C)
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        shape = (x.shape[0], *self.out_shape)
        y = space.array("y", shape)
        # Only backward looks at the winners.
        winner = space.array("winner", shape, winner_dtype(self.pool_size)) if space.training else None
        space.saved["x_shape"], space.saved["winner"] = x.shape, winner
        return space.run(
            "max_pool2d", ops.max_pool2d, x, self.pool_size, self.strides, self.padding, winner=winner, out=y
        )

    def backward(self, dy: Array, space: Space) -> Array:
        winner, x_shape = space.saved["winner"], space.saved["x_shape"]
        return space.run(
            "max_pool2d_backward",
            ops.max_pool2d_backward,
            dy,
            winner,
            input_shape=x_shape,
            pool_size=self.pool_size,
            strides=self.strides,
            padding=self.padding,
            out=space.array("dx", x_shape),
        )

    def arithmetic(self) -> str:
        return self._window.arithmetic((self.in_shape[0], self.in_shape[1]))

    def config(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"pool_size": self.pool_size, "strides": self.strides}
        optional = {
            "padding": (self.padding, "valid"),
            "input_size": (self.input_size, None),
            "name": (self.name, None),
        }
        return shown | {key: value for key, (value, default) in optional.items() if value != default}
