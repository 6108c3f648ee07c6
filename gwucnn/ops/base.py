"""What all ops share: how arrays are checked, and the two ways to call an op."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gwucnn.errors import ShapeError

__all__ = ["Array", "Op", "as_arrays", "as_output", "check_shape"]

Array = np.ndarray[Any, np.dtype[Any]]


class Op:
    """A checked function on arrays.

    Calling an op checks the arguments, computes once and returns the result. `op.bind` takes the same arguments,
    checks them and returns a step: a function without arguments that computes the same result again and again, in
    the same output array, from whatever the argument arrays hold by then. Networks bind their ops once and then
    only call steps, which costs a tenth of a microsecond.
    """

    def __init__(self, bind: Callable[..., Callable[[], Any]]) -> None:
        self.bind = bind
        functools.update_wrapper(self, bind)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.bind(*args, **kwargs)()

    def __repr__(self) -> str:
        return f"<op {self.__name__}>"  # type: ignore[attr-defined]


def as_arrays(who: str, **given: Any) -> list[Array]:
    """Return C-contiguous arrays of one floating type, copying only what is not so already.

    Raises TypeError unless all of them are float32 or all are float64. None stays None.
    """
    dtypes = {name: np.asarray(a).dtype for name, a in given.items() if a is not None}
    if len(set(dtypes.values())) != 1 or next(iter(dtypes.values())).char not in "fd":
        got = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"{who}: expected one dtype, float32 or float64, got {got}; convert with astype")
    return [a if a is None else np.ascontiguousarray(a) for a in given.values()]


def check_shape(who: str, name: str, array: Array, shape: tuple[int | None, ...], letters: str) -> None:
    """Raise ShapeError unless `array` has `shape`, in which None is any size; `letters` says what the axes are."""
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        sizes = "" if None in shape else f" = {shape}"
        raise ShapeError(f"{who}: expected {name} of shape {letters}{sizes}, got {array.shape}")


def as_output(
    who: str, out: Array | None, shape: tuple[int, ...], inputs: list[Array], *, name: str = "out", dtype: Any = None
) -> Array:
    """Return `out` if it can take a result of `shape`, or a new array if it is None.

    Raises ShapeError for another shape, TypeError for another dtype, ValueError if it is read-only, not contiguous,
    or shares memory with an input.
    """
    dtype = inputs[0].dtype if dtype is None else np.dtype(dtype)
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        raise TypeError(f"{who}: expected {name} to be an array of {dtype}, got {getattr(out, 'dtype', type(out))}")
    if out.shape != shape:
        raise ShapeError(f"{who}: expected {name} of shape {shape}, got {out.shape}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        kind = "a read-only" if out.flags.c_contiguous else "a non-contiguous"
        raise ValueError(f"{who}: expected {name} to be a writeable C-contiguous array, got {kind} one")
    if any(a is not None and np.may_share_memory(a, out) for a in inputs):
        raise ValueError(f"{who}: expected {name} to have memory of its own, got an array that overlaps an input")
    return out
