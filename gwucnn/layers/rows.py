"""The base of layers that contain rows of consecutive layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gwucnn.common import check_flag, from_config, set_inside
from gwucnn.layers.base import CLASSES, Array, Layer, Shape, Space
from gwucnn.layers.inserting import Layers, build_layer, check_output, in_user_order, require_new_layer
from gwucnn.ops import fill_zero

__all__ = ["Nested", "as_row"]


class Nested(Layer):
    """A layer with rows of layers, each applied to its input; a derived class combines the results.

    The layers inside have their own buffers, in child spaces of this layer's space, and their own labels in messages:
    '3.Residual.0.Conv2D'.

    Attributes
    ----------
    children : tuple of Layer
        All layers inside, row by row.
    rows : list of (list or tuple) of Layer
        The same layers by row: those of a row are consecutive, and each row gets the input of the nested layer.
    trainable : bool
        True if any layer inside is trainable; setting it sets all of them.
    channels_first : bool
        Set by a channels-first network, also on the layers inside.
    """

    replayable = True
    overwrites_grads = True
    _label = ""
    _channels_first = False
    _places: Sequence[str] = ()  # the prefix of each row in the labels of its layers

    def hold(self, rows: Mapping[str, Sequence[Layer]], name: str | None) -> None:
        """Set the layers, as rows by the prefix of their labels."""
        layers = [layer for row in rows.values() for layer in row]
        for number, layer in enumerate(layers):
            require_new_layer(self.label, layer)
            if any(layer is other for other in layers[:number]):
                raise ValueError(
                    f"{self.label}: expected each layer once, got {layer!r} twice; create one for each place"
                )
        self._places, self.rows, self.name = list(rows), list(rows.values()), name
        self.children = tuple(layers)
        self.label = self._label

    @property
    def label(self) -> str:
        """The label in error messages; the labels of the layers inside are derived from it."""
        return self._label

    @label.setter
    def label(self, label: str) -> None:
        self._label = label
        for place, row in zip(self._places, self.rows, strict=True):
            for number, layer in enumerate(row):
                set_inside(layer, label=f"{label}.{place}{number}.{type(layer).__name__}")

    @property
    def trainable(self) -> bool:
        """Whether training updates any of the weights inside. A change takes effect at the next step."""
        return any(layer.trainable for layer in self.children)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = check_flag(self.label, "trainable", value)
        for layer in self.children:
            layer.trainable = value

    @property
    def channels_first(self) -> bool:
        """Whether the user's images are channels first."""
        return self._channels_first

    @channels_first.setter
    def channels_first(self, value: bool) -> None:
        self._channels_first = value
        for layer in self.children:
            if hasattr(layer, "channels_first"):
                set_inside(layer, channels_first=value)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.children)

    def build_rows(self, in_shape: Shape) -> list[Shape]:
        """Build all layers; return the output shape of each row."""
        shapes = [self._build_row(row, in_shape) for row in self.rows]
        self.in_shape = in_shape
        self.parameters = tuple(parameter for layer in self.children for parameter in layer.parameters)
        self._set_replayable()
        return shapes

    def _build_row(self, row: Sequence[Layer], shape: Shape) -> Shape:
        before: Layer | None = None
        for layer in row:

            def source(shape: Shape = shape, before: Layer | None = before) -> str:
                if before is None:
                    return f"{type(self).__name__} takes {' x '.join(map(str, self._in_user_order(shape)))}"
                return f"{type(before).__name__} makes {before.arithmetic()}"

            shape, before = build_layer(layer, shape, self.channels_first, source), layer
        return shape

    def _set_replayable(self) -> None:
        replayable = type(self).replayable and all(layer.replayable for row in self.rows for layer in row)
        set_inside(self, replayable=replayable)

    def _in_user_order(self, shape: Shape) -> Shape:
        return in_user_order(shape, self.channels_first)

    def _space(self, row: int, number: int, space: Space) -> Space:
        return space.child((row, number), needs_dx=space.needs_dx or number > 0)

    def forward_row(self, row: int, x: Array, space: Space) -> Array:
        """Return the output of a row for x; x itself if the row is empty."""
        outputs = space.saved[f"row {row}"] = []
        for number, layer in enumerate(self.rows[row]):
            x = layer.forward(x, self._space(row, number, space))
            if not layer.replayable:
                check_output(layer, x, space.dtype)
            outputs.append(x)
        return x

    def backward_row(self, row: int, dy: Array, space: Space) -> Array:
        """Return the gradient with respect to the input of a row, given that with respect to its output.

        If gradients are to be overwritten, those that a layer can only add to are set to zero first.
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
        """Return a copy, sharing all parameters, whose rows are replaced by `plan(row)`."""
        other = copy.copy(self)
        rows = [plan(list(row)) for row in self.rows]
        set_inside(other, rows=rows, children=tuple(layer for row in rows for layer in row))
        other._set_replayable()
        return other


def as_row(caller: str, what: str, given: Any) -> Layers:
    """Return a layer, or several, as a row; configs of layers become layers."""
    if isinstance(given, (Layer, type, Mapping)):
        given = [given]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{caller}: expected {what} to be a layer or a list of layers, got {given!r}")
    return Layers(
        [from_config(caller, "layer", layer, CLASSES) if isinstance(layer, Mapping) else layer for layer in given]
    )
