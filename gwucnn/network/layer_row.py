"""The layers of a network in order, built one by one as their input shapes become known."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from gwucnn.activation_functions import SoftmaxActivation
from gwucnn.common import NotBuiltError, Shape, ShapeError, check_size, set_inside, warn_user
from gwucnn.layers import Layer
from gwucnn.layers.graphs.graph import Graph
from gwucnn.layers.inserting import build_layer, in_user_order, require_new_layer, stated_shape
from gwucnn.layers.last_activation import require_applied_once, require_at_end, require_several_outputs
from gwucnn.loss_functions import LossFunction

__all__ = ["LayerRow"]


class LayerRow:
    """Takes layers one by one and builds each as soon as the shape of its input is known.

    Shapes are channels last here, whatever the user's order is; `in_user_order` converts to the user's order.

    Attributes
    ----------
    layers : list of Layer
    in_shape : tuple of int or None
        The shape of one input: stated by the first layer, or passed to `start`.
    shapes : list of tuple of int
        The shape of one output of each layer that is built.
    in_shapes, out_shapes : list of tuple of int
        The shapes of all inputs and outputs of connected layers.
    joint : bool
        Whether there are several inputs or several outputs.
    """

    in_shapes: list[Shape]
    out_shapes: list[Shape]
    joint = False

    def __init__(self, channels_first: bool) -> None:
        self.channels_first = channels_first
        self.layers: list[Layer] = []
        self.in_shape: Shape | None = None
        self.shapes: list[Shape] = []

    @property
    def complete(self) -> bool:
        """Whether there are layers and all of them are built."""
        return bool(self.shapes) and len(self.shapes) == len(self.layers)

    @property
    def graph(self) -> Graph:
        """The layers as a graph, in which each reads the output of the one before."""
        return Graph.row(self.layers)

    @property
    def last(self) -> Layer:
        """The layer that computes the output."""
        return self.graph.nodes[-1].layer

    @property
    def out_shape(self) -> Shape:
        """The shape of one output. Available once all layers are built."""
        return self.last.out_shape

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs; none of a row of layers, which has one."""
        return []

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs; none of a row of layers, which has one."""
        return []

    def reads(self) -> list[str] | None:
        """Return which outputs each layer reads, for `summary`. None for a row of layers."""
        return None

    def description(self) -> dict[str, Any] | None:
        """Return how the layers are connected, as values that JSON can represent. None for a row of layers."""
        return None

    def in_user_order(self, shape: Shape) -> Shape:
        """Return a shape in the user's order."""
        return in_user_order(shape, self.channels_first)

    def add(self, layer: Layer) -> None:
        """Append a layer; if it does not fit, raise an error and change nothing."""
        require_new_layer("add", layer)
        name = type(layer).__name__
        set_inside(layer, label=f"{len(self.layers)}.{name}")
        if self.channels_first and hasattr(layer, "channels_first"):
            set_inside(layer, channels_first=True)
        self.layers.append(layer)
        try:
            if len(self.layers) == 1:
                self.in_shape = stated_shape(layer, 1, self.channels_first)
            self._propagate()
        except BaseException:
            self.layers.pop()
            set_inside(layer, label=name)
            raise

    def include(self, other: LayerRow) -> None:
        """Append the layers of another row, which are shared; if they do not fit, raise an error and change nothing."""
        if not type(self) is type(other) is LayerRow:
            raise ValueError(
                "add: expected a row of layers to append to a row, got connected ones; call the network on an output: "
                "network(x)"
            )
        if other is self:
            raise ValueError("add: expected another network, got the network itself; layers can be connected: layer(x)")
        if self.layers:
            if not self.complete:
                raise NotBuiltError(
                    "add: expected a network that knows the shape of its inputs before another is added, got one that "
                    "does not; state input_size in its first layer, or call build(input_shape)"
                )
            other.start(self.shapes[-1])
        elif not other.complete:
            raise NotBuiltError(
                "add: expected a network that knows the shape of its inputs, got one that does not; call "
                "build(input_shape) first"
            )
        else:
            self.in_shape = other.in_shape
        self.layers += other.layers
        self.shapes += other.shapes
        self._relabel()

    def share(self, layers: Sequence[Layer]) -> None:
        """Take these consecutive layers of another row, which are built, in an empty row."""
        self.layers, self.in_shape = list(layers), layers[0].in_shape
        self.shapes = [layer.out_shape for layer in layers]

    def _relabel(self) -> None:
        """Label the layers by their places in this row, where others may have used the labels too."""
        for number, layer in enumerate(self.layers):
            set_inside(layer, label=f"{number}.{type(layer).__name__}")

    def pop(self) -> Layer:
        """Take the last layer off."""
        if not self.layers:
            raise ValueError("pop: expected a network with layers, got none")
        layer = self.layers.pop()
        del self.shapes[len(self.layers) :]
        if not self.layers:
            self.in_shape = None
        set_inside(layer, label=type(layer).__name__)
        return layer

    def ends(self, start: int, stop: int) -> tuple[Any, Any] | None:
        """Return the input and the output of the part from one layer up to another. None in a row: see `share`."""
        return None

    def start(self, shape: Shape) -> None:
        """Set the shape of one input, and build all layers that are not built yet.

        Raises ShapeError if another input shape is already known, or if a layer does not fit.
        """
        if not self.layers:
            raise NotBuiltError("GWUNetwork: expected at least one layer, got none; call add(layer) first")
        if self.in_shape is None:
            self._warn_swapped_axes(shape)
            self.in_shape = shape
            try:
                self._propagate()
            except BaseException:
                self.in_shape, self.shapes = None, []
                raise
        elif shape != self.in_shape:
            first = self.layers[0]
            want, got = (", ".join(map(str, ("N", *self.in_user_order(sizes)))) for sizes in (self.in_shape, shape))
            raise ShapeError(
                f"{first.label}: expected inputs of shape ({want}), got ({got}); {self._other_shape(shape)}"
            )

    def _warn_swapped_axes(self, shape: Shape) -> None:
        """Warn about images with 1 or 3 rows, and as many columns as channels: their axes are probably swapped."""
        if len(shape) != 3 or not self.layers[0].takes_images or max(shape) <= 4:
            return
        H, W, C = shape
        order, other, swapped = "(N, H, W, C)", "channels_first", H in (1, 3) and W == C
        if self.channels_first:
            order, other, swapped = "(N, C, H, W)", "channels_last", W in (1, 3) and C == H
        if swapped:
            warn_user(
                f"GWUNetwork: expected images {order}, got samples {self.in_user_order(shape)}; if their channels "
                f"are in the other place, write GWUNetwork(data_format={other!r})"
            )

    def _other_shape(self, shape: Shape) -> str:
        """Return why inputs of this shape do not fit, and how to fix it."""
        known: Any = self.in_shape
        why = "as input_size states" if self.layers[0].input_size is not None else "as the network was built"
        if shape == known[1:2] or (not self.channels_first and shape == (*known[1:], 1)):
            return f"{why}; for one image pass x[None]"
        if len(shape) == len(known) == 3:
            permuted = (shape[2], *shape[:2]) if self.channels_first else (*shape[1:], shape[0])
            if permuted == known:
                axes = "0, 3, 1, 2" if self.channels_first else "0, 2, 3, 1"
                return f"{why}; move the channels by x.transpose({axes}), or give another data_format"
            if shape[:2] == known[:2]:
                return f"{why}; give images of {known[2]} channel{'s' if known[2] > 1 else ''}"
            return f"{why}; resize the images, or make a network for such"
        return f"{why}; give inputs like those, or make a network for such"

    def from_user(self, input_shape: Any) -> Shape:
        """Return a user's input shape, channels last: (H, W), three sizes or D. A leading None stands for N."""
        shape: Any = (input_shape,) if isinstance(input_shape, Integral) else input_shape
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"build: expected input_shape to be sizes such as (28, 28), got {input_shape!r}")
        if shape and shape[0] is None:
            shape = shape[1:]
        if len(shape) not in (1, 2, 3):
            images = "(C, H, W)" if self.channels_first else "(H, W, C)"
            raise ShapeError(
                f"build: expected the shape of one input, (H, W), {images} or (D,), got "
                f"{shape}; leave out the number of images"
            )
        shape = tuple(check_size("build", "input_shape", length) for length in shape)
        if len(shape) == 2:
            return (*shape, 1)
        return (*shape[1:], shape[0]) if len(shape) == 3 and self.channels_first else shape

    def check_loss(self, loss: Any) -> None:
        """Raise an error if a network with this final layer cannot be trained with this loss."""
        self._check_loss(loss, self.graph, self.last, self.out_shape)

    def _check_loss(self, loss: LossFunction, graph: Graph, last: Layer, shape: Shape) -> None:
        if loss.partner is not None:
            loss.check_outputs(loss.partner, shape)
            require_at_end(loss.name, graph, last, loss.partner)
        loss.check_outputs(last.split_activation()[1], shape)
        require_applied_once(loss.name, graph, SoftmaxActivation)
        if loss.partner is not None:
            require_applied_once(loss.name, graph, loss.partner)
        require_several_outputs(last, SoftmaxActivation, shape[-1])

    def _propagate(self) -> None:
        """Build the layers that are not built yet and whose input shape is known."""
        if self.in_shape is None:
            return
        for layer in self.layers[len(self.shapes) :]:
            shape, source = self.in_shape, None
            if self.shapes:
                shape, before = self.shapes[-1], self.layers[len(self.shapes) - 1]
                source = functools.partial(_made_by, before)
            if not _has_weights(layer):
                self.shapes.append(build_layer(layer, shape, self.channels_first, source))
            elif layer.in_shape == shape:  # it was taken off another network
                self.shapes.append(layer.out_shape)
            else:
                want, got = (self.in_user_order(sizes) for sizes in (layer.in_shape, shape))
                raise ShapeError(
                    f"{layer.label}: expected inputs {want}, for which it has weights, got {got}; make a new layer"
                )


def _has_weights(layer: Layer) -> bool:
    return bool(layer.parameters) and all(parameter.constant is not None for parameter in layer.parameters)


def _made_by(layer: Layer) -> str:
    return f"{type(layer).__name__} makes {layer.arithmetic()}"
