"""conv2d and its two gradients: exact on integers, within the rounding bound on all other numbers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reference
from compare import assert_exact, assert_within, integers, normals
from geometries import CONV, names
from gwucnn import ops

every_geometry = pytest.mark.parametrize("case", CONV, ids=names(CONV))


def output_shape(case):
    options = {key: value for key, value in case.options.items() if key != "groups"}
    return (case.x[0], *reference.output_size(case.x[1:3], case.weight[:2], **options), case.weight[3])


# ------------------------------------------------------------------------- against the reference, exactly


@every_geometry
def test_forward_is_exact_on_whole_numbers(case, isa, dtype, rng):
    x, weight = integers(rng, case.x, dtype), integers(rng, case.weight, dtype)
    bias = integers(rng, case.weight[3:], dtype)
    assert_exact(ops.conv2d(x, weight, **case.options), reference.conv2d(x, weight, **case.options), dtype)
    want = reference.conv2d(x, weight, bias, **case.options)
    assert_exact(ops.conv2d(x, weight, bias, **case.options), want, dtype)


@every_geometry
def test_relu_in_the_store(case, isa, dtype, rng):
    x, weight = integers(rng, case.x, dtype), integers(rng, case.weight, dtype)
    bias = integers(rng, case.weight[3:], dtype)
    want = reference.relu(reference.conv2d(x, weight, bias, **case.options))
    step = ops.conv2d.bind(x, weight, bias, **case.options, relu=True)
    assert_exact(step(), want, dtype)
    assert_exact(step(), want, dtype)


def test_relu_in_the_store_lets_nan_pass(isa, dtype, rng):
    x, weight = integers(rng, (1, 4, 20, 2), dtype), integers(rng, (3, 3, 2, 33), dtype)
    x[0, 3, 19, 1] = np.nan
    got, whole = ops.conv2d(x, weight, relu=True), ops.conv2d(x, weight)
    assert_exact(got, np.where(whole <= 0, 0, whole), dtype)
    assert np.isnan(got[0, 1, 17]).all() and np.isnan(got).sum() == 33


@every_geometry
def test_input_gradient_is_exact_on_whole_numbers(case, isa, dtype, rng):
    dy, weight = integers(rng, output_shape(case), dtype), integers(rng, case.weight, dtype)
    got = ops.conv2d_backward_input(dy, weight, case.x, **case.options)
    assert_exact(got, reference.conv2d_backward_input(dy, weight, case.x, **case.options), dtype)


@every_geometry
def test_weight_gradient_is_exact_on_whole_numbers(case, isa, dtype, rng):
    x, dy = integers(rng, case.x, dtype), integers(rng, output_shape(case), dtype)
    got = ops.conv2d_backward_weight(x, dy, case.weight, **case.options)
    assert_exact(got, reference.conv2d_backward_weight(x, dy, case.weight, **case.options), dtype)


@every_geometry
def test_the_three_are_adjoint(case, isa, dtype, rng):
    """<conv(x), dy> == <x, backward_input(dy)> == <weight, backward_weight(x, dy)>: needs no reference."""
    x, weight = integers(rng, case.x, dtype), integers(rng, case.weight, dtype)
    dy = integers(rng, output_shape(case), dtype)
    forward = np.vdot(np.float64(ops.conv2d(x, weight, **case.options)), dy)
    by_input = np.vdot(x, np.float64(ops.conv2d_backward_input(dy, weight, case.x, **case.options)))
    by_weight = np.vdot(weight, np.float64(ops.conv2d_backward_weight(x, dy, case.weight, **case.options)))
    assert forward == by_input == by_weight


@st.composite
def geometries(draw):
    """Draw shapes of x and weight, and options, for which the filter fits at least once."""
    groups, CG, FG = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 12))
    window, strides = draw(st.tuples(*[st.integers(1, 4)] * 2)), draw(st.tuples(*[st.integers(1, 3)] * 2))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2))
    sides = st.tuples(st.integers(0, 5), st.integers(0, 5))
    padding = draw(st.one_of(st.sampled_from(["valid", "same"]), st.tuples(sides, sides)))
    size = []
    for axis in range(2):
        span = (window[axis] - 1) * dilation[axis] + 1
        added = {"valid": 0, "same": span}[padding] if isinstance(padding, str) else sum(padding[axis])
        size.append(draw(st.integers(max(span - added, 1), span + 16)))
    x = (draw(st.sampled_from([0, 1, 2, 3, 9])), *size, groups * CG)
    options = {"strides": strides, "padding": padding, "dilation_rate": dilation, "groups": groups}
    return x, (*window, CG, groups * FG), options


@settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(geometries())
def test_any_geometry(isa, dtype, threads, geometry):
    x_shape, weight_shape, options = geometry
    threads(1 + x_shape[0] % 4)  # work is planned for them, even where it is too little to start them
    rng = np.random.default_rng(0)
    x, weight = integers(rng, x_shape, dtype), integers(rng, weight_shape, dtype)
    want = reference.conv2d(x, weight, **options)
    assert_exact(ops.conv2d(x, weight, **options), want, dtype)
    dy = integers(rng, want.shape, dtype)
    dx = reference.conv2d_backward_input(dy, weight, x_shape, **options)
    assert_exact(ops.conv2d_backward_input(dy, weight, x_shape, **options), dx, dtype)
    dweight = reference.conv2d_backward_weight(x, dy, weight_shape, **options)
    assert_exact(ops.conv2d_backward_weight(x, dy, weight_shape, **options), dweight, dtype)


# ---------------------------------------------------------------------------------- rounding, NaN, infinity


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((3, 14, 17, 1), (3, 3, 1, 32), {"padding": "same"}),
        ((2, 12, 13, 40), (3, 3, 40, 35), {}),
        ((2, 13, 12, 24), (5, 4, 12, 18), {"groups": 2, "strides": 2, "padding": 2}),
        ((4, 9, 9, 16), (3, 3, 1, 32), {"groups": 16, "dilation_rate": 2}),
    ],
)
def test_rounding_stays_in_its_bound(x_shape, weight_shape, options, isa, dtype, rng):
    x, weight = normals(rng, x_shape, dtype), normals(rng, weight_shape, dtype)
    bias = normals(rng, weight_shape[3:], dtype)
    want = reference.conv2d(x, weight, bias, **options)
    sizes = reference.conv2d(abs(x), abs(weight), abs(bias), **options)
    assert_within(ops.conv2d(x, weight, bias, **options), want, sizes, np.prod(weight_shape[:3]))

    dy = normals(rng, want.shape, dtype)
    want = reference.conv2d_backward_input(dy, weight, x_shape, **options)
    sizes = reference.conv2d_backward_input(abs(dy), abs(weight), x_shape, **options)
    terms = np.prod(weight_shape) / (weight_shape[2] * options.get("groups", 1)) * weight_shape[2]
    assert_within(ops.conv2d_backward_input(dy, weight, x_shape, **options), want, sizes, terms)

    want = reference.conv2d_backward_weight(x, dy, weight_shape, **options)
    sizes = reference.conv2d_backward_weight(abs(x), abs(dy), weight_shape, **options)
    terms = dy.size / dy.shape[3]
    assert_within(ops.conv2d_backward_weight(x, dy, weight_shape, **options), want, sizes, terms)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_reaches_exactly_the_windows_that_hold_it(bad, isa, dtype, rng):
    options = {"strides": (1, 2), "padding": ((1, 0), (2, 1))}
    x, weight = integers(rng, (2, 7, 15, 3), dtype), integers(rng, (3, 2, 3, 18), dtype)
    x[1, 3, 4, 2] = bad
    want = reference.conv2d(x, weight, **options)
    assert not np.isfinite(want).all()
    assert_exact(ops.conv2d(x, weight, **options), want, dtype)

    dy = integers(rng, want.shape, dtype)
    want = reference.conv2d_backward_weight(x, dy, weight.shape, **options)
    assert_exact(ops.conv2d_backward_weight(x, dy, weight.shape, **options), want, dtype)

    dy[0, 2, 5, 17] = bad
    want = reference.conv2d_backward_input(dy, weight, x.shape, **options)
    assert_exact(ops.conv2d_backward_input(dy, weight, x.shape, **options), want, dtype)


# -------------------------------------------------------------------------------------- what must not matter


def test_a_filter_of_one_tap_returns_the_image(isa, dtype, rng):
    x = normals(rng, (2, 9, 15, 3), dtype)
    weight = np.zeros((5, 3, 3, 3), dtype)
    weight[2, 1] = np.eye(3)
    assert_exact(ops.conv2d(x, weight, padding="same"), x, dtype)
    assert_exact(ops.conv2d_backward_input(x, weight, x.shape, padding="same"), x, dtype)


def test_an_image_of_one_pixel_returns_the_filters(isa, dtype, rng):
    """The response to one pixel is the filters, turned by 180 degrees."""
    weight = normals(rng, (3, 4, 1, 17), dtype)
    x = np.zeros((1, 7, 9, 1), dtype)
    x[0, 3, 4] = 1
    y = ops.conv2d(x, weight)
    assert_exact(y[0, 1:4, 1:5], weight[::-1, ::-1, 0], dtype)
    assert np.count_nonzero(y) == weight.size


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, 1), (2, 5)])
def test_a_shifted_image_gives_a_shifted_answer(rows, columns, isa, dtype, rng):
    x, weight = integers(rng, (1, 12, 20, 2), dtype), integers(rng, (3, 3, 2, 9), dtype)
    y = ops.conv2d(x, weight)
    moved = ops.conv2d(np.ascontiguousarray(x[:, rows:, columns:]), weight)
    assert_exact(moved, y[:, rows:, columns:], dtype)


def test_images_do_not_see_each_other(isa, dtype, rng):
    x, weight = integers(rng, (7, 5, 6, 3), dtype), integers(rng, (3, 2, 3, 10), dtype)
    order = rng.permutation(7)
    y = ops.conv2d(x, weight)
    assert_exact(ops.conv2d(x[order], weight), y[order], dtype)
    assert_exact(ops.conv2d(x[3:4], weight), y[3:4], dtype)


def test_padding_is_a_frame_of_zeros(isa, dtype, rng):
    x, weight = integers(rng, (2, 5, 6, 3), dtype), integers(rng, (3, 2, 3, 8), dtype)
    framed = np.pad(x, ((0, 0), (1, 2), (3, 0), (0, 0)))
    assert_exact(ops.conv2d(x, weight, padding=((1, 2), (3, 0))), ops.conv2d(framed, weight), dtype)


def test_equivalent_padding_arguments(dtype, rng):
    x, weight = integers(rng, (1, 6, 7, 2), dtype), integers(rng, (3, 3, 2, 4), dtype)
    want = ops.conv2d(x, weight, padding="same")
    for padding in (1, (1, 1), [1, 1], ((1, 1), (1, 1)), np.int64(1)):
        assert_exact(ops.conv2d(x, weight, padding=padding), want, dtype)
