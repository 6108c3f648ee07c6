"""The Python interface of steps: objects that compute when called."""

from collections.abc import Iterable
from typing import Any

OPENMP: bool

def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...

class Scratch:
    @property
    def bytes(self) -> int: ...

class Step:
    out: Any
    reports_finite: bool
    def __call__(self) -> Any: ...

class Program:
    steps: tuple[Step, ...]
    def __init__(self, steps: Iterable[Step]) -> None: ...
    def __len__(self) -> int: ...
    def __call__(self, same_weights: bool = False) -> None: ...
