"""Buffers for passes through a network, and what layers and the engine tell each other through them.

Layers hold parameters and options only. Everything that changes from batch to batch is in a `Space`, one for each step
of the plan and each thread, so that one network can predict from many threads at once:

    layer.forward(x, space)                      layer.backward(dy, space)
      space.array("y", shape)     a buffer         space.saved["x"]           what forward left there
      space.run("conv", op, x)    a bound op       space.run("dx", op, dy)    bound once, then only called
      space.saved["x"] = x        for backward     space.accumulates          add to the gradients, or overwrite them

`run` binds an op to its arrays on the first call (`op.bind` returns a compiled `Step`) and calls the same step as long
as the arrays are the same objects. `array` returns the same object as long as the shape and the memory stay the same.
The `Tape`, shared by all spaces of a `Workspace`, records the steps while the engine asks for it; its `generation`
counts how often any buffer was replaced, and a recording of an older generation must not be replayed.

Who sets the flags of a space, and who reads them:

    flag               set by                                   read by
    training           Workspace: True in the training one      dropout, batch normalisation, augmentation
    backward_follows   in training, and for gradients of        layers: whether to keep what backward needs
                       class scores
    needs_dx           False up to the first trainable weights  backward: whether anyone uses its result
    accumulates        False if `Layer.overwrites_grads`        backward: add to parameter.grad, or overwrite it
    winograd           GWUNetwork(winograd=...)                 convolutions: which algorithms are allowed
    constant_weights   True in inference while `Arena.tracked`  convolutions: keep transformed weights between calls

An array called 'y', 'dx' or 'dz', or whose name begins with one of these words, holds what a layer returns from
forward or backward, or computes on the way. In a network's own passes other arrays may use its memory once the steps
that read it have run: a 'dx' or 'dz' at any time, a 'y' if no backward pass follows. `keep` prevents that.

`defer` binds a step without calling it: the trainer calls it once the loss and all gradients have turned out to be
finite, so that a batch which is not leaves no trace in running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import prod
from operator import is_
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn._ext.step import Scratch
from gwucnn.memory.aligned import aligned_empty
from gwucnn.memory.pool import Pool

__all__ = ["Randomness", "Space", "Tape", "Workspace"]


class Randomness:
    """The source of random numbers for layers in training.

    A random number is a function of a key, of the number of draws before, and of its place in the draw (see
    `gwucnn.ops.random`). Key and count are in one array that steps read and update, so that a recorded step draws new
    numbers each time it is replayed, independently of the number of threads. This array is the whole state: restoring
    it repeats the numbers.

    Parameters
    ----------
    key : callable () -> int below 2**64
        Called once, for the first draw, so that a network that draws nothing needs no generator.
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
        """Whether anything has been drawn."""
        return self._state is not None

    def restore(self, state: Any) -> None:
        """Restore a saved state."""
        if self._state is None:
            self._state = np.zeros(2, np.uint64)
        self._state[...] = state

    @property
    def draws(self) -> int:
        """The number of draws so far. May be set back to repeat the same numbers."""
        return 0 if self._state is None else int(self._state[1])

    @draws.setter
    def draws(self, count: int) -> None:
        if self._state is not None:
            self._state[1] = count


def _allocate(size: int, dtype: Any) -> Any:
    return aligned_empty((size,), dtype)


class Tape:
    """Records which steps are called and how often buffers are replaced, for all spaces of a workspace."""

    def __init__(self) -> None:
        self.steps: list[Any] | None = None  # None: not recording
        self.deferred: dict[Any, None] = {}  # steps to call after the update of the weights, in order
        self.generation = 0  # how often a buffer was replaced


