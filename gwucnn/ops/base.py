"""What all ops share: how arrays are checked, and the two ways to call an op."""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.common import Shape, ShapeError, Window, check_size
from gwucnn.memory import WORTH_ALIGNING, aligned_copy, aligned_empty

__all__ = [
    "Array",
    "Op",
    "as_arrays",
    "as_gradients",
    "as_output",
    "as_shape",
    "backward_weight_step",
    "check_channels",
    "check_shape",
    "conv_kernel",
    "filter_window",
    "winograd_pays",
    "winograd_sums_pay",
]

Array = np.ndarray[Any, np.dtype[Any]]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Op:
    """A checked function on arrays.

    Calling an op checks the arguments, computes once and returns the result. `op.bind` takes the same
    arguments, checks them and returns a step: a function without arguments that computes the same result
    again and again, in the same output array, from whatever the argument arrays hold by then. Networks bind
    their ops once and then only call steps, which costs about half a microsecond. (An argument that is not a
    C-contiguous array is copied when the step is made; the step goes on reading the copy.)
    """

    def __init__(self, bind: Callable[..., Callable[[], Any]]) -> None:
        self.bind = bind
        functools.update_wrapper(self, bind)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.bind(*args, **kwargs)()

    def __repr__(self) -> str:
        return f"<op {self.__name__}>"  # type: ignore[attr-defined]


def as_arrays(caller: str, **given: Any) -> list[Any]:
    """Return C-contiguous, aligned arrays of one floating type, copying only what is not so already.

    Raises TypeError unless all of them are float32 or all are float64 of the machine's byte order. None stays
    None.
    """
    arrays = {name: None if a is None else np.asarray(a) for name, a in given.items()}
    dtypes = {name: a.dtype for name, a in arrays.items() if a is not None}
    if len(set(dtypes.values())) != 1 or next(iter(dtypes.values())) not in FLOATS:
        got = ", ".join(f"{name} {dtype.name if dtype.isnative else dtype.str}" for name, dtype in dtypes.items())
        raise TypeError(f"{caller}: expected one dtype, float32 or float64, got {got}; convert with astype")
    return [a if a is None or _plain(a) else aligned_copy(a) for a in arrays.values()]


