"""How a layer is put behind another: in a network, and in a block of a network."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

from gwucnn.common import Shape, ShapeError, SizeMismatchWarning, warn_user
from gwucnn.layers.base import Layer

__all__ = ["Layers", "build_layer", "check_made", "require_new_layer", "shown", "stated"]


# What lists have and tuples have not.
CHANGES = ("append", "clear", "copy", "extend", "insert", "pop", "remove", "reverse", "sort")


class Layers(tuple):
    """Layers one after the other, or branches side by side, to read: a change would miss what `add` does."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name in CHANGES:
            raise AttributeError(
                f"layers: expected a row to read, got .{name}; put a layer on top by network.add(layer), or "
                "make a new network or block"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def require_new_layer(caller: str, layer: Any) -> None:
    """Raise TypeError unless `layer` is one, ValueError if it has its place in a network or a block."""
    if not isinstance(layer, Layer):
        is_class = isinstance(layer, type) and issubclass(layer, Layer)
        hint = f"; write {layer.__name__}(...)" if is_class else ""
        got = repr(layer)
        if isinstance(layer, (list, tuple)):
            hint = "; add layers one by one"
        elif isinstance(layer, str):
            hint = "; write Dense(10), or for an activation Activation('relu')"
        elif hasattr(layer, "layers"):
            got, hint = f"a {type(layer).__name__}", "; make its layers anew and add them one by one"
        raise TypeError(f"{caller}: expected a layer, got {got}{hint}")
    if "." in layer.label:
        raise ValueError(f"{caller}: expected a layer that is in no network yet, got {layer.label}; make a new one")


def shown(shape: Shape, channels_first: bool) -> Shape:
    """Return a shape, which is channels last, in the user's order."""
    return (shape[2], *shape[:2]) if channels_first and len(shape) == 3 else shape


def stated(layer: Layer, channels: int, channels_first: bool) -> Shape | None:
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
    return (*size[1:], size[0]) if channels_first else tuple(size)


def build_layer(layer: Layer, in_shape: Shape, channels_first: bool, source: Callable[[], str] | None = None) -> Shape:
    """Build a layer for inputs of this shape, and return that of its outputs.

    `source` tells what makes the inputs, 'Conv2D makes 26 = (28 - 3) + 1': a layer that states another size
    than they have is corrected, with a warning. Without `source` the size was taken from the layer.
    """
    if source is not None:
        _correct_stated(layer, in_shape, channels_first, source)
    made = layer.build(in_shape)
    if not isinstance(made, tuple) or not all(isinstance(length, Integral) for length in made):
        raise TypeError(f"{layer.label}: expected build to return a tuple, the shape of one output, got {made!r}")
    layer.in_shape, layer.out_shape = in_shape, made
    return made


def _correct_stated(layer: Layer, shape: Shape, channels_first: bool, source: Callable[[], str]) -> None:
    said = stated(layer, shape[-1], channels_first)
    # Images for a layer of features, or the other way round, are for its build to refuse.
    if said is None or said == shape or len(shape) != (3 if layer.takes_images else 1):
        return
    was: Any = layer.input_size
    if not layer.takes_images or (isinstance(was, int) and shape[0] == shape[1]):
        true: Any = shape[0]
    else:
        true = shape[:2] if isinstance(was, int) or len(was) == 2 else shown(shape, channels_first)
    warn_user(f"{type(layer).__name__}: input_size={was} stated, {source()}; using {true}", SizeMismatchWarning)
    layer.input_size = true


def check_made(layer: Layer, y: Any, dtype: Any) -> None:
    """Raise an error unless a layer's outputs are of the shape that its build returned, and of `dtype`."""
    shape = getattr(y, "shape", None)
    if shape is None or shape[1:] != layer.out_shape:
        sizes = ", ".join(map(str, ("N", *layer.out_shape)))
        made = "an array" if shape is None else "from build the shape of one output"
        raise ShapeError(
            f"{layer.label}: expected forward to return outputs ({sizes}), as its build says, got {shape}; "
            f"return {made}"
        )
    if y.dtype != dtype:
        raise TypeError(
            f"{layer.label}: expected forward to return {dtype}, got {y.dtype}; convert with astype(x.dtype)"
        )
