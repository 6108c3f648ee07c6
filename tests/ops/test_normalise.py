"""Batch and layer normalisation: values, gradients, error bounds, edge cases, threads."""

import math

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, normals
from gwucnn import ops
from gwucnn.common.errors import ShapeError

# Rows of pixels in one, several or no images; few channels (several rows side by side, the last of them shorter),
# a strip of 64 and more than one; more rows than a block of 32; more than 128 blocks.
SHAPES = [
    (1, 1), (5, 3), (2, 1, 1, 2), (3, 4, 5, 6), (33, 64), (4, 9, 9, 65), (3, 200), (70, 31), (6, 7, 5, 33), (2, 50, 50, 1),
    (5, 33, 31, 16),
]  # fmt: skip
EPSILON = 1e-3
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(rng, shape, dtype, mean=0.0):
    """Return x, dy, and gamma, beta, mean and variance for its channels."""
    C = shape[-1]
    x, dy = normals(rng, shape, dtype) + dtype.type(mean), normals(rng, shape, dtype)
    return (
        x,
        dy,
        *(part.astype(dtype) for part in (rng.uniform(0.5, 2, C), normals(rng, C, dtype))),
        *statistics(x),
    )


def statistics(x):
    variance = np.full(x.shape[-1:], np.nan, x.dtype)
    return ops.batch_statistics(x, variance=variance), variance


def exact_mean(rows):
    """The mean of each column, rounded once: numpy's own sums are no more accurate than ours."""
    return np.array([math.fsum(column) for column in rows.T]) / len(rows)


# ------------------------------------------------------------------------------------------------ statistics


@every_shape
@pytest.mark.parametrize("mean", [0, 3, 1000])
def test_statistics(shape, mean, isa, dtype, rng):
    """However large the mean is beside the spread: each as near as a sum of 32 terms of its own size must be."""
    x = normals(rng, shape, dtype) + dtype.type(mean)
    got_mean, got_variance = statistics(x)
    rows = reference.rows_of(x)
    want = exact_mean(rows)
    assert_within(got_mean, want, abs(rows).mean(axis=0), 1)
    assert_within(got_variance, *[exact_mean((rows - want) ** 2)] * 2, 32)


def test_a_mean_a_million_times_the_spread(isa, rng):
    """In float64, where x**2 - mean**2 would keep 4 of 16 digits, and be negative now and then."""
    x = 1e6 + rng.standard_normal((500, 7))
    mean, variance = statistics(x)
    want = exact_mean(x)
    np.testing.assert_allclose(mean, want, rtol=3e-16)
    np.testing.assert_allclose(variance, exact_mean((x - want) ** 2), rtol=1e-14)


def test_equal_numbers_have_no_variance(isa, dtype):
    x = np.full((100, 5), 0.1, dtype)
    mean, variance = statistics(x)
    assert_within(mean, np.full(5, np.float64(dtype.type(0.1))), np.full(5, 0.1), 1)
    assert (variance <= (np.finfo("float64").eps * 0.1) ** 2).all() and (variance >= 0).all()


def test_statistics_of_nothing_are_0(isa, dtype):
    for got in statistics(np.empty((0, 4, 4, 3), dtype)):
        assert_exact(got, np.zeros(3), dtype)


@pytest.mark.parametrize("shape", [(40_000, 16), (300, 20, 20, 7), (2000, 130)])
def test_threads_change_no_bit(shape, dtype, rng, threads):
    x, dy, gamma, beta, mean, variance = draw(rng, shape, dtype)
    results = []
    for n in (1, 2, 3):
        threads(n)
        sums = ops.batch_norm_backward_sums(dy, x, mean, variance, EPSILON)
        grads = np.zeros_like(gamma), np.zeros_like(beta)
        results.append(
            [
                *statistics(x),
                ops.batch_norm(x, gamma, beta, mean, variance, EPSILON),
                sums,
                ops.batch_norm_backward(dy, x, gamma, mean, variance, EPSILON, sums=sums),
                ops.layer_norm(x, gamma, beta, EPSILON),
                ops.layer_norm_backward(dy, x, gamma, EPSILON, gamma_grad=grads[0], beta_grad=grads[1]),
                *grads,
            ]
        )
    for other in results[1:]:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in results[0]]


# ----------------------------------------------------------------------------------------- by channels of a batch


@every_shape
def test_batch_norm(shape, isa, dtype, rng):
    x, _, gamma, beta, mean, variance = draw(rng, shape, dtype, mean=2)
    want = reference.batch_norm(x, gamma, beta, mean, variance, EPSILON)
    sizes = reference.batch_norm(abs(x), gamma, abs(beta), -abs(mean), variance, EPSILON)
    assert_within(ops.batch_norm(x, gamma, beta, mean, variance, EPSILON), want, sizes, 1)
    assert ops.batch_norm(x, gamma, beta, mean, variance, EPSILON, out=x) is x
    assert_within(x, want, sizes, 1)


