"""The estimators' networks, made from the parameter `model`: a name, layers or a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gwucnn import models
from gwucnn.common import ShapeError, check_size, look_up
from gwucnn.gwu_network import GWUNetwork
from gwucnn.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D, Normalization
from gwucnn.layers.augmentation import RandomLayer

__all__ = ["is_automatic", "make_network"]

# The initializer of layers before relu keeps the variance of the activations. Output layers start at zero, so that the
# first steps need not undo random predictions.
HIDDEN: dict[str, Any] = {"activation": "relu", "add_bias": True, "kernel_initializer": "he_normal"}
OUTPUT: dict[str, Any] = {"add_bias": True, "kernel_initializer": "zeros"}

NAMED: dict[str, Callable[..., GWUNetwork]] = {name: getattr(models, name) for name in models.__all__}


def is_automatic(model: Any) -> bool:
    """Whether `model` leaves the architecture to this module."""
    return isinstance(model, str) and model == "auto"


def make_network(
    caller: str,
    model: Any,
    shape: tuple[int, ...],
    outputs: int,
    activation: str | None,
    *,
    width: Any = None,
    augmentation: Any = None,
    **options: Any,
) -> GWUNetwork:
    """Return a network, built but not compiled, that shares no state with `model` and `augmentation`.

    shape : of one sample. outputs : number of outputs. activation : of the last layer, if this module creates it.
    width : of a model given by name. augmentation : layers in front of it. options : precision and seed.
    """
    weights: list[Any] = []
    in_front = _augmentation(caller, augmentation, shape)
    if isinstance(model, str):
        layers = _named(caller, model, _shape_after(in_front, shape), outputs, activation, width)
    else:
        if width is not None:
            raise ValueError(
                f"{caller}: expected width with a model given by name only, got width={width!r} with other layers; "
                "leave it out, and choose their sizes in model"
            )
        given = model(shape, outputs) if callable(model) else model
        if isinstance(given, GWUNetwork) and callable(model):
            options |= {name: getattr(given, name) for name in ("data_format", "fuse", "winograd")}
            # It may be pretrained; a network without weights has not been built.
            if all(parameter.constant is not None for parameter in given.parameters):
                weights = given.get_weights() if given.parameters else []
            given = given.layers
        layers = [_copied(layer) for layer in _checked(caller, given)]
    network = GWUNetwork([*in_front, *layers], **options)
    network.build(shape)
    if weights:
        network.set_weights(weights)
    return network


def _checked(caller: str, given: Any) -> Sequence[Layer]:
    """Return a list of layers, or raise TypeError."""
    if isinstance(given, (list, tuple)) and given and all(isinstance(layer, Layer) for layer in given):
        return given
    raise TypeError(
        f"{caller}: expected model to be a name, a list of layers, or a function (image_shape, n_outputs) that "
        f"returns layers or a GWUNetwork, got {given!r}; write model='auto' or model=[Conv2D(8), ...]"
    )


def _copied(layer: Layer) -> Layer:
    """Return a new layer with the same arguments, statistics of the data included."""
    measured: dict[str, Any] = {}
    if isinstance(layer, Normalization) and "mean" not in layer.config():
        measured = {name: values.tolist() for name, values in layer._statistics.items()}
    return type(layer)(**layer.config() | measured)


def _augmentation(caller: str, given: Any, shape: tuple[int, ...]) -> list[Layer]:
    """Return new layers like these, or raise an error if they are not augmentation or the samples not images."""
    if given is None:
        return []
    if not isinstance(given, (list, tuple)) or not all(isinstance(layer, RandomLayer) for layer in given):
        raise TypeError(
            f"{caller}: expected augmentation to be a list of augmentation layers, got {given!r}; write "
            "augmentation=[RandomTranslation(0.1, 0.1)], and put other layers into model"
        )
    if given and len(shape) == 1:
        raise ShapeError(
            f"{caller}: expected images for augmentation, got rows of {shape[0]} features; state image_shape=(H, W)"
        )
    return [_copied(layer) for layer in given]


def _shape_after(layers: list[Layer], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a sample of this shape after these layers, which are not built: a random crop changes it."""
    if not layers:
        return shape
    network = GWUNetwork([_copied(layer) for layer in layers])
    network.build(shape)
    return network.layers[-1].out_shape


def _named(
    caller: str, model: str, shape: tuple[int, ...], outputs: int, activation: str | None, width: Any
) -> list[Layer]:
    """Return the layers of a network of `gwucnn.models`, or of the one that fits these samples."""
    table: dict[str, Callable[..., GWUNetwork]] = {"auto": partial(_auto, shape), **NAMED}
    make = look_up(caller, "model", model, table)
    options = {}
    if width is not None:
        wide = [name for name, each in table.items() if "width" in inspect.signature(each).parameters]
        if model not in wide:
            raise ValueError(
                f"{caller}: expected width with a model that has one, {', '.join(map(repr, wide))}, got "
                f"width={width!r} with {model!r}; leave it out"
            )
        options["width"] = check_size(caller, "width", width)
    *layers, last = map(_copied, make(outputs, **options).layers)
    return [*layers, Dense(**last.config() | {"activation": activation})]


def _auto(shape: tuple[int, ...], outputs: int, *, width: int = 32) -> GWUNetwork:
    """Return convolutions of 3x3 and poolings until few pixels are left; none for small images.

    width : filters of the first convolution, to which all other sizes are proportional.
    """
    layers: list[Layer] = []
    if len(shape) == 1 or min(shape[:2]) < 4:
        layers += [Flatten()] if len(shape) > 1 else []
        return GWUNetwork([*layers, Dense(16 * width, **HIDDEN), Dense(outputs, **OUTPUT)])
    side, filters = min(shape[:2]), width
    while side >= 4:
        layers += [Conv2D(filters, 3, padding="same", **HIDDEN), MaxPooling2D()]
        side, filters = side // 2, min(2 * filters, 4 * width)
    return GWUNetwork([*layers, Flatten(), Dense(8 * width, **HIDDEN), Dense(outputs, **OUTPUT)])
