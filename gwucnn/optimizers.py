"""Optimizers: one compiled pass over all weights for each batch.

The update rules are those of PyTorch, the names and defaults those of Keras.

For a single image, the gradient of a dense layer is an outer product that is used only once, in the update. With plain
SGD the update therefore computes it on the fly instead of writing and reading it: `defer_gradients` hands the steps
that would write such gradients to the optimizer, and `apply_deferred` writes the gradients of the last batch, so that
`grad` holds the same values as otherwise. Only `engine/sweeper.py` uses this.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from gwucnn import kernels
from gwucnn.common import (
    Configurable,
    NotBuiltError,
    check_flag,
    check_fraction,
    check_nonnegative,
    check_positive,
    check_size,
    classes_by_name,
    from_config,
    look_up,
)
from gwucnn.memory import Arena
from gwucnn.schedules import Schedule, schedule

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "optimizer"]


class _Progress:
    """What each step changes. Apart, because an optimizer checks all assignments, which takes time."""

    __slots__ = ("lr", "updates")

    def __init__(self) -> None:
        self.lr, self.updates = 0.0, 0


class Optimizer(Configurable):
    """Updates weights by their gradients.

    Attributes
    ----------
    lr : float
        The learning rate; with a schedule, that of the last update. May be set between batches: a number ends the
        schedule, a `gwucnn.schedules` object starts one.
    schedule : Schedule or None
    slots : dict of name to array, shape (trainable numbers,)
        The state that the optimizer derives from earlier gradients. Write into these arrays to restore it.
    updates : int
        Number of updates so far. With the slots, it is the whole state.
    """

    _assignable = ("lr", "updates")
    _remedy = "call compile again with optimizer={}"

    slot_names: ClassVar[tuple[str, ...]] = ()
    weight_decay = 0.0
    _decoupled = False  # whether weight_decay shrinks the weights directly, instead of being part of the gradient
    _slots_start_at = 0.0

    def __init__(self, lr: Any) -> None:
        self._now = _Progress()
        self.lr = lr
        self._slots: dict[str, Any] = {}
        self._arena: Arena | None = None
        self._update: Any = None
        self._decay: Any = None
        self._owner: Any = None

    @property
    def lr(self) -> float:
        """The learning rate: a positive number, or a schedule."""
        return self._now.lr

    @lr.setter
    def lr(self, value: Any) -> None:
        caller = type(self).__name__
        planned = schedule(caller, "lr", value)
        self._now.lr = check_positive(caller, "lr", value) if planned is None else planned.rate(self.updates)
        self._schedule = planned

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of the learning rate, None if it is a number. To start or end one assign to `lr`."""
        return self._schedule

    @property
    def slots(self) -> dict[str, Any]:
        """The arrays that the optimizer derives from earlier gradients, by name."""
        return self._slots

    @property
    def updates(self) -> int:
        """The number of updates so far."""
        return self._now.updates

    @updates.setter
    def updates(self, value: int) -> None:
        self._now.updates = check_size(type(self).__name__, "updates", value, 0)

    def claim(self, owner: Any) -> None:
        """Reserve this optimizer for a network; raise ValueError if it belongs to another one."""
        if self._owner is not None and self._owner() not in (None, owner):
            raise ValueError(f"compile: expected an optimizer that no other network uses, got {self!r}; make a new one")
        self._owner = weakref.ref(owner)

    def bind(self, arena: Arena) -> None:
        """Bind to the arena whose values `step` updates.

        Of the slots of another arena, those of weights that are trained in both are kept, and the number of updates
        with them; the others start anew.
        """
        values, grads = arena.values[: arena.trainable], arena.grads[: arena.trainable]
        self.apply_deferred()
        if self._arena is not arena:
            before, old = self._arena, self._slots
            self._slots = {name: np.full_like(values, self._slots_start_at) for name in self._used_slots()}
            if before is None or not self._carry_over(before, old, arena):
                self._now.updates = 0
        self._arena = arena
        self._bound_isa = kernels.isa()
        self._update = self._kernel(values, grads)
        # The gradient of the penalty weight_decay / 2 * sum of value**2 is weight_decay * value.
        coupled = bool(self.weight_decay) and not self._decoupled
        self._decay = kernels.active.Penalty(values, grads, 0.0, self.weight_decay / 2) if coupled else None

    def _carry_over(self, before: Arena, old: Mapping[str, Any], arena: Arena) -> bool:
        """Copy the slots of weights that are trained in both arenas; return whether there are such weights."""
        kept = {id(parameter) for parameter in before.trained} & {id(parameter) for parameter in arena.trained}
        for name, slot in self.slots.items():
            parts = {id(parameter): part for parameter, part in before.parts(old[name])}
            for parameter, part in arena.parts(slot):
                if id(parameter) in kept:
                    part[...] = parts[id(parameter)]
        return bool(kept)

    def step(self) -> None:
        """Update all trainable values once. Raises NotBuiltError before `bind`."""
        if self._arena is None:
            raise NotBuiltError("step: expected an optimizer that is bound to weights; call bind(arena) first")
        if self._bound_isa != kernels.isa():
            self.bind(self._arena)
        now = self._now
        if self._schedule is not None:
            now.lr = self._schedule.rate(now.updates)
        now.updates += 1
        self._update.lr = now.lr
        if self._decay is not None:
            self._decay()
        self._run()

    def defer_gradients(self, steps: Iterable[Any]) -> None:
        """Take over from these steps, where it pays, the computation of the gradients they would write.

        This lasts until `apply_deferred`, before which nothing else may read or change those gradients. By default no
        gradient is deferred.
        """

    def apply_deferred(self) -> None:
        """Write the deferred gradients; from now on their steps write them again."""

    def resume(self, updates: int, lr: float) -> None:
        """Continue after `updates` updates, the last of them at this learning rate, with the current slots."""
        self._now.updates, self._now.lr = updates, check_nonnegative(type(self).__name__, "lr", lr)

    def _used_slots(self) -> tuple[str, ...]:
        return self.slot_names

    def _kernel(self, values: Any, grads: Any) -> Any:
        raise NotImplementedError

    def _run(self) -> None:
        self._update()

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "lr": self.lr if self.schedule is None else self.schedule}


