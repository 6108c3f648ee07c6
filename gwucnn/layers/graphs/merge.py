"""Layers with several inputs: sums, differences, products, averages and maxima, element by element."""

from __future__ import annotations

import copy
from typing import Any

from gwucnn import ops
from gwucnn.common import Shape, ShapeError
from gwucnn.layers.base import Array, Layer, Space
from gwucnn.layers.inserting import in_user_order

__all__ = ["Add", "Average", "Maximum", "Merge", "Multiply", "Subtract", "require_several"]


def require_several(layer: Layer, in_shape: Any) -> tuple[Shape, ...]:
    """Return the shapes of the inputs of a layer, after checking that there are several."""
    if len(in_shape) < 2 or not isinstance(in_shape[0], tuple):
        name = type(layer).__name__
        raise ShapeError(
            f"{layer.label}: expected a list of inputs, got one; write {name}()([a, b]), or in a row of layers "
            "Residual(layers) or Concatenate(branches)"
        )
    return in_shape


class Merge(Layer):
    """The base of layers that compute one array from several of one shape.

    In `build`, `in_shape` is a tuple with the shape of each input. `forward` gets a list of arrays, and `backward`
    returns the list of their gradients.

    Attributes
    ----------
    channels_first : bool
        Set by a channels-first network; only messages depend on it.
    """

    replayable = True
    overwrites_grads = True
    passes_values_on = True
    channels_first = False

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def build(self, in_shape: Any) -> Shape:
        shapes = require_several(self, in_shape)
        for number, shape in enumerate(shapes):
            if shape != shapes[0]:
                first, other = (in_user_order(sizes, self.channels_first) for sizes in (shapes[0], shape))
                raise ShapeError(
                    f"{self.label}: expected inputs of one shape, got {first} and {other} (input {number}); "
                    f"{self._hint()}"
                )
        self.in_shape, self.out_shape = in_shape, shapes[0]
        return shapes[0]

    def _hint(self) -> str:
        return "padding='same' keeps the size of images, and Conv2D(filters, 1) changes their channels"

    def config(self) -> dict[str, Any]:
        return {} if self.name is None else {"name": self.name}


class Add(Merge):
    """Add several inputs: y = x0 + x1 + ...

    The gradient with respect to each input is dy.

    Examples
    --------
    >>> from gwucnn import Add, Conv2D, Input
    >>> x = Input((8, 8, 4))
    >>> Add()([x, Conv2D(4, 3, padding='same')(x)]).shape
    (None, 8, 8, 4)
    """

    replayable = True
    overwrites_grads = True
    _relu = False

    def with_relu(self) -> Add:
        """Return this layer with relu after the sum."""
        other = copy.copy(self)
        other._relu = True
        return other

    def forward(self, x: Array, space: Space) -> Array:
        total, y = x[0], space.array("y", x[0].shape)
        for number, more in enumerate(x[1:], 1):
            relu = self._relu and number == len(x) - 1
            total = space.run(f"add {number}", ops.add, total, more, relu=relu, out=y)
        space.saved["y"], space.saved["inputs"] = y, len(x)
        return y

    def backward(self, dy: Array, space: Space) -> Any:
        if self._relu:
            dy = space.run("relu_backward", ops.relu_backward, dy, space.saved["y"], out=space.array("dz", dy.shape))
        return [dy] * space.saved["inputs"]


class Average(Add):
    """Average several inputs: y = (x0 + x1 + ...) / n.

    The gradient with respect to each input is dy / n.

    Examples
    --------
    >>> from gwucnn import Average, Dense, Input
    >>> x = Input(3)
    >>> Average()([Dense(2)(x), Dense(2)(x)]).shape
    (None, 2)
    """

    replayable = True
    overwrites_grads = True

    def forward(self, x: Array, space: Space) -> Array:
        y = super().forward(x, space)
        return space.run("scale", ops.rescale, y, 1 / len(x), out=y)

    def backward(self, dy: Array, space: Space) -> Any:
        count = space.saved["inputs"]
        return [space.run("share", ops.rescale, dy, 1 / count, out=space.array("dx", dy.shape))] * count


class Subtract(Merge):
    """Subtract the second of two inputs from the first: y = x0 - x1.

    The gradients are dy and -dy.

    Examples
    --------
    >>> from gwucnn import Dense, Input, Subtract
    >>> x = Input(3)
    >>> Subtract()([Dense(2)(x), Dense(2)(x)]).shape
    (None, 2)
    """

    replayable = True
    overwrites_grads = True

    def build(self, in_shape: Any) -> Shape:
        if len(require_several(self, in_shape)) != 2:
            raise ShapeError(f"{self.label}: expected two inputs, got {len(in_shape)}; subtract one after the other")
        return super().build(in_shape)

    def forward(self, x: Array, space: Space) -> Array:
        return space.run("subtract", ops.subtract, x[0], x[1], out=space.array("y", x[0].shape))

    def backward(self, dy: Array, space: Space) -> Any:
        return [dy, space.run("negate", ops.rescale, dy, -1.0, out=space.array("dx", dy.shape))]


