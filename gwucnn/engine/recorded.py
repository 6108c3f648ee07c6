"""Passes recorded once and replayed: the second batch of a size runs without the layers' Python code.

A pass is a function that calls the steps of a plan: a prediction, an evaluation, the forward and backward pass of a
training step. On its first run `Recorder.run` records which compiled steps it calls, in order. When the same pass
comes again for a batch of the same size, those steps run as one `Program`, without Python in between.

A recording is valid as long as every step finds its arrays where they were: `Tape.generation` counts the buffers that
were replaced, and a recording of another generation is dropped. Nothing is recorded if a layer, or the loss, computes
outside of compiled steps (`replayable` is False): it runs in Python every time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gwucnn._ext.step import Program, Step
from gwucnn.memory import Arena, Space, Workspace

__all__ = ["Constant", "Recorder", "Recording", "Scaled", "Sum", "TrainingRecording"]

# Recordings that a workspace keeps: whole batches and the last one of an epoch, for predicting and for evaluating.
# Each holds steps with scratch memory of their own.
MOST_RECORDINGS = 4


class Recording:
    """The steps of a pass, and the conditions under which they may run again."""

    def __init__(self, program: Program, result: Any, generation: int, version: int) -> None:
        self.program = program
        self.result = result  # what the pass returned: buffers and steps, which the replay fills anew
        self.generation = generation  # of the tape
        self.version = version  # of the weights that the program's steps last prepared


class Recorder:
    """Runs passes over a workspace: in Python the first time, by replay afterwards.

    Parameters
    ----------
    arena : Arena
        The weights that the recorded steps read.

    Attributes
    ----------
    enabled : bool
        Whether to record. Switched off for good when a pass calls an op that is not a compiled step.
    """

    def __init__(self, arena: Arena) -> None:
        self.enabled = True
        self._arena = arena

    def run(self, workspace: Workspace, key: Any, compute: Callable[[], Any]) -> Any:
        """Return what `compute` returns, by replaying its steps if it was recorded under this key.

        `key` identifies everything that `compute` depends on except the contents of buffers: the kind of pass and the
        size of the batch.
        """
        recording, version = workspace.recordings.get(key), self._arena.version
        if recording is not None and recording.generation == workspace.tape.generation:
            same_weights = workspace.constant_weights and self._arena.tracked and recording.version == version
            recording.program(same_weights)
            recording.version = version
            return recording.result
        if not self.enabled:
            return compute()
        workspace.tape.steps = []
        try:
            result = compute()
            steps = workspace.tape.steps
        finally:
            workspace.tape.steps = None
        if not all(isinstance(step, Step) for step in steps):
            self.enabled = False  # an op defined by the user, which only Python can call
            return result
        generation = workspace.tape.generation
        # Stale recordings would keep replaced buffers alive.
        kept = [(k, r) for k, r in workspace.recordings.items() if r.generation == generation and k != key]
        workspace.recordings = dict(kept[1 - MOST_RECORDINGS :])
        workspace.recordings[key] = Recording(Program(steps), result, generation, version)
        return result

    @staticmethod
    def find(workspace: Workspace, key: Any) -> Recording | None:
        """Return the recording made under this key, or None if there is none or its buffers were replaced."""
        recording = workspace.recordings.get(key)
        if recording is None or recording.generation != workspace.tape.generation:
            return None
        return recording


class TrainingRecording(NamedTuple):
    """A recorded training step in parts, for `Sweeper`, which runs many of them in one compiled call.

    Attributes
    ----------
    steps
        The forward and backward pass.
    loss, finite
        The steps whose `value` is the batch's loss, and whether all gradients are finite.
    outputs
        The buffer of the network's outputs.
    updates
        Called in order after a batch with a finite loss and finite gradients: they change weights and statistics.
    space
        The space whose buffers hold the batch.
    """

    steps: tuple[Step, ...]
    loss: Any
    finite: Any
    outputs: Any
    updates: tuple[Callable[[], Any], ...]
    space: Space


class Constant(NamedTuple):
    """The value of a loss that was computed outside of compiled steps."""

    value: float


class Scaled(NamedTuple):
    """A factor times the value that a step computed on its last run."""

    step: Any
    factor: float

    @property
    def value(self) -> float:
        """The current product."""
        return self.factor * self.step.value


class Sum(NamedTuple):
    """The sum of the values that several steps computed on their last run."""

    parts: list[Any]

    @property
    def value(self) -> float:
        """The current sum."""
        return sum(part.value for part in self.parts)
