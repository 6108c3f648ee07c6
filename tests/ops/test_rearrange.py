"""Ops that move data: zero padding, upsampling, transposition; and their gradients."""

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, integers, normals
from guarded import AVAILABLE, guarded
from gwucnn import ops
from gwucnn.common.errors import ShapeError

SHAPES = [(2, 3, 4, 5), (1, 1, 1, 1), (0, 3, 2, 2), (3, 5, 1, 17), (1, 33, 2, 40), (2, 8, 9, 16)]
BORDERS = [0, 1, (2, 0), (0, 3), ((1, 2), (3, 0)), ((0, 1), (0, 0))]
SIZES = [1, 2, (1, 3), (3, 1), (2, 4), 5]
every_shape = pytest.mark.parametrize("shape", SHAPES)


@every_shape
@pytest.mark.parametrize("padding", BORDERS)
def test_zero_pad2d(shape, padding, isa, dtype, rng):
    x = normals(rng, shape, dtype)
    sides = ((0, 0), *reference.pads(padding, shape[1:3], 1), (0, 0))
    want = np.pad(x, sides)
    out = np.full(want.shape, np.nan, dtype)
    assert_exact(ops.zero_pad2d(x, padding, out=out), want, dtype)
    dy = normals(rng, want.shape, dtype)
    (top, _), (left, _) = sides[1:3]
    kept = dy[:, top : top + shape[1], left : left + shape[2]]
    assert_exact(ops.zero_pad2d_backward(dy, padding), kept, dtype)


@every_shape
@pytest.mark.parametrize("size", SIZES)
def test_upsample2d(shape, size, isa, dtype, rng):
    x = normals(rng, shape, dtype)
    SH, SW = reference.pair(size)
    want = x.repeat(SH, axis=1).repeat(SW, axis=2)
    assert_exact(ops.upsample2d(x, size), want, dtype)
    dy = integers(rng, want.shape, dtype)
    N, H, W, C = shape
    sums = np.float64(dy).reshape(N, H, SH, W, SW, C).sum(axis=(2, 4))
    assert_exact(ops.upsample2d_backward(dy, size), sums, dtype)
    dy = normals(rng, want.shape, dtype)
    sums, sizes = (np.float64(a).reshape(N, H, SH, W, SW, C).sum(axis=(2, 4)) for a in (dy, abs(dy)))
    assert_within(ops.upsample2d_backward(dy, size), sums, sizes, SH * SW)


@every_shape
def test_order_of_axes(shape, isa, dtype, rng):
    x = normals(rng, shape, dtype)
    first = ops.to_channels_first(x)
    assert_exact(first, x.transpose(0, 3, 1, 2), dtype)
    assert_exact(ops.to_channels_last(first), x, dtype)


@pytest.mark.parametrize("columns", [1, 7, 8, 16, 31, 33])
@pytest.mark.parametrize("rows", [1, 2, 4, 15, 16, 17, 32, 49])
def test_rows_become_columns(rows, columns, isa, dtype, rng):
    """Squares of a vector's lanes, and what is left over beside and below them."""
    x = normals(rng, (3, 1, rows, columns), dtype)
    assert_exact(ops.to_channels_first(x), x.transpose(0, 3, 1, 2), dtype)
    if AVAILABLE:
        for at in ("start", "end"):
            out = guarded(np.full((3, columns, 1, rows), np.nan, dtype), at)
            assert_exact(ops.to_channels_first(guarded(x, at), out=out), x.transpose(0, 3, 1, 2), dtype)


@pytest.mark.parametrize(
    ("op", "options"), [("zero_pad2d", {"padding": ((1, 0), (2, 3))}), ("upsample2d", {"size": (2, 3)})]
)
def test_adjoint(op, options, isa, rng):
    x = rng.standard_normal((2, 4, 5, 3))
    y = getattr(ops, op)(x, **options)
    dy = rng.standard_normal(y.shape)
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, getattr(ops, f"{op}_backward")(dy, **options)), rel=1e-12)


def test_numbers_are_moved_as_they_are(isa, dtype):
    """NaN with its sign and payload, infinities, and numbers below the smallest normal one."""
    kind = np.uint32 if dtype == "float32" else np.uint64
    rng = np.random.default_rng(0)
    x = rng.integers(0, np.iinfo(kind).max, (2, 3, 4, 9), kind).view(dtype)
    moved = {
        "zero_pad2d": ops.zero_pad2d(x, 1)[:, 1:-1, 1:-1],
        "upsample2d": ops.upsample2d(x, 2)[:, ::2, 1::2],
        "to_channels_last": ops.to_channels_last(ops.to_channels_first(x)),
    }
    for op, y in moved.items():
        np.testing.assert_array_equal(y.copy().view(kind), x.view(kind), err_msg=op)


# ------------------------------------------------------------------------------------------------- refusals

X = np.zeros((2, 6, 5, 4), "float32")


def refuses(op, error, argument, *args, **options):
    with pytest.raises(error, match=rf"^{op}: .*\b{argument}\b"):
        getattr(ops, op)(*args, **options)


@pytest.mark.parametrize("op", ["zero_pad2d", "zero_pad2d_backward"])
@pytest.mark.parametrize("padding", ["same", -1, (1, 2, 3), 1.5, ((1, 2), (3, -1)), None])
def test_borders(op, padding):
    refuses(op, ValueError, "padding", X, padding)


@pytest.mark.parametrize("op", ["upsample2d", "upsample2d_backward"])
@pytest.mark.parametrize("size", [0, "2", (1, 2, 3), 1.5, (2, -1), None])
def test_sizes(op, size):
    refuses(op, ValueError, "size", X, size)


def test_shapes():
    for op in ("zero_pad2d", "upsample2d", "to_channels_first", "to_channels_last"):
        refuses(op, ShapeError, "x", X[0])
    refuses("zero_pad2d_backward", ShapeError, "dy", X, (0, 3))
    refuses("upsample2d_backward", ShapeError, "dy", X, 2)
    refuses("upsample2d_backward", ShapeError, "dy", X[0], 2)
