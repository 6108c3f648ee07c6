"""The base of layers that contain rows of consecutive layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gwucnn.common import check_flag, from_config, set_inside
from gwucnn.layers.base import CLASSES, Array, Layer, Shape, Space
from gwucnn.layers.graphs.graph import Graph, GraphBuilder
from gwucnn.layers.inserting import Layers, build_layer, in_user_order, require_new_layer

__all__ = ["Nested", "as_row"]


class Nested(Layer):
    """A layer with rows of layers, each applied to its input, and a layer that merges their results.

    A network runs the `graph` of what is inside, fused with what is around it. `forward` and `backward` are for those
    who call the layer itself, and for derived classes that override them.

    The layers inside have their own labels in messages: '3.Residual.0.Conv2D'.

    Attributes
    ----------
    children : tuple of Layer
        All layers inside, row by row.
    rows : list of (list or tuple) of Layer
        The same layers by row: those of a row are consecutive, and each row gets the input of the nested layer.
    merge : Layer
        Gets the results of the rows. None in a layer without rows.
    graph : Graph
        All of it, with one input and one output. Available after `build`.
    trainable : bool
        True if any layer inside is trainable; setting it sets all of them.
    channels_first : bool
        Set by a channels-first network, also on the layers inside.
    """

    replayable = True
    merge: Layer | None = None
    graph: Graph
    _label = ""
    _channels_first = False
    _places: Sequence[str] = ()  # the prefix of each row in the labels of its layers

    def hold(self, rows: Mapping[str, Sequence[Layer]], merge: Layer | None, name: str | None) -> None:
        """Set the layers, as rows by the prefix of their labels, and the layer that merges them."""
        layers = [layer for row in rows.values() for layer in row]
        for number, layer in enumerate(layers):
            require_new_layer(self.label, layer)
            if any(layer is other for other in layers[:number]):
                raise ValueError(
                    f"{self.label}: expected each layer once, got {layer!r} twice; create one for each place"
                )
        self._places, self.rows, self.merge, self.name = list(rows), list(rows.values()), merge, name
        self.children = tuple(layers)
        self.label = self._label

    @property
    def label(self) -> str:
        """The label in error messages; the labels of the layers inside are derived from it."""
        return self._label

    @label.setter
    def label(self, label: str) -> None:
        self._label = label
        if self.merge is not None:
            set_inside(self.merge, label=label)
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
        for layer in (*self.children, self.merge):
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
        self.replayable = type(self).replayable and all(layer.replayable for layer in self.children)
        return shapes

    def merge_rows(self, shapes: Sequence[Shape]) -> Shape:
        """Build what merges rows of these shapes, and the graph of everything inside; return the output shape."""
        merge: Any = self.merge if len(shapes) > 1 else None
        together: Any = tuple(shapes)
        self.out_shape = shapes[0] if merge is None else build_layer(merge, together, self.channels_first)
        builder = GraphBuilder()
        ends = []
        for row in self.rows:
            value = 0
            for layer in row:
                value = builder.add(layer, [value])
            ends.append(value)
        self.graph = builder.graph(ends if merge is None else [builder.add(merge, ends)])
        return self.out_shape

    def _build_row(self, row: Sequence[Layer], shape: Shape) -> Shape:
        before: Layer | None = None
        for layer in row:

            def source(shape: Shape = shape, before: Layer | None = before) -> str:
                if before is None:
                    return f"{type(self).__name__} takes {' x '.join(map(str, self._in_user_order(shape)))}"
                return f"{type(before).__name__} makes {before.arithmetic()}"

            shape, before = build_layer(layer, shape, self.channels_first, source), layer
        return shape

    def _in_user_order(self, shape: Shape) -> Shape:
        return in_user_order(shape, self.channels_first)

    def forward(self, x: Array, space: Space) -> Array:
        graph = self.graph
        needs = graph.needs_gradient(inputs=space.needs_dx)
        spaces = [space.child(number, needs_dx=wanted) for number, wanted in enumerate(graph.needs_dx(needs))]
        space.saved["inside"] = spaces, needs
        return graph.forward([x], spaces)[graph.outputs[0]]

    def backward(self, dy: Array, space: Space) -> Array | None:
        return self.graph.backward([dy], *space.saved["inside"])[0]


def as_row(caller: str, what: str, given: Any) -> Layers:
    """Return a layer, or several, as a row; configs of layers become layers."""
    if isinstance(given, (Layer, type, Mapping)):
        given = [given]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{caller}: expected {what} to be a layer or a list of layers, got {given!r}")
    return Layers(
        [from_config(caller, "layer", layer, CLASSES) if isinstance(layer, Mapping) else layer for layer in given]
    )
