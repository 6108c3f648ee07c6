"""Batch normalisation fused with relu: bit-identical to the two ops in turn, and checked against the reference."""

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, normals
from gwucnn import ops
from gwucnn.common.errors import ShapeError

# Few channels (several rows side by side, the last of them shorter), a strip of 64 and more than one; more rows
# than a block of 32.
SHAPES = [
    (1, 1),
    (5, 3),
    (3, 4, 5, 6),
    (33, 64),
    (4, 9, 9, 65),
    (3, 200),
    (6, 7, 5, 33),
    (2, 50, 50, 1),
    (0, 3, 3, 4),
]
EPSILON = 1e-3
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(rng, shape, dtype):
    """Return x, dy, gamma, beta, mean and variance."""
    C = shape[-1]
    variance = np.empty(C, dtype)
    x = normals(rng, shape, dtype) + dtype.type(2)
    gamma = normals(rng, C, dtype)  # of both signs
    mean = ops.batch_statistics(x, variance=variance)
    return x, normals(rng, shape, dtype), gamma, normals(rng, C, dtype), mean, variance


def both(x, gamma, beta, mean, variance):
    """Return z and relu of it."""
    z = ops.batch_norm(x, gamma, beta, mean, variance, EPSILON)
    return z, ops.relu(z)


@every_shape
def test_forward(shape, isa, dtype, rng):
    x, _, *norm = draw(rng, shape, dtype)
    line = np.full((2, shape[-1]), np.nan, dtype)
    _, want = both(x, *norm)
    assert_exact(ops.batch_norm_relu(x, *norm, EPSILON, line=line), want, dtype)
    scale = norm[0] / np.sqrt(np.float64(norm[3]) + EPSILON)
    assert_within(line, np.stack([scale, norm[1]]), np.stack([abs(scale), abs(norm[1])]), 1)
    assert ops.batch_norm_relu(x, *norm, EPSILON, out=x) is x
    assert_exact(x, want, dtype)


@every_shape
def test_gradients(shape, isa, dtype, rng):
    x, dy, gamma, beta, mean, variance = draw(rng, shape, dtype)
    _, y = both(x, gamma, beta, mean, variance)
    dz = ops.relu_backward(dy, y)
    line = np.empty((2, shape[-1]), dtype)
    ops.batch_norm_relu(x, gamma, beta, mean, variance, EPSILON, line=line)
    results = []
    for fused in (True, False):
        grads = {"gamma_grad": np.ones_like(gamma), "beta_grad": np.full_like(gamma, 2)}
        if fused:
            sums = ops.batch_norm_relu_backward_sums(dy, x, line, mean, variance, EPSILON, **grads)
            back = (dy, x, gamma, beta, mean, variance, EPSILON)
            dx = [ops.batch_norm_relu_backward(*back, sums=given) for given in (sums, None)]
        else:
            sums = ops.batch_norm_backward_sums(dz, x, mean, variance, EPSILON, **grads)
            back = (dz, x, gamma, mean, variance, EPSILON)
            dx = [ops.batch_norm_backward(*back, sums=given) for given in (sums, None)]
        results.append([sums, *dx, *grads.values()])
    for got, want in zip(*results, strict=True):
        assert_exact(got, want, dtype)


def test_gradients_are_the_references(isa, rng):
    x, dy, gamma, beta, mean, variance = draw(rng, (3, 4, 5, 6), np.dtype("float64"))
    line = np.empty((2, 6))
    y = ops.batch_norm_relu(x, gamma, beta, mean, variance, EPSILON, line=line)
    np.testing.assert_allclose(
        y,
        reference.relu(reference.batch_norm(x, gamma, beta, mean, variance, EPSILON)),
        rtol=1e-12,
        atol=1e-13,
    )
    want, dgamma, dbeta = reference.batch_norm_backward(np.where(y > 0, dy, 0), x, gamma, EPSILON)
    sums = ops.batch_norm_relu_backward_sums(dy, x, line, mean, variance, EPSILON)
    np.testing.assert_allclose(sums, [dgamma, dbeta], rtol=1e-11)
    got = ops.batch_norm_relu_backward(dy, x, gamma, beta, mean, variance, EPSILON, sums=sums)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_nan_passes(isa, dtype, rng):
    """As through relu: what is not a number was not shut off."""
    x, dy, gamma, beta, mean, variance = draw(rng, (4, 3, 3, 5), dtype)
    x[2, 1, 0, 3] = np.nan
    y = ops.batch_norm_relu(x, gamma, beta, mean, variance, EPSILON)
    assert np.isnan(y[2, 1, 0, 3]) and np.isnan(y).sum() == 1
    dx = ops.batch_norm_relu_backward(dy, x, gamma, beta, mean, variance, EPSILON)
    assert dx[2, 1, 0, 3] != 0 and np.isfinite(dx).all()


def test_threads_change_no_bit(dtype, rng, threads):
    x, dy, *norm = draw(rng, (300, 20, 20, 7), dtype)
    gamma, beta, mean, variance = norm
    results = []
    for n in (1, 2, 3):
        threads(n)
        line = np.empty((2, 7), dtype)
        y = ops.batch_norm_relu(x, *norm, EPSILON, line=line)
        sums = ops.batch_norm_relu_backward_sums(dy, x, line, mean, variance, EPSILON)
        dx = ops.batch_norm_relu_backward(dy, x, gamma, beta, mean, variance, EPSILON, sums=sums)
        results.append([array.tobytes() for array in (y, line, sums, dx)])
    assert results[0] == results[1] == results[2]


def test_what_does_not_fit_is_refused():
    x, c, four = np.ones((2, 5, 3)), np.ones(3), np.ones(4)
    line = np.ones((2, 3))
    for name, call in {
        "x": lambda: ops.batch_norm_relu(c, c, c, c, c, 0.1),
        "gamma": lambda: ops.batch_norm_relu(x, four, c, c, c, 0.1),
        "beta": lambda: ops.batch_norm_relu_backward(x, x, c, four, c, c, 0.1),
        "variance": lambda: ops.batch_norm_relu_backward_sums(x, x, line, c, four, 0.1),
        "dy": lambda: ops.batch_norm_relu_backward_sums(x[:1], x, line, c, c, 0.1),
        "line": lambda: ops.batch_norm_relu_backward_sums(x, x, np.ones((3, 3)), c, c, 0.1),
        "sums": lambda: ops.batch_norm_relu_backward(x, x, c, c, c, c, 0.1, sums=np.ones((3, 2))),
        "gamma_grad": lambda: ops.batch_norm_relu_backward_sums(x, x, line, c, c, 0.1, gamma_grad=four),
    }.items():
        with pytest.raises(ShapeError, match=rf"^batch_norm_relu[a-z_]*: expected {name} "):
            call()
    for epsilon in (-1e-9, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^batch_norm_relu: expected epsilon to be a number of at least 0"):
            ops.batch_norm_relu(x, c, c, c, c, epsilon)