class Maximum(Merge):
    """Take the largest of several inputs: y = max(x0, x1, ...).

    dy goes to the largest input; equal ones share it by halves, as in PyTorch.

    Examples
    --------
    >>> from gwucnn import Dense, Input, Maximum
    >>> x = Input(3)
    >>> Maximum()([Dense(2)(x), Dense(2)(x)]).shape
    (None, 2)
    """

    replayable = True
    overwrites_grads = True

    def forward(self, x: Array, space: Space) -> Array:
        largest = [x[0]]
        for number, more in enumerate(x[1:], 1):
            y = space.array(f"y {number}", more.shape)
            largest.append(space.run(f"maximum {number}", ops.maximum, largest[-1], more, out=y))
        space.saved["x"], space.saved["largest"] = x, largest
        return largest[-1]

    def backward(self, dy: Array, space: Space) -> Any:
        x, largest = space.saved["x"], space.saved["largest"]
        gradients = []
        for number in reversed(range(1, len(x))):
            before, more = largest[number - 1], x[number]
            for name, pair in (("more", (more, before)), ("before", (before, more))):
                out = space.array(f"{name} {number}", dy.shape)
                gradients.append(space.run(f"{name} {number}", ops.maximum_backward, dy, *pair, out=out))
            dy = gradients.pop()
        return [dy, *reversed(gradients)]


class Multiply(Merge):
    """Multiply several inputs: y = x0 * x1 * ...

    Of two inputs, one may be a gate for images (N, H, W, C): one number for each channel, (N, 1, 1, C), or for each
    pixel, (N, H, W, 1). The gradient with respect to an input is the product of dy and the others, summed over what a
    gate stands for.

    J. Hu et al., "Squeeze-and-excitation networks", arXiv:1709.01507, equation 4.

    Examples
    --------
    >>> from gwucnn import Dense, GlobalAveragePooling2D, Input, Multiply, Reshape
    >>> x = Input((8, 8, 4))
    >>> gate = Dense(4, activation='sigmoid')(GlobalAveragePooling2D()(x))
    >>> Multiply()([x, Reshape((1, 1, 4))(gate)]).shape
    (None, 8, 8, 4)
    """

    replayable = True
    overwrites_grads = True
    _gate: int | None = None  # which input is a gate
    _by = ""  # what it has a number for

    def build(self, in_shape: Any) -> Shape:
        self._gate = None
        if len(require_several(self, in_shape)) == 2:
            for gate, image in ((1, 0), (0, 1)):
                H, W, C = in_shape[image] if len(in_shape[image]) == 3 else (0, 0, 0)
                kinds = {(1, 1, C): "channels", (H, W, 1): "pixels"}
                if C and in_shape[gate] != in_shape[image] and in_shape[gate] in kinds:
                    self._gate, self._by = gate, kinds[in_shape[gate]]
                    self.in_shape, self.out_shape = in_shape, in_shape[image]
                    return self.out_shape
        return super().build(in_shape)

    def _hint(self) -> str:
        return "a gate has the shape (1, 1, C) or (H, W, 1), in the order of a network with channels last"

    def forward(self, x: Array, space: Space) -> Array:
        space.saved["x"] = x
        if self._gate is not None:
            scale = ops.scale_channels if self._by == "channels" else ops.scale_pixels
            image, gate = x[1 - self._gate], x[self._gate]
            return space.run("scale", scale, image, gate, out=space.array("y", image.shape))
        return self._product("y", x, space)

    def _product(self, name: str, factors: Any, space: Space) -> Array:
        total, y = factors[0], space.array(name, factors[0].shape)
        for number, factor in enumerate(factors[1:], 1):
            total = space.run(f"{name} {number}", ops.multiply, total, factor, out=y)
        return y

    def backward(self, dy: Array, space: Space) -> Any:
        x = space.saved["x"]
        if self._gate is None:
            rest = ([dy, *x[:number], *x[number + 1 :]] for number in range(len(x)))
            return [self._product(f"dx {number}", factors, space) for number, factors in enumerate(rest)]
        channels = self._by == "channels"
        scale = ops.scale_channels if channels else ops.scale_pixels
        total = ops.scale_channels_backward_gate if channels else ops.scale_pixels_backward_gate
        image, gate = x[1 - self._gate], x[self._gate]
        dx = space.run("image", scale, dy, gate, out=space.array("dx", image.shape))
        dgate = space.run("gate", total, dy, image, out=space.array("dgate", gate.shape))
        return [dx, dgate] if self._gate == 1 else [dgate, dx]
