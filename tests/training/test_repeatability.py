"""Runs are bit-identical; threads, instruction sets and precisions affect only rounding."""

import numpy as np
import pytest

from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, kernels
from trainees import deep, deep_data, weights


@pytest.fixture
def data(rng):
    return deep_data(rng)


def wide(**options):
    """A network large enough for two threads to be used."""
    made = GWUNetwork(
        [
            Conv2D(32, activation="relu"),
            MaxPooling2D(),
            Conv2D(32),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        seed=0,
        **options,
    )
    made.compile("cross_entropy", lr=0.05, optimizer="adam")
    return made


def trained(made, n=64):
    rng = np.random.default_rng(0)
    x, y = rng.random((n, 20, 20)), rng.integers(0, 10, n)
    losses = made.fit(x, y, epochs=2, batch_size=24).history["loss"]
    return losses, weights(made), made.predict(x)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_runs_are_bit_identical(n_threads, threads):
    threads(n_threads)
    first, second = trained(wide()), trained(wide())
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_and_two_threads_agree_up_to_rounding(threads):
    results = []
    for n_threads in (1, 2):
        threads(n_threads)
        results.append(trained(wide(precision="float64")))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9)


def test_every_instruction_set_trains_the_same_up_to_rounding():
    before, results = kernels.isa(), []
    for name in kernels.supported():
        kernels.select(name)
        results.append(trained(wide(precision="float64")))
    kernels.select(before)
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_kernels_and_threads_may_change_between_epochs(data, threads):
    """Steps bound to the old kernels must be bound again, without losing state."""
    x, y = data
    steady, changing = deep(optimizer="adam", lr=0.01), deep(optimizer="adam", lr=0.01)
    before = kernels.isa()
    for number in range(6):
        kernels.select(kernels.supported()[number % len(kernels.supported())])
        threads(1 + number % 2)
        changing.fit(x, y, batch_size=7)
        changing.predict(x)
        kernels.select(before)
        threads(1)
        steady.fit(x, y, batch_size=7)
    np.testing.assert_allclose(changing.predict(x), steady.predict(x), rtol=1e-9)


def test_float32_trains_like_float64_up_to_rounding(data):
    x, y = data
    single, double = (
        deep(lr=0.1, precision=precision).fit(x, y, epochs=3, batch_size=8).history["loss"]
        for precision in ("float32", "float64")
    )
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_alternating_training_and_prediction_do_not_interfere(data):
    x, y = data
    quiet, disturbed = deep(lr=0.1), deep(lr=0.1)
    for start in (0, 8, 16, 0, 20):
        batch = slice(start, start + 8)
        quiet.train_on_batch(x[batch], y[batch])
        disturbed.predict(x[:5])
        disturbed.train_on_batch(x[batch], y[batch])
        disturbed.evaluate(x, y, 9)
        disturbed.activations(x[:3])
    np.testing.assert_array_equal(weights(quiet), weights(disturbed))
