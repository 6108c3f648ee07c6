"""Rescaling and Normalization in a network, with constants given by the user or measured from data."""

import tracemalloc
import warnings

import numpy as np
import pytest

import gwucnn
from gwucnn import (
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    Normalization,
    NotBuiltError,
    RandomFlip,
    RandomTranslation,
    Rescaling,
)
from gwucnn.common.errors import ShapeError

MB = 2**20


def made(first, **options):
    network = GWUNetwork([first, Flatten(), Dense(3, activation="softmax")], seed=1, **options)
    network.compile("cross_entropy", lr=0.1)
    return network


@pytest.fixture
def bytes_of_images(rng):
    return rng.integers(0, 256, (20, 6, 5), dtype=np.uint8), rng.integers(0, 3, 20)


def test_rescaling_is_the_same_as_rescaled_pixels(bytes_of_images):
    x, y = bytes_of_images
    inside, outside = (
        made(Rescaling(1 / 255, -0.5)),
        made(Conv2D(1, 1, kernel_initializer="ones", trainable=False)),
    )
    scaled = x / 255 - 0.5
    one = inside.fit(x, y, epochs=3, batch_size=7, verbose=0).history["loss"]
    two = outside.fit(scaled, y, epochs=3, batch_size=7, verbose=0).history["loss"]
    np.testing.assert_allclose(one, two, rtol=1e-5)
    np.testing.assert_allclose(inside.predict(x), outside.predict(scaled), rtol=1e-5)


@pytest.mark.parametrize("first", [Rescaling(1 / 255), Normalization(mean=128, variance=74**2)], ids=repr)
def test_no_warning_about_pixels_that_are_rescaled(first, bytes_of_images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(first).fit(*bytes_of_images, verbose=0)
    with pytest.warns(UserWarning, match="divide by 255"):
        made(Conv2D()).fit(*bytes_of_images, batch_size=20, verbose=0)


@pytest.mark.parametrize("shape", [(50, 6, 5), (50, 6, 5, 3), (50, 4)])
@pytest.mark.parametrize("kind", ["uint8", "float32", ">f8", "bool"])
def test_adapted_data_has_mean_0_and_variance_1(shape, kind, precision, rng):
    x = (rng.integers(0, 256, shape) > 100 if kind == "bool" else rng.integers(0, 256, shape)).astype(kind)
    network = GWUNetwork([Normalization().adapt(x), Dense(1) if x.ndim == 2 else Conv2D()], precision=precision)
    y = network.activations(x)[0]
    x, axes = x.astype("float64"), tuple(range(x.ndim if x.ndim == 3 else x.ndim - 1))
    want = (x - x.mean(axis=axes)) / x.std(axis=axes)
    np.testing.assert_allclose(y.reshape(want.shape), want, atol=100 * np.finfo(precision).eps)
    mean, variance = network.get_weights()[:2]
    np.testing.assert_allclose(mean, np.atleast_1d(x.mean(axis=axes)), rtol=1e-6)
    np.testing.assert_allclose(variance, np.atleast_1d(x.var(axis=axes)), rtol=1e-6)


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    return request.param


@pytest.mark.parametrize("when", ["before add", "before build", "after build", "after training"])
def test_adapt_at_any_time(when, rng, precision):
    x, y = rng.normal(5, 3, (40, 5, 4, 2)), rng.integers(0, 3, 40)
    layer = Normalization()
    if when == "before add":
        layer.adapt(x)
    network = made(layer, precision=precision)
    if when == "before build":
        layer.adapt(x)
    if when == "after training":
        layer.adapt(x * 7 + 9)
        network.fit(x, y, verbose=0)
        network.predict(x)
        layer.adapt(x)
    network.build((5, 4, 2))
    if when == "after build":
        layer.adapt(x)
    want = (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))
    eps = 100 * np.finfo(precision).eps
    np.testing.assert_allclose(network.activations(x)[0], want, atol=eps)
    # A prediction prepares weights once; it must notice that they were measured anew.
    before = network.predict(x)
    layer.adapt(x + 3)
    np.testing.assert_allclose(network.predict(x + 3), before, atol=100 * eps)