def _plain(array: Array) -> bool:
    """Whether kernels can read an array as it is."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned


def as_shape(caller: str, name: str, shape: Any, letters: str) -> Shape:
    """Return a shape given by the user as a tuple of four ints, or raise a TypeError that names it."""
    try:
        sizes = tuple(index(size) for size in shape)
    except TypeError:
        sizes = ()
    if len(sizes) != 4:
        raise TypeError(f"{caller}: expected {name} to be four integers {letters}, got {shape!r}")
    return sizes


def check_shape(caller: str, name: str, array: Array, shape: tuple[int | None, ...], letters: str) -> None:
    """Raise ShapeError unless `array` has `shape`, in which None is any size; `letters` names the axes."""
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
    """Return `out` if it can take a result of `shape`, or a new array if it is None.

    A new array begins at a cache line, unless it is so small that this makes no difference. Raises ShapeError
    for another shape, TypeError for another dtype, ValueError if it is read-only, not contiguous, or shares
    memory with an input.
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
    """Check that images, filters and groups fit each other, and return the filter's window.

    `x` and `weight` are what the op calls the arguments of which these are the shapes.
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


def conv_kernel(name: str, dtype: Any, weight_shape: Shape, groups: int, width: int) -> Callable[..., Any]:
    """Return Conv2D or one of its gradients, or the kernel of the same arguments for groups of few outputs.

    `width` is how many outputs a group has: filters, or channels for the gradient by the input. Vectors that
    span groups win with half a vector of them; with 1x1 filters, which use each value once, with a quarter.
    """
    least = 4 if weight_shape[:2] == (1, 1) else 2
    spans = groups > 1 and least * width <= kernels.active.LANES[np.dtype(dtype).char]
    kernel: Callable[..., Any] = getattr(kernels.active, f"Depthwise{name}" if spans else name)
    return kernel


# Where Winograd's algorithm was measured to win, with something to spare, for every instruction set. 16
# channels gain 1.0 to 1.4 times, but the error has no stated bound there. With 8 tiles, convolution and
# gradient by the input gain 1.5 to 2.8 times where filters are transformed at each call, and nothing
# where these are more than the last cache holds (512 filters of 512 channels; with 16 tiles 1.1 to 2
# times). The gradient by the weights gains 1.2 to 2 times with 8 tiles, but its error may be larger than
# stated; with 16 it is at most 0.6 of that. Filters that are transformed once gain from 1.2 (512
# channels) to 2.4 times with 2 tiles, from 2.2 to 3.3 with 4. The plain way takes 9 products an output;
# with 4 of them (images of 2x2 or 5x5 outputs) the gain is 1.2 to 2.6 times, with 6 (a single row) 0.8 to
# 1.1. All of this on one thread; on two, 8 and 12 tiles were measured to gain from nothing (64 channels)
# to 2.8 times.
LEAST_CHANNELS = 32
LEAST_TILES = 8
LEAST_TILES_LARGE = 16
LEAST_TILES_CONSTANT = 2
LEAST_TILES_OF_SUMS = 16
LARGE = 256 * 256  # more channels times filters than this
MOST_PRODUCTS = 4.5


def _elements(outputs: int) -> int:
    """Return how many elements the tiles of a row of outputs have: 6 each, 4 for one or two that are left."""
    return (outputs + 1) // 4 * 6 + (4 if 0 < outputs % 4 < 3 else 0)


# With few filters, vectors over channels make the gradient in another order and turn it at the end, for which
# there must be some pixels.
LEAST_PIXELS = 4


def _winograd_tiles(dtype: Any, x_shape: Shape, weight_shape: Shape, window: Window, groups: int) -> int:
    """Return how many tiles of outputs F(4x4, 3x3) takes for a convolution, 0 if it does not suit it."""
    lanes = kernels.active.LANES[np.dtype(dtype).char]
    N, H, W, C = x_shape
    KH, KW, _, F = weight_shape
    if (KH, KW) != (3, 3) or window.strides != (1, 1) or window.dilation != (1, 1) or groups != 1:
        return 0
    if C % lanes or F % lanes or min(C, F) < LEAST_CHANNELS or max(window.offset((H, W))) > 2:
        return 0
    OH, OW = window.output((H, W))
    if _elements(OH) * _elements(OW) > MOST_PRODUCTS * OH * OW:
        return 0
    return N * -(-OH // 4) * -(-OW // 4)


def winograd_pays(
    dtype: Any,
    x_shape: Shape,
    weight_shape: Shape,
    window: Window,
    groups: int,
    constant_weight: bool = False,
) -> bool:
    """Return whether Winograd's algorithm applies to a convolution or its gradient by the input, and wins.

    F(4x4, 3x3) needs a quarter of the multiplications and, with its transforms, runs 1.4 to 3.5 times as fast
    (measured with 32 to 256 channels on AVX-512). Its error in float32 is larger than the plain way's, 3 to 4
    times in the mean, as outputs of a tile share their rounding: from 32 channels on that of an output stays
    below 4 * u * (4 + sqrt(9*C)) times the largest sum of terms' magnitudes of an output at most three pixels
    away, u = 2**-24 (tested; that of a weight's gradient below the same with its own terms). That is why ops
    use it only when told to, by ``winograd=True``, and a network with ``winograd=False`` never does.
    `constant_weight` says that filters are transformed once for many calls.
    """
    least = LEAST_TILES_LARGE if weight_shape[2] * weight_shape[3] > LARGE else LEAST_TILES
    if constant_weight:
        least = LEAST_TILES_CONSTANT
    return _winograd_tiles(dtype, x_shape, weight_shape, window, groups) >= least


def winograd_sums_pay(dtype: Any, x_shape: Shape, weight_shape: Shape, window: Window, groups: int) -> bool:
    """Return the same for a convolution's gradient by its weights."""
    return _winograd_tiles(dtype, x_shape, weight_shape, window, groups) >= LEAST_TILES_OF_SUMS


def backward_weight_step(
    x: Array, dy: Array, out: Array, geometry: tuple[Any, ...], accumulate: bool
) -> Callable[[], Array]:
    """Return the step that computes a convolution's gradient by its weights `out` in the direct way.

    With few filters, lanes of vectors that run over filters would stand idle: they then run over channels or,
    if those are few too, over the pixels of a row. geometry : strides, dilation, offset, groups.
    """
    lanes = kernels.active.LANES[x.dtype.char]
    *window, groups = geometry
    OH, OW, F = dy.shape[1:]
    if groups == 1 and 2 * F <= lanes:
        if 2 * x.shape[3] >= lanes and OH * OW >= LEAST_PIXELS:
            return kernels.active.ChannelsBackwardWeight(x, dy, out, *window, accumulate)
        if 2 * x.shape[3] < lanes and OW * F >= lanes:
            return kernels.active.PixelsBackwardWeight(x, dy, out, *window, accumulate)
    kernel = conv_kernel("Conv2DBackwardWeight", x.dtype, out.shape, groups, F // groups)
    return kernel(x, dy, out, *geometry, accumulate)


def check_channels(caller: str, x: Array, **vectors: Array | None) -> int:
    """Return C, after a check that x is (..., C) and that the others are (C,)."""
    if x.ndim < 2 or x.shape[-1] < 1:
        raise ShapeError(f"{caller}: expected x of shape (N, ..., C) with at least one channel, got {x.shape}")
    for name, vector in vectors.items():
        if vector is not None:
            check_shape(caller, name, vector, x.shape[-1:], f"(C,) with C={x.shape[-1]} channels as in x")
    return x.shape[-1]


def as_gradients(
    caller: str, C: int, arrays: list[Any], gamma_grad: Array | None, beta_grad: Array | None
) -> list[Array | None]:
    """Check the arrays that gradients are added to; None stays None."""
    checked: list[Array | None] = []
    for name, grad in (("gamma_grad", gamma_grad), ("beta_grad", beta_grad)):
        given = [*arrays, *[g for g in checked if g is not None]]
        checked.append(None if grad is None else as_output(caller, grad, (C,), given, name=name))
    return checked
