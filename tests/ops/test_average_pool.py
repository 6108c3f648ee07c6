"""average_pool2d and its gradient: values, divisors, padding, overlapping windows, adjointness, errors."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reference
from compare import assert_exact, assert_within, integers, normals
from geometries import POOL, names
from gwucnn import ops
from gwucnn.common.errors import ShapeError

every_geometry = pytest.mark.parametrize("case", POOL, ids=names(POOL))
either_count = pytest.mark.parametrize("counts", [False, True], ids=["inside", "all"])


def assert_averaged(x, dy_of, pool_size, **options):
    """Fail unless values and gradients are the reference's, to the rounding of their sums."""
    want, pixels = reference.average_pool2d(x, pool_size, **options), np.prod(reference.pair(pool_size))
    size = reference.average_pool2d(abs(x), pool_size, **options)
    assert_within(ops.average_pool2d(x, pool_size, **options), want, size, pixels)
    dy = dy_of(want.shape)
    want = reference.average_pool2d_backward(dy, x.shape, pool_size, **options)
    size = reference.average_pool2d_backward(abs(dy), x.shape, pool_size, **options)
    assert_within(ops.average_pool2d_backward(dy, x.shape, pool_size, **options), want, size, pixels)


@every_geometry
@either_count
def test_values_and_gradients(case, counts, isa, dtype, rng):
    x = normals(rng, case.x, dtype)
    assert_averaged(
        x,
        lambda shape: normals(rng, shape, dtype),
        case.pool_size,
        count_include_pad=counts,
        **case.options,
    )


@pytest.mark.parametrize("channels", [1, 7, 8, 15, 16, 17, 33])
def test_windows_of_four_are_exact(channels, isa, dtype, rng):
    """Whole numbers, and a division by a power of two."""
    x = integers(rng, (2, 6, 8, channels), dtype)
    assert_exact(ops.average_pool2d(x, 2), reference.average_pool2d(x, 2), dtype)
    dy = integers(rng, (2, 3, 4, channels), dtype)
    assert_exact(
        ops.average_pool2d_backward(dy, x.shape, 2),
        reference.average_pool2d_backward(dy, x.shape, 2),
        dtype,
    )


@settings(
    deadline=None,
    derandomize=True,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_geometry(isa, dtype, data):
    pair = st.tuples(st.integers(1, 5), st.integers(1, 5))
    pool_size, strides = data.draw(pair), data.draw(pair)
    sides = [st.tuples(st.integers(0, side - 1), st.integers(0, side - 1)) for side in pool_size]
    padding = data.draw(st.one_of(st.sampled_from(["valid", "same"]), st.tuples(*sides)))
    size = [data.draw(st.integers(side, side + 14)) for side in pool_size]
    x_shape = (data.draw(st.integers(0, 3)), *size, data.draw(st.integers(1, 36)))
    rng = np.random.default_rng(0)
    assert_averaged(
        integers(rng, x_shape, dtype),
        lambda shape: integers(rng, shape, dtype),
        pool_size,
        strides=strides,
        padding=padding,
        count_include_pad=data.draw(st.booleans()),
    )


@every_geometry
@either_count
def test_adjoint(case, counts, isa, rng):
    """<average(x), dy> == <x, backward(dy)>."""
    options = {**case.options, "count_include_pad": counts}
    x = rng.standard_normal(case.x)
    y = ops.average_pool2d(x, case.pool_size, **options)
    dy = rng.standard_normal(y.shape)
    dx = ops.average_pool2d_backward(dy, case.x, case.pool_size, **options)
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, dx), rel=1e-11, abs=1e-12)


def test_padding_counts_only_if_asked(isa, dtype):
    """A corner window of 2x2 with one pixel of the image, 4: its mean is 4, or 1 with three zeros beside it."""
    x = np.full((1, 2, 2, 17), 4, dtype)
    inside = ops.average_pool2d(x, 2, 1, 1)
    assert_exact(inside, np.full((1, 3, 3, 17), 4), dtype)
    every = ops.average_pool2d(x, 2, 1, 1, count_include_pad=True)
    assert every[0, :, :, 16].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    dx = ops.average_pool2d_backward(np.ones_like(inside), x.shape, 2, 1, 1)
    assert dx[0, 0, 0, 0] == 1 + 0.5 + 0.5 + 0.25


@pytest.mark.parametrize("channels", [1, 16, 18])
def test_a_whole_image_is_as_exact_as_a_window(channels, isa, rng):
    """150,000 numbers near 1: summed one after another in float32, the mean would be off by 1e-5 and more."""
    x = (1 + rng.random((1, 400, 375, channels))).astype("float32")
    got = ops.average_pool2d(x, (400, 375))
    np.testing.assert_allclose(got, np.float64(x).mean(axis=(1, 2), keepdims=True), rtol=1.2e-7)


def test_nan_spoils_its_windows_alone(isa, dtype, rng):
    x = normals(rng, (1, 6, 6, 18), dtype)
    x[0, 2, 3, 17] = np.nan
    y = ops.average_pool2d(x, 2)
    assert np.isnan(y).sum() == 1 and np.isnan(y[0, 1, 1, 17])


# ------------------------------------------------------------------------------------------------- refusals

X, DY = np.zeros((2, 6, 5, 4), "float32"), np.zeros((2, 3, 2, 4), "float32")


def refuses(op, error, argument, *args, **options):
    with pytest.raises(error, match=rf"^{op}: .*\b{argument}\b"):
        getattr(ops, op)(*args, **options)


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("pool_size", {"pool_size": 0}),
        ("pool_size", {"pool_size": (7, 2)}),
        ("strides", {"pool_size": 2, "strides": 0}),
        ("padding", {"pool_size": 2, "padding": "full"}),
        ("padding", {"pool_size": 2, "padding": 2}),
        ("count_include_pad", {"pool_size": 2, "count_include_pad": "yes"}),
    ],
)
def test_options(argument, options):
    refuses("average_pool2d", (ValueError, TypeError), argument, X, **options)
    refuses("average_pool2d_backward", (ValueError, TypeError), argument, DY, X.shape, **options)


def test_shapes():
    refuses("average_pool2d", ShapeError, "x", X[0], 2)
    refuses("average_pool2d_backward", ShapeError, "dy", DY[:, :2].copy(), X.shape, 2)
    refuses("average_pool2d_backward", (ShapeError, TypeError), "input_shape", DY, (6, 5, 4), 2)
