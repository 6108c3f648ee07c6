"""Gradients of conv2d_relu_pool, computed from the winners alone, equal those of the unfused operations."""

import numpy as np
import pytest

import chain
from compare import assert_exact, assert_within, integers, normals
from geometries import CONV_POOL, names
from gwucnn import kernels, ops
from gwucnn.ops.conv_pool import has_gradients

every_geometry = pytest.mark.parametrize("case", CONV_POOL, ids=names(CONV_POOL))


def has_kernels(case, dtype):
    """Return (by weights, by input): whether the ops can do this case. By weights is more than networks ask."""
    options = dict(case.options)
    groups, dilation = options.get("groups", 1), options.get("dilation_rate", 1)
    dilation = (dilation, dilation) if isinstance(dilation, int) else dilation
    by_input = has_gradients(dtype, case.weight, dilation, groups)[1]
    whole = case.weight[3] % kernels.active.LANES[dtype.char] == 0
    return by_input or (whole and groups == 1), by_input


def backward_weight(x, dy, winner, weight_shape, **options):
    """Return (dweight, dbias), added to zeros."""
    out, bias_grad = np.zeros(weight_shape, x.dtype), np.zeros(weight_shape[3:], x.dtype)
    got = ops.conv2d_relu_pool_backward_weight(x, dy, winner, bias_grad=bias_grad, out=out, **options)
    assert got is out
    return out, bias_grad


def draw(case, dtype, rng, make=integers):
    """Return x, weight, bias, dy and the winners of the forward pass."""
    x, weight, bias = (make(rng, shape, dtype) for shape in (case.x, case.weight, case.weight[3:]))
    _, winner = chain.forward(x, weight, bias, **case.options)
    return x, weight, bias, make(rng, winner.shape, dtype), winner


# ------------------------------------------------------------------------------------- against the reference


@every_geometry
def test_weight_gradient_is_exact_on_whole_numbers(case, isa, dtype, rng):
    x, _, _, dy, winner = draw(case, dtype, rng)
    if not has_kernels(case, dtype)[0]:
        with pytest.raises(ValueError, match=r"^conv2d_relu_pool_backward_weight: .*\bout\b"):
            backward_weight(x, dy, winner, case.weight, **without_groups(case))
        return
    want, want_bias = chain.backward_weight(x, dy, winner, case.weight, **case.options)
    got, got_bias = backward_weight(x, dy, winner, case.weight, **case.options)
    assert_exact(got, want, dtype)
    assert_exact(got_bias, want_bias, dtype)


@every_geometry
def test_input_gradient_is_exact_on_whole_numbers(case, isa, dtype, rng):
    _, weight, _, dy, winner = draw(case, dtype, rng)
    options = without_groups(case)
    dilated = options.pop("dilation_rate", 1) != 1
    if not has_kernels(case, dtype)[1]:
        # The op has no dilation: then not even the shapes fit.
        if not dilated:
            with pytest.raises(ValueError, match=r"^conv2d_relu_pool_backward_input: .*weight"):
                ops.conv2d_relu_pool_backward_input(dy, winner, weight, case.x, **options)
        return
    out = np.full(case.x, np.nan, dtype)
    got = ops.conv2d_relu_pool_backward_input(dy, winner, weight, case.x, out=out, **options)
    assert got is out
    assert_exact(out, chain.backward_input(dy, winner, weight, case.x, **options), dtype)


def without_groups(case):
    return {key: value for key, value in case.options.items() if key != "groups"}


