"""Memory for one pass through a network: layers stay descriptions, what changes with each batch lies here."""

from __future__ import annotations

from collections.abc import Hashable
from math import prod
from operator import is_
from typing import Any

import numpy as np

from gwucnn import kernels

__all__ = ["Space", "Tape", "Workspace"]


class Tape:
    """Takes down which steps are called, and when memory moves, for all spaces of a workspace."""

    def __init__(self) -> None:
        self.steps: list[Any] | None = None  # None: not recording
        self.moves = 0  # how often a buffer was replaced


class Space:
    """One layer's buffers and bound ops, for one thread.

    Attributes
    ----------
    training : bool
        The only mode flag: dropout drops and batch statistics are taken only if it is set.
    goes_back : bool
        Whether a backward pass may follow, for which forward leaves what it needs: in training, and where
        gradients of a network in use are asked for.
    needs_dx : bool
        Whether anybody wants the gradient by the layer's input; the first layer of a network can leave it
        out.
    winograd : bool
        Whether convolutions may take the faster algorithm with the larger error.
    keeps_weights : bool
        Whether steps are run again and again with the same weights, so that it pays to prepare these well.
    adds : bool
        Whether backward must add to gradients. Only a layer that `overwrites` ever sees False.
    saved : dict
        What forward leaves for backward.
    """

    def __init__(
        self,
        dtype: Any = np.float32,
        *,
        training: bool = False,
        goes_back: bool = False,
        needs_dx: bool = True,
        winograd: bool = False,
        keeps_weights: bool = False,
        tape: Tape | None = None,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.training = training
        self.goes_back = training or goes_back
        self.needs_dx = needs_dx
        self.winograd = winograd
        self.keeps_weights = keeps_weights
        self.adds = True
        self.saved: dict[str, Any] = {}
        self._tape = Tape() if tape is None else tape
        self._memory: dict[str, Any] = {}
        self._views: dict[tuple[str, tuple[int, ...], Any], Any] = {}
        self._reshaped: dict[str, tuple[Any, Any]] = {}
        self._bound: dict[str, tuple[tuple[Any, ...], Any]] = {}
        self._children: dict[Hashable, Space] = {}

    def child(self, name: Hashable, *, needs_dx: bool = True) -> Space:
        """Return the space called `name` of a layer inside this one, the same one each time."""
        child = self._children.get(name)
        if child is None:
            child = self._children[name] = Space(
                self.dtype,
                training=self.training,
                goes_back=self.goes_back,
                needs_dx=needs_dx,
                winograd=self.winograd,
                keeps_weights=self.keeps_weights,
                tape=self._tape,
            )
        return child

    @property
    def moves(self) -> int:
        """How often a buffer of this space, or of one that is recorded with it, was replaced."""
        return self._tape.moves

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Return the buffer called `name` in this shape; contents are undefined.

        The same array object comes back as long as neither shape nor memory change. Memory grows when a
        larger batch comes and never shrinks; an array is valid until the layer's next pass.
        """
        view = self._views.get((name, shape, dtype))
        if view is None:
            kind = self.dtype if dtype is None else np.dtype(dtype)
            memory = self._memory.get(name)
            if memory is None or memory.size < prod(shape) or memory.dtype != kind:
                memory = self._memory[name] = np.empty(prod(shape), kind)
                self._tape.moves += 1
                self._views = {key: old for key, old in self._views.items() if key[0] != name}
            view = self._views[name, shape, dtype] = memory[: prod(shape)].reshape(shape)
        return view

    def view(self, name: str, array: Any, shape: tuple[int, ...]) -> Any:
        """Return `array` in another shape, the same object for the same array: what uses it stays bound."""
        held = self._reshaped.get(name)
        if held is None or held[0] is not array:
            held = self._reshaped[name] = (array, array.reshape(shape))
        return held[1]

    def run(self, name: str, op: Any, *arrays: Any, **options: Any) -> Any:
        """Call `op(*arrays, **options)`, bound once for as long as the arrays are the same objects.

        `op` is one of `gwucnn.ops`; `name` tells several ops of one layer apart. Options other than `out`
        must not change between calls with the same arrays.
        """
        used = (*arrays, options.get("out"))
        bound = self._bound.get(name)
        if bound is None or not all(map(is_, bound[0], used)):
            bound = self._bound[name] = (used, op.bind(*arrays, **options))
        if self._tape.steps is not None:
            self._tape.steps.append(bound[1])
        return bound[1]()

    def step(self, name: str) -> Any:
        """Return the step that `run` called last under this name."""
        return self._bound[name][1]


class Workspace:
    """The spaces of all steps of a plan, and one for what comes before and after them.

    Belongs to one thread at a time; a network lends one to each call.

    Attributes
    ----------
    tape : Tape
        Shared by all spaces.
    keeps_weights : bool
        As in its spaces.
    replays : dict
        For whoever runs the steps: what it recorded, to be used again as long as `tape.moves` stays the same.
    """

    def __init__(
        self, steps: int, dtype: Any, *, training: bool, winograd: bool = False, keeps_weights: bool = False
    ) -> None:
        self.tape = Tape()
        self.keeps_weights = keeps_weights
        self.replays: dict[Any, Any] = {}
        self.spaces = [
            Space(
                dtype,
                training=training,
                needs_dx=index > 0,
                winograd=winograd,
                keeps_weights=keeps_weights,
                tape=self.tape,
            )
            for index in range(steps)
        ]
        self.outer = Space(dtype, training=training, tape=self.tape)
        self._made_for = (kernels.isa(), kernels.get_num_threads())

    @property
    def fits(self) -> bool:
        """Whether its bound ops are still those of the instruction set and number of threads in use."""
        return self._made_for == (kernels.isa(), kernels.get_num_threads())