@every_shape
def test_batch_norm_backward(shape, isa, dtype, rng):
    """By a bound that counts the magnitudes of what cancels, and the errors of statistics and sums that it is given."""
    x, dy, gamma, _, mean, variance = draw(rng, shape, dtype, mean=2)
    gamma_grad, beta_grad = np.ones_like(gamma), np.full_like(gamma, 2)
    sums = ops.batch_norm_backward_sums(dy, x, mean, variance, EPSILON, gamma_grad=gamma_grad, beta_grad=beta_grad)
    dx, dgamma, dbeta = reference.batch_norm_backward(dy, x, gamma, EPSILON)
    rows, gradients = abs(reference.rows_of(x)), abs(reference.rows_of(dy))
    root = 1 / np.sqrt(np.float64(variance) + EPSILON)
    sizes = np.array([(gradients * (rows + abs(mean)) * root).sum(axis=0), gradients.sum(axis=0)])
    assert_within(sums, np.array([dgamma, dbeta]), sizes, 40)
    assert_within(gamma_grad, 1 + dgamma, 1 + sizes[0], 40)
    assert_within(beta_grad, 2 + dbeta, 2 + sizes[1], 40)
    got = ops.batch_norm_backward(dy, x, gamma, mean, variance, EPSILON, sums=sums)
    z = (rows + abs(mean)) * root
    terms = gamma * root * (gradients + sizes[1] / len(rows) + z * sizes[0] / len(rows)) * (1 + (z**2).mean(axis=0))
    assert_within(got.reshape(-1, shape[-1]), dx.reshape(-1, shape[-1]), terms, 40)


@every_shape
def test_batch_norm_backward_in_inference(shape, isa, dtype, rng):
    x, dy, gamma, _, mean, variance = draw(rng, shape, dtype)
    want = np.float64(dy) * gamma / np.sqrt(np.float64(variance) + EPSILON)
    assert_within(ops.batch_norm_backward(dy, x, gamma, mean, variance, EPSILON), want, abs(want), 1)


def test_a_variance_that_is_not_finite_is_seen(isa):
    """1e19 squared does not fit in float32; outputs of 0, from a division by infinity, would look healthy."""
    x = np.array([[-1e20, 1.0], [1e20, 2.0]], "float32")
    mean, variance = statistics(x)
    assert np.isinf(variance[0])
    y = ops.batch_norm(x, np.ones(2, "f4"), np.zeros(2, "f4"), mean, variance, EPSILON)
    assert np.isnan(y[:, 0]).all() and np.isfinite(y[:, 1]).all()


def test_nan_stays_in_its_channel(isa, dtype, rng):
    x, _, gamma, beta, _, _ = draw(rng, (4, 3, 3, 5), dtype)
    x[2, 1, 0, 3] = np.nan
    mean, variance = statistics(x)
    assert np.isnan(mean).tolist() == np.isnan(variance).tolist() == [False, False, False, True, False]
    y = ops.batch_norm(x, gamma, beta, mean, variance, EPSILON)
    assert np.isnan(y[..., 3]).all() and not np.isnan(y[..., [0, 1, 2, 4]]).any()


def test_running_statistics_by_hand(isa, dtype):
    """Batches with means 2, 4, 9: their plain average as long as t / (t + 1) is below the momentum."""
    mean, variance = np.zeros(1, dtype), np.ones(1, dtype)
    updates = np.zeros(1, np.int64)
    running = []
    for value in (2, 4, 9, 0):
        batch = np.full(1, value, dtype)
        assert ops.move_statistics(variance, updates, batch, 10 * batch, 0.625, out=mean) is mean
        running.append((float(mean[0]), float(variance[0])))
    # keep = 0, 1/2, 5/8 (not 2/3), 5/8: 0.625 * 3 + 0.375 * 9 = 5.25, 0.625 * 5.25 = 3.28125
    assert running == [(2, 20), (3, 30), (5.25, 52.5), (3.28125, 32.8125)]
    assert updates.tolist() == [4]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (7, 33), (3, 3, 2, 4), (1, 1)])
def test_folded_weights_do_both(shape, bias, isa, dtype, rng):
    F = 8 if shape == (3, 3, 2, 4) else shape[-1]  # the last of them as of a depthwise convolution
    weight, b = normals(rng, shape, dtype), normals(rng, F, dtype) if bias else None
    gamma, beta, mean = (normals(rng, F, dtype) for _ in range(3))
    variance = rng.uniform(0.1, 3, F).astype(dtype)
    folded_bias = np.full(F, np.nan, dtype)
    folded = ops.fold_batch_norm(weight, b, gamma, beta, mean, variance, EPSILON, bias_out=folded_bias)
    scale = np.float64(gamma) / np.sqrt(np.float64(variance) + EPSILON)
    want = np.float64(weight).reshape(-1, F) * scale
    assert_within(folded.reshape(-1, F), want, abs(want), 1)
    assert folded.shape == shape
    shift = (0 if b is None else np.float64(b)) - np.float64(mean)
    sizes = abs(beta) + ((0 if b is None else abs(b)) + abs(mean)) * abs(scale)
    assert_within(folded_bias, beta + shift * scale, sizes, 1)