class SGD(Optimizer):
    """Stochastic gradient descent: value -= lr * grad.

    With momentum, velocity = momentum * velocity + grad replaces the gradient; with nesterov,
    grad + momentum * velocity replaces it (I. Sutskever et al., ICML 2013, section 2, in PyTorch's form).

    Parameters
    ----------
    lr : float or Schedule
    momentum : float from 0 to less than 1
    nesterov : bool
        Requires momentum.
    weight_decay : float of at least 0
        Before each update, weight_decay * value is added to the gradients of all weights, also of biases, as in
        PyTorch. The reported loss does not include it; `kernel_regularizer` penalizes single layers and does.

    Examples
    --------
    >>> from gwucnn import SGD
    >>> SGD(0.1, momentum=0.9, weight_decay=5e-4)
    SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0005)
    """

    def __init__(
        self, lr: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr)
        self.weight_decay = check_nonnegative("SGD", "weight_decay", weight_decay)
        self.momentum = check_fraction("SGD", "momentum", momentum)
        self.nesterov = check_flag("SGD", "nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: expected momentum above 0 with nesterov=True, got 0; try momentum=0.9")

    def _used_slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _kernel(self, values: Any, grads: Any) -> Any:
        return kernels.active.SGD(values, grads, self.slots.get("velocity"), self.momentum, self.nesterov)

    def defer_gradients(self, steps: Iterable[Any]) -> None:
        # An overridden `step` may read the gradients, and weight decay adds to them.
        if type(self) is SGD and "step" not in vars(self) and self._decay is None:
            self._update.defer_gradients(steps)

    def apply_deferred(self) -> None:
        if self._update is not None:
            self._update.apply_deferred()


