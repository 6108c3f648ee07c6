"""Bilinear warping of images against a numpy reference, and matrices drawn from random numbers."""

import numpy as np
import pytest

import reference
from compare import assert_exact, integers, normals
from gwucnn import ops
from gwucnn.common.errors import ShapeError

SHAPES = [
    (3, 5, 7, 1),
    (2, 1, 1, 1),
    (1, 1, 9, 2),
    (2, 6, 4, 3),
    (2, 17, 35, 1),
    (1, 9, 8, 17),
    (1, 20, 1, 4),
]


def anywhere(rng, shape, dtype):
    """Draw matrices under which pixels come from inside, from the border and from far outside."""
    matrices = rng.uniform(-1.3, 1.3, (shape[0], 2, 3))
    matrices[:, :, 2] = rng.uniform(-1, 1, (shape[0], 2)) * shape[1:3]
    return matrices.astype(dtype)


def room(x, matrices):
    """Return the errors of roundings: in the four weights, and in places, which are in double in both dtypes."""
    places = 1 + abs(reference.places(matrices, x.shape[1:3])).sum(axis=0).max()
    eps = np.finfo(x.dtype).eps
    return abs(x).max() * (8 * eps + 8 * places * np.finfo(np.float64).eps)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fill_value", [0.0, -2.5])
def test_forward_is_the_reference(shape, fill_value, isa, dtype, rng):
    for _ in range(5):
        x, matrices = normals(rng, shape, dtype), anywhere(rng, shape, dtype)
        got = ops.affine_warp(x, matrices, fill_value)
        want = reference.affine_warp(x, matrices, fill_value)
        assert abs(got - want).max() <= room(abs(x) + abs(fill_value), matrices)


CONTINUED = {"reflect": "symmetric", "nearest": "edge"}  # our names and numpy's


@pytest.mark.parametrize("shape", [*SHAPES, (70, 31, 30, 1)])
@pytest.mark.parametrize("mode", CONTINUED)
def test_images_that_continue_beyond_their_border(mode, shape, dtype, rng):
    for _ in range(3):
        x, matrices = normals(rng, shape, dtype), anywhere(rng, shape, dtype)
        got = ops.affine_warp(x, matrices, fill_mode=mode)
        want = reference.continued_warp(x, matrices, CONTINUED[mode])
        assert abs(got - want).max() <= room(x, matrices)


@pytest.mark.parametrize("shape", [*SHAPES, (70, 31, 30, 2)])
@pytest.mark.parametrize("mode", CONTINUED)
def test_their_gradient_is_the_adjoint(mode, shape, dtype, rng):
    x, dy, matrices = normals(rng, shape, dtype), normals(rng, shape, dtype), anywhere(rng, shape, dtype)
    y, dx = ops.affine_warp(x, matrices, fill_mode=mode), ops.affine_warp_backward(dy, matrices, mode)
    size = abs(x).max() * abs(dy).max() * x.size * np.finfo(dtype).eps * 16
    assert abs(np.vdot(y.astype("f8"), dy) - np.vdot(x.astype("f8"), dx)) <= size


def test_a_row_continued_by_hand():
    x = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)
    wanted = {
        "reflect": {-4: [3, 3, 2], -1: [1, 1, 2], 2: [3, 3, 2], 3: [3, 2, 1]},
        "nearest": {-1: [1, 1, 2], 2: [3, 3, 3]},
    }
    for mode, rows in wanted.items():
        for shift, want in rows.items():
            moved = np.array([[[1.0, 0, 0], [0, 1, shift]]])
            assert ops.affine_warp(x, moved, fill_mode=mode).ravel().tolist() == want
    broken = np.array([[[1, 0, np.inf], [0, 1, np.nan]]])
    assert ops.affine_warp(x, broken, fill_mode="reflect").ravel().tolist() == [1, 1, 1]