# ------------------------------------------------------------------------------------------------- by rows


@every_shape
def test_layer_norm(shape, isa, dtype, rng):
    x, dy, gamma, beta, _, _ = draw(rng, shape, dtype, mean=2)
    C = shape[-1]
    root = 1 / np.sqrt(np.var(np.float64(x), axis=-1, keepdims=True) + EPSILON)
    z = (abs(x) + abs(np.float64(x)).mean(axis=-1, keepdims=True)) * root
    sizes = gamma * z * (1 + (z**2).mean(axis=-1, keepdims=True)) + abs(beta)
    assert_within(ops.layer_norm(x, gamma, beta, EPSILON), reference.layer_norm(x, gamma, beta, EPSILON), sizes, C)
    gamma_grad, beta_grad = np.ones_like(gamma), np.full_like(gamma, 2)
    dx = ops.layer_norm_backward(dy, x, gamma, EPSILON, gamma_grad=gamma_grad, beta_grad=beta_grad)
    want, dgamma, dbeta = reference.layer_norm_backward(dy, x, gamma, EPSILON)
    g, spread = abs(dy * gamma), 1 + (z**2).mean(axis=-1, keepdims=True)
    sizes = root * (g + g.mean(axis=-1, keepdims=True) + z * (g * z).mean(axis=-1, keepdims=True)) * spread
    assert_within(dx, want, sizes, C)
    assert_within(gamma_grad, 1 + dgamma, 1 + reference.rows_of(abs(dy) * z * spread).sum(axis=0), C + 40)
    assert_within(beta_grad, 2 + dbeta, 2 + reference.rows_of(abs(dy)).sum(axis=0), 40)
    assert_exact(ops.layer_norm_backward(dy, x, gamma, EPSILON), dx, dtype)


def test_nan_stays_in_its_row(isa, dtype, rng):
    x, _, gamma, beta, _, _ = draw(rng, (4, 37), dtype)
    x[2, 36] = np.nan
    y = ops.layer_norm(x, gamma, beta, EPSILON)
    assert np.isnan(y[2]).all() and not np.isnan(y[[0, 1, 3]]).any()


def test_a_constant_row_becomes_beta(isa, dtype):
    beta = np.arange(20).astype(dtype)
    y = ops.layer_norm(np.full((3, 20), 1e6, dtype), np.ones(20, dtype), beta, EPSILON)
    assert_exact(y, np.tile(beta, (3, 1)), dtype)


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("epsilon", [-1e-9, np.nan, np.inf, "small", None, True])
def test_an_epsilon_out_of_range_is_refused(epsilon):
    x, c = np.ones((2, 3)), np.ones(3)
    with pytest.raises(ValueError, match=r"^batch_norm: expected epsilon to be a number of at least 0, got "):
        ops.batch_norm(x, c, c, c, c, epsilon)
    with pytest.raises(ValueError, match=r"^layer_norm_backward: expected epsilon"):
        ops.layer_norm_backward(x, x, c, epsilon)


def test_arrays_that_do_not_fit_are_refused():
    x, c, four = np.ones((2, 5, 3)), np.ones(3), np.ones(4)
    for name, call in {
        "gamma": lambda: ops.batch_norm(x, four, c, c, c, 0.1),
        "beta": lambda: ops.batch_norm(x, c, four, c, c, 0.1),
        "mean": lambda: ops.batch_norm(x, c, c, four, c, 0.1),
        "variance": lambda: ops.batch_norm_backward_sums(x, x, c, four, 0.1),
        "dy": lambda: ops.batch_norm_backward_sums(x[:1], x, c, c, 0.1),
        "sums": lambda: ops.batch_norm_backward(x, x, c, c, c, 0.1, sums=np.ones((3, 2))),
        "gamma_grad": lambda: ops.layer_norm_backward(x, x, c, 0.1, gamma_grad=four),
        "weight": lambda: ops.fold_batch_norm(x, None, four, four, four, four, 0.1),
        "bias": lambda: ops.fold_batch_norm(x, four, c, c, c, c, 0.1),
        "bias_out": lambda: ops.fold_batch_norm(x, c, c, c, c, c, 0.1, bias_out=four),
        "x": lambda: ops.batch_statistics(c),
        "updates": lambda: ops.move_statistics(c, np.zeros(2, np.int64), c + 1, c + 1, 0.5, out=np.ones(3)),
    }.items():
        with pytest.raises(ShapeError, match=rf"^[a-z_]+: expected {name} "):
            call()
