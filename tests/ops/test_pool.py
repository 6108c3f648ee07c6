"""max_pool2d and its gradient: values, winners, ties, NaN, padding, overlapping windows."""

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


def winner_dtype(pool_size):
    """Return the documented type of winners: a byte counts a window of up to 255 pixels."""
    return np.uint8 if np.prod(reference.pair(pool_size)) <= 255 else np.int32


def pool(x, pool_size, **options):
    """Return (y, winner) of the op, with a winner array that holds nonsense before."""
    window_options = {"strides": pool_size, **options}
    y_shape = (x.shape[0], *reference.output_size(x.shape[1:3], pool_size, **window_options), x.shape[3])
    winner = np.full(y_shape, 99, winner_dtype(pool_size))
    y = ops.max_pool2d(x, pool_size, winner=winner, **options)
    return y, winner


def assert_pooled(x, pool_size, **options):
    """Fail unless values and winners are the reference's, with and without winners asked for."""
    y, winner = pool(x, pool_size, **options)
    want, want_winner = reference.max_pool2d(x, pool_size, **options)
    assert_exact(y, want, x.dtype)
    assert_exact(winner, want_winner, winner_dtype(pool_size))
    assert_exact(ops.max_pool2d(x, pool_size, **options), want, x.dtype)
    return winner


@every_geometry
def test_largest_values_and_their_places(case, isa, dtype, rng):
    assert_pooled(normals(rng, case.x, dtype), case.pool_size, **case.options)


@every_geometry
def test_the_first_of_equals_wins(case, isa, dtype, rng):
    """Nine values at most in an image: nearly every window is a tie."""
    assert_pooled(integers(rng, case.x, dtype), case.pool_size, **case.options)


@every_geometry
def test_gradient_goes_to_the_maxima(case, isa, dtype, rng):
    """Whole numbers, so that the sums of overlapping windows are exact."""
    _, winner = pool(integers(rng, case.x, dtype), case.pool_size, **case.options)
    dy = integers(rng, winner.shape, dtype)
    got = ops.max_pool2d_backward(dy, winner, case.x, case.pool_size, **case.options)
    want = reference.max_pool2d_backward(dy, winner, case.x, case.pool_size, **case.options)
    assert_exact(got, want, dtype)


@settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_geometry(isa, dtype, data):
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    pool_size, strides = data.draw(pair), data.draw(pair)
    # Less padding than window on every side: no window lies in the padding alone.
    sides = [st.tuples(st.integers(0, side - 1), st.integers(0, side - 1)) for side in pool_size]
    padding = data.draw(st.one_of(st.sampled_from(["valid", "same"]), st.tuples(*sides)))
    size = [data.draw(st.integers(side, side + 14)) for side in pool_size]
    x_shape = (data.draw(st.integers(0, 3)), *size, data.draw(st.integers(1, 20)))
    rng = np.random.default_rng(0)
    x = integers(rng, x_shape, dtype)
    x[rng.random(x_shape) < 0.1] = np.nan
    options = {"strides": strides, "padding": padding}
    winner = assert_pooled(x, pool_size, **options)
    dy = integers(rng, winner.shape, dtype)
    want = reference.max_pool2d_backward(dy, winner, x_shape, pool_size, **options)
    assert_exact(ops.max_pool2d_backward(dy, winner, x_shape, pool_size, **options), want, dtype)


# ------------------------------------------------------------------------------ values that are not numbers


