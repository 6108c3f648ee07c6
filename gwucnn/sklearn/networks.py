"""The estimators' networks, made from the parameter `model`: a name, layers or a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gwucnn import models
from gwucnn.common import look_up
from gwucnn.gwu_network import GWUNetwork
from gwucnn.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D, Normalization

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
    caller: str, model: Any, shape: tuple[int, ...], outputs: int, activation: str | None, **options: Any
) -> GWUNetwork:
    """Return a network, built but not compiled, that shares no state with `model`.

    shape : of one sample. outputs : number of outputs. activation : of the last layer, if this module creates it.
    options : precision and seed.
    """
    weights: list[Any] = []
    if isinstance(model, str):
        layers = _named(caller, model, shape, outputs, activation)
    else:
        given = model(shape, outputs) if callable(model) else model
        if isinstance(given, GWUNetwork) and callable(model):
            options |= {name: getattr(given, name) for name in ("data_format", "fuse", "winograd")}
            # It may be pretrained; a network without weights has not been built.
            if all(parameter.constant is not None for parameter in given.parameters):
                weights = given.get_weights() if given.parameters else []
            given = given.layers
        layers = [_copied(layer) for layer in _checked(caller, given)]
    network = GWUNetwork(layers, **options)
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


def _named(caller: str, model: str, shape: tuple[int, ...], outputs: int, activation: str | None) -> list[Layer]:
    """Return the layers of a network of `gwucnn.models`, or of the one that fits these samples."""
    make = look_up(caller, "model", model, {"auto": None, **NAMED})
    *layers, last = _auto(shape, outputs) if make is None else map(_copied, make(outputs).layers)
    return [*layers, Dense(**last.config() | {"activation": activation})]


def _auto(shape: tuple[int, ...], outputs: int) -> list[Layer]:
    """Return convolutions of 3x3 and poolings until few pixels are left; none for small images."""
    layers: list[Layer] = []
    if len(shape) == 1 or min(shape[:2]) < 4:
        layers += [Flatten()] if len(shape) > 1 else []
        return [*layers, Dense(512, **HIDDEN), Dense(outputs, **OUTPUT)]
    side, filters = min(shape[:2]), 32
    while side >= 4:
        layers += [Conv2D(filters, 3, padding="same", **HIDDEN), MaxPooling2D()]
        side, filters = side // 2, min(2 * filters, 128)
    return [*layers, Flatten(), Dense(256, **HIDDEN), Dense(outputs, **OUTPUT)]
