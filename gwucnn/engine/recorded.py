"""Steps of a batch that were recorded once, to be called again without the layers' Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gwucnn._ext.step import Program, Step
from gwucnn.memory import Space

__all__ = ["Computed", "Recorded", "Replay", "Sum"]


class Recorded(NamedTuple):
    """A recorded step of training: what it computes, what moves the weights, where its buffers are."""

    steps: tuple[Step, ...]
    loss: Any
    finite: Any
    outputs: Any
    updates: tuple[Callable[[], Any], ...]
    space: Space


class Computed(NamedTuple):
    """The value of a loss that no step of ours computed."""

    value: float


class Sum(NamedTuple):
    """The sum of the values that steps found when they ran last."""

    parts: list[Any]

    @property
    def value(self) -> float:
        """Their sum now."""
        return sum(part.value for part in self.parts)


@dataclass
class Replay:
    """Recorded steps, and what told that they can be called again."""

    program: Program
    result: Any
    generation: int  # of the tape when it was recorded
    version: int  # of the weights when they were last prepared
