"""dense and its two gradients: matrix products of every awkward size, exact on whole numbers."""

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, integers, normals
from geometries import DENSE, names
from gwucnn import ops
from gwucnn.errors import ShapeError

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


def test_nan_stays_in_its_row(isa, dtype, rng):
    x, weight = integers(rng, (6, 19), dtype), integers(rng, (19, 33), dtype)
    x[2, 7] = np.nan
    y = ops.dense(x, weight)
    assert_exact(y, reference.dense(x, weight), dtype)
    assert np.isnan(y).any(axis=1).tolist() == [False, False, True, False, False, False]


def test_equals_a_convolution_of_one_pixel(isa, dtype, rng):
    x, weight = integers(rng, (9, 21), dtype), integers(rng, (21, 18), dtype)
    image = ops.conv2d(x.reshape(9, 1, 1, 21), weight.reshape(1, 1, 21, 18))
    assert_exact(ops.dense(x, weight), image.reshape(9, 18), dtype)


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