@every_geometry
@pytest.mark.parametrize("relu", [True, False])
def test_the_three_are_adjoint(case, relu, isa, dtype, rng):
    """<y, dy> == <x, dx> + <bias, dbias> == <weight, dweight> + <bias, dbias>, the winners being fixed."""
    by_weight, by_input = has_kernels(case, dtype)
    x, weight, bias, dy, winner = draw(case, dtype, rng)
    y = ops.conv2d_relu_pool(x, weight, bias, winner=winner, relu=relu, **case.options)
    forward = np.vdot(np.float64(y), dy)
    dbias = np.where(winner < chain.SHUT, dy, 0).sum(axis=(0, 1, 2))
    if by_weight:
        dweight, got_bias = backward_weight(x, dy, winner, case.weight, **case.options)
        assert_exact(got_bias, dbias, dtype)
        assert np.vdot(weight, np.float64(dweight)) + np.vdot(bias, dbias) == forward
    if by_input:
        dx = ops.conv2d_relu_pool_backward_input(dy, winner, weight, case.x, **case.options)
        assert np.vdot(x, np.float64(dx)) + np.vdot(bias, dbias) == forward


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((5, 20, 23, 32), (3, 3, 32, 21), {}),
        ((3, 17, 16, 48), (3, 3, 48, 34), {"padding": "same"}),
        ((6, 28, 28, 1), (3, 3, 1, 32), {}),
        ((4, 19, 22, 3), (5, 4, 3, 48), {"padding": 2, "strides": (1, 2)}),
    ],
)
def test_rounding_stays_in_its_bound(x_shape, weight_shape, options, isa, dtype, rng):
    x, weight = normals(rng, x_shape, dtype), normals(rng, weight_shape, dtype)
    _, winner = chain.forward(x, weight, **options)
    dy = normals(rng, winner.shape, dtype)
    terms = dy[..., 0].size
    want = chain.backward_weight(x, dy, winner, weight_shape, **options)
    sizes = chain.backward_weight(abs(x), abs(dy), winner, weight_shape, **options)
    for got, accurate, size in zip(backward_weight(x, dy, winner, weight_shape, **options), want, sizes, strict=True):
        assert_within(got, accurate, size, terms)
    if x_shape[3] % kernels.active.LANES[dtype.char] == 0:
        want = chain.backward_input(dy, winner, weight, x_shape, **options)
        sizes = chain.backward_input(abs(dy), winner, abs(weight), x_shape, **options)
        got = ops.conv2d_relu_pool_backward_input(dy, winner, weight, x_shape, **options)
        assert_within(got, want, sizes, 9 * weight_shape[3])


# ------------------------------------------------------------------------------------------ adding, NaN, steps

# One case for lists of winners, one for masks.
BOTH = {"lists": ((3, 9, 8, 16), (3, 3, 16, 18)), "masks": ((3, 9, 8, 3), (3, 3, 3, 32))}
both_kernels = pytest.mark.parametrize(("x_shape", "weight_shape"), BOTH.values(), ids=BOTH)


@both_kernels
def test_gradients_are_added(x_shape, weight_shape, isa, dtype, rng):
    """As to a parameter's gradient; with and without a bias."""
    x, dy = integers(rng, x_shape, dtype), integers(rng, chain.pooled_shape(x_shape, weight_shape), dtype)
    winner = rng.integers(0, 5, dy.shape).astype(np.uint8)
    want, want_bias = chain.backward_weight(x, dy, winner, weight_shape)
    start, start_bias = integers(rng, weight_shape, dtype), integers(rng, weight_shape[3:], dtype)
    out, bias_grad = start.copy(), start_bias.copy()
    step = ops.conv2d_relu_pool_backward_weight.bind(x, dy, winner, bias_grad=bias_grad, out=out)
    for times in (1, 2, 3):
        assert step() is out
        assert_exact(out, start + times * want, dtype)
        assert_exact(bias_grad, start_bias + times * want_bias, dtype)
    out = start.copy()
    ops.conv2d_relu_pool_backward_weight(x, dy, winner, out=out)
    assert_exact(out, start + want, dtype)


def test_input_gradient_is_overwritten(isa, dtype, rng):
    x_shape, weight_shape = BOTH["lists"]
    weight, dy = integers(rng, weight_shape, dtype), integers(rng, (3, 3, 3, 18), dtype)
    winner = rng.integers(0, 5, dy.shape).astype(np.uint8)
    step = ops.conv2d_relu_pool_backward_input.bind(dy, winner, weight, x_shape)
    first = step()
    dy *= -1
    winner[...] = rng.integers(0, 5, dy.shape)
    assert step() is first
    assert_exact(first, chain.backward_input(dy, winner, weight, x_shape), dtype)


