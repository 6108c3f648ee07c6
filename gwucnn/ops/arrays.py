"""Ops on whole arrays, for training steps and for layers that combine the results of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.common import ShapeError, check_size
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = ["add", "all_finite", "fill_zero", "put_channels", "rescale", "take_channels"]


@Op
def add(x: Array, y: Array, *, relu: bool = False, out: Array | None = None) -> Callable[[], Array]:
    """Add two arrays elementwise: x + y, or max(x + y, 0) with `relu`. NaN stays NaN.

    x, y : float32 or float64, of one shape. out : the same; may be x or y itself. Returns an array like x.
    Raises ShapeError or TypeError if they differ: nothing is broadcast.

    >>> import numpy as np
    >>> add(np.array([1.0, -3.0]), np.array([2.0, 2.0]), relu=True)
    array([3., 0.])
    """
    x, y = as_arrays("add", x=x, y=y)
    check_shape("add", "y", y, x.shape, "that of x")
    out = as_output("add", out, x.shape, [a for a in (x, y) if a is not out])
    return kernels.active.Add(x, y, out, relu)


# Rows with few channels are treated as longer rows, to fill the vectors.
WIDTH = 64


@Op
def rescale(x: Array, scale: Any, offset: Any = 0.0, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply and add: y[..., c] = x[..., c] * scale[c] + offset[c]. Without offset, it is also its own gradient.

    Parameters
    ----------
    x : float32 or float64, shape (..., C)
    scale, offset : float, or array of shape (C,)
        Rounded to the dtype of x.
    out : as x, optional
        Overwritten and returned; may be x itself.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError
        If the number of scales or offsets differs from that of channels, or for other dtypes of x.

    Examples
    --------
    >>> import numpy as np
    >>> rescale(np.array([[0.0, 255.0], [51.0, 102.0]]), [1 / 255, 1], [0, -100])
    array([[  0. , 155. ],
           [  0.2,   2. ]])
    """
    (x,) = as_arrays("rescale", x=x)
    factors = {name: np.asarray(value, x.dtype) for name, value in (("scale", scale), ("offset", offset))}
    for name, value in factors.items():
        if value.shape not in ((), x.shape[-1:]):
            raise ShapeError(
                f"rescale: expected {name} to be one number or of shape (C,) = {x.shape[-1:]}, got {value.shape}"
            )
    C = max(value.size for value in factors.values())
    pixels = x.size // max(C, 1)
    times = next(n for n in range(max(WIDTH // max(C, 1), 1), 0, -1) if pixels % n == 0)
    scale, offset = (np.tile(np.broadcast_to(value, C), times) for value in factors.values())
    out = as_output("rescale", out, x.shape, [] if out is x else [x], dtype=x.dtype)
    return kernels.active.Rescale(x, scale, offset, out)


@Op
def put_channels(x: Array, start: int, *, out: Array) -> Callable[[], Array]:
    """Copy x into some channels of `out`: out[..., start + c] = x[..., c]. The others are not changed.

    Called for several arrays in turn, it concatenates them along the last axis.

    Parameters
    ----------
    x : float32 or float64, shape (..., C)
    start : int
        The first channel of `out` that is overwritten.
    out : dtype of x, shape (..., D) with D at least start + C
        Returned.

    Raises
    ------
    ShapeError
        If `out` has too few channels after `start`, or differs from x in the axes before the last.

    Examples
    --------
    >>> import numpy as np
    >>> put_channels(np.ones((2, 1)), 2, out=np.zeros((2, 3)))
    array([[0., 0., 1.],
           [0., 0., 1.]])
    """
    x, given = as_arrays("put_channels", x=x, out=out)
    if x.ndim == 0:
        raise ShapeError("put_channels: expected x of shape (..., C), got a single number")
    start, C, D = _channels("put_channels", "out", given, start, x.shape[-1])
    out = as_output("put_channels", out, (*x.shape[:-1], D), [x])
    return kernels.active.CopyChannels(x, out, 0, start, C)


@Op
def take_channels(x: Array, start: int, channels: int, *, out: Array | None = None) -> Callable[[], Array]:
    """Copy some channels of x: y[..., c] = x[..., start + c] for c < channels.

    Parameters
    ----------
    x : float32 or float64, shape (..., C)
    start, channels : int
        The first channel, and their number.
    out : dtype of x, shape (..., channels), optional
        Overwritten and returned.

    Raises
    ------
    ShapeError
        If x has too few channels.

    Examples
    --------
    >>> import numpy as np
    >>> take_channels(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), 1, 2)
    array([[2., 3.],
           [5., 6.]])
    """
    (x,) = as_arrays("take_channels", x=x)
    start, channels, _ = _channels("take_channels", "x", x, start, check_size("take_channels", "channels", channels))
    out = as_output("take_channels", out, (*x.shape[:-1], channels), [x])
    return kernels.active.CopyChannels(x, out, start, 0, channels)


def _channels(caller: str, name: str, array: Array, start: int, count: int) -> tuple[int, int, int]:
    """Check that `array` has `count` channels from `start` on; return both, and its total number of channels."""
    start = check_size(caller, "start", start, 0)
    if array.ndim == 0 or array.shape[-1] < start + count:
        raise ShapeError(f"{caller}: expected {name} with at least {start + count} channels, got {array.shape}")
    return start, count, array.shape[-1]


@Op
def all_finite(x: Array, *, besides: Sequence[Any] = ()) -> Callable[[], bool]:
    """Return whether all elements of x (float32 or float64, any shape) are finite, in one pass without a copy.

    besides : bound ops that write to parts of x and whose attribute `reports_finite` is true: these parts are not read,
    since the ops report whether their last results are finite.
    """
    (x,) = as_arrays("all_finite", x=x)
    return kernels.active.AllFinite(x, besides)


@Op
def fill_zero(*, out: Array) -> Callable[[], Array]:
    """Set every element of `out` (float32 or float64, any shape) to 0 and return it."""
    (given,) = as_arrays("fill_zero", out=out)
    return kernels.active.FillZero(as_output("fill_zero", out, given.shape, [np.empty(0, given.dtype)]))
