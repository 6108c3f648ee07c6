"""The base class of all layers, and the registry of their classes.

The legend, used in every file: `N` images in the batch, `H W` height and width of an image in pixels, `C` channels, `F`
filters, `KH KW` height and width of a filter, `OH OW` of the output, `PH PW` of a pooling window, `SH SW` strides, `DH
DW` dilation, `D` features, `U` units. Capitals are sizes, lower case are indices. `x` is the input, `y` the output, and
`dy dx dweight dbias` are the gradients of the loss with respect to them.

What a layer tells the engine. All of these are optional class attributes; the defaults are always safe:

    attribute          if true, the layer declares that ...                 the engine then ...
    replayable         forward and backward only call ops through           records a batch and replays it without
                       `space.run`, on buffers of the space                 calling the layer (engine/recorded.py)
    overwrites_grads   backward overwrites gradients when                   does not fill them with zeros first
                       `space.accumulates` is False                         (engine/engine.py)
    passes_values_on   the outputs are inputs, rearranged or selected       looks through it for the final activation
                                                                            (layers/last_activation.py)
    rescales_pixels    pixels are brought to the order of 1                 does not warn about pixels of 0..255
    takes_images       `input_size` is the size of an image, whose          reads `input_size` accordingly
                       channels may stay open; if false, of features        (layers/inserting.py)
    children, rows     (layers inside this one; see graphs/rows.py)         plans, names and counts them too

A layer that sets `replayable` although it computes outside ops would be left out of every batch but the first; one that
sets `overwrites_grads` but accumulates would add to the gradients of the batch before. A derived class that overrides
forward or backward has to declare these two again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from gwucnn.activation_functions import ActivationFunction
from gwucnn.common import (
    ChecksArguments,
    NotBuiltError,
    Shape,
    ShapeError,
    check_flag,
    check_size,
    constructor_repr,
    is_ours,
    pair,
    set_inside,
    unsealing,
)
from gwucnn.memory import Parameter, Space, assign

__all__ = [
    "CLASSES",
    "Array",
    "Layer",
    "Shape",
    "Space",
    "image_size",
    "layer_config",
    "leaves",
]

Array = Any

# The methods that `replayable` and `overwrites_grads` are declarations about.
DECLARED_METHODS = frozenset({"forward", "backward", "multiply", "multiply_backward_weight", "multiply_backward_input"})


def image_size(caller: str, size: Any) -> int | tuple[int, ...] | None:
    """Check a stated input_size of images and return it: None, int, (H, W) or three sizes with channels."""
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


# Layers by the names of their classes, which a config can name. The package's own take precedence over users'.
CLASSES: dict[str, type[Layer]] = {}


def layer_config(layer: Layer) -> dict[str, Any]:
    """Return the config of a layer, from which `from_config` recreates it; its values can be represented in JSON."""
    return {"class_name": type(layer).__name__, "config": layer.config()}


def leaves(layer: Layer) -> Iterator[Layer]:
    """Yield the innermost layers inside a layer; the layer itself if it contains none."""
    if not layer.children:
        yield layer
    for child in layer.children:
        yield from leaves(child)


class Layer(ChecksArguments):
    """The base class of all layers, also of your own.

    A layer knows neither the optimizer nor the loss nor other layers. Derive from it and define:

    - `build(in_shape) -> out_shape`: the shapes of one sample, without the batch axis. Set `self.parameters` to a tuple
      of the Parameters that the layer needs; raise ShapeError if it cannot process such inputs.
    - `forward(x, space) -> y`: x has shape (N, *in_shape). Keep what backward needs in `space.saved`, and large results
      in `space.array(name, shape)`, never on the layer, because one network serves many threads.
    - `backward(dy, space) -> dx`: *add* to the `grad` of each parameter, and do not modify dy. May return None if
      `space.needs_dx` is False. It follows a forward pass with `space.backward_follows`.
    - `config() -> dict`: the constructor's arguments, from which the layer can be recreated.

    Example
    -------
    >>> class Halve(Layer):
    ...     def forward(self, x, space):
    ...         return x / 2
    ...     def backward(self, dy, space):
    ...         return dy / 2
    """

    parameters: tuple[Parameter, ...] = ()
    _trainable: bool = True
    input_size: Any = None
    name: str | None = None
    label: str  # 'Conv2D', or '2.Conv2D' in a network: begins error messages
    in_shape: Shape
    out_shape: Shape
    # See the docstring of this module.
    replayable: bool = False
    overwrites_grads: bool = False
    passes_values_on: ClassVar[bool] = False
    rescales_pixels: ClassVar[bool] = False
    takes_images: ClassVar[bool] = True
    # The layers inside this one, in the order of their parameters; and the same as rows of consecutive layers.
    children: tuple[Layer, ...] = ()
    rows: Sequence[Sequence[Layer]] = ()

    _assignable = ("name", "trainable")
    _wrappable = False  # replayed without calling methods
    _remedy = "make a new layer, {}"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A declaration about methods of the base class does not hold for methods that override them.
        if not DECLARED_METHODS.isdisjoint(vars(cls)):
            for attribute in {"replayable", "overwrites_grads"} - vars(cls).keys():
                setattr(cls, attribute, False)
        if isinstance(vars(cls).get("trainable"), bool):  # it would hide the property
            cls._trainable = vars(cls)["trainable"]
            del cls.trainable
        if "build" in vars(cls) and is_ours(cls):
            cls.build = unsealing(cls.build)  # type: ignore[method-assign]
        held = CLASSES.get(cls.__name__)
        if held is None or not is_ours(held):
            CLASSES[cls.__name__] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        layer = super().__new__(cls, *args, **kwargs)
        set_inside(layer, label=cls.__name__)
        return layer

    @property
    def trainable(self) -> bool:
        """Whether training updates the weights; a change takes effect at the next step of training."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = check_flag(self.label, "trainable", value)
        self.mark_parameters()

    def mark_parameters(self) -> None:
        """Make the parameters trainable or not, as the layer is, except for those that are never learned."""
        for parameter in self.parameters:
            parameter.trainable = parameter.learned and self.trainable

    def __call__(self, inputs: Any) -> Any:
        """Return the symbolic output of this layer for a symbolic input, or a list of them: see `gwucnn.Input`.

        A layer that is called several times is shared: so are its weights.
        """
        several = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        connect = getattr(several[0], "connect", None) if several else None
        if connect is None:
            raise TypeError(
                f"{self.label}: expected the output of Input(shape) or of another layer, got {type(inputs).__name__}; "
                "to compute with arrays make a network and call its predict(x)"
            )
        return connect(self, several)

    @unsealing
    def build(self, in_shape: Shape) -> Shape:
        """Declare the parameters for inputs of this shape (of one sample); return the shape of the output."""
        self.in_shape = self.out_shape = in_shape
        return in_shape

    def forward(self, x: Array, space: Space) -> Array:
        """Return the outputs for a batch."""
        raise NotImplementedError(f"{self.label}: expected a layer that defines forward(x, space)")

    def backward(self, dy: Array, space: Space) -> Array | None:
        """Add to the gradients of the parameters, and return the gradient with respect to the inputs."""
        raise NotImplementedError(f"{self.label}: expected a layer that defines backward(dy, space)")

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as values that JSON can represent."""
        return {}

    @property
    def multiply_adds(self) -> int:
        """Number of multiply-adds for one image; 0 for layers without weights.

        It counts the plain formula, even if a faster algorithm runs. Available after `build`.
        """
        return 0

    def arithmetic(self) -> str:
        """Return the calculation of the output size for messages: '26 = (28 - 3) + 1'."""
        return " x ".join(map(str, self.out_shape))

    def split_activation(self) -> tuple[Layer | None, type[ActivationFunction] | None]:
        """Return the layer without its final activation, sharing its parameters, and that activation."""
        return self, None

    def get_weights(self) -> list[Array]:
        """Return copies of the weights, in Keras' order and layout.

        Raises NotBuiltError if there are none yet: before the layer belongs to a network that is built.
        """
        return [np.array(parameter.constant) for parameter in self._built_parameters("get_weights")]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the weights from a list as `get_weights` returns it; none if one does not fit.

        Raises NotBuiltError if there are none yet, ShapeError or TypeError for arrays that do not fit.
        """
        caller = f"{self.label}.set_weights"
        assign(caller, self._built_parameters("set_weights"), weights)

    def _built_parameters(self, caller: str) -> Sequence[Parameter]:
        if not hasattr(self, "out_shape") or any(parameter.constant is None for parameter in self.parameters):
            raise NotBuiltError(
                f"{self.label}.{caller}: expected a layer of a built network, got one without weights; give "
                "input_size, or call build(input_shape) of the network"
            )
        return self.parameters

    def __repr__(self) -> str:
        return constructor_repr(self, self.config())

    def require_image(self, in_shape: Shape) -> None:
        """Raise ShapeError unless the input is an image (H, W, C)."""
        if len(in_shape) != 3:
            raise ShapeError(
                f"{self.label}: expected images (H, W, C), got {in_shape}; give x as (N, H, W) or (N, H, W, "
                "C), and put this layer before Flatten()"
            )
