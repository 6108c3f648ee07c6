"""How users connect layers: by calling them on the symbolic outputs of others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from gwucnn.common import Shape, ShapeError, check_size, look_up, set_inside
from gwucnn.layers.base import Layer
from gwucnn.layers.graphs.merge import Add, Multiply, Subtract
from gwucnn.layers.inserting import build_layer, in_user_order

__all__ = ["Input", "Tensor"]

_numbers = itertools.count()


class Tensor:
    """The output of a layer, or an input of a network, before there are any numbers.

    Besides calling layers on tensors, they can be added, subtracted and multiplied: a + b is Add()([a, b]).

    Attributes
    ----------
    shape : tuple
        None for the number of samples, then the sizes in the order of the input's data_format.
    layer : Layer or None
        What computes it; None for an input.
    sources : tuple of Tensor
        What the layer reads.
    name : str or None
        Of an input.
    """

    def __init__(
        self,
        sample_shape: Shape,
        channels_first: bool,
        layer: Layer | None = None,
        sources: Sequence[Tensor] = (),
        name: str | None = None,
    ) -> None:
        self.sample_shape = sample_shape  # channels last
        self.channels_first = channels_first
        self.layer, self.sources, self.name = layer, tuple(sources), name
        self.number = next(_numbers)  # in the order of creation, so that sources come before what reads them

    @property
    def shape(self) -> tuple[int | None, ...]:
        """None, for the number of samples, and the sizes of one sample."""
        return (None, *in_user_order(self.sample_shape, self.channels_first))

    def connect(self, layer: Layer, tensors: Sequence[Any]) -> Tensor:
        """Return the output of a layer for these tensors, of which this is the first. The layer is built if need be."""
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"{layer.label}: expected outputs of Input(shape) or of other layers, got {type(tensor).__name__} "
                    "among them; give all inputs in one list"
                )
            if tensor.channels_first != self.channels_first:
                raise ValueError(
                    f"{layer.label}: expected inputs of one data_format, got channels_first and channels_last; give "
                    "each Input the same data_format"
                )
        shapes = tuple(tensor.sample_shape for tensor in tensors)
        in_shape: Any = shapes[0] if len(shapes) == 1 else shapes
        if not hasattr(layer, "out_shape"):
            _build(layer, in_shape, tensors)
        elif layer.in_shape != in_shape:
            raise ShapeError(
                f"{layer.label}: expected inputs as in its first call, {layer.in_shape}, got {in_shape}; make a new "
                "layer for these"
            )
        return Tensor(layer.out_shape, self.channels_first, layer, tensors)

    def __add__(self, other: Any) -> Any:
        """Return the sum of two tensors, as `Add` does."""
        return Add()([self, other]) if isinstance(other, Tensor) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        """Return the difference of two tensors, as `Subtract` does."""
        return Subtract()([self, other]) if isinstance(other, Tensor) else NotImplemented

    def __mul__(self, other: Any) -> Any:
        """Return the product of two tensors, as `Multiply` does."""
        return Multiply()([self, other]) if isinstance(other, Tensor) else NotImplemented

    def __iter__(self) -> Any:
        raise TypeError("Tensor: expected a layer called on it, got a loop; it has a shape, and no numbers yet")

    def __repr__(self) -> str:
        made = f", by {self.layer!r}" if self.layer is not None else f", name={self.name!r}" if self.name else ""
        return f"<Tensor {self.shape}{made}>"


def _build(layer: Layer, in_shape: Any, tensors: Sequence[Tensor]) -> None:
    first = tensors[0]
    if first.channels_first and hasattr(layer, "channels_first"):
        set_inside(layer, channels_first=True)
    before = first.layer

    def source() -> str:
        made = in_user_order(first.sample_shape, first.channels_first)
        return (
            "Input has " + " x ".join(map(str, made))
            if before is None
            else (f"{type(before).__name__} makes {before.arithmetic()}")
        )

    build_layer(layer, in_shape, first.channels_first, source if len(tensors) == 1 else None)


def Input(shape: Any, *, name: str | None = None, data_format: str = "channels_last") -> Tensor:
    """Return an input of a network of connected layers.

    Calling a layer on it, or on the output of another layer, returns the output of that layer; from inputs and outputs
    follows the network. Unlike a list of layers, it may branch and merge as it likes, have several inputs and outputs,
    and use a layer in several places.

    Parameters
    ----------
    shape : (H, W), (H, W, C), or D for features
        Of one sample; (C, H, W) with data_format='channels_first'. None as its first size, for the samples, is ignored.
    name : str, optional
        By which data are given to a network with several inputs; by default 'input_0' and so on.
    data_format : 'channels_last' or 'channels_first'
        As that of the network.

    Raises
    ------
    ShapeError, TypeError, ValueError
        For anything but sizes. Layers that do not fit raise ShapeError when they are called.

    Examples
    --------
    >>> from gwucnn import Add, Conv2D, Dense, GlobalAveragePooling2D, GWUNetwork, Input
    >>> x = Input((32, 32, 3))
    >>> y = Conv2D(8, padding='same', activation='relu')(x)
    >>> z = Add()([y, Conv2D(8, padding='same')(y)])
    >>> z.shape
    (None, 32, 32, 8)
    >>> outputs = Dense(10, activation='softmax')(GlobalAveragePooling2D()(z))
    >>> network = GWUNetwork(inputs=x, outputs=outputs, seed=0)
    >>> [type(layer).__name__ for layer in network.layers]
    ['Conv2D', 'Conv2D', 'Add', 'GlobalAveragePooling2D', 'Dense']
    """
    channels_first = look_up("Input", "data_format", data_format, {"channels_last": False, "channels_first": True})
    sizes = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    if len(sizes) > 1 and sizes[0] is None:
        sizes = sizes[1:]
    if len(sizes) not in (1, 2, 3):
        raise ShapeError(
            f"Input: expected the shape of one sample, (H, W), (H, W, C) or (D,), got {shape}; leave out the number of "
            "samples"
        )
    checked = tuple(check_size("Input", "shape", size) for size in sizes)
    if len(checked) == 2:
        checked = (*checked, 1)
    elif len(checked) == 3 and channels_first:
        checked = (*checked[1:], checked[0])
    return Tensor(checked, channels_first, name=name)