@pytest.mark.parametrize("shape", SHAPES)
def test_backward_is_the_reference(shape, isa, dtype, rng):
    """Up to all pixels may come from one place, so that errors add up."""
    for _ in range(5):
        dy, matrices = normals(rng, shape, dtype), anywhere(rng, shape, dtype)
        got, want = ops.affine_warp_backward(dy, matrices), reference.affine_warp_backward(dy, matrices)
        most = reference.affine_warp_backward(np.ones_like(dy), matrices).max() + 4
        assert abs(got - want).max() <= room(dy, matrices) * most


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != (2, 1, 1, 1)])
def test_backward_is_the_adjoint(shape, isa, dtype, rng):
    """Places in quarters of pixels and whole numbers: both sums are exact, in any order."""
    x, dy = integers(rng, shape, dtype), integers(rng, shape, dtype)
    matrices = (rng.integers(-5, 6, (shape[0], 2, 3)) / 4).astype(dtype)
    matrices[0] = [[1, 0, 0.25], [0, 1, -0.5]]
    there = np.vdot(np.float64(ops.affine_warp(x, matrices)), np.float64(dy))
    back = np.vdot(np.float64(x), np.float64(ops.affine_warp_backward(dy, matrices)))
    assert there == back != 0


MOVES = {
    "nothing": ([[1, 0, 0], [0, 1, 0]], lambda x: x),
    "left to right": ([[1, 0, 0], [0, -1, 4]], lambda x: x[:, :, ::-1]),
    "upside down": ([[-1, 0, 4], [0, 1, 0]], lambda x: x[:, ::-1]),
    "a quarter turn": ([[0, 1, 0], [-1, 0, 4]], lambda x: np.rot90(x, axes=(1, 2))),
    "transposed": ([[0, 1, 0], [1, 0, 0]], lambda x: x.transpose(0, 2, 1, 3)),
    "two down": ([[1, 0, -2], [0, 1, 0]], lambda x: np.pad(x, [(0, 0), (2, 0), (0, 0), (0, 0)])[:, :5]),
    "out of sight": ([[1, 0, 0], [0, 1, 5]], lambda x: 0 * x),
    "half a pixel": (
        [[1, 0, 0], [0, 1, 0.5]],
        lambda x: (x + np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 0)])[:, :, 1:]) / 2,
    ),
    "enlarged": ([[0.5, 0, 0], [0, 0, 3]], lambda x: enlarged(x)),
}


def enlarged(x):
    """Column 3 in place of all, and between each two rows their mean."""
    rows = np.stack([x[:, 0], (x[:, 0] + x[:, 1]) / 2, x[:, 1], (x[:, 1] + x[:, 2]) / 2, x[:, 2]], axis=1)
    return np.repeat(rows[:, :, 3:4], 5, axis=2)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("C", [1, 3])
def test_what_can_be_said_without_matrices(move, C, isa, dtype, rng):
    matrix, function = MOVES[move]
    x = integers(rng, (2, 5, 5, C), dtype)
    matrices = np.array([matrix] * 2, dtype)
    assert_exact(ops.affine_warp(x, matrices), function(x), dtype)


@pytest.mark.parametrize("far", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_places_that_are_nowhere_lie_outside(far, isa, dtype, rng):
    x = integers(rng, (1, 4, 5, 2), dtype)
    for index in np.ndindex(2, 3):
        matrices = np.array([[[1, 0, 0], [0, 1, 0]]], dtype)
        matrices[(0, *index)] = far
        y, dx = ops.affine_warp(x, matrices, 7), ops.affine_warp_backward(x, matrices)
        # Where row or column number 0 multiplies it, 1e30 does no harm.
        inside = np.zeros((4, 5), bool)
        if abs(far) == 1e30 and index[1] < 2:
            inside[0 if index[1] == 0 else slice(None), 0 if index[1] == 1 else slice(None)] = True
        assert_exact(y, np.where(inside[..., None], x, 7), dtype)
        assert_exact(dx, np.where(inside[..., None], x, 0), dtype)


def test_threads_change_no_bit(threads, dtype, rng):
    x, matrices = normals(rng, (300, 28, 28, 1), dtype), anywhere(rng, (300, 28, 28, 1), dtype)
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append((ops.affine_warp(x, matrices), ops.affine_warp_backward(x, matrices)))
    for there, back in results[1:]:
        assert_exact(there, results[0][0], dtype)
        assert_exact(back, results[0][1], dtype)


def test_arrays_that_do_not_fit():
    x, matrices = np.zeros((2, 4, 4, 1)), np.zeros((2, 2, 3))
    with pytest.raises(ShapeError, match=r"^affine_warp: expected x of shape \(N, H, W, C\), got \(2, 4, 4\)"):
        ops.affine_warp(x[..., 0], matrices)
    with pytest.raises(ShapeError, match=r"^affine_warp: expected matrices .* = \(2, 2, 3\), got \(1, 2, 3\)"):
        ops.affine_warp(x, matrices[:1])
    with pytest.raises(ShapeError, match=r"^affine_warp_backward: expected dy of at least one pixel"):
        ops.affine_warp_backward(x[:, :0], matrices)
    with pytest.raises(ValueError, match="^affine_warp: expected fill_value to be a finite number, got nan"):
        ops.affine_warp(x, matrices, np.nan)


# ----------------------------------------------------------------------------------------------------- matrices


def linear(numbers, low, high):
    return low + np.float64(numbers) * (high - low)


def close(got, want, dtype):
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps, atol=200 * np.finfo(dtype).eps)


