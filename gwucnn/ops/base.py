"""What all ops share: the two ways to call them, the checks of arrays, and the choice of algorithm for convolutions."""

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

    Calling an op checks the arguments, computes and returns the result. `op.bind` checks the same arguments and returns
    a step: a function without arguments that recomputes the result, in the same output array, from the current contents
    of the argument arrays. Networks bind their ops once and then only call steps, which costs about half a microsecond.
    (An argument that is not a C-contiguous array is copied when the step is created; the step keeps reading the copy.)
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

    Raises TypeError unless all of them are float32 or all are float64, in native byte order. None stays None.
    """
    arrays = {name: None if a is None else np.asarray(a) for name, a in given.items()}
    dtypes = {name: a.dtype for name, a in arrays.items() if a is not None}
    if len(set(dtypes.values())) != 1 or next(iter(dtypes.values())) not in FLOATS:
        got = ", ".join(f"{name} {dtype.name if dtype.isnative else dtype.str}" for name, dtype in dtypes.items())
        raise TypeError(f"{caller}: expected one dtype, float32 or float64, got {got}; convert with astype")
    return [a if a is None or _plain(a) else aligned_copy(a) for a in arrays.values()]


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


def conv_kernel(name: str, dtype: Any, weight_shape: Shape, groups: int, width: int) -> Callable[..., Any]:
    """Return Conv2D or one of its gradients, or the kernel with the same arguments for groups with few outputs.

    `width` is the number of outputs of a group: filters, or channels for the gradient with respect to the input.
    Vectors that span groups are faster up to half a vector of outputs, and with 1x1 filters, which use each value once,
    up to a quarter.
    """
    least = 4 if weight_shape[:2] == (1, 1) else 2
    spans = groups > 1 and least * width <= kernels.active.LANES[np.dtype(dtype).char]
    kernel: Callable[..., Any] = getattr(kernels.active, f"Depthwise{name}" if spans else name)
    return kernel


# Thresholds of Winograd's algorithm, measured for every instruction set with some margin, on one thread (speedups):
# - 16 channels: 1.0 to 1.4, but there is no bound of the error
# - 8 tiles, convolution and gradient with respect to the input, filters transformed at each call: 1.5 to 2.8; none if
#   the filters exceed the last-level cache (512 filters of 512 channels), where 16 tiles give 1.1 to 2
# - 8 tiles, gradient with respect to the weights: 1.2 to 2, but the error may exceed its bound; with 16 tiles it is at
#   most 0.6 of the bound
# - filters transformed once: 2 tiles 1.2 (512 channels) to 2.4, 4 tiles 2.2 to 3.3
# - direct convolution takes 9 products per output; with 4 (images of 2x2 or 5x5 outputs) the speedup is 1.2 to 2.6,
#   with 6 (a single row) 0.8 to 1.1
# On two threads, 8 and 12 tiles were measured to give from no speedup (64 channels) to 2.8.
LEAST_CHANNELS = 32
LEAST_TILES = 8
LEAST_TILES_LARGE = 16
LEAST_TILES_CONSTANT = 2
LEAST_TILES_OF_SUMS = 16
LARGE = 256 * 256  # more channels times filters than this
MOST_PRODUCTS = 4.5


def _elements(outputs: int) -> int:
    """Return the number of elements in the tiles of a row of outputs: 6 each, and 4 for a remainder of one or two."""
    return (outputs + 1) // 4 * 6 + (4 if 0 < outputs % 4 < 3 else 0)


# With few filters, vectors over channels compute a transposed gradient. Transposing it back pays only from this number
# of pixels on.
LEAST_PIXELS = 4


def _winograd_tiles(dtype: Any, x_shape: Shape, weight_shape: Shape, window: Window, groups: int) -> int:
    """Return the number of output tiles of F(4x4, 3x3) for a convolution, 0 if the algorithm does not apply."""
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
    """Return whether Winograd's algorithm applies to a convolution or its gradient with respect to the input, and pays.

    F(4x4, 3x3) needs a quarter of the multiplications and, with its transforms, is 1.4 to 3.5 times as fast (measured
    with 32 to 256 channels, AVX-512). Its error in float32 is 3 to 4 times as large on average, because the outputs of
    a tile share their rounding errors. From 32 channels on, the error of an output is below 4 * u * (4 + sqrt(9*C))
    times the largest sum of magnitudes of the terms of any output at most three pixels away, with u = 2**-24 (tested;
    the error of the gradient of a weight is bounded likewise by its own terms). Therefore ops use the algorithm only
    with ``winograd=True``, and a network with ``winograd=False`` never does. `constant_weight` says that filters are
    transformed once for many calls.
    """
    least = LEAST_TILES_LARGE if weight_shape[2] * weight_shape[3] > LARGE else LEAST_TILES
    if constant_weight:
        least = LEAST_TILES_CONSTANT
    return _winograd_tiles(dtype, x_shape, weight_shape, window, groups) >= least


def winograd_sums_pay(dtype: Any, x_shape: Shape, weight_shape: Shape, window: Window, groups: int) -> bool:
    """Return whether Winograd's algorithm computes the gradient with respect to the weights faster."""
    return _winograd_tiles(dtype, x_shape, weight_shape, window, groups) >= LEAST_TILES_OF_SUMS


def backward_weight_step(
    x: Array, dy: Array, out: Array, geometry: tuple[Any, ...], accumulate: bool
) -> Callable[[], Array]:
    """Return the step that computes the gradient of a convolution with respect to its weights directly, into `out`.

    With few filters, vectors over filters would be mostly empty: they then run over channels or, if there are few of
    those too, over the pixels of a row. geometry : strides, dilation, offset, groups.
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
