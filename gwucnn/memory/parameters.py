"""Weights: what a layer declares, and the two flat arrays in which a network keeps all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from gwucnn.common import ShapeError
from gwucnn.memory.aligned import aligned_empty

__all__ = ["Arena", "Parameter", "assign"]

# Updates of running statistics that were set, not trained: t / (t + 1) is 1 to the last bit, and no run
# reaches the end of int64 from here.
MANY = 2**62


class Parameter:
    """One array of weights of a layer.

    Declared by the layer's `build` with a name, a shape and an initializer (see `gwucnn.initializers`).
    `value`, `constant` and `grad` are None until a network lays its parameters out in an Arena, and views
    into it from then on.

    Parameters
    ----------
    name : str
        Keras' word: kernel, bias, gamma, ...
    shape : tuple of int
    initializer : callable (array, numpy Generator) -> None
        Fills an array in place.
    trainable : bool
        False for weights that are frozen, and for running statistics: no optimizer touches them.
    regularizer : Regularizer, optional
        Penalty on these weights while they are trained.
    updates : int64 array, shape (1,), optional
        Of running statistics: how many batches have moved them, part of what a saved network needs.
        Statistics that move together share one array.

    Attributes
    ----------
    constant : array
        The weights, read-only: what a layer's forward and backward should use.
    grad : array
        By which the loss changes; backward adds to it.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Callable[[Any, Any], None],
        trainable: bool = True,
        regularizer: Any = None,
        *,
        updates: Any = None,
    ) -> None:
        self.name = name
        self.shape = shape
        self.initializer = initializer
        self.trainable = trainable
        self.regularizer = regularizer
        self.updates = updates
        self.constant: Any = None
        self.grad: Any = None
        self._value: Any = None
        self._arena: Arena | None = None

    @property
    def value(self) -> Any:
        """The weights, to be read and written.

        Whoever holds this array can change weights unseen, so from then on the network prepares them anew for
        each batch that it predicts. To read them use `constant`, to write them all assign to `value`.
        """
        if self._arena is not None:
            self._arena.tracked = False
        return self._value

    @value.setter
    def value(self, array: Any) -> None:
        if self._arena is None:
            self._hold(array)
        else:
            self._value[...] = array
            self._arena.version += 1

    @property
    def running(self) -> Any:
        """The array itself, for steps that `Space.defer` hands to whoever moves the weights and says so."""
        return self._value

    def move_to(self, arena: Arena, value: Any, grad: Any) -> None:
        """Move into views of an arena's arrays."""
        if self._value is not None:
            value[...] = self._value
        self._arena, self.grad = arena, grad
        self._hold(value)

    def _hold(self, value: Any) -> None:
        self._value = value
        self.constant = value.view()
        self.constant.flags.writeable = False

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
    version : int
        Goes up whenever values were changed.
    trained : list of Parameter
        Those of the prefix, in its order.
    tracked : bool
        Whether nobody was ever given an array through which values could change unseen.
    """

    def __init__(self, parameters: Iterable[Parameter], dtype: Any) -> None:
        ordered = sorted(parameters, key=lambda parameter: not parameter.trainable)
        self.values, self.grads = (_zeros(ordered, dtype) for _ in range(2))
        self.trainable = sum(parameter.size for parameter in ordered if parameter.trainable)
        self.version = 0
        self.tracked = True
        self._parameters = ordered
        self.trained = [parameter for parameter in ordered if parameter.trainable]
        start = 0
        for parameter in ordered:
            stop = start + parameter.size
            shape = parameter.shape
            parameter.move_to(self, self.values[start:stop].reshape(shape), self.grads[start:stop].reshape(shape))
            start = stop

    def parts(self, flat: Any) -> Iterator[tuple[Parameter, Any]]:
        """Yield the parameters of the prefix, and what an array that lies like it holds for each."""
        start = 0
        for parameter in self.trained:
            yield parameter, flat[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size

    @property
    def is_current(self) -> bool:
        """Whether the parameters that are trainable now are still those of the prefix."""
        flags = [parameter.trainable for parameter in self._parameters]
        size = sum(parameter.size for parameter in self._parameters if parameter.trainable)
        return flags == sorted(flags, reverse=True) and size == self.trainable


def _zeros(parameters: Sequence[Parameter], dtype: Any) -> Any:
    """Return zeros for all parameters; the largest begins a cache line, as few vectors then straddle two."""
    sizes = [parameter.size for parameter in parameters]
    before = sum(sizes[: sizes.index(max(sizes))]) if sizes else 0
    flat = aligned_empty((sum(sizes),), np.dtype(dtype), line=before)
    flat.fill(0)
    return flat


def assign(caller: str, parameters: Sequence[Parameter], weights: Sequence[Any]) -> None:
    """Copy arrays into the values of parameters; all or, if one does not fit, none.

    Running statistics among them count as those of many batches: what comes next moves them by little.
    """
    arrays = [np.asarray(weight) for weight in weights]
    if len(arrays) != len(parameters):
        raise ShapeError(
            f"{caller}: expected {len(parameters)} arrays, got {len(arrays)}; give what get_weights returns"
        )
    for number, (parameter, array) in enumerate(zip(parameters, arrays, strict=True)):
        which = f"{caller}: expected array {number} ({parameter.name})"
        if array.shape != parameter.shape:
            raise ShapeError(f"{which} of shape {parameter.shape}, got {array.shape}; give what get_weights returns")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{which} to be numbers, got {array.dtype}")
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.value = array
        if parameter.updates is not None:
            parameter.updates[...] = MANY