def test_translation_moves_by_shares_of_height_and_width(isa, dtype, rng):
    numbers = rng.random((20, 2)).astype(dtype)
    got = ops.translation_matrices(numbers, (10, 30), 0.25, (-0.5, 0.1))
    down, right = linear(numbers[:, 0], -0.25, 0.25) * 10, linear(numbers[:, 1], -0.5, 0.1) * 30
    want = np.tile(np.float64([[1, 0, 0], [0, 1, 0]]), (20, 1, 1))
    want[:, 0, 2], want[:, 1, 2] = -down, -right
    close(got, want, dtype)


def rotation_matrix(angle, size):
    """Return the matrix of a counter-clockwise rotation, derived from complex numbers: columns right, rows down."""
    middle = complex((size[1] - 1) / 2, -(size[0] - 1) / 2)

    def source(i, j):
        z = (complex(j, -i) - middle) * np.exp(-1j * angle) + middle
        return np.array([-z.imag, z.real])

    origin = source(0, 0)
    return np.stack([source(1, 0) - origin, source(0, 1) - origin, origin], axis=1)


def test_rotation_is_about_the_middle(isa, dtype, rng):
    numbers = rng.random((20, 1)).astype(dtype)
    got = ops.rotation_matrices(numbers, (10, 31), (-0.25, 1))
    want = [rotation_matrix(2 * np.pi * linear(u, -0.25, 1), (10, 31)) for u in numbers[:, 0]]
    close(got, np.array(want), dtype)


def test_a_quarter_turn_is_counter_clockwise(isa, dtype, rng):
    x = normals(rng, (1, 6, 6, 2), dtype)
    quarter = ops.rotation_matrices(np.array([[0.75]], dtype), 6, 0.5)
    np.testing.assert_allclose(ops.affine_warp(x, quarter), np.rot90(x, axes=(1, 2)), atol=40 * np.finfo(dtype).eps)


@pytest.mark.parametrize("both", [True, False])
def test_zoom_shows_more_or_less_about_the_middle(both, isa, dtype, rng):
    numbers = rng.random((20, 1 + both)).astype(dtype)
    got = ops.zoom_matrices(numbers, (10, 31), 0.5, (0.25, 1) if both else None)
    rows = 1 + linear(numbers[:, 0], -0.5, 0.5)
    columns = 1 + linear(numbers[:, 1], 0.25, 1) if both else rows
    zero = np.zeros(20)
    want = [[rows, zero, 4.5 - 4.5 * rows], [zero, columns, 15 - 15 * columns]]
    close(got, np.transpose(want, (2, 0, 1)), dtype)


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flips_where_the_number_is_below_a_half(mode, isa, dtype, rng):
    numbers = np.array([[0, 0], [0.25, 0.5], [0.5, 0.25], [0.75, 0.99]], dtype)
    x = normals(rng, (4, 3, 4, 2), dtype)
    axes = {"horizontal": [2], "vertical": [1]}.get(mode, [1, 2])
    matrices = ops.flip_matrices(np.ascontiguousarray(numbers[:, : len(axes)]), (3, 4), mode)
    want = x.copy()
    for n, k in np.ndindex(4, len(axes)):
        if numbers[n, k] < 0.5:
            want[n] = np.flip(want[n], axes[k] - 1)
    assert_exact(ops.affine_warp(x, matrices), want, dtype)


def in_keras(x, y, a0, a1, a2, b0, b1, b2):
    """Return where the pixel in column x and row y comes from, as Keras 3 writes such matrices: row, then column."""
    return b0 * x + b1 * y + b2, a0 * x + a1 * y + a2


