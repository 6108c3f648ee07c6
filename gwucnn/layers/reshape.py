"""Reshape: samples in another shape."""

from __future__ import annotations

from math import prod
from numbers import Integral
from typing import Any

from gwucnn import ops
from gwucnn.common import ShapeError
from gwucnn.layers.base import Array, Layer, Shape, Space

__all__ = ["Reshape"]


class Reshape(Layer):
    """Reshape each sample, keeping the order of its elements. A view: nothing is copied.

    The order is that of memory, channels last. In a network with data_format='channels_first', images are (C, H, W)
    before and after, and so is a `shape` of three sizes; they are then permuted, which does copy.

    Parameters
    ----------
    shape : sequence of int
        Shape of one sample. One size may be -1, to be computed from the others.
    name : str, optional

    Raises
    ------
    ValueError
        For sizes that are not positive integers, or more than one -1; ShapeError at `add` or `build` if the number of
        elements differs.

    Example
    -------
    >>> layer = Reshape((7, -1))
    >>> layer.build((28,))
    (7, 4)
    """

    replayable = True
    passes_values_on = True
    channels_first = False  # set by a channels-first network

    def __init__(self, shape: Any, *, name: str | None = None) -> None:
        sizes = (shape,) if isinstance(shape, Integral) else shape
        integers = isinstance(sizes, (tuple, list)) and all(isinstance(size, Integral) for size in sizes)
        if not integers or not sizes or any(size < 1 and size != -1 for size in sizes):
            raise ValueError(
                f"{self.label}: expected shape to be positive integers, of which one may be -1, got {shape!r}"
            )
        if sum(size == -1 for size in sizes) > 1:
            raise ValueError(f"{self.label}: expected at most one -1 in shape, got {shape!r}")
        self.shape = tuple(map(int, sizes))
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        have, known = prod(in_shape), prod(size for size in self.shape if size != -1)
        if have % known if -1 in self.shape else have != known:
            raise ShapeError(
                f"{self.label}: expected a shape of {have} numbers for inputs {in_shape}, got {self.shape}"
            )
        made = tuple(have // known if size == -1 else size for size in self.shape)
        # The user's (C, H, W) is (H, W, C) in memory: it is permuted before and after.
        self._from_images = self.channels_first and len(in_shape) == 3
        self._to_images = self.channels_first and len(made) == 3
        self._users_in = (in_shape[2], *in_shape[:2]) if self._from_images else in_shape
        self._users_out = made
        self.in_shape, self.out_shape = in_shape, (*made[1:], made[0]) if self._to_images else made
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        N = x.shape[0]
        if self._from_images:
            order = space.array("x in order", (N, *self._users_in))
            x = space.run("permute x", ops.to_channels_first, x, out=order)
        y = space.view("y", x, (N, *self._users_out))
        if self._to_images:
            y = space.run("permute y", ops.to_channels_last, y, out=space.array("y", (N, *self.out_shape)))
        return y

    def backward(self, dy: Array, space: Space) -> Array:
        N = dy.shape[0]
        if self._to_images:
            order = space.array("dy in order", (N, *self._users_out))
            dy = space.run("permute dy", ops.to_channels_first, dy, out=order)
        dx = space.view("dx", dy, (N, *self._users_in))
        if self._from_images:
            dx = space.run("permute dx", ops.to_channels_last, dx, out=space.array("dx", (N, *self.in_shape)))
        return dx

    def arithmetic(self) -> str:
        return f"{' x '.join(map(str, self.out_shape))} of {' x '.join(map(str, self.in_shape))}"

    def config(self) -> dict[str, Any]:
        return {"shape": self.shape} | ({} if self.name is None else {"name": self.name})
