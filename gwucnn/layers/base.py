"""What a layer is: a description, and two functions.

The legend, used in every file: `N` images in the batch, `H W` height and width of an image in pixels, `C`
channels, `F` filters, `KH KW` height and width of a filter, `OH OW` of the output, `PH PW` of a pooling
window, `SH SW` strides, `DH DW` dilation, `D` features, `U` units. Capitals are sizes, lower case are
indices. `x` goes in, `y` comes out, `dy dx dweight dbias` are the gradients of the loss by them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, ClassVar

from gwucnn.activation_functions import ACTIVATIONS, ActivationFunction, activation_function
from gwucnn.common import (
    ChecksArguments,
    Shape,
    ShapeError,
    check_flag,
    check_size,
    constructor_repr,
    pair,
    to_config,
)
from gwucnn.initializers import initializer
from gwucnn.memory import Parameter, Space
from gwucnn.ops import sum_rows
from gwucnn.regularizers import regularizer

__all__ = [
    "CLASSES",
    "Array",
    "Layer",
    "Shape",
    "Space",
    "WeightedLayer",
    "image_size",
    "layer_config",
    "leaves",
]

Array = Any

# The methods whose work `Layer.replayable` speaks of.
REPLAYED = frozenset({"forward", "backward", "multiply", "multiply_backward_weight", "multiply_backward_input"})


def image_size(caller: str, size: Any) -> int | tuple[int, ...] | None:
    """Return a stated input_size of images, checked: None, int, (H, W) or three sizes with channels."""
    if size is None:
        return None
    if isinstance(size, (tuple, list)) and len(size) == 3:
        return tuple(check_size(caller, "input_size", length) for length in size)
    if isinstance(size, (tuple, list)) and len(size) != 2:
        raise ValueError(
            f"{caller}: expected input_size to be an integer, (H, W) or three sizes with channels, got {size}"
        )
    checked = pair(caller, "input_size", size)
    return checked if isinstance(size, (tuple, list)) else checked[0]


# Layers by the names of their classes, the package's own before a user's: what descriptions can name.
CLASSES: dict[str, type[Layer]] = {}


def layer_config(layer: Layer) -> dict[str, Any]:
    """Return what a layer is, in values that JSON can hold; `gwucnn.described.from_config` makes it again."""
    return {"class_name": type(layer).__name__, "config": layer.config()}


def leaves(layer: Layer) -> Iterator[Layer]:
    """Yield the layers inside a layer that hold no others; the layer itself if it holds none."""
    if not layer.children:
        yield layer
    for child in layer.children:
        yield from leaves(child)


class Layer(ChecksArguments):
    """The base of all layers, also of your own.

    A layer sees neither the optimizer, nor the loss, nor another layer. Derive from it and define:

    - `build(in_shape) -> out_shape`: the shapes of one sample, without the batch; set `self.parameters` to a
      tuple of the Parameters that the layer needs, raise ShapeError if it cannot work on such inputs.
    - `forward(x, space) -> y`: x has shape (N, *in_shape). Keep what backward needs in `space.saved`, and
      large results in `space.array(name, shape)`, never on the layer: one network serves many threads.
    - `backward(dy, space) -> dx`: *add* to each parameter's `grad`; do not modify dy. May return None if
      `space.needs_dx` is False. It follows a forward pass whose `space.backward_follows` is set.
    - `config() -> dict`: the constructor's arguments, so that the layer can be written down.

    Example
    -------
    >>> class Halve(Layer):
    ...     def forward(self, x, space):
    ...         return x / 2
    ...     def backward(self, dy, space):
    ...         return dy / 2
    """

    parameters: tuple[Parameter, ...] = ()
    trainable: bool = True
    input_size: Any = None
    name: str | None = None
    label: str  # 'Conv2D', or '2.Conv2D' in a network: who an error is about
    in_shape: Shape
    out_shape: Shape
    # Whether forward and backward do nothing but call ops through space.run, on buffers of the space. Batches
    # of one size can then be replayed without calling them. False in a layer that computes by itself.
    replayable: bool = False
    # Whether backward writes the gradients, where space.adds is False, instead of adding to them: then nobody
    # has to set them to zero first.
    overwrites_grads: bool = False
    # The layers inside of a layer that holds others, in the order of their parameters.
    children: tuple[Layer, ...] = ()
    # The same, those together of which one works on what the other made.
    rows: Sequence[Sequence[Layer]] = ()
    # Whether it brings pixels to the order of 1, so that nobody need be warned about 0..255.
    rescales_pixels: ClassVar[bool] = False
    # Whether it hands its inputs on, in another shape or with some left out, and computes nothing with them.
    passes_values_on: ClassVar[bool] = False
    # Whether input_size states an image, whose channels may stay open, or a number of features.
    takes_images: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # What a base promised of its own methods, one that replaces them has to promise again.
        if not REPLAYED.isdisjoint(vars(cls)):
            for promise in {"replayable", "overwrites_grads"} - vars(cls).keys():
                setattr(cls, promise, False)
        held = CLASSES.get(cls.__name__)
        if held is None or held.__module__.partition(".")[0] != __name__.partition(".")[0]:
            CLASSES[cls.__name__] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        layer = super().__new__(cls, *args, **kwargs)
        layer.label = cls.__name__
        return layer

    def build(self, in_shape: Shape) -> Shape:
        """Take the shape of one input, declare the parameters and return the shape of one output."""
        self.in_shape = self.out_shape = in_shape
        return in_shape

    def forward(self, x: Array, space: Space) -> Array:
        """Return the outputs of a batch."""
        raise NotImplementedError(f"{self.label}: expected a layer that defines forward(x, space)")

    def backward(self, dy: Array, space: Space) -> Array | None:
        """Add to the parameters' gradients and return the gradient by the inputs."""
        raise NotImplementedError(f"{self.label}: expected a layer that defines backward(dy, space)")

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, in values that JSON can hold."""
        return {}

    def find_nonfinite(self, space: Space) -> str:
        """Return the label of the layer whose outputs in the last forward are the first not to be finite."""
        return self.label

    @property
    def multiply_adds(self) -> int:
        """How many multiplications, each with an addition, one image takes; 0 for layers without any.

        Of the plain formula, also where a faster algorithm runs. Known after `build`.
        """
        return 0

    def arithmetic(self) -> str:
        """Return how the size of the output comes about, for messages: '26 = (28 - 3) + 1'."""
        return " x ".join(map(str, self.out_shape))

    def split_activation(self) -> tuple[Layer | None, type[ActivationFunction] | None]:
        """Return the layer without its last activation, sharing its parameters, and that activation."""
        return self, None

    def __repr__(self) -> str:
        return constructor_repr(self, self.config())

    def require_image(self, in_shape: Shape) -> None:
        """Raise ShapeError unless the input is an image (H, W, C)."""
        if len(in_shape) != 3:
            raise ShapeError(
                f"{self.label}: expected images (H, W, C), got {in_shape}; give x as (N, H, W) or (N, H, W, "
                "C), and put this layer before Flatten()"
            )


class WeightedLayer(Layer):
    """A layer that multiplies by a kernel, adds a bias and applies an activation: Conv2D and Dense.

    A derived class says how to multiply.
    """

    replayable = True
    # Makes (kernel, bias or None) from those declared, in a space, where a fused step multiplies by others.
    _make_weights: Callable[[Array, Array | None, Space], tuple[Array, Array | None]] | None = None

    def __init__(
        self,
        *,
        activation: Any,
        add_bias: bool,
        kernel_initializer: str,
        bias_initializer: str,
        kernel_regularizer: Any = None,
        trainable: bool,
        name: str | None,
    ) -> None:
        self.activation: type[ActivationFunction] | None = activation_function(self.label, activation)
        hint = f"; write activation={add_bias!r}" if str(add_bias) in ACTIVATIONS else ""
        self.add_bias = check_flag(self.label, "add_bias", add_bias, hint)
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.trainable = trainable
        self.name = name
        initializer(self.label, "kernel_initializer", kernel_initializer)
        initializer(self.label, "bias_initializer", bias_initializer)
        self.kernel_regularizer = regularizer(self.label, "kernel_regularizer", kernel_regularizer)

    @property
    def trainable(self) -> bool:
        """Whether training moves kernel and bias. A change takes effect at the network's next `compile`."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = check_flag(self.label, "trainable", value)
        for parameter in self.parameters:
            parameter.trainable = self._trainable

    def declare(self, shape: Shape, outputs: int | None = None) -> None:
        """Declare kernel and bias, once the kernel's shape is known: a bias for each of `outputs`.

        Their number is the kernel's last size where it is not given.
        """
        self.kernel = Parameter(
            "kernel",
            shape,
            initializer(self.label, "kernel_initializer", self.kernel_initializer),
            self.trainable,
            self.kernel_regularizer,
        )
        self.bias = Parameter(
            "bias",
            shape[-1:] if outputs is None else (outputs,),
            initializer(self.label, "bias_initializer", self.bias_initializer),
            self.trainable,
        )
        self.parameters = (self.kernel, self.bias) if self.add_bias else (self.kernel,)

    @property
    def multiply_adds(self) -> int:
        # Each weight meets each place of the output once, pixels of the border included.
        return prod(self.out_shape[:-1]) * self.kernel.size

    def weights(self, space: Space) -> tuple[Array, Array | None]:
        """Return the kernel, and the bias or None, that forward multiplies by and adds."""
        kernel, bias = self.kernel.constant, self.bias.constant if self.add_bias else None
        return (kernel, bias) if self._make_weights is None else self._make_weights(kernel, bias, space)

    def multiply(self, x: Array, y: Array, space: Space) -> None:
        """Fill y with the product of x and the kernel, plus the bias."""
        raise NotImplementedError

    def multiply_backward_weight(self, x: Array, dy: Array, space: Space) -> None:
        """Add to the kernel's gradient."""
        raise NotImplementedError

    def multiply_backward_input(self, dy: Array, dx: Array, space: Space) -> None:
        """Fill dx with the gradient by x."""
        raise NotImplementedError

    def forward(self, x: Array, space: Space) -> Array:
        activation = self.activation
        y = before = space.array("y", (x.shape[0], *self.out_shape))
        if activation is not None and activation.of_input and space.backward_follows:
            before = space.array("before activation", y.shape)
        self.multiply(x, before, space)
        if activation is not None:
            activation.forward(before, y, space)
        space.saved["x"], space.saved["before activation"], space.saved["y"] = x, before, y
        return y

    def backward(self, dy: Array, space: Space) -> Array | None:
        x = space.saved["x"]
        if self.activation is not None:
            before, y = space.saved["before activation"], space.saved["y"]
            dy = self.activation.backward(dy, before, y, space.array("dz", dy.shape), space)
        if self.kernel.trainable:
            self.multiply_backward_weight(x, dy, space)
            if self.add_bias:
                space.run("bias", sum_rows, dy, out=self.bias.grad, accumulate=space.accumulates)
        if not space.needs_dx:
            return None
        dx = space.array("dx", x.shape)
        self.multiply_backward_input(dy, dx, space)
        return dx

    def with_activation(self, activation: type[ActivationFunction] | None) -> WeightedLayer:
        """Return the same layer, sharing its parameters, with another activation."""
        other = copy.copy(self)
        other.activation = activation
        return other

    def with_weights(self, make: Callable[[Array, Array | None, Space], tuple[Array, Array | None]]) -> WeightedLayer:
        """Return the same layer, multiplying by what `make(kernel, bias, space)` returns: only for use."""
        other = copy.copy(self)
        other._make_weights = make
        return other

    def split_activation(self) -> tuple[Layer | None, type[ActivationFunction] | None]:
        return self.with_activation(None), self.activation

    def config(self) -> dict[str, Any]:
        changed = {
            "activation": self.activation.name if self.activation else None,
            "add_bias": self.add_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "kernel_regularizer": to_config(self.kernel_regularizer),
            "trainable": self.trainable,
            "name": self.name,
        }
        return {key: value for key, value in changed.items() if value != DEFAULTS[key]}

    def __repr__(self) -> str:
        shown = self.config()
        if self.kernel_regularizer is not None:
            shown["kernel_regularizer"] = self.kernel_regularizer
        return constructor_repr(self, shown)


# Left out of config and repr where unchanged.
DEFAULTS = {
    "activation": None,
    "add_bias": False,
    "kernel_initializer": "glorot_uniform",
    "bias_initializer": "zeros",
    "kernel_regularizer": None,
    "trainable": True,
    "name": None,
}
