"""Rows of layers inside a layer: built, run and blamed one after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gwucnn.common import check_flag, from_config
from gwucnn.layers.base import CLASSES, Array, Layer, Shape, Space
from gwucnn.layers.inserting import Layers, build_layer, check_made, require_new_layer, shown
from gwucnn.ops import fill_zero

__all__ = ["Nested", "as_row"]


class Nested(Layer):
    """A layer that holds rows of layers, each of which works on its input; a derived class joins the results.

    What is inside keeps its own buffers, in spaces inside this layer's space, and its own place in messages:
    '3.Residual.0.Conv2D'.

    Attributes
    ----------
    children : tuple of Layer
        All layers inside, row by row.
    rows : list of (list or tuple) of Layer
        The same: the layers of a row work one after the other, each row on the block's input.
    trainable : bool
        Setting it sets that of all layers inside. True if any of them is trainable.
    channels_first : bool
        Set by a network with that data_format, also for the layers inside.
    """

    replayable = True
    overwrites_grads = True
    _label = ""
    _channels_first = False
    _places: Sequence[str] = ()  # of each row: what stands before the numbers in its layers' labels

    def hold(self, rows: Mapping[str, Sequence[Layer]], name: str | None) -> None:
        """Take the layers, by the places of their rows."""
        layers = [layer for row in rows.values() for layer in row]
        for number, layer in enumerate(layers):
            require_new_layer(self.label, layer)
            if any(layer is other for other in layers[:number]):
                raise ValueError(
                    f"{self.label}: expected layers of which each has one place, got {layer!r} twice; make "
                    "one for each place"
                )
        self._places, self.rows, self.name = list(rows), list(rows.values()), name
        self.children = tuple(layers)
        self.label = self._label

    @property
    def label(self) -> str:
        """Who an error is about; the layers inside get theirs from it."""
        return self._label

    @label.setter
    def label(self, label: str) -> None:
        self._label = label
        for place, row in zip(self._places, self.rows, strict=True):
            for number, layer in enumerate(row):
                layer.label = f"{label}.{place}{number}.{type(layer).__name__}"

    @property
    def trainable(self) -> bool:
        """Whether training moves any of the weights inside. A change takes effect at the next `compile`."""
        return any(layer.trainable for layer in self.children)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = check_flag(self.label, "trainable", value)
        for layer in self.children:
            layer.trainable = value

    @property
    def channels_first(self) -> bool:
        """Whether the network's user gives and sees images with their channels first."""
        return self._channels_first

    @channels_first.setter
    def channels_first(self, value: bool) -> None:
        self._channels_first = value
        for layer in self.children:
            if hasattr(layer, "channels_first"):
                layer.channels_first = value

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.children)

    def build_rows(self, in_shape: Shape) -> list[Shape]:
        """Build all layers; return the shape that each row makes."""
        made = [self._build_row(row, in_shape) for row in self.rows]
        self.in_shape = in_shape
        self.parameters = tuple(parameter for layer in self.children for parameter in layer.parameters)
        self._set_replayable()
        return made

    def _build_row(self, row: Sequence[Layer], shape: Shape) -> Shape:
        before: Layer | None = None
        for layer in row:

            def source(shape: Shape = shape, before: Layer | None = before) -> str:
                if before is None:
                    return f"{type(self).__name__} takes {' x '.join(map(str, self._shown(shape)))}"
                return f"{type(before).__name__} makes {before.arithmetic()}"

            shape, before = build_layer(layer, shape, self.channels_first, source), layer
        return shape

    def _set_replayable(self) -> None:
        self.replayable = type(self).replayable and all(layer.replayable for row in self.rows for layer in row)

    def _shown(self, shape: Shape) -> Shape:
        return shown(shape, self.channels_first)

    def _space(self, row: int, number: int, space: Space) -> Space:
        return space.child((row, number), needs_dx=space.needs_dx or number > 0)

    def forward_row(self, row: int, x: Array, space: Space) -> Array:
        """Return what a row of layers makes of x; x itself if it holds none."""
        made = space.saved[f"row {row}"] = []
        for number, layer in enumerate(self.rows[row]):
            x = layer.forward(x, self._space(row, number, space))
            if not layer.replayable:
                check_made(layer, x, space.dtype)
            made.append(x)
        return x

    def backward_row(self, row: int, dy: Array, space: Space) -> Array:
        """Take the gradient by a row's output down to its input.

        Where gradients shall be written, those that a layer adds to are set to zero first.
        """
        layers = self.rows[row]
        for number in reversed(range(len(layers))):
            layer, inner = layers[number], self._space(row, number, space)
            inner.accumulates = space.accumulates or not layer.overwrites_grads
            if inner.accumulates and not space.accumulates:
                for place, parameter in enumerate(layer.parameters):
                    inner.run(f"zero {place}", fill_zero, out=parameter.grad)
            dy = layer.backward(dy, inner)
        return dy

    def find_nonfinite(self, space: Space) -> str:
        for row, layers in enumerate(self.rows):
            for number, (layer, y) in enumerate(zip(layers, space.saved[f"row {row}"], strict=True)):
                if not np.isfinite(y).all():
                    return layer.find_nonfinite(self._space(row, number, space))
        return self.label

    def planned(self, plan: Callable[[list[Layer]], list[Layer]]) -> Nested:
        """Return a copy, sharing all parameters, whose rows are what `plan` makes of each."""
        other = copy.copy(self)
        other.rows = [plan(list(row)) for row in self.rows]
        other.children = tuple(layer for row in other.rows for layer in row)
        other._set_replayable()
        return other


def as_row(caller: str, what: str, given: Any) -> Layers:
    """Return one layer, or several, as a row; descriptions, as in a layer's config, become layers."""
    if isinstance(given, (Layer, type, Mapping)):
        given = [given]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{caller}: expected {what} to be a layer or a list of layers, got {given!r}")
    return Layers(
        [from_config(caller, "layer", layer, CLASSES) if isinstance(layer, Mapping) else layer for layer in given]
    )