def test_matrices_are_those_of_keras(dtype, rng):
    """Of the same factors: RandomTranslation, RandomRotation, RandomZoom and RandomFlip of Keras 3.15."""
    H, W = size = (10, 31)
    u = rng.random((5, 2)).astype(dtype)
    f, g = linear(u[:, 0], -0.5, 0.25), linear(u[:, 1], -0.125, 1)
    zero, one, cos, sin = 0 * f, 1 + 0 * f, np.cos(2 * np.pi * f), np.sin(2 * np.pi * f)
    cx, cy = (W - 1) / 2, (H - 1) / 2
    first, both = np.ascontiguousarray(u[:, :1]), np.repeat(u[:, :1], 2, axis=1)
    mirror = np.where(u[:, 0] < 0.5, -1, 1)
    for ours, theirs in (
        (ops.translation_matrices(u, size, (-0.5, 0.25), (-0.125, 1)), (one, zero, -g * W, zero, one, -f * H)),
        (ops.rotation_matrices(first, size, (-0.5, 0.25)),
         (cos, -sin, cx - cx * cos + cy * sin, sin, cos, cy - cx * sin - cy * cos)),
        (ops.zoom_matrices(u, size, (-0.5, 0.25), (-0.125, 1)),
         (1 + g, zero, cx * (1 - (1 + g)), zero, 1 + f, cy * (1 - (1 + f)))),
        (ops.flip_matrices(both, size), (mirror, zero, cx - cx * mirror, zero, mirror, cy - cy * mirror)),
    ):  # fmt: skip
        for y, x in ((0, 0), (3, 7), (9, 30)):
            got = ours @ np.array([y, x, 1], dtype)
            np.testing.assert_allclose(
                got, np.stack(in_keras(x, y, *theirs), axis=1), rtol=0, atol=200 * np.finfo(dtype).eps
            )


@pytest.mark.parametrize(
    "factor", [-0.1, 1.5, (0.2, 0.1), (0, 1.1), (-1.1, 0), (1, 2, 3), "big", None, True, np.nan, (np.nan, 1)]
)
def test_factors_out_of_range(factor):
    for op, args in (
        (ops.rotation_matrices, (factor,)),
        (ops.zoom_matrices, (factor,)),
        (ops.translation_matrices, (factor, 0.5)),
        (ops.translation_matrices, (0.5, factor)),
    ):
        numbers = np.zeros((3, 1 if len(args) == 1 else 2))
        with pytest.raises(ValueError, match=r"_matrices: expected (height_|width_)?factor to be a number from 0"):
            op(numbers, 5, *args)


def test_numbers_and_modes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"^rotation_matrices: expected numbers of shape \(N, 1\), got \(3, 2\)"):
        ops.rotation_matrices(np.zeros((3, 2)), 5, 0.1)
    with pytest.raises(ShapeError, match=r"^zoom_matrices: expected numbers of shape \(N, 2\), got \(3, 1\)"):
        ops.zoom_matrices(np.zeros((3, 1)), 5, 0.1, 0.2)
    with pytest.raises(ValueError, match=r"^flip_matrices: expected mode .* got 'horizontl'; did you mean"):
        ops.flip_matrices(np.zeros((3, 2)), 5, "horizontl")


# ------------------------------------------------------------------------------------------------------ rescale


@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 1), (3, 5, 2), (2, 32, 32, 3), (4, 70), (2, 50, 41, 5), (0, 3)])
def test_rescale(shape, isa, dtype, rng):
    x = np.asarray(integers(rng, shape, dtype))
    C = shape[-1:]
    for scale, offset in (
        (2, 0),
        (0.5, 3),
        *([(integers(rng, C, dtype), integers(rng, C, dtype))] if C else []),
    ):
        assert_exact(ops.rescale(x, scale, offset), x * scale + offset, dtype)
        again = np.array(x)
        assert ops.rescale(again, scale, offset, out=again) is again
        assert_exact(again, x * scale + offset, dtype)


def test_rescale_refuses_other_channels():
    with pytest.raises(ShapeError, match=r"^rescale: expected scale to be one number or .* = \(3,\), got \(2,\)"):
        ops.rescale(np.zeros((4, 3)), [1, 2])
    with pytest.raises(ShapeError, match="^rescale: expected offset"):
        ops.rescale(np.zeros((4, 3)), 1, np.zeros((4, 3)))
