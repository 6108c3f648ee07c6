"""What all ops share: the two ways to call them, and the checks of their arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from gwucnn.common import Shape, ShapeError, Window, check_size
from gwucnn.memory import WORTH_ALIGNING, aligned_copy, aligned_empty

__all__ = [
    "Array",
    "Op",
    "as_arrays",
    "as_gradients",
    "as_output",
    "as_shape",
    "check_channels",
    "check_shape",
    "filter_window",
]

Array = np.ndarray[Any, np.dtype[Any]]

# Arguments that may be None.
OPTIONAL = ("bias", "sums")

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Op:
    """A checked function on arrays.

    Calling an op checks the arguments, computes and returns the result. `op.bind` checks the same arguments and returns
    a step: a function without arguments that recomputes the result, in the same output array, from the current contents
    of the argument arrays. Networks bind their ops once and then only call steps, which costs about half a microsecond.
    (An argument that is not a C-contiguous array is copied when the step is created; the step keeps reading the copy.)

    While an op computes, subnormal numbers (below 1.2e-38 in float32, 2.2e-308 in float64) count as zero, in its inputs
    and in its results: processors take up to 60 times as long for them.
    """

    def __init__(self, bind: Callable[..., Callable[[], Any]]) -> None:
        self.bind = bind
        functools.update_wrapper(self, bind)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.bind(*args, **kwargs)()

    def __repr__(self) -> str:
        return f"<op {self.__name__}>"  # type: ignore[attr-defined]


def as_arrays(caller: str, **given: Any) -> list[Any]:
    """Return C-contiguous, aligned arrays of one floating type, copied only if necessary.

    Raises TypeError unless all of them are float32 or all are float64, in native byte order. None stays None where it
    has a meaning, as for `bias`.
    """
    arrays = {name: None if a is None and name in OPTIONAL else _array(caller, name, a) for name, a in given.items()}
    dtypes = {name: a.dtype for name, a in arrays.items() if a is not None}
    if len(set(dtypes.values())) != 1 or next(iter(dtypes.values())) not in FLOATS:
        got = ", ".join(f"{name} {dtype.name if dtype.isnative else dtype.str}" for name, dtype in dtypes.items())
        raise TypeError(f"{caller}: expected one dtype, float32 or float64, got {got}; convert with astype")
    return [a if a is None or _plain(a) else aligned_copy(a) for a in arrays.values()]


def _array(caller: str, name: str, given: Any) -> Array:
    if given is None:
        raise TypeError(f"{caller}: expected {name} to be an array, got None")
    try:
        return np.asarray(given)
    except ValueError:
        raise TypeError(f"{caller}: expected {name} to be an array, got rows of several lengths") from None


def _plain(array: Array) -> bool:
    """Whether kernels can read an array without a copy."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned


def as_shape(caller: str, name: str, shape: Any, letters: str) -> Shape:
    """Return a user's shape as a tuple of four ints, or raise a TypeError that names it."""
    try:
        sizes = tuple(index(size) for size in shape)
    except TypeError:
        sizes = ()
    if len(sizes) != 4:
        raise TypeError(f"{caller}: expected {name} to be four integers {letters}, got {shape!r}")
    return sizes


def check_shape(caller: str, name: str, array: Array, shape: tuple[int | None, ...], letters: str) -> None:
    """Raise ShapeError unless `array` has this shape, where None allows any size; `letters` names the axes."""
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        sizes = "" if None in shape else f" = {shape}"
        raise ShapeError(f"{caller}: expected {name} of shape {letters}{sizes}, got {array.shape}")


def as_output(
    caller: str,
    out: Array | None,
    shape: tuple[int, ...],
    inputs: list[Array],
    *,
    name: str = "out",
    dtype: Any = None,
) -> Array:
    """Return `out` if it can hold a result of this shape, or a new array if it is None.

    A new array is aligned to a cache line unless it is too small for that to matter. Raises ShapeError for another
    shape, TypeError for another dtype, ValueError if `out` is read-only, not contiguous, or shares memory with an
    input.
    """
    dtype = inputs[0].dtype if dtype is None else np.dtype(dtype)
    if out is None:
        return aligned_empty(shape, dtype, least=WORTH_ALIGNING)
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        raise TypeError(f"{caller}: expected {name} to be an array of {dtype}, got {getattr(out, 'dtype', type(out))}")
    if out.shape != shape:
        raise ShapeError(f"{caller}: expected {name} of shape {shape}, got {out.shape}")
    flags = out.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        kind = "a non-contiguous" if not flags.c_contiguous else "an unaligned" if flags.writeable else "a read-only"
        raise ValueError(f"{caller}: expected {name} to be a writeable C-contiguous array, got {kind} one")
    if any(a is not None and np.may_share_memory(a, out) for a in inputs):
        raise ValueError(f"{caller}: expected {name} to have memory of its own, got an array that overlaps an input")
    return out


def filter_window(
    caller: str,
    x: str,
    x_shape: Shape,
    weight: str,
    weight_shape: Shape,
    groups: int,
    options: tuple[Any, ...],
) -> Window:
    """Check that images, filters and groups fit each other, and return the window of the filter.

    `x` and `weight` are the names of the arguments that have these shapes.
    """
    check_size(caller, "groups", groups)
    if len(x_shape) != 4 or min(x_shape) < 0 or min(x_shape[1:]) < 1:
        raise ShapeError(f"{caller}: expected {x} of shape (N, H, W, C) with at least one pixel, got {x_shape}")
    if len(weight_shape) != 4 or min(weight_shape) < 1:
        raise ShapeError(f"{caller}: expected {weight} of shape (KH, KW, C // groups, F), got {weight_shape}")
    C, (KH, KW, Cg, F) = x_shape[3], weight_shape
    if C % groups or F % groups:
        raise ShapeError(
            f"{caller}: expected channels and filters to be multiples of groups={groups}, got C={C}, F={F}"
        )
    if Cg * groups != C:
        raise ShapeError(
            f"{caller}: expected {weight} for {C // groups} channels (C={C}, groups={groups}), "
            f"got one for {Cg}; {x} {x_shape}, {weight} {weight_shape}"
        )
    strides, padding, dilation_rate = options
    return Window.of(caller, (KH, KW), strides, padding, dilation_rate, name=weight)


def check_channels(caller: str, x: Array, **vectors: Array | None) -> int:
    """Return C, after checking that x is (..., C) and that the others are (C,)."""
    if x.ndim < 2 or x.shape[-1] < 1:
        raise ShapeError(f"{caller}: expected x of shape (N, ..., C) with at least one channel, got {x.shape}")
    for name, vector in vectors.items():
        if vector is not None:
            check_shape(caller, name, vector, x.shape[-1:], f"(C,) with C={x.shape[-1]} channels as in x")
    return x.shape[-1]


def as_gradients(
    caller: str, C: int, arrays: list[Any], gamma_grad: Array | None, beta_grad: Array | None
) -> list[Array | None]:
    """Check the arrays that gradients are accumulated into; None stays None."""
    checked: list[Array | None] = []
    for name, grad in (("gamma_grad", gamma_grad), ("beta_grad", beta_grad)):
        given = [*arrays, *[g for g in checked if g is not None]]
        checked.append(None if grad is None else as_output(caller, grad, (C,), given, name=name))
    return checked
