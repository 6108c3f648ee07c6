"""Weights: what a layer declares, and the two flat arrays in which a network keeps all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from gwucnn.errors import ShapeError

__all__ = ["Arena", "Parameter", "assign"]


class Parameter:
    """One array of weights of a layer.

    Declared by the layer's `build` with a name, a shape and an initializer (see `gwucnn.initializers`).
    `value` and `grad` are None until a network lays its parameters out in an Arena, and views into it from
    then on.

    Parameters
    ----------
    name : str
        Keras' word: kernel, bias, gamma, ...
    shape : tuple of int
    initializer : callable (array, numpy Generator) -> None
        Fills an array in place.
    trainable : bool
        False for weights that are frozen, and for running statistics: no optimizer touches them.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Callable[[Any, Any], None],
        trainable: bool = True,
    ) -> None:
        self.name = name
        self.shape = shape
        self.initializer = initializer
        self.trainable = trainable
        self.value: Any = None
        self.grad: Any = None

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return prod(self.shape)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, {self.shape})"


class Arena:
    """All weights of a network in one array, all gradients in another, trainable ones first.

    Resetting the gradients is one fill, an optimizer step one pass, a snapshot of the weights one copy.

    Attributes
    ----------
    values : array, shape (numbers,)
    grads : array, shape (numbers,)
        By which the loss changes; what stands behind the trainable prefix is never used.
    trainable : int
        Length of the prefix that optimizers may change.
    """

    def __init__(self, parameters: Iterable[Parameter], dtype: Any) -> None:
        ordered = sorted(parameters, key=lambda parameter: not parameter.trainable)
        self.values = np.zeros(sum(parameter.size for parameter in ordered), dtype)
        self.grads = np.zeros_like(self.values)
        self.trainable = sum(parameter.size for parameter in ordered if parameter.trainable)
        self._parameters = ordered
        start = 0
        for parameter in ordered:
            stop = start + parameter.size
            value = self.values[start:stop].reshape(parameter.shape)
            if parameter.value is not None:
                value[...] = parameter.value
            parameter.value, parameter.grad = value, self.grads[start:stop].reshape(parameter.shape)
            start = stop

    @property
    def fits(self) -> bool:
        """Whether the parameters that are trainable now are still those of the prefix."""
        flags = [parameter.trainable for parameter in self._parameters]
        size = sum(parameter.size for parameter in self._parameters if parameter.trainable)
        return flags == sorted(flags, reverse=True) and size == self.trainable


def assign(who: str, parameters: Sequence[Parameter], weights: Sequence[Any]) -> None:
    """Copy arrays into the values of parameters; all or, if one does not fit, none."""
    arrays = [np.asarray(weight) for weight in weights]
    if len(arrays) != len(parameters):
        raise ShapeError(f"{who}: expected {len(parameters)} arrays, got {len(arrays)}")
    for number, (parameter, array) in enumerate(zip(parameters, arrays, strict=True)):
        which = f"{who}: expected array {number} ({parameter.name})"
        if array.shape != parameter.shape:
            raise ShapeError(f"{which} of shape {parameter.shape}, got {array.shape}")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{which} to be numbers, got {array.dtype}")
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.value[...] = array