@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize("place", range(4))
def test_nan_is_the_maximum_at_any_position(place, channels, isa, dtype, rng):
    x = normals(rng, (2, 4, 6, channels), dtype)
    x[:, place // 2 :: 2, place % 2 :: 2, 0] = np.nan
    winner = assert_pooled(x, 2)
    assert (winner[..., 0] == place).all()


def test_the_first_of_several_nan_wins(isa, dtype, rng):
    x = normals(rng, (1, 8, 8, 5), dtype)
    x[rng.random(x.shape) < 0.4] = np.nan
    assert_pooled(x, 3, strides=2)
    assert_pooled(np.full((1, 4, 4, 3), np.nan, dtype), 2)


def test_infinities(isa, dtype, rng):
    x = rng.choice(np.array([-np.inf, -1, 1, np.inf, np.nan], dtype), (2, 8, 10, 17))
    assert_pooled(x, 2)
    assert_pooled(x, 3, strides=2, padding=1)


@pytest.mark.parametrize("value", [-np.inf, -1.0, np.nan])
def test_padding_never_wins(value, isa, dtype):
    """Were it taken as 0, or as -inf, it would win over these pixels, or tie with them and stand first."""
    x = np.full((1, 4, 5, 3), value, dtype)
    winner = assert_pooled(x, 3, strides=1, padding=2)
    assert winner[0, 0, 0].tolist() == [8, 8, 8]
    assert_pooled(x, 2, strides=3, padding="same")


def test_signed_zeros_are_equal(isa, dtype):
    x = np.array([[-0.0, 0.0], [0.0, -0.0]], dtype).reshape(1, 2, 2, 1)
    assert pool(x, 2)[1].item() == 0


# -------------------------------------------------------------------------------------------------- gradients


def test_overlapping_windows_add(isa, dtype):
    """The pixel in the middle wins all nine windows and earns nine gradients."""
    x = np.zeros((1, 5, 5, 2), dtype)
    x[0, 2, 2] = 1
    _, winner = pool(x, 3, strides=1)
    dx = ops.max_pool2d_backward(np.ones((1, 3, 3, 2), dtype), winner, x.shape, 3, strides=1)
    assert_exact(dx, 9 * x, dtype)


def test_sums_of_gradients_stay_in_their_bound(isa, dtype, rng):
    x = normals(rng, (2, 12, 13, 18), dtype)
    _, winner = pool(x, 5, strides=1)
    dy = normals(rng, winner.shape, dtype)
    want = reference.max_pool2d_backward(dy, winner, x.shape, 5, strides=1)
    sizes = reference.max_pool2d_backward(abs(dy), winner, x.shape, 5, strides=1)
    assert_within(ops.max_pool2d_backward(dy, winner, x.shape, 5, strides=1), want, sizes, 25)


def test_a_gradient_of_nan_reaches_its_winner_alone(isa, dtype, rng):
    x = normals(rng, (1, 6, 6, 4), dtype)
    _, winner = pool(x, 2)
    dy = np.ones(winner.shape, dtype)
    dy[0, 1, 1, 2] = np.nan
    dx = ops.max_pool2d_backward(dy, winner, x.shape, 2)
    assert_exact(dx, reference.max_pool2d_backward(dy, winner, x.shape, 2), dtype)
    assert np.isnan(dx).sum() == 1


# ------------------------------------------------------------------------------------------------- refusals

X = np.zeros((2, 6, 5, 4), "float32")
DY, WINNER = np.zeros((2, 3, 2, 4), "float32"), np.zeros((2, 3, 2, 4), "uint8")


def refuses(op, error, argument, *args, **options):
    with pytest.raises(error, match=rf"^{op}: .*\b{argument}\b"):
        getattr(ops, op)(*args, **options)


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("pool_size", {"pool_size": 0}),
        ("pool_size", {"pool_size": (2, -1)}),
        ("pool_size", {"pool_size": 2.5}),
        ("pool_size", {"pool_size": (7, 2)}),
        ("pool_size", {"pool_size": (2, 6)}),
        ("strides", {"pool_size": 2, "strides": 0}),
        ("strides", {"pool_size": 2, "strides": (1, 1, 1)}),
        ("padding", {"pool_size": 2, "padding": "full"}),
        ("padding", {"pool_size": 2, "padding": -1}),
        ("padding", {"pool_size": 2, "padding": 2}),
        ("padding", {"pool_size": (2, 3), "strides": 1, "padding": ((0, 0), (0, 3))}),
    ],
)
def test_options(argument, options):
    refuses("max_pool2d", (ValueError, TypeError), argument, X, **options)
    refuses("max_pool2d_backward", (ValueError, TypeError), argument, DY, WINNER, X.shape, **options)


