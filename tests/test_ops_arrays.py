"""Ops on flat arrays: looking for numbers that are not finite, setting to zero; and what summing rows refuses."""

import numpy as np
import pytest

from compare import assert_exact, integers
from gwucnn import ops
from gwucnn.errors import ShapeError

# On both sides of the 16 numbers that are looked at together.
LENGTHS = [*range(20), 31, 32, 33, 47, 48, 49, 1000]


# -------------------------------------------------------------------------------------------------- all_finite


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_found_wherever_it_stands(bad, isa, dtype):
    for length in LENGTHS[:-1]:
        x = np.zeros(length, dtype)
        assert ops.all_finite(x) is True
        for place in range(length):
            x[place] = bad
            assert ops.all_finite(x) is False, f"missed at {place} of {length}"
            x[place] = 0


def test_large_and_small_numbers_are_finite(isa, dtype):
    """Their sum is not, nor their squares'."""
    info = np.finfo(dtype)
    for value in (info.max, info.min, info.tiny, info.smallest_subnormal, -0.0):
        assert ops.all_finite(np.full(1000, value, dtype))
    assert ops.all_finite(np.resize(np.array([info.max, info.min], dtype), 999))


def test_any_shape_and_layout(dtype):
    x = np.zeros((3, 4, 10), dtype)
    x[:, 1, ::2] = np.nan
    assert not ops.all_finite(x)
    assert ops.all_finite(x[:, ::2])
    assert ops.all_finite(x[:, :, 1::2])
    assert ops.all_finite(np.zeros((), dtype))
    assert ops.all_finite(np.zeros((0, 3), dtype))
    assert not ops.all_finite([np.inf, 1.0])


def test_a_bound_step_looks_again(isa, dtype):
    x = np.zeros(40, dtype)
    step = ops.all_finite.bind(x)
    for value, want in ((0, True), (np.inf, False), (1, True), (np.nan, False)):
        x[33] = value
        assert step() is want
        assert step.value == want


def test_all_finite_refuses_other_dtypes():
    for kind in ("int64", "float16", "bool", "object"):
        with pytest.raises(TypeError, match=rf"^all_finite: .*\bx {kind}"):
            ops.all_finite(np.zeros(3, kind))


# --------------------------------------------------------------------------------------------------- fill_zero


@pytest.mark.parametrize("shape", [(), (0,), (1,), (17,), (3, 4, 5)])
def test_everything_becomes_zero(shape, isa, dtype):
    out = np.full(shape, np.nan, dtype)
    assert ops.fill_zero(out=out) is out
    assert not out.any()
    assert not np.signbit(out).any()


def test_neighbours_are_left_alone(isa, dtype):
    out = np.ones(30, dtype)
    step = ops.fill_zero.bind(out=out[10:20])
    for _ in range(2):
        step()
        assert out.sum() == 20
        out[10:20] = np.inf
        out[10:20].fill(1)


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (TypeError, np.zeros(3, "int32")),
        (TypeError, [0.0, 1.0]),
        (TypeError, 1.5),
        (TypeError, np.float32(1)),
        (ValueError, np.zeros(6)[::2]),
        (ValueError, np.zeros((2, 3)).T),
        (ValueError, np.broadcast_to(np.zeros(1), (3,))),
        (ValueError, np.frombuffer(bytes(24))),
    ],
)
def test_fill_zero_refuses(error, out):
    with pytest.raises(error, match=r"^fill_zero: .*\bout\b"):
        ops.fill_zero(out=out)


# ------------------------------------------------------- sum_rows, whose sums test_ops_dense.py holds to account


def test_nan_stays_in_its_column(isa, dtype, rng):
    rows = integers(rng, (9, 21), dtype)
    rows[4, 20] = np.nan
    assert_exact(ops.sum_rows(rows), rows.sum(axis=0), dtype)


def test_a_bound_sum_is_added_at_each_call(isa, dtype, rng):
    rows, out = integers(rng, (6, 18), dtype), np.zeros(18, dtype)
    step = ops.sum_rows.bind(rows, out=out, accumulate=True)
    assert step() is step() is out
    assert_exact(out, 2 * rows.sum(axis=0), dtype)


@pytest.mark.parametrize(
    ("error", "argument", "rows", "options"),
    [
        (TypeError, "rows", np.zeros((2, 3), "int64"), {}),
        (ShapeError, "out", np.zeros((2, 3)), {"out": np.zeros(2)}),
        (ShapeError, "out", np.zeros((2, 3)), {"out": np.zeros((1, 3))}),
        (TypeError, "out", np.zeros((2, 3)), {"out": np.zeros(3, "float32")}),
        (ValueError, "out", np.zeros((2, 3)), {"out": np.zeros(6)[::2]}),
        (ValueError, "out=", np.zeros((2, 3)), {"accumulate": True}),
    ],
)
def test_sum_rows_refuses(error, argument, rows, options):
    with pytest.raises(error, match=rf"^sum_rows: .*\b{argument}"):
        ops.sum_rows(rows, **options)


def test_a_sum_into_its_own_rows_is_refused():
    rows = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"^sum_rows: .*\bout\b"):
        ops.sum_rows(rows, out=rows[0])
