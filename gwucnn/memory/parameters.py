"""Weights: the parameters that layers declare, and the arena of two flat arrays that holds all of a network.

Kernels may transform weights once and reuse the result until the weights change. `Arena.version` counts the changes:
the optimizer, assignments to `Parameter.value` and everything else in the package increment it. Layers therefore read
weights through `Parameter.constant`, a read-only view. `Parameter.value` hands out a writable array, through which
weights can change without notice; from then on `Arena.tracked` is False, and transformed weights are no longer reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from gwucnn.common import ChecksArguments, ShapeError, check_flag
from gwucnn.memory.aligned import aligned_zeros

__all__ = ["Arena", "Parameter", "assign"]

# Count of updates for running statistics that were set rather than trained: t / (t + 1) rounds to 1, and no run
# overflows int64 from here.
MANY_UPDATES = 2**62


class Parameter(ChecksArguments):
    """One array of weights of a layer.

    A layer declares it in `build`, with a name, a shape and an initializer (see `gwucnn.initializers`). `value`,
    `constant` and `grad` are None until the network lays its parameters out in an Arena, and views into it from then
    on.

    Parameters
    ----------
    name : str
        The name in Keras: kernel, bias, gamma, ...
    shape : tuple of int
    initializer : callable (array, numpy Generator) -> None
        Fills an array in place.
    trainable : bool
        False for running statistics and other numbers that are not learned, which optimizers never touch.
    regularizer : Regularizer, optional
        Penalty on these weights while they are trainable.
    updates : int64 array, shape (1,), optional
        For running statistics: the number of batches that have updated them, which is saved with the network.
        Statistics that are updated together share one array.

    Attributes
    ----------
    constant : array
        The weights, read-only: use these in `forward` and `backward`.
    trainable : bool
        Whether optimizers update the weights now. A change takes effect at the next step of training.
    learned : bool
        Whether they may be trainable: False for those declared otherwise.
    grad : array
        The gradient of the loss with respect to the weights; `backward` accumulates into it. Assigning numbers to it
        or to `value` writes them into the network's arrays.
    """

    _assignable = ("grad", "trainable", "value")

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
        self.learned = self._trainable = trainable
        self.regularizer = regularizer
        self.updates = updates
        self._constant: Any = None
        self._grad: Any = None
        self._value: Any = None
        self._arena: Arena | None = None

    @property
    def trainable(self) -> bool:
        """Whether optimizers update the weights; a change takes effect at the next step of training."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = check_flag(self.name, "trainable", value)
        if value != self._trainable and self._arena is not None:
            self._arena.outdated = True
        self._trainable = value

    @property
    def constant(self) -> Any:
        """The weights, read-only."""
        return self._constant

    @property
    def grad(self) -> Any:
        """The gradient of the loss with respect to the weights."""
        return self._grad

    @grad.setter
    def grad(self, array: Any) -> None:
        if self._grad is None:
            self._grad = array
        elif array is not self._grad:  # which it is after +=
            self._grad[...] = array

    @property
    def value(self) -> Any:
        """The weights as a writable array.

        Since they can be changed through this array without notice, the network stops reusing transformed weights from
        then on. To read weights use `constant`; to set all of them, assign to `value`.
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
        """The writable array, for steps deferred by `Space.defer`, whose changes are counted in `Arena.version`."""
        return self._value

    def move_to(self, arena: Arena, value: Any, grad: Any) -> None:
        """Move the weights into views of an arena's arrays."""
        if self._value is not None:
            value[...] = self._value
        if self._arena is not None:
            self._arena.outdated = True
        self._arena, self._grad = arena, grad
        self._hold(value)

    def _hold(self, value: Any) -> None:
        self._value = value
        self._constant = value.view()
        self._constant.flags.writeable = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, {self.shape})"


class Arena:
    """All weights of a network in one array and all gradients in another, trainable ones first.

    Resetting the gradients is one fill, an optimizer step one pass, a snapshot of the weights one copy.

    Attributes
    ----------
    values : array, shape (numbers,)
    grads : array, shape (numbers,)
        The gradients. Elements behind the trainable prefix are never used.
    trainable : int
        Length of the prefix that optimizers update.
    version : int
        Incremented whenever values have changed.
    trained : list of Parameter
        The parameters of the prefix, in order.
    tracked : bool
        Whether `version` counts every change: False once a writable array was handed out.
    outdated : bool
        Whether parameters may have been frozen or unfrozen since, or moved to the arena of another network that shares
        them, so that a new arena is needed.
    """

    def __init__(self, parameters: Iterable[Parameter], dtype: Any) -> None:
        ordered = sorted(parameters, key=lambda parameter: not parameter.trainable)
        self.values, self.grads = (_zeros(ordered, dtype) for _ in range(2))
        self.trainable = sum(parameter.size for parameter in ordered if parameter.trainable)
        self.version = 0
        self.tracked = True
        self.outdated = False
        self.trained = [parameter for parameter in ordered if parameter.trainable]
        start = 0
        for parameter in ordered:
            stop = start + parameter.size
            shape = parameter.shape
            parameter.move_to(self, self.values[start:stop].reshape(shape), self.grads[start:stop].reshape(shape))
            start = stop

    def parts(self, flat: Any) -> Iterator[tuple[Parameter, Any]]:
        """Yield the trainable parameters, each with its part of an array that is laid out like the prefix."""
        start = 0
        for parameter in self.trained:
            yield parameter, flat[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size


def _zeros(parameters: Sequence[Parameter], dtype: Any) -> Any:
    """Return zeros for all parameters. The largest starts at a cache line, so that few vectors straddle two."""
    sizes = [parameter.size for parameter in parameters]
    before = sum(sizes[: sizes.index(max(sizes))]) if sizes else 0
    return aligned_zeros((sum(sizes),), np.dtype(dtype), line=before)


def assign(caller: str, parameters: Sequence[Parameter], weights: Sequence[Any], dtype: Any = None) -> None:
    """Copy arrays into the values of parameters; if one does not fit, copy none.

    dtype : of the parameters, if they have no values yet.

    Running statistics among them count as averages over many batches, so that further batches change them little.
    """
    if isinstance(weights, (str, Mapping)) or not isinstance(weights, Iterable):
        got = type(weights).__name__
        raise TypeError(f"{caller}: expected a list of arrays, got {got}; give what get_weights returns")
    arrays = []
    for number, weight in enumerate(weights):
        try:
            arrays.append(np.asarray(weight))
        except ValueError:
            raise ShapeError(f"{caller}: expected array {number} to have rows of one length, got several") from None
    if len(arrays) != len(parameters):
        raise ShapeError(
            f"{caller}: expected {len(parameters)} arrays, got {len(arrays)}; give what get_weights returns"
        )
    for number, (parameter, array) in enumerate(zip(parameters, arrays, strict=True)):
        place = f"{caller}: expected array {number} ({parameter.name})"
        if array.shape != parameter.shape:
            raise ShapeError(f"{place} of shape {parameter.shape}, got {array.shape}; give what get_weights returns")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{place} to be numbers, got {array.dtype}")
        kind = np.dtype(dtype if parameter.constant is None else parameter.constant.dtype)
        wider = array.dtype.kind == "f" and array.dtype.itemsize > kind.itemsize
        if wider and (np.abs(array[np.isfinite(array)]) > np.finfo(kind).max).any():
            raise ValueError(f"{place} to fit into {kind}, got {np.abs(array[np.isfinite(array)]).max():g}")
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.value = array if parameter.constant is not None else np.array(array, dtype)
        if parameter.updates is not None:
            parameter.updates[...] = MANY_UPDATES