def test_shapes_and_types_of_winners():
    refuses("max_pool2d", ShapeError, "x", X[0], 2)
    refuses("max_pool2d", ShapeError, "winner", X, 2, winner=np.zeros((2, 3, 3, 4), "uint8"))
    refuses("max_pool2d", TypeError, "winner", X, 2, winner=np.zeros(WINNER.shape, "int32"))
    refuses("max_pool2d", TypeError, "winner", X, 2, winner=np.zeros(WINNER.shape, "int8"))
    big = np.zeros((1, 17, 17, 1), "float32")
    refuses("max_pool2d", TypeError, "winner", big, 17, winner=np.zeros((1, 1, 1, 1), "uint8"))
    refuses("max_pool2d", ValueError, "winner", X, 2, winner=WINNER[:, :, :, ::-1])
    frozen = WINNER.copy()
    frozen.flags.writeable = False
    refuses("max_pool2d", ValueError, "winner", X, 2, winner=frozen)


def test_winner_in_the_memory_of_another_array():
    storage = np.zeros(X.size, "float32")
    x = storage.reshape(X.shape)
    winner = storage.view("uint8")[: WINNER.size].reshape(WINNER.shape)
    refuses("max_pool2d", ValueError, "winner", x, 2, winner=winner)
    out = storage[: DY.size].reshape(DY.shape)
    refuses("max_pool2d", ValueError, "winner", X, 2, winner=winner, out=out)


def test_shapes_of_the_gradient():
    op = "max_pool2d_backward"
    refuses(op, ShapeError, "dy", DY[:, :2].copy(), WINNER, X.shape, 2)
    refuses(op, ShapeError, "dy", DY[0], WINNER, X.shape, 2)
    refuses(op, ShapeError, "winner", DY, WINNER[:, :2].copy(), X.shape, 2)
    refuses(op, (ShapeError, TypeError), "input_shape", DY, WINNER, (6, 5, 4), 2)
    refuses(op, TypeError, "winner", DY, WINNER.astype("int64"), X.shape, 2)


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_winners_that_no_forward_pass_made_drop_their_gradient(kind, isa, dtype):
    """Followed blindly they would write outside of dx."""
    side = 2 if kind == "uint8" else 17
    winner = np.zeros((1, 2, 2, 3), kind)
    dy, shape = np.ones(winner.shape, dtype), (1, 2 * side, 2 * side, 3)
    for wrong in {"uint8": [4, 255], "int32": [-1, 17 * 17, 2**31 - 1, -(2**31)]}[kind]:
        winner[0, 1, 1, 2] = wrong
        dx = ops.max_pool2d_backward(dy, winner, shape, side)
        want = np.zeros(shape)
        want[:, ::side, ::side] = 1
        want[0, side, side, 2] = 0
        assert_exact(dx, want, dtype)


@pytest.mark.parametrize("C", range(1, 9))
def test_rows_of_few_channels_take_any_winner_and_any_gradient(C, isa, dtype, rng):
    """Windows side by side in whole vectors: nonsense makes a gradient vanish, NaN stays where it belongs."""
    shape = (2, 3, 19, C)
    winner = rng.choice([0, 1, 2, 3, 4, 5, 7, 128, 255], shape).astype("uint8")
    dy = integers(rng, shape, dtype)
    dy[rng.random(shape) < 0.1] = np.nan
    want = np.zeros((2, 7, 39, C))
    for place in range(4):
        want[:, place // 2 : 6 : 2, place % 2 : 38 : 2] = np.where(winner == place, dy, 0)
    assert_exact(ops.max_pool2d_backward(dy, winner, want.shape, 2), want, dtype)


def test_winners_in_the_padding_drop_their_gradient(isa, dtype):
    """Pixel 0 of a padded corner window lies above and to the left of the image."""
    winner = np.full((1, 3, 3, 1), 4, "uint8")
    winner[0, 0, 0, 0] = 0
    dx = ops.max_pool2d_backward(np.ones(winner.shape, dtype), winner, (1, 5, 5, 1), 3, strides=2, padding=1)
    want = np.zeros((1, 5, 5, 1))
    want[:, ::2, ::2] = 1
    want[0, 0, 0] = 0
    assert_exact(dx, want, dtype)
