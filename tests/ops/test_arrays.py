"""Ops on whole arrays: finiteness, zeroing, sums, concatenation of channels; and the errors of row sums."""

import numpy as np
import pytest

from compare import assert_exact, integers, normals
from gwucnn import ops
from gwucnn.common.errors import ShapeError

# On both sides of the 16 numbers that are looked at together.
LENGTHS = [*range(20), 31, 32, 33, 47, 48, 49, 1000]


# -------------------------------------------------------------------------------------------------- all_finite


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_nonfinite_value_is_found_at_any_position(bad, isa, dtype):
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
def test_fill_zero_overwrites_everything(shape, isa, dtype):
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


# --------------------------------------------------------------------------------------------------------- add


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 4095, 4096, 4097, 9000])
def test_sums(length, isa, dtype, rng):
    x, y = normals(rng, (length,), dtype), normals(rng, (length,), dtype)
    assert_exact(ops.add(x, y), x + y, dtype)
    assert_exact(ops.add(x, y, relu=True), np.maximum(x + y, 0), dtype)


@pytest.mark.parametrize("relu", [False, True])
def test_a_sum_may_take_the_place_of_either(relu, isa, dtype, rng):
    x, y = normals(rng, (3, 50), dtype), normals(rng, (3, 50), dtype)
    want = np.maximum(x + y, 0) if relu else x + y
    for place in (0, 1):
        pair = [x.copy(), y.copy()]
        assert ops.add(*pair, relu=relu, out=pair[place]) is pair[place]
        assert_exact(pair[place], want, dtype)
        assert_exact(pair[1 - place], (x, y)[1 - place], dtype)
    assert_exact(ops.add(x, x, relu=relu), np.maximum(2 * x, 0) if relu else 2 * x, dtype)


def test_nan_and_infinity_get_through(isa, dtype):
    x = np.array([np.nan, 1, np.inf, -np.inf, np.inf, -1], dtype)
    y = np.array([1, np.nan, 1, 1, -np.inf, -0.0], dtype)
    assert_exact(ops.add(x, y), [np.nan, np.nan, np.inf, -np.inf, np.nan, -1], dtype)
    assert_exact(ops.add(x, y, relu=True), [np.nan, np.nan, np.inf, 0, np.nan, 0], dtype)


@pytest.mark.parametrize(
    ("error", "argument", "y", "options"),
    [
        (ShapeError, "y", np.zeros((3, 1)), {}),
        (ShapeError, "y", np.zeros(3), {}),
        (TypeError, "y", np.zeros((2, 3), "float32"), {}),
        (ShapeError, "out", np.zeros((2, 3)), {"out": np.zeros((3, 2))}),
        (ValueError, "out", np.zeros((2, 3)), {"out": np.zeros((3, 2)).T}),
    ],
)
def test_add_refuses(error, argument, y, options):
    with pytest.raises(error, match=rf"^add: .*\b{argument}\b"):
        ops.add(np.zeros((2, 3)), y, **options)


# ---------------------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (4, 5, 6)])
@pytest.mark.parametrize("widths", [(1,), (3, 1), (16, 17, 5), (1, 2, 3, 4)])
def test_joined_and_taken_apart(shape, widths, isa, dtype, rng):
    parts = [normals(rng, (*shape, width), dtype) for width in widths]
    starts = np.cumsum([0, *widths])
    out = np.full((*shape, sum(widths)), np.nan, dtype)
    for part, start in zip(parts, starts[:-1], strict=True):
        assert ops.put_channels(part, start, out=out) is out
    assert_exact(out, np.concatenate(parts, axis=-1), dtype)
    for part, start in zip(parts, starts[:-1], strict=True):
        assert_exact(ops.take_channels(out, start, part.shape[-1]), part, dtype)


def test_neighbouring_channels_are_left_alone(isa, dtype, rng):
    x, out = normals(rng, (7, 3), dtype), normals(rng, (7, 9), dtype)
    before = out.copy()
    step = ops.put_channels.bind(x, 4, out=out)
    for _ in range(2):
        x += 1
        step()
        assert_exact(out, np.concatenate([before[:, :4], x, before[:, 7:]], axis=1), dtype)


