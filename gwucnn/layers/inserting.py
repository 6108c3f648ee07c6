"""Putting a layer after another one, in a network or in a nested layer: names, sizes and checks."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

from gwucnn.common import Shape, ShapeError, SizeMismatchWarning, set_inside, warn_user
from gwucnn.layers.base import Layer

__all__ = ["Layers", "build_layer", "check_output", "in_user_order", "require_new_layer", "stated_shape"]


# Methods that lists have and tuples do not.
LIST_METHODS = ("append", "clear", "copy", "extend", "insert", "pop", "remove", "reverse", "sort")


class Layers(tuple):
    """A tuple of consecutive layers or parallel branches, with a helpful error for attempts to modify it."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name in LIST_METHODS:
            raise AttributeError(
                f"layers: expected no modification, got .{name}; append a layer by network.add(layer), or "
                "make a new network or block"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def require_new_layer(caller: str, layer: Any) -> None:
    """Raise TypeError unless `layer` is a layer, ValueError if it already belongs to a network or a nested layer."""
    if not isinstance(layer, Layer):
        is_class = isinstance(layer, type) and issubclass(layer, Layer)
        hint = f"; write {layer.__name__}(...)" if is_class else ""
        got = repr(layer)
        if isinstance(layer, (list, tuple)):
            hint = "; add layers one by one"
        elif isinstance(layer, str):
            hint = "; write Dense(10), or for an activation Activation('relu')"
        elif hasattr(layer, "layers"):
            got, hint = f"a {type(layer).__name__}", "; give its layers one by one: a block has layers of its own"
        raise TypeError(f"{caller}: expected a layer, got {got}{hint}")
    if "." in layer.label:
        raise ValueError(
            f"{caller}: expected a layer that belongs to no network yet, got {layer.label}; make a new one"
        )


def in_user_order(shape: Shape, channels_first: bool) -> Shape:
    """Return a channels-last shape in the user's order."""
    return (shape[2], *shape[:2]) if channels_first and len(shape) == 3 else shape


def stated_shape(layer: Layer, channels: int, channels_first: bool) -> Shape | None:
    """Return the input shape that a layer states, with `channels` if it leaves them open; None if it states none."""
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
    """Build a layer for inputs of this shape, and return the shape of its outputs.

    `source` returns where the inputs come from, 'Conv2D makes 26 = (28 - 3) + 1'. If the layer states another size, it
    is corrected with a warning. Without `source` the size was taken from the layer itself.
    """
    if source is not None:
        _correct_stated(layer, in_shape, channels_first, source)
    out_shape = layer.build(in_shape)
    if not isinstance(out_shape, tuple) or not all(isinstance(length, Integral) for length in out_shape):
        raise TypeError(f"{layer.label}: expected build to return a tuple, the shape of one output, got {out_shape!r}")
    set_inside(layer, in_shape=in_shape, out_shape=out_shape)
    if not layer.children:  # which have been built in the same way
        layer.mark_parameters()  # also those of users' layers
    return out_shape


def _correct_stated(layer: Layer, shape: Shape, channels_first: bool, source: Callable[[], str]) -> None:
    said = stated_shape(layer, shape[-1], channels_first)
    # If images and features are confused, `build` of the layer raises the error.
    if said is None or said == shape or len(shape) != (3 if layer.takes_images else 1):
        return
    was: Any = layer.input_size
    if not layer.takes_images or (isinstance(was, int) and shape[0] == shape[1]):
        true: Any = shape[0]
    else:
        true = shape[:2] if isinstance(was, int) or len(was) == 2 else in_user_order(shape, channels_first)
    warn_user(f"{type(layer).__name__}: input_size={was} stated, {source()}; using {true}", SizeMismatchWarning)
    set_inside(layer, input_size=true)


def check_output(layer: Layer, y: Any, dtype: Any) -> None:
    """Raise an error unless the outputs of a layer have the shape that `build` returned, and this dtype."""
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
