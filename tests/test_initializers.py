"""Initializers: the distribution that each promises, drawn from the generator that it is given."""

import numpy as np
import pytest

from gwucnn.initializers import INITIALIZERS, initializer

# Filters of 3x3, 16 channels, 32 filters: fan_in 144, fan_out 288. A dense matrix: the sizes themselves.
FILTERS, MATRIX = (3, 3, 16, 32), (150, 80)

VARIANCES = {
    "glorot_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "glorot_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "lecun_uniform": lambda fan_in, fan_out: 1 / fan_in,
    "lecun_normal": lambda fan_in, fan_out: 1 / fan_in,
    "random_normal": lambda fan_in, fan_out: 0.05**2,
    "random_uniform": lambda fan_in, fan_out: 0.05**2 / 3,
}


def filled(name, shape, seed=0, dtype="float64"):
    array = np.full(shape, np.nan, dtype)
    initializer("test", "kernel_initializer", name)(array, np.random.default_rng(seed))
    return array


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_number_is_drawn_from_the_generator(name, dtype):
    first = filled(name, FILTERS, dtype=dtype)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, filled(name, FILTERS, dtype=dtype))
    if name not in ("zeros", "ones"):
        assert (first != filled(name, FILTERS, 1, dtype)).any()
        assert len(np.unique(first)) > first.size / 2


@pytest.mark.parametrize("shape", [FILTERS, MATRIX], ids=["filters", "matrix"])
@pytest.mark.parametrize("name", VARIANCES)
def test_mean_and_variance(name, shape):
    window = int(np.prod(shape[:-2]))
    variance = VARIANCES[name](window * shape[-2], window * shape[-1])
    values = np.concatenate([filled(name, shape, seed).ravel() for seed in range(10)])
    # Of n draws the mean strays by sigma / sqrt(n), the variance by at most sqrt(2 / n) of itself: five times
    # that.
    n = values.size
    assert abs(values.mean()) < 5 * np.sqrt(variance / n)
    assert abs(values.var() / variance - 1) < 5 * np.sqrt(2 / n)


@pytest.mark.parametrize("name", ["glorot", "he", "lecun"])
def test_tails_are_cut_off(name):
    """Uniform ones at sqrt(3) standard deviations, normal ones at two of the normal they are cut from."""
    deviation = np.sqrt(VARIANCES[f"{name}_normal"](144, 288))
    assert np.sqrt(2.9) < abs(filled(f"{name}_uniform", FILTERS)).max() / deviation <= np.sqrt(3)
    # A normal cut off at two keeps 0.774 of its variance, and is widened by 1 / 0.8796 to make up for it.
    assert 2.2 < abs(filled(f"{name}_normal", FILTERS)).max() / deviation <= 2 / 0.8796


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6), (3, 2, 4, 8), (1, 1, 3, 17), (1, 1)])
def test_orthogonal(shape):
    matrix = filled("orthogonal", shape).reshape(-1, shape[-1])
    product = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(min(matrix.shape)), atol=1e-14)


def test_orthogonal_ones_lie_in_all_directions():
    """Without a look at the signs of R, QR alone would prefer some; two by two, half are reflections."""
    signs = [np.linalg.det(filled("orthogonal", (2, 2), seed)) for seed in range(400)]
    np.testing.assert_allclose(np.abs(signs), 1)
    assert 140 < np.sum(np.array(signs) > 0) < 260
    corners = [filled("orthogonal", (2, 2), seed)[0, 0] for seed in range(400)]
    assert 140 < np.sum(np.array(corners) > 0) < 260


def test_zeros_and_ones():
    assert not filled("zeros", (3, 4)).any()
    assert (filled("ones", (3, 4)) == 1).all()


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(5,), (1,), (0, 3), (1, 1, 1, 1)], ids=str)
def test_odd_shapes(name, shape):
    """A bias has one axis, and a layer of no inputs has nothing to draw."""
    assert np.isfinite(filled(name, shape)).all()


def test_unknown_names():
    with pytest.raises(ValueError) as caught:
        initializer("2.Dense", "kernel_initializer", "Glorot_Uniform")
    assert str(caught.value) == (
        "2.Dense: expected kernel_initializer to be one of 'glorot_uniform', 'glorot_normal', 'he_uniform', "
        "'he_normal', 'lecun_uniform', 'lecun_normal', 'random_normal', 'random_uniform', 'zeros', 'ones', "
        "'orthogonal', got 'Glorot_Uniform'; did you mean 'glorot_uniform'?"
    )
    for name in (None, 3, ["zeros"]):
        with pytest.raises(ValueError, match="expected bias_initializer to be one of"):
            initializer("Dense", "bias_initializer", name)


@pytest.mark.parametrize("shape", [FILTERS, MATRIX], ids=["filters", "matrix"])
@pytest.mark.parametrize("name", VARIANCES)
def test_the_whole_distribution_is_keras(name, shape):
    """Kolmogorov's distance to the distribution by scipy: normal ones cut off at two, but for random_normal."""
    stats = pytest.importorskip("scipy.stats")
    window = int(np.prod(shape[:-2]))
    deviation = np.sqrt(VARIANCES[name](window * shape[-2], window * shape[-1]))
    if name.endswith("uniform"):
        law = stats.uniform(-np.sqrt(3) * deviation, 2 * np.sqrt(3) * deviation)
    elif name == "random_normal":
        law = stats.norm(0, deviation)
    else:
        law = stats.truncnorm(-2, 2, scale=deviation / stats.truncnorm(-2, 2).std())
    values = np.concatenate([filled(name, shape, seed).ravel() for seed in range(5)])
    distance = stats.kstest(values, law.cdf).statistic
    # A distance of 1.95 / sqrt(n) is passed by chance once in a thousand draws.
    assert distance < 1.95 / np.sqrt(values.size)


@pytest.mark.parametrize("name", ["glorot_uniform", "he_uniform", "lecun_uniform"])
@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((7,), (7, 7)),
        ((5, 9), (5, 9)),
        ((3, 2, 4, 6), (24, 36)),
        ((1, 1, 5, 1), (5, 1)),
        ((2, 2, 1, 8), (4, 32)),
    ],
    ids=str,
)
def test_limits_follow_both_fans(name, shape, fans):
    """A uniform one comes near its limit, sqrt(3 * variance), and never passes it."""
    limit = np.sqrt(3 * VARIANCES[name](*fans))
    largest = max(abs(filled(name, shape, seed)).max() for seed in range(200))
    assert 0.97 * limit < largest <= limit
