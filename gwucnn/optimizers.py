"""How weights move: one compiled pass over all of them for each batch.

The update rules are PyTorch's, the names and defaults Keras'.
"""

from __future__ import annotations

import weakref
from math import inf
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from gwucnn import kernels
from gwucnn.errors import NotBuiltError
from gwucnn.parameters import Arena
from gwucnn.shapes import check_flag
from gwucnn.suggestions import check_keywords, look_up

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Optimizer", "optimizer"]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _fraction(who: str, name: str, value: Any) -> float:
    if not _is_number(value) or not 0 <= value < 1:
        raise ValueError(f"{who}: expected {name} to be a number from 0 to less than 1, got {value!r}")
    return float(value)


def _positive(who: str, name: str, value: Any) -> float:
    if not _is_number(value) or not 0 < value < inf:
        raise ValueError(f"{who}: expected {name} to be a positive number, got {value!r}")
    return float(value)


class Optimizer:
    """Moves weights against their gradients.

    Attributes
    ----------
    lr : float
        Learning rate. May be changed between batches.
    slots : dict of name to array, shape (trainable numbers,)
        What the optimizer remembers of earlier gradients.
    updates : int
        Batches so far.
    """

    slot_names: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Optimizer:
        check_keywords(cls.__name__, cls.__init__, kwargs)
        return super().__new__(cls)

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.slots: dict[str, Any] = {}
        self.updates = 0
        self._arena: Arena | None = None
        self._owner: Any = None

    @property
    def lr(self) -> float:
        """Learning rate: a positive number."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = _positive(type(self).__name__, "lr", value)

    def claim(self, owner: Any) -> None:
        """Belong to this network from now on; raise ValueError if it moves the weights of another."""
        if self._owner is not None and self._owner() not in (None, owner):
            raise ValueError(
                f"compile: expected an optimizer that no other network uses, got {self!r}; make a new one"
            )
        self._owner = weakref.ref(owner)

    def bind(self, arena: Arena) -> None:
        """Take the arena whose values `step` moves; forget what was remembered of another one."""
        values, grads = arena.values[: arena.trainable], arena.grads[: arena.trainable]
        if self._arena is not arena:
            self.slots = {name: np.zeros_like(values) for name in self._used_slots()}
            self.updates = 0
        self._arena = arena
        self._made_for = kernels.isa()
        self._update = self._kernel(values, grads)

    def step(self) -> None:
        """Move all trainable values once. Raises NotBuiltError before `bind`."""
        if self._arena is None:
            raise NotBuiltError(
                "step: expected an optimizer that is bound to weights; call bind(arena) first"
            )
        if self._made_for != kernels.isa():
            self.bind(self._arena)
        self.updates += 1
        self._update.lr = self._lr
        self._run()

    def _used_slots(self) -> tuple[str, ...]:
        return self.slot_names

    def _kernel(self, values: Any, grads: Any) -> Any:
        raise NotImplementedError

    def _run(self) -> None:
        self._update()

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"lr": self.lr}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"
        )


class SGD(Optimizer):
    """Stochastic gradient descent: value -= lr * grad.

    With momentum, velocity = momentum * velocity + grad takes the gradient's place; with nesterov,
    grad + momentum * velocity does (I. Sutskever et al., ICML 2013, section 2, in PyTorch's form).

    Parameters
    ----------
    lr : float
    momentum : float from 0 to less than 1
    nesterov : bool
        Needs momentum.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(lr)
        self.momentum, self.nesterov = (
            _fraction("SGD", "momentum", momentum),
            check_flag("SGD", "nesterov", nesterov),
        )
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: expected momentum above 0 with nesterov=True, got 0; try momentum=0.9")

    def _used_slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _kernel(self, values: Any, grads: Any) -> Any:
        return kernels.active.SGD(values, grads, self.slots.get("velocity"), self.momentum, self.nesterov)

    def config(self) -> dict[str, Any]:
        return {"lr": self.lr, "momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Adaptive moments: D. Kingma and J. Ba, arXiv:1412.6980, algorithm 1.

    Parameters
    ----------
    lr : float
    beta_1, beta_2 : float from 0 to less than 1
        How much of the averages of the gradient and of its square is kept at each step.
    epsilon : float
        Added to the root in the denominator.
    """

    slot_names = ("m", "v")

    def __init__(
        self, lr: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
    ) -> None:
        super().__init__(lr)
        self.beta_1, self.beta_2 = _fraction("Adam", "beta_1", beta_1), _fraction("Adam", "beta_2", beta_2)
        self.epsilon = _positive("Adam", "epsilon", epsilon)

    def _kernel(self, values: Any, grads: Any) -> Any:
        slots = self.slots
        return kernels.active.Adam(
            values, grads, slots["m"], slots["v"], self.beta_1, self.beta_2, self.epsilon
        )

    def _run(self) -> None:
        self._update.step = self.updates
        self._update()

    def config(self) -> dict[str, Any]:
        return {"lr": self.lr, "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def optimizer(given: Any, lr: float | None) -> Optimizer:
    """Return an optimizer given by name or class, with `lr` or its own default, or as an object."""
    if isinstance(given, Optimizer):
        if lr is not None:
            raise ValueError(
                f"compile: expected lr inside the optimizer, got lr={lr!r} beside {given!r}; leave it out"
            )
        return given
    if not (isinstance(given, type) and issubclass(given, Optimizer)):
        given = look_up("compile", "optimizer", given, OPTIMIZERS)
    return given() if lr is None else given(lr=lr)