class Space:
    """The buffers and bound ops of one layer, for one thread. See the docstring of the module.

    Attributes
    ----------
    training : bool
        The only mode flag: whether dropout drops and batch normalisation uses the statistics of the batch.
    backward_follows : bool
        Whether a backward pass may follow, for which forward has to keep what it needs: in training, and for gradients
        of class scores.
    needs_dx : bool
        Whether the gradient with respect to the input is used; the first layer of a network can leave it out.
    winograd : bool
        Whether convolutions may use Winograd's algorithm, which is faster and rounds more.
    constant_weights : bool
        Whether steps run repeatedly with the same weights, so that it pays to keep transformed weights.
    accumulates : bool
        Whether backward must add to gradients. False only for layers with `overwrites_grads`.
    scratch : Scratch
        Memory shared by the steps of all spaces of a workspace, each of which uses it while it runs.
    random : array, uint64, shape (2,)
        State for the ops of `gwucnn.ops.random`; use it only in training.
    saved : dict
        Whatever forward keeps for backward.
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
        pool: Pool | None = None,
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
        self._pool = pool
        self._memory: dict[str, Any] = {}
        self._views: dict[tuple[str, tuple[int, ...], Any], Any] = {}
        self._reshaped: dict[str, tuple[Any, Any]] = {}
        self._bound: dict[str, tuple[tuple[Any, ...], Any]] = {}
        self._children: dict[Hashable, Space] = {}

    def child(self, name: Hashable, *, needs_dx: bool = True) -> Space:
        """Return the space called `name` of a layer inside this one, always the same object."""
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
        """The number of times that a buffer of this space, or of one on the same tape, was replaced."""
        return self._tape.generation

    @property
    def random(self) -> Any:
        """The state of the network's random numbers: key and number of draws, uint64, shape (2,)."""
        return self._randomness.state

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Return the buffer called `name` in this shape; its contents are undefined.

        It is the same array object as long as neither shape nor memory change. The memory grows for larger batches and
        never shrinks. An array is valid until the layer's next pass.
        """
        view = self._views.get((name, shape, dtype))
        if view is None:
            kind = self.dtype if dtype is None else np.dtype(dtype)
            memory = self._memory.get(name)
            if memory is None or memory.size < prod(shape) or memory.dtype != kind:
                pooled = self._pool is not None and dtype is None and self._is_passed_on(name)
                new = self._pool.take if pooled else _allocate  # type: ignore[union-attr]
                memory = self._memory[name] = new(prod(shape), kind)
                self._tape.generation += 1
                self._views = {key: old for key, old in self._views.items() if key[0] != name}
            view = self._views[name, shape, dtype] = memory[: prod(shape)].reshape(shape)
        return view

    def _is_passed_on(self, name: str) -> bool:
        """Whether the array of this name is needed by the next steps only."""
        word = name.partition(" ")[0]
        return word in ("dx", "dz") or (word == "y" and not self.backward_follows)

    def keep(self, array: Any) -> None:
        """Keep an array of the current pass until the update of the weights, also if its name says otherwise."""
        if self._pool is not None:
            self._pool.hold(array)

    def view(self, name: str, array: Any, shape: tuple[int, ...]) -> Any:
        """Return `array` in another shape; the same object for the same array, so that ops stay bound to it."""
        held = self._reshaped.get(name)
        if held is None or held[0] is not array:
            held = self._reshaped[name] = (array, array.reshape(shape))
        return held[1]

    def run(self, name: str, op: Any, *arrays: Any, **options: Any) -> Any:
        """Call `op(*arrays, **options)`; the op is bound once, as long as the arrays are the same objects.

        `op` is one of `gwucnn.ops`; `name` distinguishes the ops of one layer. Options other than `out` must not change
        between calls with the same arrays.
        """
        step = self._step(name, op, arrays, options)
        if self._tape.steps is not None:
            self._tape.steps.append(step)
        return step()

    def defer(self, name: str, op: Any, *arrays: Any, **options: Any) -> None:
        """Bind an op like `run`, but let the trainer call it after the update of the weights.

        For whatever else training changes, such as running statistics: a batch whose loss or gradients are not finite
        must leave no trace. Until then, the buffers keep what the layer's pass wrote to them.
        """
        for array in arrays:
            if isinstance(array, np.ndarray):
                self.keep(array)
        self._tape.deferred[self._step(name, op, arrays, options)] = None

    def _step(self, name: str, op: Any, arrays: tuple[Any, ...], options: dict[str, Any]) -> Any:
        used = (*arrays, options.get("out"))
        bound = self._bound.get(name)
        if bound is None or not all(map(is_, bound[0], used)):
            bound = self._bound[name] = (used, op.bind(*arrays, **options))
        return bound[1]

    def step(self, name: str) -> Any:
        """Return the step that `run` called last for this name."""
        return self._bound[name][1]


class Workspace:
    """The spaces of all steps of a plan, and an outer one for batches and the loss.

    It belongs to one thread at a time; a network lends one to each call.

    Parameters
    ----------
    needs_dx : sequence of bool
        For each step, whether the gradient of what it reads is used.

    Attributes
    ----------
    tape : Tape
        Shared by all spaces.
    pool : Pool
        Where the spaces of the steps take memory that is needed for a few steps only.
    constant_weights : bool
        As in its spaces.
    recordings : dict
        The recordings of `engine.recorded.Recorder`, valid as long as `tape.generation` stays the same.
    """

    def __init__(
        self,
        needs_dx: Sequence[bool],
        dtype: Any,
        *,
        training: bool,
        winograd: bool = False,
        constant_weights: bool = False,
        randomness: Randomness | None = None,
    ) -> None:
        self.tape = Tape()
        self.constant_weights = constant_weights
        self.recordings: dict[Any, Any] = {}
        self.pool = Pool()
        scratch = Scratch()
        self.spaces = [
            Space(
                dtype,
                training=training,
                needs_dx=needed,
                winograd=winograd,
                constant_weights=constant_weights,
                tape=self.tape,
                scratch=scratch,
                randomness=randomness,
                pool=self.pool,
            )
            for needed in needs_dx
        ]
        self.outer = Space(dtype, training=training, tape=self.tape)
        self._bound_for = (kernels.isa(), kernels.get_num_threads())

    @property
    def is_current(self) -> bool:
        """Whether its ops were bound for the current instruction set and number of threads."""
        return self._bound_for == (kernels.isa(), kernels.get_num_threads())
