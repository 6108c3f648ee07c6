"""The grid of single kernels: the operation, its number of operations, and numpy's result.

numpy computes tap by tap: for each pixel of the filter one matrix product of a shifted view of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from gwucnn import ops
from gwucnn.common import Window

__all__ = ["Bound", "Convolution", "Dense", "Pooling", "grid"]

Array = Any

# Operations of a case: many compared to the cost of a call, few enough for a grid of a minute.
WORK = 2e8
MOST_IMAGES = 32
WINOGRAD_TILES = 28  # so many at least: where its share of the direct limit is told


class Bound(NamedTuple):
    """A kernel ready to run: the step, the part of its output that is checked, and numpy's result."""

    step: Callable[[], Array]
    answer: Callable[[], Array]
    expected: Callable[[], Array]


@dataclass(frozen=True)
class Convolution:
    """One of the three ops of a convolution.

    Attributes
    ----------
    group : str
        The kind of convolution.
    op : 'conv2d', 'backward_input' or 'backward_weight'
    image : (H, W, C)
    filters, size, strides, dilation, groups : int
    padding : 'valid' or 'same'
    winograd : bool
        Allow Winograd's algorithm.
    """

    group: str
    op: str
    image: tuple[int, int, int]
    filters: int
    size: int = 3
    strides: int = 1
    padding: str = "same"
    dilation: int = 1
    groups: int = 1
    winograd: bool = False

    @property
    def batch(self) -> int:
        """Enough images for the wanted operations, and for enough tiles of 4 x 4 pixels for Winograd's algorithm."""
        OH, OW = self._window.output(self.image[:2])
        least = ceil(WINOGRAD_TILES / (ceil(OH / 4) * ceil(OW / 4))) if self.winograd else 1
        return max(least, min(MOST_IMAGES, ceil(WORK / self._operations(1))))

    @property
    def operations(self) -> int:
        """Multiplications and additions, those with padding included."""
        return self._operations(self.batch)

    @property
    def text(self) -> str:
        """The shapes, for the table."""
        options = f"/{self.strides}" if self.strides > 1 else ""
        options += f" dilated {self.dilation}" if self.dilation > 1 else ""
        options += f" groups {self.groups}" if self.groups > 1 else ""
        options += " winograd" if self.winograd else ""
        shape = "x".join(map(str, (self.batch, *self.image)))
        weights = "x".join(map(str, (self.size, self.size, self.image[2] // self.groups, self.filters)))
        return f"{shape} * {weights}{options} {self.padding}"

    @property
    def _window(self) -> Window:
        return Window.of("bench", self.size, self.strides, self.padding, self.dilation)

    @property
    def _weight_shape(self) -> tuple[int, int, int, int]:
        return self.size, self.size, self.image[2] // self.groups, self.filters

    def _operations(self, batch: int) -> int:
        OH, OW = self._window.output(self.image[:2])
        KH, KW, Cg, F = self._weight_shape
        return 2 * batch * OH * OW * F * Cg * KH * KW

    def bind(self, rng: np.random.Generator) -> Bound:
        """Draw the arrays and bind the op to them."""
        x = rng.standard_normal((self.batch, *self.image), np.float32)
        weight = rng.standard_normal(self._weight_shape, np.float32)
        OH, OW = self._window.output(self.image[:2])
        dy = rng.standard_normal((self.batch, OH, OW, self.filters), np.float32)
        options: dict[str, Any] = {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation,
            "groups": self.groups,
            "winograd": self.winograd,
        }
        if self.op == "conv2d":
            step = ops.conv2d.bind(x, weight, **options)
            return Bound(step, lambda: step()[:1], lambda: self._forward(x[:1], weight))
        if self.op == "backward_input":
            step = ops.conv2d_backward_input.bind(dy, weight, x.shape, **options)
            return Bound(step, lambda: step()[:1], lambda: self._backward_input(dy[:1], weight))
        step = ops.conv2d_backward_weight.bind(x, dy, weight.shape, **options)
        return Bound(step, step, lambda: self._backward_weight(x, dy))

    def _taps(self, x: Array) -> Iterator[tuple[int, int, Array]]:
        """Yield each pixel (u, v) of the filter, and the view of the padded images that it is multiplied by."""
        OH, OW = self._window.output(self.image[:2])
        s, d = self.strides, self.dilation
        for u in range(self.size):
            for v in range(self.size):
                yield u, v, x[:, u * d : u * d + (OH - 1) * s + 1 : s, v * d : v * d + (OW - 1) * s + 1 : s]

    def _padded(self, x: Array) -> Array:
        return np.pad(x, ((0, 0), *self._window.pad(self.image[:2]), (0, 0)))

    def _columns(self, values: Array) -> Array:
        """Turn (..., C) into one matrix per group: (groups, pixels, C // groups)."""
        return values.reshape(-1, self.groups, values.shape[-1] // self.groups).swapaxes(0, 1)

    def _matrices(self, weight: Array) -> Array:
        """Turn one pixel of the filters, (C // groups, F), into one matrix per group."""
        return weight.reshape(len(weight), self.groups, -1).swapaxes(0, 1)

    def _forward(self, x: Array, weight: Array) -> Array:
        y: Any = 0.0
        for u, v, seen in self._taps(self._padded(x)):
            y = y + self._columns(seen) @ self._matrices(weight[u, v])
        return y.swapaxes(0, 1).reshape(len(x), *self._window.output(self.image[:2]), self.filters)

    def _backward_input(self, dy: Array, weight: Array) -> Array:
        dx = self._padded(np.zeros((len(dy), *self.image), np.float32))
        for u, v, seen in self._taps(dx):
            columns = self._columns(dy) @ self._matrices(weight[u, v]).swapaxes(1, 2)
            seen += columns.swapaxes(0, 1).reshape(seen.shape)
        (top, _), (left, _) = self._window.pad(self.image[:2])
        return dx[:, top : top + self.image[0], left : left + self.image[1]]

    def _backward_weight(self, x: Array, dy: Array) -> Array:
        dweight = np.empty(self._weight_shape, np.float32)
        for u, v, seen in self._taps(self._padded(x)):
            product = self._columns(seen).swapaxes(1, 2) @ self._columns(dy)
            dweight[u, v] = product.swapaxes(0, 1).reshape(dweight[u, v].shape)
        return dweight


@dataclass(frozen=True)
class Pooling:
    """Largest value of each window of `size` x `size`; an operation is a comparison."""

    image: tuple[int, int, int]
    size: int = 2
    group: str = "pooling"
    op: str = "max_pool2d"
    batch: int = MOST_IMAGES

    @property
    def operations(self) -> int:
        H, W, C = self.image
        return self.batch * (H // self.size) * (W // self.size) * C * self.size**2

    @property
    def text(self) -> str:
        return f"{'x'.join(map(str, (self.batch, *self.image)))} by {self.size}x{self.size}"

    def bind(self, rng: np.random.Generator) -> Bound:
        """Draw the images and bind the op to them."""
        H, W, C = self.image
        x = rng.standard_normal((self.batch, *self.image), np.float32)
        step = ops.max_pool2d.bind(x, self.size)
        OH, OW = H // self.size, W // self.size
        windows = x[:1, : OH * self.size, : OW * self.size].reshape(1, OH, self.size, OW, self.size, C)
        return Bound(step, lambda: step()[:1], lambda: windows.max(axis=(2, 4)))


@dataclass(frozen=True)
class Dense:
    """One of the three products of a dense layer: `batch` rows of `features` by a matrix for `units`."""

    op: str
    batch: int
    features: int
    units: int
    group: str = "dense"

    @property
    def operations(self) -> int:
        return 2 * self.batch * self.features * self.units

    @property
    def text(self) -> str:
        return f"{self.batch}x{self.features} * {self.features}x{self.units}"

    def bind(self, rng: np.random.Generator) -> Bound:
        """Draw the arrays and bind the op to them."""
        x, weight, dy = (
            rng.standard_normal(shape, np.float32)
            for shape in ((self.batch, self.features), (self.features, self.units), (self.batch, self.units))
        )
        if self.op == "dense":
            step = ops.dense.bind(x, weight)
            return Bound(step, step, lambda: x @ weight)
        if self.op == "backward_input":
            step = ops.dense_backward_input.bind(dy, weight)
            return Bound(step, step, lambda: dy @ weight.T)
        step = ops.dense_backward_weight.bind(x, dy)
        return Bound(step, step, lambda: x.T @ dy)


def _convolutions() -> Iterator[tuple[Any, ...]]:
    """Yield group, image, filters and the options of each convolution of the grid."""
    for channels in (32, 64, 128, 256):
        for side in (56, 28, 14, 7):
            yield "3x3", (side, side, channels), channels, {}
            yield "winograd", (side, side, channels), channels, {"winograd": True}
    for channels, filters, side in ((32, 64, 28), (64, 32, 28), (64, 128, 14), (128, 256, 7), (256, 32, 14)):
        yield "3x3", (side, side, channels), filters, {}
    for side, channels, filters in ((28, 1, 32), (13, 32, 64)):
        yield "3x3 valid", (side, side, channels), filters, {"padding": "valid"}
    yield "first layer", (28, 28, 1), 32, {"size": 5}
    yield "first layer", (28, 28, 1), 32, {}
    yield "first layer", (32, 32, 3), 32, {}
    yield "first layer", (32, 32, 3), 64, {}
    yield "first layer", (224, 224, 3), 64, {"size": 7, "strides": 2}
    for filters in (1, 2, 8):
        yield "few filters", (28, 28, 1), filters, {}
        yield "few filters", (28, 28, 32), filters, {}
    yield "few filters", (28, 28, 3), 3, {}
    yield "few filters", (28, 28, 16), 4, {"strides": 2}
    yield "few filters", (56, 56, 64), 3, {"size": 1}
    for channels, side in ((32, 56), (64, 28), (256, 14), (256, 7)):
        yield "1x1", (side, side, channels), channels, {"size": 1}
    for size in (5, 7):
        for channels in (32, 64):
            yield f"{size}x{size}", (14, 14, channels), channels, {"size": size}
    yield "strided", (56, 56, 32), 64, {"strides": 2}
    yield "strided", (28, 28, 128), 128, {"strides": 2}
    yield "strided", (28, 28, 128), 256, {"size": 1, "strides": 2}
    yield "dilated", (28, 28, 64), 64, {"dilation": 2}
    yield "grouped", (28, 28, 64), 64, {"groups": 4}
    yield "grouped", (14, 14, 256), 256, {"groups": 32}
    yield "grouped", (28, 28, 128), 128, {"groups": 32}
    yield "grouped", (28, 28, 240), 240, {"groups": 60, "size": 1}
    for channels, side, strides in (
        (32, 112, 1),
        (64, 112, 2),
        (128, 56, 1),
        (128, 56, 2),
        (256, 28, 1),
        (512, 14, 1),
    ):
        yield "depthwise", (side, side, channels), channels, {"groups": channels, "strides": strides}
    yield "depthwise", (28, 28, 64), 128, {"groups": 64}


def grid() -> Iterator[Convolution | Pooling | Dense]:
    """Yield all cases."""
    for group, image, filters, options in _convolutions():
        for op in ("conv2d", "backward_input", "backward_weight"):
            yield Convolution(group, op, image, filters, **options)
    for image, size in (((26, 26, 32), 2), ((11, 11, 64), 2), ((32, 32, 64), 2), ((56, 56, 64), 3)):
        yield Pooling(image, size)
    for op in ("dense", "backward_input", "backward_weight"):
        for sizes in ((1, 1600, 10), (1, 4096, 128), (128, 1600, 10), (64, 4096, 128), (512, 1024, 1024)):
            yield Dense(op, *sizes)