class Adam(Optimizer):
    """Adaptive moments: D. Kingma and J. Ba, arXiv:1412.6980, algorithm 1.

    ::

        m = beta_1 * m + (1 - beta_1) * grad
        v = beta_2 * v + (1 - beta_2) * grad**2
        value -= lr * m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)        t = 1, 2, ...

    Parameters
    ----------
    lr : float or Schedule
    beta_1, beta_2 : float from 0 to less than 1
        Decay rates of the averages of the gradient and of its square.
    epsilon : float
        Added to the square root in the denominator.
    weight_decay : float of at least 0
        Added to the gradients as weight_decay * value before they are averaged, as in PyTorch's Adam. `AdamW` shrinks
        the weights independently of the gradients instead, which is usually better.
    """

    slot_names = ("m", "v")

    def __init__(
        self,
        lr: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        caller = type(self).__name__
        self.weight_decay = check_nonnegative(caller, "weight_decay", weight_decay)
        self.beta_1, self.beta_2 = (
            check_fraction(caller, "beta_1", beta_1),
            check_fraction(caller, "beta_2", beta_2),
        )
        self.epsilon = check_positive(caller, "epsilon", epsilon)

    def _kernel(self, values: Any, grads: Any) -> Any:
        m, v = self.slots["m"], self.slots["v"]
        rule = (self.beta_1, self.beta_2, self.epsilon, self.weight_decay if self._decoupled else 0.0)
        return kernels.active.Adam(values, grads, m, v, *rule)

    def _run(self) -> None:
        self._update.step = self._now.updates
        self._update()


class AdamW(Adam):
    """Adam with decoupled weight decay: I. Loshchilov and F. Hutter, arXiv:1711.05101, algorithm 2.

    First value -= lr * weight_decay * value, including biases, then the step of Adam.

    Parameters
    ----------
    lr, beta_1, beta_2, epsilon
        As in Adam.
    weight_decay : float of at least 0
    """

    _decoupled = True

    def __init__(
        self,
        lr: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(lr, beta_1, beta_2, epsilon, weight_decay)


class RMSprop(Optimizer):
    """Divide by the square root of a running average of squares: T. Tieleman and G. Hinton, lecture 6.5, 2012.

    ::

        square = rho * square + (1 - rho) * grad**2
        value -= lr * grad / (sqrt(square) + epsilon)

    With `centered`, the root is that of square - mean**2, with mean = rho * mean + (1 - rho) * grad (A. Graves,
    arXiv:1308.0850, section 4.2). With momentum, velocity = momentum * velocity + grad / (...) replaces the quotient.
    epsilon is added outside of the root, as in PyTorch.

    Parameters
    ----------
    lr : float or Schedule
    rho : float from 0 to less than 1
        Decay rate of the averages.
    momentum : float from 0 to less than 1
    epsilon : float above 0
    centered : bool
    """

    def __init__(
        self,
        lr: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
    ) -> None:
        super().__init__(lr)
        self.rho = check_fraction("RMSprop", "rho", rho)
        self.momentum = check_fraction("RMSprop", "momentum", momentum)
        self.epsilon = check_positive("RMSprop", "epsilon", epsilon)
        self.centered = check_flag("RMSprop", "centered", centered)

    def _used_slots(self) -> tuple[str, ...]:
        return ("square", *["mean"] * self.centered, *["velocity"] * (self.momentum > 0))

    def _kernel(self, values: Any, grads: Any) -> Any:
        slots = [self.slots.get(name) for name in ("square", "mean", "velocity")]
        return kernels.active.RMSprop(values, grads, *slots, self.rho, self.momentum, self.epsilon)


class Adagrad(Optimizer):
    """Divide by the square root of the sum of all squares: J. Duchi et al., JMLR 12 (2011), figure 1.

    accumulator += grad**2; value -= lr * grad / (sqrt(accumulator) + epsilon).

    Parameters
    ----------
    lr : float or Schedule
    initial_accumulator_value : float of at least 0
    epsilon : float above 0
    """

    slot_names = ("accumulator",)

    def __init__(self, lr: Any = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7) -> None:
        super().__init__(lr)
        self.initial_accumulator_value = self._slots_start_at = check_nonnegative(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value
        )
        self.epsilon = check_positive("Adagrad", "epsilon", epsilon)

    def _kernel(self, values: Any, grads: Any) -> Any:
        return kernels.active.Adagrad(values, grads, self.slots["accumulator"], self.epsilon)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
}


def optimizer(given: Any, lr: Any) -> Optimizer:
    """Return an optimizer given by name or class, with `lr` or its own default, or as an object or a config.

    Objects and configs have their own lr.
    """
    if isinstance(given, Mapping):
        given = from_config("compile", "optimizer", given, classes_by_name(Optimizer, OPTIMIZERS))
    if isinstance(given, Optimizer):
        if lr is not None:
            raise ValueError(f"compile: expected lr inside the optimizer, got lr={lr!r} beside {given!r}; leave it out")
        return given
    if not (isinstance(given, type) and issubclass(given, Optimizer)):
        given = look_up("compile", "optimizer", given, OPTIMIZERS)
    return given() if lr is None else given(lr=lr)
