"""conv2d_relu_pool, forward: the values and winners of the unfused operations."""

import numpy as np
import pytest

import chain
from compare import assert_exact, assert_within, integers, normals
from geometries import CONV_POOL, names
from gwucnn import ops

every_geometry = pytest.mark.parametrize("case", CONV_POOL, ids=names(CONV_POOL))
with_and_without_relu = pytest.mark.parametrize("relu", [True, False])


def pooled(x, weight, bias=None, **options):
    """Return (y, winner) of the op, with a winner array that holds nonsense before."""
    shape = chain.pooled_shape(x.shape, weight.shape, **{k: v for k, v in options.items() if k != "relu"})
    winner = np.full(shape, 99, np.uint8)
    return ops.conv2d_relu_pool(x, weight, bias, winner=winner, **options), winner


def assert_pooled(x, weight, bias=None, **options):
    """Fail unless values and winners are the reference's, with and without winners asked for; return both."""
    y, winner = pooled(x, weight, bias, **options)
    want, want_winner = chain.forward(x, weight, bias, **options)
    assert_exact(y, want, x.dtype)
    assert_exact(winner, want_winner, np.uint8)
    assert_exact(ops.conv2d_relu_pool(x, weight, bias, **options), want, x.dtype)
    return y, winner


@every_geometry
@with_and_without_relu
def test_values_and_winners_are_exact_on_whole_numbers(case, relu, isa, dtype, rng):
    x, weight = integers(rng, case.x, dtype), integers(rng, case.weight, dtype)
    assert_pooled(x, weight, relu=relu, **case.options)
    bias = integers(rng, case.weight[3:], dtype)
    assert_pooled(x, weight, bias, relu=relu, **case.options)


@every_geometry
@with_and_without_relu
def test_equals_the_three_ops_to_the_last_bit(case, relu, isa, dtype, rng):
    """Not to rounding: a network may be fused or not, and goes the same way. The sign of 0 counts too."""
    x, weight = normals(rng, case.x, dtype), normals(rng, case.weight, dtype)
    for bias in (None, normals(rng, case.weight[3:], dtype)):
        z = ops.conv2d(x, weight, bias, **case.options)
        y, winner = pooled(x, weight, bias, relu=relu, **case.options)
        want_winner = np.empty_like(winner)
        want = ops.max_pool2d(ops.relu(z) if relu else z, 2, winner=want_winner)
        if case.options.get("groups", 1) > 1:
            # conv2d may have another kernel for groups, with its sums in another order; a network fuses none of them.
            magnitude = ops.conv2d(abs(x), abs(weight), None if bias is None else abs(bias), **case.options).max()
            assert_within(y, want, magnitude, 2 * weight[..., 0].size + 1)
            continue
        assert y.tobytes() == want.tobytes()
        assert_exact(winner, np.where(want <= 0, chain.SHUT, want_winner) if relu else want_winner, np.uint8)


# ----------------------------------------------------------------------------- ties, shut windows, NaN, zeros


@with_and_without_relu
def test_the_first_of_equals_wins(relu, isa, dtype, rng):
    """Images of 0 and 1 under filters of 1 and -1: nearly every window is a tie."""
    x = rng.integers(0, 2, (2, 9, 11, 3)).astype(dtype)
    weight = rng.choice([-1, 1], (2, 2, 3, 21)).astype(dtype)
    assert_pooled(x, weight, relu=relu)
    _, winner = assert_pooled(np.ones_like(x), np.ones_like(weight), relu=relu)
    assert not winner.any()


@pytest.mark.parametrize("bias", [-1e4, -12])
def test_windows_without_a_positive_value_give_zero(bias, isa, dtype, rng):
    """All of them, and the part of them that a real network has."""
    x, weight = integers(rng, (2, 9, 8, 3), dtype), integers(rng, (3, 3, 3, 18), dtype)
    y, winner = assert_pooled(x, weight, np.full(18, bias, dtype))
    shut = (winner == chain.SHUT).mean()
    assert shut == 1 if bias == -1e4 else 0.05 < shut < 0.95
    assert not y[winner == chain.SHUT].any()
    assert not np.signbit(y).any()


