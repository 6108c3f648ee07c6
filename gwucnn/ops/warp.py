"""Warping images by affine matrices, and computing such matrices from random numbers.

A matrix maps the pixels of the result to the image: the pixel in row i and column j comes from row r and column c,

    r = m[0, 0] * i + m[0, 1] * j + m[0, 2]            c = m[1, 0] * i + m[1, 1] * j + m[1, 2]
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from numbers import Real
from typing import Any

from gwucnn import kernels
from gwucnn.common import ShapeError, Size, check_number, look_up, pair
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape
from gwucnn.ops.continued_warp import CONTINUATIONS, continued_warp, continued_warp_backward

__all__ = [
    "FILL_MODES",
    "FLIPS",
    "Factor",
    "affine_warp",
    "affine_warp_backward",
    "check_factor",
    "flip_matrices",
    "rotation_matrices",
    "translation_matrices",
    "zoom_matrices",
]

Factor = float | tuple[float, float]

# Whether to flip upside down, and whether left to right.
FLIPS = {
    "horizontal_and_vertical": (True, True),
    "horizontal": (False, True),
    "vertical": (True, False),
}


# Whether images continue beyond their border, by mode.
FILL_MODES = {"constant": False, **dict.fromkeys(CONTINUATIONS, True)}


def check_factor(caller: str, name: str, factor: Any) -> tuple[float, float]:
    """Return a factor as a range (low, high), (-f, f) for a number f, or raise a ValueError that names it."""
    given = factor if isinstance(factor, (tuple, list)) else (factor, factor)
    known = len(given) == 2 and all(isinstance(f, Real) and not isinstance(f, bool) for f in given)
    low, high = (float(f) for f in given) if known else (nan, nan)
    if given is not factor:
        low = -low
    if not -1 <= low <= high <= 1:
        raise ValueError(
            f"{caller}: expected {name} to be a number from 0 to 1, or a pair (low, high) from -1 to 1, got {factor!r}"
        )
    return low, high


@Op
def affine_warp(
    x: Array,
    matrices: Array,
    fill_value: float = 0.0,
    fill_mode: str = "constant",
    *,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Interpolate each pixel at the place given by the matrix of its image, from the four pixels around it.

    ::

        y[n, i, j, k] = (1-a)*(1-b) * x[n, h, w, k]     + (1-a)*b * x[n, h, w + 1, k]
                          + a*(1-b) * x[n, h + 1, w, k] +     a*b * x[n, h + 1, w + 1, k]

    where h, w is the place rounded down, a, b are the fractional parts, and `fill_mode` says what is outside of x.

    Parameters
    ----------
    x : float32 or float64, shape (N, H, W, C)
    matrices : dtype of x, shape (N, 2, 3)
        See the docstring of the module. A place that is not finite is outside of the image.
    fill_value : float
        The value of pixels outside, if `fill_mode` is 'constant'.
    fill_mode : 'constant', 'reflect' or 'nearest'
        Whether images are surrounded by `fill_value`, their mirror images (d c b a | a b c d | d c b a) or the pixels
        at their border (a a a a | a b c d | d d d d).
    out : as x, optional
        Overwritten and returned.

    Returns
    -------
    dtype and shape of x

    Raises
    ------
    ShapeError, TypeError, ValueError
        For arrays that do not fit each other or differ in dtype, a `fill_value` that is not a number, or another mode.

    Notes
    -----
    Bilinear interpolation, as in Keras. NaN spreads to all pixels that are interpolated from it, also with weight 0. An
    image is never split among threads. 'reflect' and 'nearest' are computed by numpy, in 12 to 50 times as long.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)
    >>> half_a_pixel_left = np.array([[[1, 0, 0], [0, 1, 0.5]]])
    >>> affine_warp(x, half_a_pixel_left).ravel()
    array([1.5, 2.5, 1.5])
    """
    x, matrices, out = _images("affine_warp", "x", x, matrices, out)
    fill_value = check_number("affine_warp", "fill_value", fill_value)
    if look_up("affine_warp", "fill_mode", fill_mode, FILL_MODES):
        return continued_warp(x, matrices, fill_mode, out)
    return kernels.active.Warp(x, matrices, out, fill_value)


@Op
def affine_warp_backward(
    dy: Array, matrices: Array, fill_mode: str = "constant", *, out: Array | None = None
) -> Callable[[], Array]:
    """Accumulate each pixel of dy into the four pixels that `affine_warp` interpolated it from; return dx.

    dy : float32 or float64, shape (N, H, W, C). matrices : the same dtype, shape (N, 2, 3). fill_mode : as for
    `affine_warp`. out : as dy.
    Returns an array like dy. Raises ShapeError or TypeError for arrays that do not fit each other.
    """
    dy, matrices, out = _images("affine_warp_backward", "dy", dy, matrices, out)
    if look_up("affine_warp_backward", "fill_mode", fill_mode, FILL_MODES):
        return continued_warp_backward(dy, matrices, fill_mode, out)
    return kernels.active.WarpBackward(dy, matrices, out)


