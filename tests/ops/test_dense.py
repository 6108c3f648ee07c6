"""dense and its two gradients: matrix products of awkward sizes, exact on integers."""

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, integers, normals
from geometries import DENSE, names
from gwucnn import ops
from gwucnn.common.errors import ShapeError

every_geometry = pytest.mark.parametrize("case", DENSE, ids=names(DENSE))


@every_geometry
def test_forward_is_exact_on_whole_numbers(case, isa, dtype, rng):
    x, weight = integers(rng, case.x, dtype), integers(rng, (case.x[1], case.units), dtype)
    bias = integers(rng, (case.units,), dtype)
    assert_exact(ops.dense(x, weight), reference.dense(x, weight), dtype)
    assert_exact(ops.dense(x, weight, bias), reference.dense(x, weight, bias), dtype)


@every_geometry
def test_gradients_are_exact_on_whole_numbers(case, isa, dtype, rng):
    x, weight = integers(rng, case.x, dtype), integers(rng, (case.x[1], case.units), dtype)
    dy = integers(rng, (case.x[0], case.units), dtype)
    assert_exact(ops.dense_backward_input(dy, weight), reference.dense_backward_input(dy, weight), dtype)
    assert_exact(ops.dense_backward_weight(x, dy), reference.dense_backward_weight(x, dy), dtype)


@pytest.mark.parametrize(("N", "D", "U"), [(5, 700, 33), (70, 31, 40), (1, 900, 7)])
def test_rounding_stays_in_its_bound(N, D, U, isa, dtype, rng):
    x, weight, bias = normals(rng, (N, D), dtype), normals(rng, (D, U), dtype), normals(rng, (U,), dtype)
    sizes = reference.dense(abs(x), abs(weight), abs(bias))
    assert_within(ops.dense(x, weight, bias), reference.dense(x, weight, bias), sizes, D)
    dy = normals(rng, (N, U), dtype)
    sizes = reference.dense_backward_input(abs(dy), abs(weight))
    assert_within(ops.dense_backward_input(dy, weight), reference.dense_backward_input(dy, weight), sizes, U)
    sizes = reference.dense_backward_weight(abs(x), abs(dy))
    assert_within(ops.dense_backward_weight(x, dy), reference.dense_backward_weight(x, dy), sizes, N)


@pytest.mark.parametrize("N", [3, 6])
def test_nan_stays_in_its_row_and_its_column(N, isa, dtype, rng):
    x, weight, dy = (integers(rng, shape, dtype) for shape in ((N, 19), (19, 33), (N, 33)))
    x[2, 7] = weight[9, 30] = dy[1, 32] = np.nan
    y = ops.dense(x, weight)
    assert_exact(y, reference.dense(x, weight), dtype)
    assert np.isnan(y).sum() == N + 33 - 1
    assert_exact(ops.dense_backward_input(dy, weight), reference.dense_backward_input(dy, weight), dtype)
    assert_exact(ops.dense_backward_weight(x, dy), reference.dense_backward_weight(x, dy), dtype)


def test_equals_a_convolution_of_one_pixel(isa, dtype, rng):
    x, weight = integers(rng, (9, 21), dtype), integers(rng, (21, 18), dtype)
    image = ops.conv2d(x.reshape(9, 1, 1, 21), weight.reshape(1, 1, 21, 18))
    assert_exact(ops.dense(x, weight), image.reshape(9, 18), dtype)


@every_geometry
def test_weight_gradient_can_be_added(case, isa, dtype, rng):
    """With accumulate=True `out` is added to, as a layer's gradient is."""
    x, dy = integers(rng, case.x, dtype), integers(rng, (case.x[0], case.units), dtype)
    before = integers(rng, (case.x[1], case.units), dtype)
    out = before.copy()
    assert ops.dense_backward_weight(x, dy, out=out, accumulate=True) is out
    assert_exact(out, before + reference.dense_backward_weight(x, dy), dtype)


@pytest.mark.parametrize("shape", [(1, 1), (0, 3), (7, 65), (3, 5, 4, 64), (2, 300, 10), (1100, 130)])
def test_sum_of_rows(shape, isa, dtype, rng):
    """The gradient by a bias: over all axes but the last, in blocks of 256 rows and 64 columns."""
    rows = integers(rng, shape, dtype)
    want = np.float64(rows).reshape(-1, shape[-1]).sum(axis=0)
    assert_exact(ops.sum_rows(rows), want, dtype)
    out = np.ones(shape[-1], dtype)
    assert ops.sum_rows(rows, out=out, accumulate=True) is out
    assert_exact(out, want + 1, dtype)


def test_sum_of_many_rows_loses_little(isa, rng):
    """One running sum in float32 would be 1e-4 off after a million rows of ones and a third."""
    rows = np.full((2**18, 3), 4 / 3, "float32")
    want = np.float64(rows).sum(axis=0)
    assert_within(ops.sum_rows(rows), want, want, 256)


X, WEIGHT, DY = (np.zeros(shape, "float32") for shape in ((4, 6), (6, 3), (4, 3)))


@pytest.mark.parametrize(
    ("op", "argument", "args"),
    [
        ("dense", "x", (X[0], WEIGHT)),
        ("dense", "x", (X.reshape(4, 2, 3), WEIGHT)),
        ("dense", "weight", (X, WEIGHT[0])),
        ("dense", "weight", (X, WEIGHT[:5].copy())),
        ("dense", "bias", (X, WEIGHT, np.zeros(4, "float32"))),
        ("dense", "bias", (X, WEIGHT, np.zeros((1, 3), "float32"))),
        ("dense_backward_input", "dy", (DY[0], WEIGHT)),
        ("dense_backward_input", "weight", (DY, WEIGHT[:, :2].copy())),
        ("dense_backward_weight", "x", (X[0], DY)),
        ("dense_backward_weight", "dy", (X, DY[:3].copy())),
        ("dense_backward_weight", "dy", (X, DY.reshape(4, 3, 1))),
    ],
)
def test_shapes_that_do_not_fit(op, argument, args):
    with pytest.raises(ShapeError, match=rf"^{op}: .*\b{argument}\b"):
        getattr(ops, op)(*args)