def test_training_does_not_move_it(rng):
    x, y = rng.normal(5, 3, (40, 5, 4, 2)), rng.integers(0, 3, 40)
    network = made(Normalization().adapt(x))
    network.fit(x, y, epochs=2, batch_size=8, verbose=0)
    mean, variance, kernel = network.get_weights()
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(variance, x.var(axis=(0, 1, 2)), rtol=1e-6)
    twin = made(Normalization())
    twin.build((5, 4, 2))
    twin.set_weights([mean, variance, kernel])
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
    lines = []
    network.summary(lines.append)
    assert "4 of them frozen" in lines[0]


def test_saved_and_loaded(tmp_path, rng):
    """What was measured comes back with the weights, and chance goes on where it stood."""
    x, y = rng.normal(5, 3, (40, 5, 4, 2)), rng.integers(0, 3, 40)
    layers = [Normalization().adapt(x), RandomTranslation(0.3, (0, 0.2), fill_value=1), RandomFlip("vertical"),
              Rescaling([2, 0.5], -1), Flatten(), Dense(3, activation="softmax")]  # fmt: skip
    network = GWUNetwork(layers, seed=2)
    network.compile("cross_entropy", lr=0.01)
    network.fit(x, y, batch_size=16, verbose=0)
    network.save(tmp_path / "network")
    loaded = GWUNetwork.load(tmp_path / "network")
    assert repr(loaded) == repr(network)
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x))
    for each in (network, loaded):
        each.fit(x, y, epochs=2, batch_size=16, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x))


def test_used_before_adapt(bytes_of_images):
    x, y = bytes_of_images
    network = made(Normalization())
    for use in (
        lambda: network.fit(x, y, verbose=0),
        lambda: network.predict(x),
        lambda: network.activations(x),
    ):
        with pytest.raises(NotBuiltError, match=r"^0.Normalization: .* call its adapt\(x\) with the images"):
            use()
    network.layers[0].adapt(x)
    assert np.isfinite(network.fit(x, y, verbose=0).history["loss"]).all()


