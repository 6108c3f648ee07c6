"""Max and average pooling, over windows and over whole images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gwucnn import ops
from gwucnn.common import Padding, ShapeError, Size, Window
from gwucnn.layers.base import Array, Layer, Shape, Space, image_size
from gwucnn.ops.pool import winner_dtype

__all__ = ["AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "MaxPooling2D"]


class _Pooling2D(Layer):
    """The base of pooling over windows: options and output size."""

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

    @property
    def _options(self) -> dict[str, Any]:
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        H, W, C = in_shape
        self._window = replace(self._window, caller=self.label)
        pads = self._window.pad((H, W))
        if max(pads[0]) >= self.pool_size[0] or max(pads[1]) >= self.pool_size[1]:
            raise ShapeError(
                f"{self.label}: expected padding smaller than the window {self.pool_size}, got {pads}; "
                "lower padding, or raise pool_size"
            )
        self.in_shape, self.out_shape = in_shape, (*self._window.output((H, W)), C)
        return self.out_shape

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


class MaxPooling2D(_Pooling2D):
    """Shrink images by keeping the largest value of each window of each channel.

    ::

        y[n, i, j, c] = max over u < PH, v < PW of x[n, i*SH + u - top, j*SW + v - left, c]

    Backward routes each gradient to the pixel with the largest value in its window (and not that value, as on the
    slides); where windows overlap, gradients add.

    Parameters
    ----------
    pool_size : int or (PH, PW)
        In pixels.
    strides : int or (SH, SW), optional
        `pool_size` by default.
    padding : 'valid', 'same', int, (ph, pw) or ((top, bottom), (left, right))
        Smaller than the window. Padding is ignored.
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.
    """

    replayable = True

    def forward(self, x: Array, space: Space) -> Array:
        shape = (x.shape[0], *self.out_shape)
        y = space.array("y", shape)
        # Only backward uses the winners.
        winner = space.array("winner", shape, winner_dtype(self.pool_size)) if space.backward_follows else None
        space.saved["x_shape"], space.saved["winner"] = x.shape, winner
        return space.run("max_pool2d", ops.max_pool2d, x, winner=winner, out=y, **self._options)

    def backward(self, dy: Array, space: Space) -> Array:
        winner, x_shape = space.saved["winner"], space.saved["x_shape"]
        return space.run(
            "max_pool2d_backward",
            ops.max_pool2d_backward,
            dy,
            winner,
            input_shape=x_shape,
            out=space.array("dx", x_shape),
            **self._options,
        )


class AveragePooling2D(_Pooling2D):
    """Shrink images to the mean of each window of each channel.

    ::

        y[n, i, j, c] = sum over u < PH, v < PW of x[n, i*SH + u - top, j*SW + v - left, c] / count

    count is the number of pixels of the window inside the image: padding is ignored. Backward distributes each gradient
    evenly over them; where windows overlap, gradients add.

    Parameters
    ----------
    pool_size, strides, padding, input_size
        As in MaxPooling2D.
    """

    replayable = True

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", (x.shape[0], *self.out_shape))
        return space.run("average_pool2d", ops.average_pool2d, x, out=y, **self._options)

    def backward(self, dy: Array, space: Space) -> Array:
        x_shape = (dy.shape[0], *self.in_shape)
        return space.run(
            "average_pool2d_backward",
            ops.average_pool2d_backward,
            dy,
            input_shape=x_shape,
            out=space.array("dx", x_shape),
            **self._options,
        )


class _GlobalPooling2D(Layer):
    """The base of pooling over whole images, (N, H, W, C) to (N, C)."""

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        self.in_shape, self.out_shape = in_shape, in_shape[2:]
        return self.out_shape

    def config(self) -> dict[str, Any]:
        return {} if self.name is None else {"name": self.name}

    def _one_pixel(self, N: int) -> Shape:
        return (N, 1, 1, *self.out_shape)


class GlobalMaxPooling2D(_GlobalPooling2D):
    """Keep the largest value of each channel: y[n, c] = max over h, w of x[n, h, w, c].

    Backward routes each gradient to the pixel with the largest value, the first in a tie.
    """

    replayable = True

    def forward(self, x: Array, space: Space) -> Array:
        size, shape = self.in_shape[:2], self._one_pixel(x.shape[0])
        winner = space.array("winner", shape, winner_dtype((size[0], size[1]))) if space.backward_follows else None
        space.saved["winner"] = winner
        y = space.array("y", shape)
        space.run("max_pool2d", ops.max_pool2d, x, winner=winner, out=y, pool_size=size)
        return space.view("rows", y, (x.shape[0], *self.out_shape))

    def backward(self, dy: Array, space: Space) -> Array:
        x_shape = (dy.shape[0], *self.in_shape)
        return space.run(
            "max_pool2d_backward",
            ops.max_pool2d_backward,
            space.view("dy", dy, self._one_pixel(dy.shape[0])),
            space.saved["winner"],
            input_shape=x_shape,
            pool_size=self.in_shape[:2],
            out=space.array("dx", x_shape),
        )


class GlobalAveragePooling2D(_GlobalPooling2D):
    """Take the mean of each channel: y[n, c] = sum over h, w of x[n, h, w, c] / (H*W).

    M. Lin, Q. Chen and S. Yan, "Network in network", arXiv:1312.4400, section 3.2.
    """

    replayable = True

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", self._one_pixel(x.shape[0]))
        space.run("average_pool2d", ops.average_pool2d, x, out=y, pool_size=self.in_shape[:2])
        return space.view("rows", y, (x.shape[0], *self.out_shape))

    def backward(self, dy: Array, space: Space) -> Array:
        x_shape = (dy.shape[0], *self.in_shape)
        return space.run(
            "average_pool2d_backward",
            ops.average_pool2d_backward,
            space.view("dy", dy, self._one_pixel(dy.shape[0])),
            input_shape=x_shape,
            pool_size=self.in_shape[:2],
            out=space.array("dx", x_shape),
        )
