"""Layers in a row, and the shapes between them as far as they are known."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from gwucnn.errors import NotBuiltError, ShapeError, SizeMismatchWarning, warn_user
from gwucnn.layers import Layer
from gwucnn.loss_functions import LossFunction
from gwucnn.shapes import Shape, check_size

__all__ = ["Stack"]


class Stack:
    """Takes layers one by one and builds each as soon as the shape of its input is known.

    Shapes are channels last here, whatever the user's order is; `shown` gives the user's.

    Attributes
    ----------
    layers : list of Layer
    in_shape : tuple of int or None
        Of one input: stated by the first layer, or given by `start`.
    shapes : list of tuple of int
        Of one output of each layer that is built.
    """

    def __init__(self, channels_first: bool) -> None:
        self.channels_first = channels_first
        self.layers: list[Layer] = []
        self.in_shape: Shape | None = None
        self.shapes: list[Shape] = []

    @property
    def complete(self) -> bool:
        """Whether there are layers and all of them are built."""
        return bool(self.shapes) and len(self.shapes) == len(self.layers)

    def shown(self, shape: Shape) -> Shape:
        """Return a shape in the user's order."""
        return (shape[2], *shape[:2]) if self.channels_first and len(shape) == 3 else shape

    def add(self, layer: Layer) -> None:
        """Put a layer on top; leave everything as it was if it does not fit."""
        if not isinstance(layer, Layer):
            is_class = isinstance(layer, type) and issubclass(layer, Layer)
            hint = f"; write {layer.__name__}(...)" if is_class else ""
            raise TypeError(f"add: expected a layer, got {layer!r}{hint}")
        if "." in layer.label:
            raise ValueError(
                f"add: expected a layer that is in no network yet, got {layer.label}; make a new one"
            )
        name = type(layer).__name__
        layer.label = f"{len(self.layers)}.{name}"
        if self.channels_first and hasattr(layer, "channels_first"):
            layer.channels_first = True
        self.layers.append(layer)
        try:
            if len(self.layers) == 1:
                self.in_shape = self._stated(layer, 1)
            self._propagate()
        except BaseException:
            self.layers.pop()
            layer.label = name
            raise

    def start(self, shape: Shape) -> None:
        """Take the shape of one input, and build all layers if they are not built yet.

        Raises ShapeError if it is not the shape that is known already, or if a layer does not fit.
        """
        if not self.layers:
            raise NotBuiltError("GWUNetwork: expected at least one layer, got none; call add(layer) first")
        if self.in_shape is None:
            self.in_shape = shape
            try:
                self._propagate()
            except BaseException:
                self.in_shape, self.shapes = None, []
                raise
        elif shape != self.in_shape:
            first = self.layers[0]
            want, got = (", ".join(map(str, ("N", *self.shown(sizes)))) for sizes in (self.in_shape, shape))
            why = "as input_size states" if first.input_size is not None else "as the network was built"
            if shape == self.in_shape[1:2]:
                why += "; for one image pass x[None]"
            raise ShapeError(f"{first.label}: expected inputs of shape ({want}), got ({got}); {why}")

    def from_user(self, input_shape: Any) -> Shape:
        """Return the input shape a user gave, channels last: two or three sizes, or D; a first None is N."""
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

    def check_loss(self, loss: LossFunction) -> None:
        """Raise an error if a network that ends so cannot be trained with this loss."""
        rest, activation = self.layers[-1].split_activation()
        loss.check_outputs(activation, self.shapes[-1])
        if rest is None and activation is not None and len(self.layers) > 1:
            before = self.layers[-2]
            if activation is loss.partner is before.split_activation()[1]:
                raise ValueError(
                    f"{loss.name}: expected one {activation.name} at the end, got two, in {before.label} and "
                    f"{self.layers[-1].label}; leave one out"
                )

    def _stated(self, layer: Layer, channels: int) -> Shape | None:
        """Return the input shape that a layer states; `channels` where it leaves them open."""
        size: Any = layer.input_size
        if size is None:
            return None
        if not layer.takes_images:
            return (size,)
        if isinstance(size, int):
            return size, size, channels
        if len(size) == 2:
            return (*size, channels)
        return (*size[1:], size[0]) if self.channels_first else tuple(size)

    def _propagate(self) -> None:
        """Build the layers whose input shape is known by now and that are not built yet."""
        if self.in_shape is None:
            return
        for layer in self.layers[len(self.shapes) :]:
            index = len(self.shapes)
            shape = self.shapes[-1] if index else self.in_shape
            if index:
                self._check_stated(layer, shape, self.layers[index - 1])
            made = layer.build(shape)
            if not isinstance(made, tuple) or not all(isinstance(length, Integral) for length in made):
                raise TypeError(
                    f"{layer.label}: expected build to return a tuple, the shape of one output, got {made!r}"
                )
            layer.in_shape, layer.out_shape = shape, made
            self.shapes.append(made)

    def _check_stated(self, layer: Layer, shape: Shape, before: Layer) -> None:
        """Warn if a later layer states another size than the layer before makes, and correct it."""
        stated = self._stated(layer, shape[-1])
        # Images for a layer of features, or the other way round, are for its build to refuse.
        if stated is None or stated == shape or len(shape) != (3 if layer.takes_images else 1):
            return
        was: Any = layer.input_size
        if not layer.takes_images or (isinstance(was, int) and shape[0] == shape[1]):
            true: Any = shape[0]
        else:
            true = shape[:2] if isinstance(was, int) or len(was) == 2 else self.shown(shape)
        warn_user(
            f"{type(layer).__name__}: input_size={was} stated, {type(before).__name__} makes "
            f"{before.arithmetic()}; using {true}",
            SizeMismatchWarning,
        )
        layer.input_size = true
