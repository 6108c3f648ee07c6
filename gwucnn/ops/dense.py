"""The matrix product of dense layers and its two gradients.

A dense layer is a 1x1 convolution of N images with one pixel each, and uses the same kernels. One or two rows have
kernels of their own.
"""

from __future__ import annotations

from collections.abc import Callable

from gwucnn import kernels
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = ["dense", "dense_backward_input", "dense_backward_weight", "sum_rows"]

# strides, dilation, padding and groups of a 1x1 convolution
ONE_PIXEL = (1, 1), (1, 1), (0, 0), 1


# Up to here kernels that read the weights in place are faster than packing them: in 15 of 18 cases measured,
# forward and both gradients with weights of 338 x 100, 1600 x 10 and 4096 x 128. Four rows: in 3 of 9.
FEW_ROWS = 2


def _pixels(rows: Array) -> Array:
    """View (N, D) as N images of one pixel with D channels."""
    return rows.reshape(rows.shape[0], 1, 1, rows.shape[1])


@Op
def dense(x: Array, weight: Array, bias: Array | None = None, *, out: Array | None = None) -> Callable[[], Array]:
    """Multiply rows of features by a matrix: y = x @ weight + bias.

    Parameters
    ----------
    x : float32 or float64, shape (N, D)
    weight : dtype of x, shape (D, U)
    bias : dtype of x, shape (U,), optional
    out : dtype of x, shape (N, U), optional
        Overwritten and returned.

    Returns
    -------
    dtype of x, shape (N, U)

    Raises
    ------
    ShapeError
        If D or U differ between the arrays or are 0.
    TypeError
        If the arrays differ in dtype, or it is not float32 or float64.

    Notes
    -----
    Costs 2*N*D*U operations. The error is bounded as that of `conv2d`, with D terms.
    """
    x, weight, bias = as_arrays("dense", x=x, weight=weight, bias=bias)
    check_shape("dense", "x", x, (None, None), "(N, D)")
    check_shape("dense", "weight", weight, (x.shape[1], None), f"(D, U) with D={x.shape[1]} features as in x")
    if bias is not None:
        check_shape("dense", "bias", bias, (weight.shape[1],), "(U,)")
    out = as_output("dense", out, (x.shape[0], weight.shape[1]), [x, weight, bias])
    if len(x) <= FEW_ROWS:
        return kernels.active.DenseFewRows(x, weight, bias, out)
    step = kernels.active.Conv2D(_pixels(x), weight[None, None], bias, _pixels(out), *ONE_PIXEL)
    return _returning(step, out)


@Op
def dense_backward_input(dy: Array, weight: Array, *, out: Array | None = None) -> Callable[[], Array]:
    """Return the gradient of `dense` by its rows: dx = dy @ weight.T.

    Parameters
    ----------
    dy : float32 or float64, shape (N, U)
    weight : dtype of dy, shape (D, U)
    out : dtype of dy, shape (N, D), optional
        Overwritten and returned.

    Returns
    -------
    dtype of dy, shape (N, D)

    Raises
    ------
    ShapeError, TypeError
        As `dense`.
    """
    dy, weight = as_arrays("dense_backward_input", dy=dy, weight=weight)
    check_shape("dense_backward_input", "dy", dy, (None, None), "(N, U)")
    check_shape("dense_backward_input", "weight", weight, (None, dy.shape[1]), f"(D, U) with U={dy.shape[1]} as in dy")
    out = as_output("dense_backward_input", out, (dy.shape[0], weight.shape[0]), [dy, weight])
    if len(dy) <= FEW_ROWS:
        return kernels.active.DenseFewRowsBackwardInput(dy, weight, out)
    step = kernels.active.Conv2DBackwardInput(_pixels(dy), weight[None, None], _pixels(out), *ONE_PIXEL)
    return _returning(step, out)


@Op
def dense_backward_weight(
    x: Array, dy: Array, *, out: Array | None = None, accumulate: bool = False
) -> Callable[[], Array]:
    """Return the gradient of `dense` by its matrix: dweight = x.T @ dy.

    Parameters
    ----------
    x : float32 or float64, shape (N, D)
    dy : dtype of x, shape (N, U)
    out : dtype of x, shape (D, U), optional
        Overwritten and returned.
    accumulate : bool
        Add to `out` instead of overwriting it.

    Returns
    -------
    dtype of x, shape (D, U)

    Raises
    ------
    ShapeError, TypeError
        As `dense`.
    """
    x, dy = as_arrays("dense_backward_weight", x=x, dy=dy)
    check_shape("dense_backward_weight", "x", x, (None, None), "(N, D)")
    check_shape("dense_backward_weight", "dy", dy, (x.shape[0], None), f"(N, U) with N={x.shape[0]} rows as in x")
    if accumulate and out is None:
        raise ValueError("dense_backward_weight: expected out= to add to with accumulate=True, got None")
    out = as_output("dense_backward_weight", out, (x.shape[1], dy.shape[1]), [x, dy])
    if len(x) <= FEW_ROWS:
        return kernels.active.DenseFewRowsBackwardWeight(x, dy, out, accumulate)
    step = kernels.active.Conv2DBackwardWeight(_pixels(x), _pixels(dy), out[None, None], *ONE_PIXEL, accumulate)
    return _returning(step, out)


@Op
def sum_rows(rows: Array, *, out: Array | None = None, accumulate: bool = False) -> Callable[[], Array]:
    """Sum over all axes but the last: the gradient by a bias.

    Parameters
    ----------
    rows : float32 or float64, shape (..., F)
    out : dtype of rows, shape (F,), optional
        Overwritten and returned.
    accumulate : bool
        Add to `out` instead of overwriting it.

    Returns
    -------
    dtype of rows, shape (F,)
    """
    (rows,) = as_arrays("sum_rows", rows=rows)
    if accumulate and out is None:
        raise ValueError("sum_rows: expected out= to add to with accumulate=True, got None")
    out = as_output("sum_rows", out, rows.shape[-1:], [rows])
    return kernels.active.SumRows(rows, out, accumulate)


def _returning(step: Callable[[], Array], out: Array) -> Callable[[], Array]:
    """Let `step` return the array of two axes instead of the view of four that its kernel fills."""
    step.out = out  # type: ignore[attr-defined]
    return step
