"""Ops on two arrays: differences, products, maxima, and gates for channels and pixels."""

import numpy as np
import pytest

from compare import assert_exact, normals
from gwucnn import ops
from gwucnn.common.errors import ShapeError

LENGTHS = [0, 1, 7, 15, 16, 17, 1000, 40_001]
# N, H, W, C: on both sides of the 16 sums that are computed side by side, and of a unit of work.
SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 4, 1),
    (2, 3, 3, 15),
    (2, 7, 5, 16),
    (1, 2, 3, 17),
    (2, 41, 37, 19),
    (0, 4, 5, 3),
    (3, 1, 1, 70),
]

PAIRS = {"subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum}


@pytest.mark.parametrize("op", PAIRS)
def test_pairs(op, isa, dtype, rng):
    for length in LENGTHS:
        x, y = normals(rng, (length,), dtype), normals(rng, (length,), dtype)
        assert_exact(getattr(ops, op)(x, y), PAIRS[op](x, y), dtype)
        for out in (x.copy(), y.copy()):
            given = (out, y) if (out == x).all() else (x, out)
            wanted = PAIRS[op](*(array.copy() for array in given))
            assert getattr(ops, op)(*given, out=out) is out
            assert_exact(out, wanted, dtype)


def test_maxima_of_special_numbers(isa, dtype):
    special = np.array([np.nan, -np.inf, np.inf, -1.0, 0.0, 2.0], dtype)
    x, y = (grid.ravel().copy() for grid in np.meshgrid(special, special))
    np.testing.assert_array_equal(ops.maximum(x, y), np.maximum(x, y))


def test_gradient_of_a_maximum(isa, dtype, rng):
    for length in LENGTHS:
        dy = normals(rng, (length,), dtype)
        x, y = (rng.integers(-2, 3, length).astype(dtype) for _ in range(2))
        by_x, by_y = ops.maximum_backward(dy, x, y), ops.maximum_backward(dy, y, x)
        assert_exact(by_x, np.where(x > y, dy, np.where(x == y, dy / 2, 0)), dtype)
        assert_exact(by_x + by_y, dy, dtype)
        assert ops.maximum_backward(dy, x, y, out=dy) is dy
        assert_exact(dy, by_x, dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_gates(shape, isa, dtype, rng):
    N, H, W, C = shape
    x, dy = normals(rng, shape, dtype), normals(rng, shape, dtype)
    for kind, size in (("channels", (N, 1, 1, C)), ("pixels", (N, H, W, 1))):
        gate, scale = normals(rng, size, dtype), getattr(ops, f"scale_{kind}")
        wanted = x * gate
        assert_exact(scale(x, gate), wanted, dtype)
        own = x.copy()
        assert scale(own, gate, out=own) is own
        assert_exact(own, wanted, dtype)
        axes = (1, 2) if kind == "channels" else (3,)
        got = getattr(ops, f"scale_{kind}_backward_gate")(dy, x)
        exact = (dy.astype("f8") * x).sum(axis=axes, keepdims=True)
        assert got.shape == size and got.dtype == dtype
        # In double: the only rounding that counts is that of the result.
        terms = abs(dy.astype("f8") * x).sum(axis=axes, keepdims=True)
        room = np.finfo(dtype).eps * abs(exact) + 1e-12 * terms
        assert (abs(got - exact) <= room).all()


def test_sums_do_not_depend_on_threads(threads, isa, rng):
    x, dy = (rng.standard_normal((3, 60, 60, 37)).astype("f4") for _ in range(2))
    for op in (ops.scale_channels_backward_gate, ops.scale_pixels_backward_gate):
        found = []
        for count in (1, 2, 3):
            threads(count)
            found.append(op(dy, x).tobytes())
        assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: ops.multiply(a((2, 3)), a((3, 2))), r"^multiply: expected y of shape that of x = \(2, 3\), got \(3, 2\)"),
        (lambda a: ops.maximum_backward(a(3), a(3), a(2)), r"^maximum_backward: expected y of shape that of dy"),
        (lambda a: ops.scale_channels(a((2, 3, 4, 5)), a((2, 5))), r"^scale_channels: expected gate of shape \(N, 1, 1, C\)"),
        (lambda a: ops.scale_channels(a((2, 5)), a((2, 5))), r"^scale_channels: expected x of shape \(N, H, W, C\)"),
        (lambda a: ops.scale_pixels(a((2, 3, 4, 5)), a((2, 4, 3, 1))), r"^scale_pixels: expected gate of shape \(N, H, W, 1\)"),
        (lambda a: ops.scale_pixels(a((2, 0, 4, 5)), a((2, 0, 4, 1))), r"^scale_pixels: expected images with pixels"),
        (lambda a: ops.scale_pixels_backward_gate(a((2, 3, 4, 5)), a((2, 3, 4, 4))), r"expected x of shape that of dy"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(call, message):
    with pytest.raises(ShapeError, match=message):
        call(np.ones)
