"""The base class of optimizers: the learning rate, the state of each weight, and a step.

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
    check_nonnegative,
    check_positive,
    check_size,
)
from gwucnn.memory import Arena
from gwucnn.schedules import Schedule, schedule

__all__ = ["Optimizer"]


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
