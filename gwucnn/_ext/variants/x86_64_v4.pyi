"""The kernels of one instruction set: classes of steps. Their arguments stand in the .pxi files."""

from collections.abc import Callable

from gwucnn._ext.step import Step

LANES: dict[str, int]  # numbers in a vector, by the dtype's letter

def __getattr__(kernel: str) -> Callable[..., Step]: ...