@both_kernels
def test_a_winner_that_is_no_pixel_drops_its_gradient(x_shape, weight_shape, isa, dtype, rng):
    """Not only 4: whatever a byte can hold, and a gradient of NaN too."""
    x, dy = integers(rng, x_shape, dtype), integers(rng, chain.pooled_shape(x_shape, weight_shape), dtype)
    winner = rng.integers(0, 256, dy.shape).astype(np.uint8)
    winner[rng.random(dy.shape) < 0.5] &= 3
    winner[0, 0, 0, :12] = [4, 5, 6, 7, 8, 64, 127, 128, 129, 252, 254, 255]
    want, want_bias = chain.backward_weight(x, dy, winner, weight_shape)
    weight = integers(rng, weight_shape, dtype)
    want_dx = chain.backward_input(dy, winner, weight, x_shape)
    dy[winner >= chain.SHUT] = np.nan
    got, got_bias = backward_weight(x, dy, winner, weight_shape)
    assert_exact(got, want, dtype)
    assert_exact(got_bias, want_bias, dtype)
    if x_shape[3] == 16:
        assert_exact(ops.conv2d_relu_pool_backward_input(dy, winner, weight, x_shape), want_dx, dtype)
    winner |= 4
    assert not any(array.any() for array in backward_weight(x, dy, winner, weight_shape))


@both_kernels
def test_a_gradient_of_nan_reaches_its_filter_and_its_window_alone(x_shape, weight_shape, isa, dtype, rng):
    x, weight, dy = (
        integers(rng, s, dtype) for s in (x_shape, weight_shape, chain.pooled_shape(x_shape, weight_shape))
    )
    winner = rng.integers(0, 4, dy.shape).astype(np.uint8)
    dy[1, 2, 1, 5] = np.nan
    dweight, dbias = backward_weight(x, dy, winner, weight_shape)
    want, want_bias = chain.backward_weight(x, dy, winner, weight_shape)
    assert_exact(dweight, want, dtype)
    assert_exact(dbias, want_bias, dtype)
    assert np.isnan(dweight).sum() == dweight[..., 5].size
    if x_shape[3] == 16:
        dx = ops.conv2d_relu_pool_backward_input(dy, winner, weight, x_shape)
        assert_exact(dx, chain.backward_input(dy, winner, weight, x_shape), dtype)
        assert np.isnan(dx).sum() == 9 * 16


@both_kernels
def test_winners_and_gradients_may_lie_anywhere(x_shape, weight_shape, dtype, rng):
    x, dy = integers(rng, x_shape, dtype), integers(rng, chain.pooled_shape(x_shape, weight_shape), dtype)
    winner = rng.integers(0, 5, dy.shape).astype(np.uint8)
    odd = np.asfortranarray(x), dy[..., ::-1].copy()[..., ::-1], np.asfortranarray(winner)
    for got, want in zip(
        backward_weight(*odd, weight_shape), backward_weight(x, dy, winner, weight_shape), strict=True
    ):
        assert_exact(got, want, dtype)


# ------------------------------------------------------------------------------------------ which kernels exist

LANES = {"baseline": 4, "armv8-a": 4, "x86-64-v3": 8, "x86-64-v4": 16}


@pytest.mark.parametrize(
    ("weight", "dilation", "groups", "wants_channels", "wants_filters"),
    [
        ((3, 3, 16, 5), (1, 1), 1, True, False),
        ((3, 3, 48, 64), (1, 1), 1, True, False),
        ((3, 3, 8, 16), (1, 1), 1, True, False),
        ((3, 3, 4, 5), (1, 1), 1, True, False),
        ((3, 3, 4, 32), (1, 1), 1, True, True),
        ((3, 3, 1, 16), (1, 1), 1, False, True),
        ((3, 3, 7, 8), (1, 1), 1, False, True),
        ((5, 5, 1, 16), (1, 1), 1, None, True),
        ((3, 3, 1, 16), (2, 1), 1, None, True),
        ((3, 3, 1, 17), (1, 1), 1, None, True),
        ((3, 3, 16, 16), (1, 2), 1, None, None),
        ((5, 5, 16, 16), (1, 1), 1, None, None),
        ((3, 3, 16, 16), (1, 1), 2, None, None),
        ((3, 3, 1, 16), (1, 1), 16, None, None),
    ],
)
def test_has_gradients(weight, dilation, groups, wants_channels, wants_filters, isa, dtype):
    """Lists want whole vectors of channels; masks, below 8 channels, whole vectors of filters."""
    lanes = LANES[isa] * 4 // dtype.itemsize
    listed = wants_channels is not None and weight[2] % lanes == 0
    masked = bool(wants_filters) and weight[3] % lanes == 0
    assert has_gradients(dtype, weight, dilation, groups) == (listed or masked, listed)