def _images(caller: str, name: str, x: Array, matrices: Array, out: Array | None) -> tuple[Array, Array, Array]:
    x, matrices = as_arrays(caller, **{name: x, "matrices": matrices})
    check_shape(caller, name, x, (None, None, None, None), "(N, H, W, C)")
    check_shape(caller, "matrices", matrices, (x.shape[0], 2, 3), "(N, 2, 3)")
    _, H, W, C = x.shape
    if min(H, W, C) < 1 or (H + 2) * (W + 2) >= 2**31:
        raise ShapeError(f"{caller}: expected {name} of at least one pixel and less than 2**31, got {x.shape}")
    return x, matrices, as_output(caller, out, x.shape, [x, matrices])


@Op
def translation_matrices(
    numbers: Array, size: Size, height_factor: Factor, width_factor: Factor, *, out: Array | None = None
) -> Callable[[], Array]:
    """Compute matrices that translate images by fractions of their height and width.

    Parameters
    ----------
    numbers : float32 or float64, shape (N, 2)
        From 0 to less than 1, as from `random_uniform`: positions in the ranges.
    size : int or (H, W)
        Size of the images.
    height_factor, width_factor : float or (low, high)
        Ranges of fractions, from -1 to 1; f stands for (-f, f). Positive ones move down and right.
    out : dtype of numbers, shape (N, 2, 3), optional
        Overwritten and returned.

    Returns
    -------
    dtype of numbers, shape (N, 2, 3)

    Raises
    ------
    ShapeError, TypeError, ValueError
        For numbers of another shape or dtype, or factors out of range.

    Examples
    --------
    >>> import numpy as np
    >>> translation_matrices(np.array([[0.75, 0.5]]), (8, 16), 0.25, 0.25)[0, :, 2].tolist()
    [-1.0, -0.0]
    """
    caller = "translation_matrices"
    rows = check_factor(caller, "height_factor", height_factor)
    columns = check_factor(caller, "width_factor", width_factor)
    return _matrices(caller, kernels.active.TranslationMatrices, numbers, size, (rows, columns), out)


@Op
def rotation_matrices(numbers: Array, size: Size, factor: Factor, *, out: Array | None = None) -> Callable[[], Array]:
    """Compute matrices that rotate images about their centre.

    numbers : float32 or float64, shape (N, 1), from 0 to less than 1: position in the range. size : int or (H,
    W). factor : float or (low, high), fractions of a full turn from -1 to 1, positive ones counter-clockwise; f
    stands for (-f, f). out : shape (N, 2, 3). Returns that shape, with the dtype of numbers.
    Raises ShapeError, TypeError or ValueError for other numbers or factors.
    """
    caller = "rotation_matrices"
    ranges = (check_factor(caller, "factor", factor),)
    return _matrices(caller, kernels.active.RotationMatrices, numbers, size, ranges, out)


@Op
def zoom_matrices(
    numbers: Array,
    size: Size,
    height_factor: Factor,
    width_factor: Factor | None = None,
    *,
    out: Array | None = None,
) -> Callable[[], Array]:
    """Compute matrices that show 1 + factor times as much of images, about their centre.

    numbers : float32 or float64, shape (N, 2), from 0 to less than 1: positions in the ranges; (N, 1) without a
    `width_factor`, which preserves the aspect ratio. size : int or (H, W). height_factor, width_factor : float or
    (low, high), from -1 to 1, positive ones shrink objects; f stands for (-f, f). out : shape (N, 2, 3).
    Returns that shape, with the dtype of numbers.
    Raises ShapeError, TypeError or ValueError for other numbers or factors.
    """
    caller = "zoom_matrices"
    ranges: tuple[Any, ...] = (check_factor(caller, "height_factor", height_factor),)
    if width_factor is not None:
        ranges = (*ranges, check_factor(caller, "width_factor", width_factor))
    return _matrices(caller, kernels.active.ZoomMatrices, numbers, size, ranges, out)


@Op
def flip_matrices(
    numbers: Array, size: Size, mode: str = "horizontal_and_vertical", *, out: Array | None = None
) -> Callable[[], Array]:
    """Compute matrices that flip images left to right, upside down, or both, if numbers are below 1/2.

    numbers : float32 or float64, shape (N, 2) for upside down and left to right; (N, 1) if `mode` is not
    both. size : int or (H, W). mode : 'horizontal' (left to right), 'vertical' or 'horizontal_and_vertical'.
    out : shape (N, 2, 3). Returns that shape, with the dtype of numbers.
    Raises ShapeError, TypeError or ValueError for other numbers or modes.
    """
    caller = "flip_matrices"
    flips = look_up(caller, "mode", mode, FLIPS)
    return _matrices(caller, kernels.active.FlipMatrices, numbers, size, flips, out, sum(flips))


def _matrices(
    caller: str,
    kernel: Any,
    numbers: Array,
    size: Size,
    options: tuple[Any, ...],
    out: Array | None,
    draws: int | None = None,
) -> Callable[[], Array]:
    (numbers,) = as_arrays(caller, numbers=numbers)
    K = len(options) if draws is None else draws
    check_shape(caller, "numbers", numbers, (None, K), f"(N, {K})")
    out = as_output(caller, out, (numbers.shape[0], 2, 3), [numbers])
    step: Callable[[], Array] = kernel(numbers, out, pair(caller, "size", size), *options)
    return step
