"""Training on many small batches without returning to Python."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gwucnn._ext.step import Step

KINDS: dict[str, int]

def unread(step: Step, steps: Iterable[Step], besides: Step) -> bool: ...

class Sweep(Step):
    done: int
    def __init__(
        self,
        steps: Iterable[Step],
        loss: Any,
        finite: Any,
        updates: Iterable[Callable[[], Any]],
        feeds: Sequence[tuple[Any, Any]],
        kept: Sequence[tuple[Any, Any]],
        numbers: Any,
        losses: Any,
        draws: Any,
    ) -> None: ...
    def train(self, batches: int) -> int: ...
