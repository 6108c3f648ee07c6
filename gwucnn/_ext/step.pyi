"""Steps as Python sees them: objects that compute when called."""

from typing import Any

OPENMP: bool

def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...

class Step:
    out: Any
    def __call__(self) -> Any: ...
