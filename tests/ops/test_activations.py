"""Activations and their gradients: values, the limits of the number range, NaN."""

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, normals
from gwucnn import ops
from gwucnn.common.errors import ShapeError

# Lengths on both sides of where a vector ends (4 to 16 numbers in a register, a few of those in a row), and
# of where the share of 4096 numbers ends that a thread takes at a time.
ELEMENTWISE = ["relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu", "softplus"]
ELEMENTWISE += ["relu6", "hard_sigmoid", "hard_swish", "mish", "selu"]
LENGTHS = [0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 4095, 4097]


@pytest.mark.parametrize("length", LENGTHS)
def test_relu(length, isa, dtype, rng):
    x = normals(rng, (length,), dtype)
    y = ops.relu(x)
    assert_exact(y, reference.relu(x), dtype)
    dy = normals(rng, (length,), dtype)
    assert_exact(ops.relu_backward(dy, y), reference.relu_backward(dy, y), dtype)


def test_relu_at_the_edges(isa, dtype):
    tiny = np.finfo(dtype).smallest_normal
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny, -1.0, 0.5], dtype)
    assert_exact(ops.relu(x), [0, 0, np.inf, 0, np.nan, tiny, 0, 0, 0.5], dtype)


def test_relu_gradient_at_zero_is_zero(isa, dtype):
    """0 * inf would be NaN: a shut unit passes nothing, and does not multiply."""
    dy = np.array([1.0, np.inf, -np.inf, np.nan, 1.0, np.nan], dtype)
    y = np.array([0.0, 0.0, 0.0, 0.0, 2.0, 2.0], dtype)
    assert_exact(ops.relu_backward(dy, y), [0, 0, 0, 0, 1, np.nan], dtype)


def test_relu_does_not_truncate_when_the_first_element_is_not_positive(isa, dtype):
    """gwu_nn's relu did: the type of its first result decided the type of all."""
    assert_exact(ops.relu(np.array([-1.0, 0.75], dtype)), [0, 0.75], dtype)


@pytest.mark.parametrize("length", LENGTHS)
def test_sigmoid(length, isa, dtype, rng):
    x = 6 * normals(rng, (length,), dtype)
    y = ops.sigmoid(x)
    # No sum here: an exponential, an addition of positive numbers, a division.
    want = reference.sigmoid(x)
    assert_within(y, want, want, 1)
    dy = normals(rng, (length,), dtype)
    want = reference.sigmoid_backward(dy, y)
    assert_within(ops.sigmoid_backward(dy, y), want, abs(want), 1)


def test_sigmoid_at_the_edges(isa, dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, 1e30, -1e30, np.nan], dtype)
    assert_exact(ops.sigmoid(x), [0.5, 0.5, 1, 0, 1, 0, np.nan], dtype)


def test_sigmoid_keeps_small_probabilities(isa, dtype):
    """Down to the smallest normal number: sigmoid(x) is about exp(x), and far from 0."""
    x = np.linspace(np.log(np.finfo(dtype).tiny) + 1, 0, 97).astype(dtype)
    want = reference.sigmoid(x)
    assert_within(ops.sigmoid(x), want, want, 1)


SMOOTH = [
    ("tanh", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("elu", {}),
    ("elu", {"alpha": 1.7}),
    ("gelu", {}),
    ("gelu", {"approximate": True}),
    ("silu", {}),
    ("softplus", {}),
    ("relu6", {}),
    ("hard_sigmoid", {}),
    ("hard_swish", {}),
    ("mish", {}),
    ("selu", {}),
]
OF_OUTPUT = ("tanh", "relu6", "hard_sigmoid")  # whose gradients are computed from the output


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("op", "options"), SMOOTH)
def test_smooth(op, options, length, isa, dtype, rng):
    """Against numpy in float64; how exact they are is measured in _ext/test_elementary.py."""
    x = 2 * normals(rng, (length,), dtype)
    y = getattr(ops, op)(x, **options)
    want = getattr(reference, op)(x, **options)
    # Of gelu, the reference rounds the exponent itself, and so does the formula with tanh.
    assert_within(y, want, abs(want) * (1 + np.float64(x) ** 2), 1)
    dy, seen = normals(rng, (length,), dtype), y if op in OF_OUTPUT else x
    want = getattr(reference, f"{op}_backward")(dy, seen, **options)
    assert_within(getattr(ops, f"{op}_backward")(dy, seen, **options), want, abs(dy), 1)