def test_without_relu_negative_values_win(isa, dtype, rng):
    x, weight = integers(rng, (2, 9, 8, 3), dtype), integers(rng, (3, 3, 3, 18), dtype)
    y, winner = assert_pooled(x, weight, np.full(18, -1e4, dtype), relu=False)
    assert (y < 0).all()
    assert set(winner.flat) == {0, 1, 2, 3}


@with_and_without_relu
@pytest.mark.parametrize("place", range(4))
def test_nan_is_the_maximum_at_any_position(place, relu, isa, dtype, rng):
    """With filters of one pixel the convolution's pixels are the image's."""
    x, weight = integers(rng, (2, 6, 9, 1), dtype), integers(rng, (1, 1, 1, 19), dtype)
    x[:, place // 2 :: 2, place % 2 :: 2] = np.nan
    y, winner = assert_pooled(x, weight, relu=relu)
    assert np.isnan(y).all()
    assert (winner == place).all()


@with_and_without_relu
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_reaches_exactly_the_windows_that_hold_it(bad, relu, isa, dtype, rng):
    x, weight = integers(rng, (2, 10, 13, 3), dtype), integers(rng, (3, 2, 3, 18), dtype)
    x[1, 4, 5, 2] = bad
    y, _ = assert_pooled(x, weight, relu=relu, padding=((1, 0), (2, 1)))
    assert not np.isfinite(y).all()
    assert np.isfinite(y[0]).all()


def test_zeros_of_either_sign_have_zero_gradient(isa, dtype):
    x = np.array([[-0.0, 0.0], [0.0, -0.0]], dtype).reshape(1, 2, 2, 1)
    y, winner = assert_pooled(x, np.ones((1, 1, 1, 5), dtype))
    assert (winner == chain.SHUT).all()
    assert not np.signbit(y).any()


# ----------------------------------------------------------------------------------------- out, winner, steps


def test_results_are_written_where_wanted(isa, dtype, rng):
    """NaN shows what was not written. Values do not depend on whether winners are asked for."""
    x, weight = normals(rng, (2, 7, 9, 4), dtype), normals(rng, (3, 3, 4, 19), dtype)
    want = ops.conv2d_relu_pool(x, weight)
    out, winner = np.full(want.shape, np.nan, dtype), np.full(want.shape, 99, np.uint8)
    assert ops.conv2d_relu_pool(x, weight, out=out, winner=winner) is out
    assert_exact(out, want, dtype)
    assert winner.max() <= chain.SHUT


def test_a_bound_step_reads_the_current_contents(isa, dtype, rng):
    x, weight, bias = (integers(rng, shape, dtype) for shape in ((2, 7, 8, 3), (3, 3, 3, 17), (17,)))
    winner = np.empty((2, 2, 3, 17), np.uint8)
    step = ops.conv2d_relu_pool.bind(x, weight, bias, winner=winner)
    first = step()
    x *= -1
    bias += 2
    assert step() is first
    want, want_winner = chain.forward(x, weight, bias)
    assert_exact(first, want, dtype)
    assert_exact(winner, want_winner, np.uint8)


def test_inputs_of_any_layout_are_accepted_and_not_modified(dtype, rng):
    x, weight, bias = (integers(rng, shape, dtype) for shape in ((2, 7, 8, 3), (3, 3, 3, 5), (5,)))
    want = ops.conv2d_relu_pool(x, weight, bias)
    odd = np.asfortranarray(x), weight[::-1, ::-1].copy()[::-1, ::-1], np.repeat(bias, 2)[::2]
    before = [array.tobytes() for array in odd]
    assert_exact(ops.conv2d_relu_pool(*odd), want, dtype)
    assert before == [array.tobytes() for array in odd]
