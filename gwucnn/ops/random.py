"""Random numbers, and dropout.

A random number is a function of a key, of the number of draws before, and of its place in the draw (Philox4x32-10: J.
Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Key and count are in an array of two uint64,
whose count each draw increments. Results do not depend on threads, instruction sets or dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.common import ShapeError, check_fraction
from gwucnn.ops.base import Array, Op, as_arrays, as_output

__all__ = ["dropout", "random_mask", "random_uniform"]


def _as_state(caller: str, state: Any) -> Array:
    """Check the state and return it. It will be written to, so it must not be a copy."""
    if not isinstance(state, np.ndarray) or state.dtype != np.uint64 or state.shape != (2,):
        kind = f"{state.dtype} {state.shape}" if isinstance(state, np.ndarray) else type(state).__name__
        raise TypeError(f"{caller}: expected state to be an array of two uint64, key and count, got {kind}")
    return as_output(caller, state, (2,), [], name="state", dtype=np.uint64)


@Op
def random_uniform(state: Array, *, out: Array) -> Callable[[], Array]:
    """Fill `out` with uniform random numbers from 0 to less than 1, and count the draw.

    Parameters
    ----------
    state : uint64, shape (2,)
        Key and number of draws so far; the latter is incremented unless `out` is empty.
    out : float32 or float64, any shape
        Overwritten and returned. The numbers are the same in both up to rounding: multiples of 2**-32 in float64, of
        2**-24 in float32.

    Raises
    ------
    TypeError, ValueError
        For a state or an `out` that cannot be written to without a copy.

    Notes
    -----
    Number i of draw k is word i % 64 // 16 of Philox's block i // 64 * 16 + i % 16, whose counter is (block,
    k) and whose words are divided by 2**32.

    Examples
    --------
    >>> import numpy as np
    >>> state = np.array([7, 0], np.uint64)
    >>> first, second = (random_uniform(state, out=np.empty(4)) for _ in range(2))
    >>> bool((first != second).all()), int(state[1])
    (True, 2)
    """
    caller = "random_uniform"
    state = _as_state(caller, state)
    (given,) = as_arrays(caller, out=out)
    return kernels.active.RandomUniform(state, as_output(caller, out, given.shape, [state], dtype=given.dtype))


@Op
def random_mask(state: Array, rate: float, *, out: Array) -> Callable[[], Array]:
    """Fill `out` with 0, each with probability `rate`, and 1, and count the draw.

    Parameters
    ----------
    state : uint64, shape (2,)
        As for `random_uniform`, whose numbers (of 32 bits) are compared with `rate`.
    rate : float from 0 to less than 1
    out : uint8, any shape
        Overwritten and returned.

    Raises
    ------
    TypeError, ValueError
        For a rate out of range; for a state or an `out` that cannot be written to without a copy.
    """
    caller = "random_mask"
    threshold = min(round(check_fraction(caller, "rate", rate) * 2**32), 2**32 - 1)
    state = _as_state(caller, state)
    out = as_output(caller, out, np.shape(out), [state], dtype=np.uint8)
    return kernels.active.RandomMask(state, out, threshold)


@Op
def dropout(x: Array, mask: Array, rate: float, *, out: Array | None = None) -> Callable[[], Array]:
    """Apply a dropout mask and scale the rest: y = x / (1 - rate) where mask is not 0, else 0.

    It is its own gradient: dx = dropout(dy, mask, rate).

    Parameters
    ----------
    x : float32 or float64, any shape
    mask : uint8, shape of x, or (N, C) for x of shape (N, ..., C)
        As filled by `random_mask`; in the second form whole channels are dropped.
    rate : float from 0 to less than 1
    out : as x, optional
        Overwritten and returned; may be x itself.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError, ValueError
        For masks of other shapes, other dtypes, or a rate out of range.

    Notes
    -----
    N. Srivastava et al., JMLR 15 (2014), with the scaling in training, so that inference needs none. A
    NaN that is dropped becomes 0.

    Examples
    --------
    >>> import numpy as np
    >>> dropout(np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1], np.uint8), 0.5)
    array([2., 0., 6.])
    """
    caller = "dropout"
    scale = 1 / (1 - check_fraction(caller, "rate", rate))
    (x,) = as_arrays(caller, x=x)
    mask = np.ascontiguousarray(mask)
    if mask.dtype != np.uint8:
        raise TypeError(f"{caller}: expected mask of uint8, got {mask.dtype}")
    channels = x.ndim > 2 and mask.shape == (x.shape[0], x.shape[-1])
    if not channels and mask.shape != x.shape:
        whole = f" or {(x.shape[0], x.shape[-1])}" if x.ndim > 2 else ""
        raise ShapeError(f"{caller}: expected mask of shape {x.shape}{whole}, got {mask.shape}")
    out = as_output(caller, out, x.shape, [x, mask] if out is not x else [mask], dtype=x.dtype)
    if channels and prod(x.shape[1:-1]) > 1:
        return kernels.active.DropoutChannels(x, mask, out, scale)
    return kernels.active.Dropout(x, mask, out, scale)