@pytest.mark.parametrize("op", ["leaky_relu", "elu"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.3", None, True])
def test_options_that_are_no_numbers(op, value):
    option = {"leaky_relu": "negative_slope", "elu": "alpha"}[op]
    x = np.zeros(3)
    with pytest.raises(ValueError, match=rf"^{op}: expected {option} to be a finite number, got "):
        getattr(ops, op)(x, **{option: value})
    with pytest.raises(ValueError, match=rf"^{op}_backward: expected {option} to be a finite number, got "):
        getattr(ops, f"{op}_backward")(x, x, **{option: value})


def test_approximate_is_a_flag():
    with pytest.raises(ValueError, match="^gelu: expected approximate to be True or False, got 'tanh'$"):
        ops.gelu(np.zeros(3), approximate="tanh")


def test_leaky_relu_passes_one_side_whole(isa, dtype):
    x = np.array([-2.0, -0.0, 0.0, 3.0, np.nan], dtype)
    assert_exact(ops.leaky_relu(x, 0.5), [-1, 0, 0, 3, np.nan], dtype)
    assert_exact(ops.leaky_relu_backward(np.ones(4, dtype), x[:4], 0.5), [0.5, 0.5, 0.5, 1], dtype)


INF, NAN = float("inf"), float("nan")
EDGES = {
    "relu6": [0, 0, 6, 0, 6, 0, NAN],
    "hard_sigmoid": [0.5, 0.5, 1, 0, 1, 0, NAN],
    "hard_swish": [0, 0, INF, 0, 1e30, 0, NAN],
    "mish": [0, 0, INF, 0, 1e30, 0, NAN],
    "selu": [0, 0, INF, -reference.SELU["alpha"] * reference.SELU["scale"], 1.0507009873554805e30,
             -reference.SELU["alpha"] * reference.SELU["scale"], NAN],
}  # fmt: skip
SLOPES = {  # at -inf, inf, -1e30, 1e30 and NaN
    "hard_swish": [0, 1, 0, 1, NAN],
    "mish": [0, 1, 0, 1, NAN],
    "selu": [0, reference.SELU["scale"], 0, reference.SELU["scale"], NAN],
}


@pytest.mark.parametrize("op", EDGES)
def test_the_limits_of_the_number_range(op, dtype):
    x = np.array([0.0, -0.0, INF, -INF, 1e30, -1e30, NAN], dtype)
    np.testing.assert_allclose(getattr(ops, op)(x), EDGES[op], rtol=4 * np.finfo(dtype).eps)
    if op in SLOPES:
        slopes = getattr(ops, f"{op}_backward")(np.ones(5, dtype), np.array([-INF, INF, -1e30, 1e30, NAN], dtype))
        np.testing.assert_allclose(slopes, SLOPES[op], rtol=4 * np.finfo(dtype).eps)


def test_clipped_elements_pass_no_gradient_however_large(dtype):
    dy = np.full(3, INF, dtype)
    assert_exact(ops.relu6_backward(dy, np.array([0.0, 6.0, 3.0], dtype)), [0, 0, INF], dtype)
    assert_exact(ops.hard_sigmoid_backward(dy, np.array([0.0, 1.0, 0.5], dtype)), [0, 0, INF], dtype)
    assert_exact(ops.hard_swish_backward(dy, np.array([-3.0, -7.0, 3.0], dtype)), [0, 0, INF], dtype)


@pytest.mark.parametrize("op", ["mish", "hard_sigmoid", "hard_swish", "relu6"])
def test_relative_error_of_small_and_large_results(op, dtype):
    """Against longer numbers: no digits are lost where exponentials are small, or near the bounds of clipping."""
    x = np.concatenate([np.linspace(-80, 80, 4001), np.linspace(-3.01, -2.99, 101), [1e-30, -1e-30]]).astype(dtype)
    wide = x.astype(np.longdouble)
    e = np.exp(wide)
    n = e * (e + 2)
    exact = {
        "mish": wide * n / (n + 2),
        "relu6": np.clip(wide, 0, 6),
        "hard_sigmoid": np.clip(wide + 3, 0, 6) / 6,
        "hard_swish": wide * np.clip(wide + 3, 0, 6) / 6,
    }[op]
    error = abs(getattr(ops, op)(x) - exact)
    assert (error <= 4 * np.finfo(dtype).eps * abs(exact)).all()


def softmax_bound(x, probabilities):
    """Return what assert_within's `magnitude` has to be: subtracting the largest logit adds its own rounding.

    exp turns an error of u * |x - max| in the exponent into a relative error of the same size.
    """
    return probabilities * (1 + np.abs(np.float64(x) - np.max(x, axis=-1, keepdims=True)) / 4)


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("units", [1, 2, 7, 8, 10, 16, 17, 33, 100])
def test_softmax(rows, units, isa, dtype, rng):
    x = 5 * normals(rng, (rows, units), dtype)
    y = ops.softmax(x)
    want = reference.softmax(x) if rows else np.zeros((0, units))
    assert_within(y, want, softmax_bound(x, want), units)
    dy = normals(rng, (rows, units), dtype)
    sizes = abs(y) * (abs(dy) + np.sum(abs(dy * y), axis=-1, keepdims=True))
    assert_within(ops.softmax_backward(dy, y), reference.softmax_backward(dy, y), sizes, units)


def test_softmax_does_not_see_a_common_shift(isa, dtype, rng):
    """Whole numbers, so that the shift itself is exact."""
    x = rng.integers(-20, 20, (6, 13)).astype(dtype)
    assert_exact(ops.softmax(x + 1000), ops.softmax(x), dtype)


def test_softmax_of_equals_is_even(isa, dtype):
    assert_exact(ops.softmax(np.full((3, 8), 1e30, dtype)), np.full((3, 8), 0.125), dtype)
    assert_exact(ops.softmax(np.full((3, 8), -1e30, dtype)), np.full((3, 8), 0.125), dtype)


def test_softmax_at_the_edges(isa, dtype):
    """Each row for itself: a certain one, one with an impossible class, one with NaN."""
    x = np.array([[1e30, 0, -1e30], [0, -np.inf, 0], [0, np.nan, 0], [7, 7, -np.inf]], dtype)
    want = [[1, 0, 0], [0.5, 0, 0.5], [np.nan] * 3, [0.5, 0.5, 0]]
    assert_exact(ops.softmax(x), want, dtype)


def test_softmax_gradient_of_a_constant_is_zero(isa, dtype):
    """Pulling all probabilities up by the same amount cannot move them: they sum to 1."""
    y = np.full((2, 8), 0.125, dtype)
    assert_exact(ops.softmax_backward(np.full((2, 8), 3.0, dtype), y), np.zeros((2, 8)), dtype)


@pytest.mark.parametrize("op", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (2, 3), (2, 3, 4, 5), (3, 0, 2)])
def test_any_number_of_axes(op, shape, dtype, rng):
    x = np.asarray(normals(rng, shape, dtype))
    y = getattr(ops, op)(x)
    assert y.shape == shape
    assert_exact(y.reshape(-1), getattr(ops, op)(x.reshape(-1)), dtype)
    dx = getattr(ops, f"{op}_backward")(x, y)
    assert_exact(dx.reshape(-1), getattr(ops, f"{op}_backward")(x.reshape(-1), y.reshape(-1)), dtype)


@pytest.mark.parametrize("op", [*ELEMENTWISE, "softmax"])
def test_out_may_be_the_argument_itself(op, isa, dtype, rng):
    """Number by number, and row by row, nothing is read after it is overwritten."""
    x, dy = normals(rng, (9, 21), dtype), normals(rng, (9, 21), dtype)
    y, backward = getattr(ops, op)(x), getattr(ops, f"{op}_backward")
    dx = backward(dy, y)
    assert getattr(ops, op)(x, out=x) is x
    assert_exact(x, y, dtype)
    assert backward(dy, y, out=dy) is dy
    assert_exact(dy, dx, dtype)
    with pytest.raises(ValueError, match=rf"^{op}_backward: .*\bout\b"):
        backward(dy, y, out=y)


@pytest.mark.parametrize("op", [f"{op}_backward" for op in (*ELEMENTWISE, "softmax")])
def test_shapes_that_differ(op):
    """(N, 1) against (N,) is refused, and never broadcast to (N, N)."""
    with pytest.raises(ShapeError, match=rf"^{op}: .*\bdy\b"):
        getattr(ops, op)(np.zeros((4, 1), "float32"), np.zeros((4, 4), "float32"))
    with pytest.raises(ShapeError, match=rf"^{op}: "):
        getattr(ops, op)(np.zeros((4, 1), "float32"), np.zeros(4, "float32"))
