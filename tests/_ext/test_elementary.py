"""Error bounds stated for the activations in simd/elementary.h, checked against 50 decimal digits.

The bounds are those of the docstring of gwucnn/ops/activation.py: a relative error of 8 * u; relative to the sum of
absolute values where a derivative is a sum of terms of opposite signs; and 8 * u * (1 + |v|) for gelu's formula with
tanh.
"""

import functools
from decimal import Decimal, getcontext, localcontext

import numpy as np
import pytest

from compare import assert_exact
from gwucnn import ops

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097")
HALF, ONE = Decimal("0.5"), Decimal(1)


def exp(x):
    return x.exp()


def sigmoid(x):
    return ONE / (ONE + exp(-x)) if x > 0 else exp(x) / (ONE + exp(x))


def softplus(x):
    e = exp(-abs(x))
    rest = e - e * e / 2 if e < Decimal("1e-30") else (ONE + e).ln()
    return max(x, Decimal(0)) + rest


def density(x):
    return exp(-x * x / 2) / (2 * PI).sqrt()


def beyond(a):
    """Return the upper tail of the normal distribution for a >= 0: a power series, or a continued fraction if a > 6."""
    if a > 6:
        fraction = a
        for k in range(200, 0, -1):
            fraction = a + k / fraction
        return density(a) / fraction
    term, total, k = a, a, 1
    while term > total * Decimal("1e-48"):
        k += 2
        term = term * a * a / k
        total += term
    return HALF - density(a) * total


def share(x):
    """Return the cumulative distribution function of the normal distribution at x."""
    return ONE - beyond(x) if x > 0 else beyond(-x)


def inner(x):
    """Return (v, its derivative) for gelu's formula with tanh, which is x * sigmoid(v)."""
    root = (8 / PI).sqrt()
    return root * (x + Decimal("0.044715") * x**3), root * (ONE + 3 * Decimal("0.044715") * x * x)


def sizes(part, x, other):
    """Return part + x * other, and the sum of the absolute values of both terms."""
    return part + x * other, part + abs(x) * other


def product(x, v, slope):
    """Return the derivative of x * sigmoid(v), and the sum of the absolute values of its terms."""
    return sizes(sigmoid(v), x, sigmoid(v) * sigmoid(-v) * slope)


def both(value):
    return value, value


# Name of the op, options, value, (slope, scale of its error) or None, and the range of |x| in float32 and in float64.
CASES = {
    "sigmoid": ("sigmoid", {}, sigmoid, None, (87, 700)),
    "tanh": ("tanh", {}, lambda x: (exp(x) - exp(-x)) / (exp(x) + exp(-x)), None, (20, 40)),
    "elu": ("elu", {"alpha": 0.75}, lambda x: x if x > 0 else (exp(x) - 1) * Decimal("0.75"),
            lambda x: both(ONE if x > 0 else exp(x) * Decimal("0.75")), (87, 700)),
    "gelu": ("gelu", {}, lambda x: x * share(x), lambda x: sizes(share(x), x, density(x)), (13, 37)),
    "gelu_tanh": ("gelu", {"approximate": True}, lambda x: x * sigmoid(inner(x)[0]),
                  lambda x: product(x, *inner(x)), (10, 20)),
    "silu": ("silu", {}, lambda x: x * sigmoid(x), lambda x: product(x, x, ONE), (90, 710)),
    "softplus": ("softplus", {}, softplus, lambda x: both(sigmoid(x)), (87, 700)),
}  # fmt: skip


@functools.cache
def points(name, kind):
    """Return inputs of all magnitudes and, for each, the exact value, (slope, scale) and the factor of the bound."""
    _, _, value, slope, reach = CASES[name]
    rng = np.random.default_rng(3)
    far = reach[kind == "float64"]
    small = rng.uniform(-1, 1, 60) * 10.0 ** rng.uniform(-9, 0, 60)
    x = np.concatenate([rng.uniform(-far, far, 120), rng.uniform(-3, 3, 120), small]).astype(kind)
    with localcontext(getcontext(), prec=50):
        exact = [Decimal(float(number)) for number in x]
        wanted = [value(number) for number in exact]
        slopes = [slope(number) for number in exact] if slope else None
        factor = [1 + abs(inner(number)[0]) if name == "gelu_tanh" else ONE for number in exact]
    return x, wanted, slopes, factor