def test_adapt_reads_piece_by_piece(tmp_path, rng):
    """31 MB of bytes on disk, whose mean differs from piece to piece: less than 8 MB in memory."""
    x = np.memmap(tmp_path / "x", "uint8", "w+", 0, (8000, 64, 64))
    for start in range(0, 8000, 500):
        x[start : start + 500] = rng.integers(start // 50, start // 50 + 90, (500, 64, 64))
    tracemalloc.start()
    layer = Normalization().adapt(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MB
    layer.build((64, 64, 1))
    mean, variance = np.empty((2, 1))
    layer.mean.initializer(mean, None)
    layer.variance.initializer(variance, None)
    np.testing.assert_allclose([mean[0], variance[0]], [x.mean(), x.var()], rtol=1e-10)


def test_a_large_mean_costs_no_digits(monkeypatch, rng):
    """The difference of mean squares and squared mean would have none left."""
    monkeypatch.setattr("gwucnn.layers.preprocessing.CHUNK", 4096)
    x = 1e8 + rng.standard_normal((1000, 3))
    layer = Normalization().adapt(x)
    np.testing.assert_allclose(layer._statistics["variance"], x.var(axis=0), rtol=1e-8)
    assert len(list(gwucnn.common.chunks(x, 512))) > 10


def test_a_constant_channel_becomes_0(rng, precision):
    x = rng.random((30, 2))
    x[:, 1] = 0.1
    network = GWUNetwork([Normalization().adapt(x), Dense(1)], precision=precision)
    # In float32 the mean 0.1 is rounded as the pixels are.
    assert abs(network.activations(x)[0][:, 1]).max() < 1e-6


@pytest.mark.parametrize("adapt_first", [True, False])
def test_channels_first(adapt_first, rng):
    x = rng.random((20, 3, 6, 5)) * [[[1]], [[2]], [[3]]]
    layer = Normalization()
    network = GWUNetwork([layer, Conv2D()], data_format="channels_first", precision="float64")
    if not adapt_first:
        network.build((3, 6, 5))
    layer.adapt(x)
    want = (x - x.mean(axis=(0, 2, 3), keepdims=True)) / x.std(axis=(0, 2, 3), keepdims=True)
    np.testing.assert_allclose(network.activations(x)[0], want, atol=1e-12)
    scaled = GWUNetwork([Rescaling([1, 2, 3], input_size=(3, 6, 5))], data_format="channels_first")
    np.testing.assert_allclose(scaled.predict(x), x * [[[1]], [[2]], [[3]]], rtol=1e-6)
    early = Normalization().adapt(x)
    with pytest.raises(ShapeError, match="^0.Normalization: expected data of 3 channels, got 5; .* channels first"):
        GWUNetwork([early, Conv2D()], data_format="channels_first").build((3, 6, 5))


def test_inside_of_a_block(rng):
    x = rng.random((20, 4))
    network = GWUNetwork([Concatenate([[Normalization().adapt(x)], [Rescaling(2)]])], precision="float64")
    got = network.predict(x)
    np.testing.assert_allclose(got, np.hstack([(x - x.mean(axis=0)) / x.std(axis=0), 2 * x]), atol=1e-12)


def test_wrong_uses(rng):
    with pytest.raises(ValueError, match="^Rescaling: expected scale to be a finite number, got 'big'"):
        Rescaling("big")
    with pytest.raises(ValueError, match="^Rescaling: expected offset to be a finite number, got nan"):
        Rescaling(1, [0, np.nan])
    with pytest.raises(ShapeError, match="^Rescaling: expected scale for 3 channels, got 2 numbers"):
        Rescaling([1, 2]).build((4, 4, 3))
    with pytest.raises(ValueError, match="^Normalization: expected mean and variance together, got mean=3"):
        Normalization(mean=3)
    with pytest.raises(ValueError, match="^Normalization: expected variance of at least 0, got -1"):
        Normalization(mean=3, variance=-1)
    with pytest.raises(ShapeError, match="^Normalization: expected variance for 3 channels, got 2 numbers"):
        Normalization(mean=0, variance=[1, 2]).build((3,))
    with pytest.raises(ValueError, match="^Normalization.adapt: expected finite x, got NaN or infinity"):
        Normalization().adapt(np.array([[1.0], [np.inf]]))
    with pytest.raises(TypeError, match="^Normalization.adapt: expected x to be an array of numbers, got texts"):
        Normalization().adapt(["a", "b"])
    for x, text in ((np.zeros(3), r"of shape \(N, H, W\)"), (np.zeros((0, 3)), "with at least one sample")):
        with pytest.raises(ShapeError, match=f"^Normalization.adapt: expected x {text}"):
            Normalization().adapt(x)
    network = GWUNetwork([Normalization(), Dense(1)])
    network.build(4)
    with pytest.raises(ShapeError, match=r"^0.Normalization.adapt: expected data of 4 channels, got 3"):
        network.layers[0].adapt(rng.random((5, 3)))


def test_descriptions():
    assert repr(Rescaling(0.5)) == "Rescaling(scale=0.5)"
    assert repr(Rescaling([1, 2], 3)) == "Rescaling(scale=(1.0, 2.0), offset=3.0)"
    assert repr(Normalization(name="pixels", input_size=28)) == "Normalization(input_size=28, name='pixels')"
    assert repr(Normalization(mean=1, variance=[4, 9])) == "Normalization(mean=1.0, variance=(4.0, 9.0))"
