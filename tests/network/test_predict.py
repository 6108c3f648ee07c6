"""Predictions: every layer against the reference, in both precisions, from many threads."""

import threading

import numpy as np
import pytest

import reference
from trainees import every_kind


def forwards(network, x):
    """Return the output of each layer of `every_kind` for images (N, H, W, C), computed by reference.py."""
    kernel1, bias1, kernel2, dense1, bias, dense2 = network.get_weights()
    y = [reference.relu(reference.conv2d(x, kernel1, bias1))]
    y.append(reference.max_pool2d(y[-1], 2)[0])
    y.append(reference.conv2d(y[-1], kernel2))
    y.append(reference.relu(y[-1]))
    y.append(y[-1].reshape(len(x), -1))
    y.append(reference.sigmoid(reference.dense(y[-1], dense1, bias)))
    return [*y, reference.softmax(reference.dense(y[-1], dense2))]


@pytest.mark.parametrize(("precision", "room"), [("float32", 1e-5), ("float64", 1e-13)])
def test_every_layer_in_both_precisions(precision, room, isa, rng):
    network, x = every_kind(precision=precision), rng.random((5, 10, 11))
    outputs = network.activations(x)
    assert len(outputs) == len(network.layers)
    for got, want in zip(outputs, forwards(network, x[..., None].astype(precision)), strict=True):
        assert got.dtype == precision and got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=room, atol=room)
    assert network.predict(x).dtype == precision
    np.testing.assert_allclose(network.predict(x), outputs[-1], rtol=room)
    assert all(weight.dtype == precision for weight in network.get_weights())


@pytest.mark.parametrize("fuse", [True, False])
def test_fused_and_layer_by_layer(fuse, rng):
    x, y = rng.random((9, 10, 10)), rng.integers(0, 3, 9)
    networks = [every_kind(fuse=fused, precision="float64") for fused in (True, fuse)]
    for network in networks:
        network.compile("cross_entropy", lr=0.1)
        network.fit(x, y, epochs=3, batch_size=4)
    np.testing.assert_allclose(networks[0].predict(x), networks[1].predict(x), rtol=1e-10)
    np.testing.assert_allclose(networks[0].activations(x)[0], networks[1].activations(x)[0], rtol=1e-10)


def test_predictions_are_fresh_memory(rng):
    network, x = every_kind(), rng.random((4, 10, 10))
    first = network.predict(x)
    kept = first.copy()
    again = network.predict(x)
    np.testing.assert_array_equal(again, first)
    assert not np.shares_memory(first, again)
    first[...] = 7
    network.predict(x[::-1])
    np.testing.assert_array_equal(network.predict(x), kept)
    assert first.flags.owndata and first.flags.writeable
    activations = network.activations(x)
    network.activations(x[::-1])
    np.testing.assert_allclose(activations[-1], kept, rtol=1e-5)


def test_predictions_do_not_depend_on_the_batch_size(rng):
    network, x = every_kind(precision="float64"), rng.random((23, 10, 10))
    whole = network.predict(x)
    for size in (1, 5, 23, 100, 7):
        np.testing.assert_allclose(network.predict(x, size), whole, rtol=1e-12)
    assert network.predict(x[:0]).shape == (0, 3)


def test_predictions_change_with_the_weights(rng):
    """Kernels may cache packed weights from call to call, but never outdated ones."""
    network, x = every_kind(precision="float64"), rng.random((300, 10, 10))
    for seed in range(3):
        network.predict(x)
        network.set_weights([np.random.default_rng(seed).standard_normal(w.shape) for w in network.get_weights()])
        np.testing.assert_allclose(network.predict(x), forwards(network, x[..., None])[-1], rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_pixels_affect_only_their_image(bad, isa, rng):
    network, x = every_kind(), rng.random((6, 10, 10))
    clean = network.predict(x)
    x[2, 4, 5] = bad
    for _ in range(2):
        dirty = network.predict(x)
        if np.isnan(bad):
            assert np.isnan(dirty[2]).all()
        np.testing.assert_array_equal(np.delete(dirty, 2, axis=0), np.delete(clean, 2, axis=0))
    np.testing.assert_array_equal(network.predict(np.delete(x, 2, axis=0)), np.delete(clean, 2, axis=0))


def test_eight_threads_predict_at_once(rng):
    network = every_kind()
    inputs = [rng.random((1 + 7 * number, 10, 10)) for number in range(8)]
    network.build((10, 10))
    wrong, start = [], threading.Barrier(8)

    def work(number):
        start.wait()
        same = [np.array_equal(network.predict(inputs[number], 16), expected[number]) for _ in range(30)]
        wrong.extend([number] * same.count(False))

    expected = [network.predict(x, 16) for x in inputs]
    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