def assert_near(got, wanted, scale, factor):
    """Fail unless the error of every element, relative to scale, is within 8 * u * factor."""
    u, tiny = Decimal(float(np.finfo(got.dtype).eps)) / 2, Decimal(float(np.finfo(got.dtype).tiny))
    rows = zip(got.tolist(), wanted, scale, factor, strict=True)
    excess = [abs(Decimal(y) - w) / (8 * u * f * abs(s) + tiny) for y, w, s, f in rows]
    assert max(excess) <= 1, f"the error is {max(excess):.3g} times the stated bound"


@pytest.mark.parametrize("name", CASES)
def test_error_of_the_value(name, isa, dtype):
    op, options, *_ = CASES[name]
    x, wanted, _, factor = points(name, dtype.name)
    assert_near(getattr(ops, op)(x, **options), wanted, wanted, factor)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][3]])
def test_error_of_the_slope(name, isa, dtype):
    op, options, *_ = CASES[name]
    x, _, slopes, factor = points(name, dtype.name)
    wanted, scale = zip(*slopes, strict=True)
    assert_near(getattr(ops, f"{op}_backward")(np.ones_like(x), x, **options), wanted, scale, factor)


LIMITS = {
    "sigmoid": (0, 1, None, None),
    "tanh": (-1, 1, None, None),
    "leaky_relu": (-np.inf, np.inf, 0.3, 1),
    "elu": (-1, np.inf, 0, 1),
    "gelu": (0, np.inf, 0, 1),
    "silu": (0, np.inf, 0, 1),
    "softplus": (0, np.inf, 0, 1),
}


@pytest.mark.parametrize("op", LIMITS)
def test_limits_at_infinity(op, isa, dtype):
    """The limits are exact, and no warning is raised because 0 is never multiplied by infinity."""
    below, above, slope_below, slope_above = LIMITS[op]
    x = np.array([-np.inf, np.inf, np.nan] * 20, dtype)
    assert_exact(getattr(ops, op)(x), [below, above, np.nan] * 20, dtype)
    if slope_above is not None:
        dx = getattr(ops, f"{op}_backward")(np.ones_like(x[:2]), x[:2])
        assert_exact(dx, np.array([slope_below, slope_above], dtype), dtype)


@pytest.mark.parametrize("op", LIMITS)
def test_nothing_overflows(op, isa, dtype):
    """For large |x| every function is 0, a constant or x itself."""
    most = np.finfo(dtype).max
    x = np.array([s * size for size in (1e3, 1e10, 1e30, most) for s in (-1, 1)], dtype)
    y = getattr(ops, op)(x)
    below, above, slope_below, slope_above = LIMITS[op]
    if op == "leaky_relu":
        below = dtype.type(0.3) * x[::2]
    assert_exact(y[::2], np.broadcast_to(np.asarray(below, dtype), 4), dtype)
    assert_exact(y[1::2], x[1::2] if above == np.inf else np.full(4, above), dtype)
    if slope_above is not None:
        dx = getattr(ops, f"{op}_backward")(np.ones_like(x), x)
        assert_exact(dx, np.tile(np.array([slope_below, slope_above], dtype), 4), dtype)


def test_gelu_approximate_does_not_overflow_either(isa, dtype):
    x = np.array([-np.inf, -1e30, -50, 50, 1e30, np.inf], dtype)
    assert_exact(ops.gelu(x, approximate=True), np.maximum(x, 0), dtype)
    assert_exact(ops.gelu_backward(np.ones_like(x), x, approximate=True), [0, 0, 0, 1, 1, 1], dtype)


def test_gelu_has_two_formulas(dtype):
    """The two formulas differ, and by less than 5e-4, as documented."""
    x = np.linspace(-8, 8, 4001).astype(dtype)
    difference = abs(ops.gelu(x) - ops.gelu(x, approximate=True))
    assert 4e-4 < difference.max() < 5e-4


@pytest.mark.parametrize("op", LIMITS)
def test_length_does_not_matter(op, isa, dtype, rng):
    """The remainder that fills no whole vector gets the same results as elements in the middle of a long array.

    To rounding: compilers may contract multiplications and additions in the one and not in the other, as on Arm.
    """
    x = (4 * rng.standard_normal(100)).astype(dtype)
    y = getattr(ops, op)(x)
    dx = getattr(ops, f"{op}_backward")(y, x)
    for length in range(1, 40):
        part = getattr(ops, op)(x[:length].copy())
        slopes = getattr(ops, f"{op}_backward")(y[:length].copy(), x[:length].copy())
        for got, want in ((part, y), (slopes, dx)):
            np.testing.assert_allclose(got, want[:length], rtol=8 * np.finfo(dtype).eps, strict=True)