@pytest.mark.parametrize(
    ("error", "text", "arguments", "options"),
    [
        (ShapeError, "expected x with at least 4 channels, got (2, 3)", (np.zeros((2, 3)), 1, 3), {}),
        (ShapeError, "expected x with at least 2 channels, got ()", (np.zeros(()), 1, 1), {}),
        (ValueError, "expected start to be an integer of at least 0, got -1", (np.zeros((2, 3)), -1, 2), {}),
        (ValueError, "expected channels to be an integer of at least 1, got 0", (np.zeros((2, 3)), 1, 0), {}),
        (ShapeError, "expected out of shape (2, 2), got (2, 3)", (np.zeros((2, 3)), 1, 2), {"out": np.zeros((2, 3))}),
    ],
)  # fmt: skip
def test_take_channels_refuses(error, text, arguments, options):
    with pytest.raises(error) as caught:
        ops.take_channels(*arguments, **options)
    assert str(caught.value) == f"take_channels: {text}"


@pytest.mark.parametrize(
    ("error", "text", "x", "start", "out"),
    [
        (ShapeError, "expected out with at least 5 channels, got (2, 4)", np.zeros((2, 3)), 2, np.zeros((2, 4))),
        (ShapeError, "expected out of shape (2, 4), got (3, 4)", np.zeros((2, 3)), 1, np.zeros((3, 4))),
        (ShapeError, "expected x of shape (..., C), got a single number", np.zeros(()), 0, np.zeros(2)),
        (ValueError, "expected start to be an integer of at least 0, got -1", np.zeros(3), -1, np.zeros(4)),
        (ValueError, "expected out to be a writeable C-contiguous array, got a non-contiguous one",
         np.zeros((2, 3)), 0, np.zeros((4, 2)).T),
        (TypeError, "expected out to be an array of float64, got <class 'list'>", np.zeros(1), 0, [1.0, 2.0]),
    ],
)  # fmt: skip
def test_put_channels_refuses(error, text, x, start, out):
    with pytest.raises(error) as caught:
        ops.put_channels(x, start, out=out)
    assert str(caught.value) == f"put_channels: {text}"


def test_channels_put_into_their_own_memory_are_refused():
    storage = np.zeros((2, 6))
    with pytest.raises(ValueError, match=r"^put_channels: .*overlaps"):
        ops.put_channels(storage, 0, out=storage)


# ------------------------------------------------------- sum_rows, whose sums test_dense.py holds to account


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


# ------------------------------------------------------------------------- gradients that vouch for themselves


def vouching(rng, dtype, sizes=((5, 3), (4, 7))):
    """Return an array, bound gradients of dense layers that write to two parts of it, and what they read."""
    grads = np.zeros(100, dtype)
    steps, sources, at = [], [], 10
    for D, U in sizes:
        x, dy = rng.random((1, D)).astype(dtype), rng.random((1, U)).astype(dtype)
        out = grads[at : at + D * U].reshape(D, U)
        steps.append(ops.dense_backward_weight.bind(x, dy, out=out))
        sources.append((x, dy))
        at += D * U + 9
    return grads, steps, sources


@pytest.mark.parametrize("where", ["first", "between", "last", "x", "dy"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_all_finite_skips_parts_that_steps_report(where, wrong, dtype, isa, rng):
    grads, steps, sources = vouching(rng, dtype)
    assert all(step.reports_finite for step in steps)
    look = ops.all_finite.bind(grads, besides=steps)
    for step in steps:
        step()
    assert look()
    place = {
        "first": grads[9:],
        "between": grads[30:],
        "last": grads[99:],
        "x": sources[1][0][0],
        "dy": sources[1][1][0],
    }[where]
    place[0] = wrong
    with np.errstate(invalid="ignore"):
        for step in steps:
            step()
        assert not look() and not np.isfinite(grads).all()
    place[0] = 1
    for step in steps:
        step()
    assert look()


def test_a_product_that_overflows_is_found(dtype, isa, rng):
    grads, steps, ((x, dy), _) = vouching(rng, dtype)
    look = ops.all_finite.bind(grads, besides=steps)
    x[0, 2] = dy[0, 1] = np.finfo(dtype).max
    for step in steps:
        step()
    assert not look()
    dy[0, 1] = 1
    for step in steps:
        step()
    assert look() and np.isfinite(grads).all()


def test_only_steps_that_report_parts_of_the_array_are_accepted(rng):
    grads, steps, _ = vouching(rng, "float32")
    batch = ops.dense_backward_weight.bind(np.ones((2, 5), "float32"), np.ones((2, 3), "float32"))
    assert not batch.reports_finite
    for array, others, text in (
        (grads, [batch], "report whether their output is finite"),
        (grads, ["no step"], "report whether their output is finite"),
        (grads.astype("float64"), steps, "report whether their output is finite"),
        (grads.copy(), steps, "parts of the array"),
        (grads, [steps[0], steps[0]], "disjoint parts"),
    ):
        with pytest.raises(ValueError, match=text):
            ops.all_finite.bind(array, besides=others)
