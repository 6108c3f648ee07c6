"""Memory for one pass through a network: layers stay descriptions, what changes with each batch lies here."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import prod
from operator import is_
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn._ext.step import Scratch
from gwucnn.memory.aligned import aligned_empty

__all__ = ["Randomness", "Space", "Tape", "Workspace"]


class Randomness:
    """Where layers draw random numbers while a network trains.

    A number is a function of a key, of how many draws there were before, and of its place in the draw (see
    `gwucnn.ops.random`). Key and count lie in one array that steps read and move, so a recorded step draws
    new numbers each time it is replayed, whatever the number of threads. The array is all there is to save:
    put back in place, the same numbers come again.

    Parameters
    ----------
    key : callable () -> int below 2**64
        Asked once, for the first draw: a network that draws nothing needs no generator.
    """

    def __init__(self, key: Callable[[], int]) -> None:
        self._key = key
        self._state: Any = None

    @property
    def state(self) -> Any:
        """The key and the number of draws so far: always the same array, uint64, shape (2,)."""
        if self._state is None:
            self._state = np.array([self._key(), 0], np.uint64)
        return self._state

    @property
    def begun(self) -> bool:
        """Whether anything was ever drawn."""
        return self._state is not None

    def put_back(self, state: Any) -> None:
        """Go on from a state that was kept."""
        if self._state is None:
            self._state = np.zeros(2, np.uint64)
        self._state[...] = state

    @property
    def draws(self) -> int:
        """The number of draws so far. May be set back, to draw the same numbers again."""
        return 0 if self._state is None else int(self._state[1])

    @draws.setter
    def draws(self, count: int) -> None:
        if self._state is not None:
            self._state[1] = count


class Tape:
    """Takes down which steps are called, and when memory moves, for all spaces of a workspace."""

    def __init__(self) -> None:
        self.steps: list[Any] | None = None  # None: not recording
        self.deferred: dict[Any, None] = {}  # steps to call when the weights move, in the order of `Space.defer`
        self.generation = 0  # how often a buffer was replaced


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
    constant_weights : bool
        Whether steps are run again and again with the same weights, so that it pays to prepare these well.
    accumulates : bool
        Whether backward must add to gradients. Only a layer that `overwrites_grads` ever sees False.
    scratch : Scratch
        Memory that the steps of all spaces of a workspace use in turn, while they run.
    random : array, uint64, shape (2,)
        For the ops of `gwucnn.ops.random`; use it only in training.
    saved : dict
        What forward leaves for backward.
    """

    def __init__(
        self,
        dtype: Any = np.float32,
        *,
        training: bool = False,
        backward_follows: bool = False,
        needs_dx: bool = True,
        winograd: bool = False,
        constant_weights: bool = False,
        tape: Tape | None = None,
        scratch: Scratch | None = None,
        randomness: Randomness | None = None,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.training = training
        self.backward_follows = training or backward_follows
        self.needs_dx = needs_dx
        self.winograd = winograd
        self.constant_weights = constant_weights
        self.accumulates = True
        self.saved: dict[str, Any] = {}
        self.scratch = Scratch() if scratch is None else scratch
        self._tape = Tape() if tape is None else tape
        self._randomness = Randomness(lambda: 0) if randomness is None else randomness
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
                backward_follows=self.backward_follows,
                needs_dx=needs_dx,
                winograd=self.winograd,
                constant_weights=self.constant_weights,
                tape=self._tape,
                scratch=self.scratch,
                randomness=self._randomness,
            )
        return child

    @property
    def generation(self) -> int:
        """How often a buffer of this space, or of one that is recorded with it, was replaced."""
        return self._tape.generation

    @property
    def random(self) -> Any:
        """The network's state of random numbers: key and number of draws, uint64, shape (2,)."""
        return self._randomness.state

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
                memory = self._memory[name] = aligned_empty((prod(shape),), kind)
                self._tape.generation += 1
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
        step = self._step(name, op, arrays, options)
        if self._tape.steps is not None:
            self._tape.steps.append(step)
        return step()

    def defer(self, name: str, op: Any, *arrays: Any, **options: Any) -> None:
        """Bind an op like `run`, but leave its call to whoever moves the weights, if the batch was sound.

        For what training moves besides them, such as running statistics: a batch whose loss or gradients are
        not finite must leave no trace. The buffers hold by then what the layer's pass left in them.
        """
        self._tape.deferred[self._step(name, op, arrays, options)] = None

    def _step(self, name: str, op: Any, arrays: tuple[Any, ...], options: dict[str, Any]) -> Any:
        used = (*arrays, options.get("out"))
        bound = self._bound.get(name)
        if bound is None or not all(map(is_, bound[0], used)):
            bound = self._bound[name] = (used, op.bind(*arrays, **options))
        return bound[1]

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
    constant_weights : bool
        As in its spaces.
    replays : dict
        For whoever runs the steps: what it recorded, to be used again as long as `tape.generation` stays the same.
    """

    def __init__(
        self,
        steps: int,
        dtype: Any,
        *,
        training: bool,
        winograd: bool = False,
        constant_weights: bool = False,
        randomness: Randomness | None = None,
    ) -> None:
        self.tape = Tape()
        self.constant_weights = constant_weights
        self.replays: dict[Any, Any] = {}
        scratch = Scratch()
        self.spaces = [
            Space(
                dtype,
                training=training,
                needs_dx=index > 0,
                winograd=winograd,
                constant_weights=constant_weights,
                tape=self.tape,
                scratch=scratch,
                randomness=randomness,
            )
            for index in range(steps)
        ]
        self.outer = Space(dtype, training=training, tape=self.tape)
        self._made_for = (kernels.isa(), kernels.get_num_threads())

    @property
    def is_current(self) -> bool:
        """Whether its bound ops are still those of the instruction set and number of threads in use."""
        return self._made_for == (kernels.isa(), kernels.get_num_threads())
