"""Layers that contain layers: a sum with a shortcut, and parallel branches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gwucnn import ops
from gwucnn.common import ShapeError
from gwucnn.layers.base import Array, Layer, Shape, Space, layer_config
from gwucnn.layers.graphs.graph import Graph, GraphBuilder
from gwucnn.layers.graphs.merge import Add, require_several
from gwucnn.layers.graphs.rows import Nested, as_row
from gwucnn.layers.inserting import Layers

__all__ = ["Concatenate", "Nested", "Residual", "expanded"]


class Residual(Nested):
    """Add the output of some layers to their input, so that they learn the difference.

    ::

        y = F(x) + S(x)             F: the consecutive `layers`; S: `shortcut`, or S(x) = x
        dx = dF(dy) + dS(dy)        the same dy goes into both

    K. He et al., "Deep residual learning for image recognition", arXiv:1512.03385, equations 1 and 2.

    Parameters
    ----------
    layers : list of Layer
        Consecutive layers.
    shortcut : Layer or list of Layer, optional
        Applied to x in parallel; the identity by default. If F changes the shape, use a projection such as
        Conv2D(filters, 1, strides=2).
    name : str, optional

    Raises
    ------
    ValueError
        Without layers, or for a layer that already belongs to a network; TypeError for anything but layers.
    ShapeError
        At `add` or `build`, if F(x) and S(x) differ in shape.

    Notes
    -----
    The order of weights is that of `layers`, then `shortcut`.

    Examples
    --------
    >>> from gwucnn import Conv2D
    >>> block = Residual([Conv2D(4, padding='same', activation='relu'), Conv2D(4, padding='same')])
    >>> block.build((8, 8, 4))
    (8, 8, 4)
    """

    def __init__(self, layers: Any, shortcut: Any = None, *, name: str | None = None) -> None:
        self.layers = as_row(self.label, "layers", layers)
        self.shortcut = Layers() if shortcut is None else as_row(self.label, "shortcut", shortcut)
        if not self.layers:
            raise ValueError(f"{self.label}: expected at least one layer beside the shortcut, got none")
        self.hold({"": self.layers, "shortcut.": self.shortcut}, Add(), name)

    def build(self, in_shape: Shape) -> Shape:
        main, shortcut = self.build_rows(in_shape)
        if main != shortcut:
            raise ShapeError(
                f"{self.label}: expected layers and shortcut to make the same shape, got {self._in_user_order(main)} "
                f"and {self._in_user_order(shortcut)}{_remedy(main, shortcut)}"
            )
        return self.merge_rows((main, shortcut))

    def config(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"layers": [layer_config(layer) for layer in self.layers]}
        if self.shortcut:
            shown["shortcut"] = [layer_config(layer) for layer in self.shortcut]
        return shown if self.name is None else shown | {"name": self.name}

    def __repr__(self) -> str:
        shortcut = f", shortcut={[*self.shortcut]!r}" if self.shortcut else ""
        return f"Residual({[*self.layers]!r}{shortcut}{_named(self)})"


class Concatenate(Nested):
    """Concatenate several inputs, or the outputs of several branches for one input, along the channels (or features).

    ::

        y[..., start[b] + c] = input b's value [..., c]         start[b]: sum of the channels before
        gradient of input b = dy[..., start[b] : start[b + 1]]

    C. Szegedy et al., "Going deeper with convolutions", arXiv:1409.4842, figure 2.

    Parameters
    ----------
    branches : list of (Layer or list of Layer), optional
        The layers of a branch are consecutive; an empty list passes the input through. Without branches, the layer
        takes a list of inputs in a graph: Concatenate()([a, b]).
    name : str, optional

    Raises
    ------
    ValueError
        With an empty list, or for a layer that already belongs to a network; TypeError for anything but layers.
    ShapeError
        At `add` or `build`, if branches differ in more than the channels.

    Examples
    --------
    >>> from gwucnn import Conv2D, MaxPooling2D
    >>> block = Concatenate([Conv2D(4, 1), [Conv2D(2, 1), Conv2D(6, 5, padding='same')], []])
    >>> block.build((8, 8, 3))
    (8, 8, 13)
    """

    replayable = True
    overwrites_grads = True
    passes_values_on = True

    def __init__(self, branches: Any = None, *, name: str | None = None) -> None:
        if isinstance(branches, (str, Layer, Mapping)) or not isinstance(branches, Iterable | None):
            raise TypeError(f"{self.label}: expected branches to be a list of branches, got {branches!r}")
        self.branches = Layers(as_row(self.label, "a branch", branch) for branch in branches or ())
        if branches is not None and not self.branches:
            raise ValueError(f"{self.label}: expected at least one branch, got none")
        merge = Concatenate() if self.branches else None
        self.hold({f"{number}.": branch for number, branch in enumerate(self.branches)}, merge, name)

    def build(self, in_shape: Any) -> Shape:
        made = self.build_rows(in_shape) if self.branches else require_several(self, in_shape)
        for number, shape in enumerate(made):
            if not shape or shape[:-1] != made[0][:-1]:
                which = ("from branch 0", f"from branch {number}") if self.branches else ("", f"(input {number})")
                raise ShapeError(
                    f"{self.label}: expected {'branches' if self.branches else 'inputs'} that differ only in their "
                    f"channels, got {self._in_user_order(made[0])} {which[0]}".rstrip()
                    + f" and {self._in_user_order(shape)} {which[1]}; padding='same' keeps the size of images"
                )
        self._channels = [shape[-1] for shape in made]
        self._starts = [sum(self._channels[:number]) for number in range(len(made))]
        if self.branches:
            return self.merge_rows(made)
        self.in_shape, self.out_shape = in_shape, (*made[0][:-1], sum(self._channels))
        return self.out_shape

    def forward(self, x: Any, space: Space) -> Array:
        if self.branches:
            return super().forward(x, space)
        y = space.array("y", (len(x[0]), *self.out_shape))
        for number, (part, start) in enumerate(zip(x, self._starts, strict=True)):
            space.run(f"put {number}", ops.put_channels, part, start=start, out=y)
        return y

    def backward(self, dy: Array, space: Space) -> Any:
        if self.branches:
            return super().backward(dy, space)
        parts = []
        for number, (start, channels) in enumerate(zip(self._starts, self._channels, strict=True)):
            part = space.array(f"dx {number}", (*dy.shape[:-1], channels))
            parts.append(space.run(f"take {number}", ops.take_channels, dy, start=start, channels=channels, out=part))
        return parts

    def arithmetic(self) -> str:
        total = f"{self.out_shape[-1]} = {' + '.join(map(str, self._channels))}"
        return f"{' x '.join(map(str, self._in_user_order(self.out_shape)))}, {total}"

    def config(self) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        if self.branches:
            shown["branches"] = [[layer_config(layer) for layer in branch] for branch in self.branches]
        return shown if self.name is None else shown | {"name": self.name}

    def __repr__(self) -> str:
        if not self.branches:
            return super().__repr__()
        return f"Concatenate({[[*branch] for branch in self.branches]!r}{_named(self)})"


def expanded(graph: Graph) -> Graph:
    """Return the graph with the layers inside of other layers in their places.

    Classes derived from ours are left as they are: their forward may do something else.
    """
    builder, places = GraphBuilder(graph.inputs), list(range(graph.inputs))
    for layer, sources in graph.nodes:
        read = [places[source] for source in sources]
        if type(layer) in (Residual, Concatenate) and layer.rows:
            places += builder.include(expanded(layer.graph), read)  # type: ignore[attr-defined]
        else:
            places.append(builder.add(layer, read))
    return builder.graph([places[output] for output in graph.outputs])


def _remedy(made: Shape, passed: Shape) -> str:
    """Return a hint for a sum of images with different shapes: a projection, or padding."""
    if not len(made) == len(passed) == 3:
        return ""
    stride = -(-passed[0] // made[0])
    strided = tuple(-(-length // stride) for length in passed[:2]) == made[:2]
    strides = f", strides={stride}" if strided and stride > 1 else ""
    projection = f"shortcut=Conv2D({made[-1]}, 1{strides})"
    if strided:
        return f"; give {projection}"
    return f"; give the layers padding='same'{f', and {projection}' if made[-1] != passed[-1] else ''}"


def _named(layer: Layer) -> str:
    return "" if layer.name is None else f", name={layer.name!r}"
