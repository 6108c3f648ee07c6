"""The kernels of one instruction set: subclasses of Step. The .pxi files document their arguments."""

from collections.abc import Callable

from gwucnn._ext.step import Step

LANES: dict[str, int]  # number of lanes in a vector, by dtype character

def __getattr__(kernel: str) -> Callable[..., Step]: ...
