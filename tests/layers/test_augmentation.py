"""Augmentation layers: active in training only, and repeatable with a seed."""

import numpy as np
import pytest

import gwucnn
import reference
from gwucnn import (
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
)
from gwucnn.common.errors import ShapeError
from layer_cases import Space

RANDOM = [
    RandomTranslation(0.2, 0.3),
    RandomTranslation((0.1, 0.5), (-0.4, -0.1), fill_value=0.5),
    RandomRotation(0.1),
    RandomRotation((0.1, 0.3), fill_value=-1),
    RandomTranslation(0.9, 1.0, fill_mode="nearest"),
    RandomRotation(0.2, fill_mode="reflect"),
    RandomZoom(0.4),
    RandomZoom((-0.5, 0), width_factor=(0, 0.7), fill_value=0.5),
    RandomFlip(),
    RandomFlip("horizontal"),
    RandomFlip("vertical"),
]
every_layer = pytest.mark.parametrize("layer", RANDOM, ids=map(repr, RANDOM))


def made(seed=3, **options):
    layers = [
        RandomTranslation(0.2, 0.1),
        RandomFlip("horizontal"),
        Conv2D(6, activation="relu"),
        RandomRotation(0.1),
        RandomZoom(0.2, width_factor=(0, 0.3)),
        Flatten(),
        Dense(3, activation="softmax"),
    ]
    network = GWUNetwork(layers, seed=seed, **options)
    network.compile(loss="cross_entropy", optimizer="adam")
    return network


@pytest.fixture
def data(rng):
    return rng.standard_normal((30, 9, 8)).astype("float32"), rng.integers(0, 3, 30)


def trained(data, **options):
    network = made(**options)
    network.fit(*data, epochs=3, batch_size=8, verbose=0)
    return network


def same(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


# -------------------------------------------------------------------------------------------------- one layer


@every_layer
@pytest.mark.parametrize("shape", [(7, 9, 1), (8, 5, 3), (1, 4, 2)])
def test_every_image_is_moved_in_its_own_way(layer, shape, dtype, rng):
    """As its matrix says, which is another one for each image (or for some, where there are but two ways)."""
    layer.build(shape)
    x = rng.standard_normal((12, *shape)).astype(dtype)
    space = Space(dtype, training=True)
    y = layer.forward(x, space)
    matrices = space.saved["matrices"]
    numpys = {"reflect": "symmetric", "nearest": "edge"}
    if layer.fill_mode == "constant":
        want = reference.affine_warp(x, matrices, layer.fill_value)
    else:
        want = reference.continued_warp(x, matrices, numpys[layer.fill_mode])
    np.testing.assert_allclose(y, want, atol=100 * np.finfo(dtype).eps)
    assert len(np.unique(matrices, axis=0)) >= (2 if isinstance(layer, RandomFlip) else 12)


@every_layer
def test_inference_skips_it(layer):
    layer.build((3, 4, 2))
    x = np.ones((2, 3, 4, 2))
    for space in (Space("float64"), Space("float64", backward_follows=True)):
        assert layer.forward(x, space) is x
        assert layer.backward(x, space) is x


def matrices(layer, n=4000, size=(11, 21)):
    """Return what a layer drew for n images."""
    layer.build((*size, 1))
    space = Space("float64", training=True)
    layer.forward(np.zeros((n, *size, 1)), space)
    return space.saved["matrices"]


def spans(values, low, high):
    """Fail unless values fill the range evenly: by extremes, mean and deviation."""
    width = high - low
    assert low <= values.min() < low + width / 100 and high - width / 100 < values.max() <= high
    assert abs(values.mean() - (low + high) / 2) < 0.02 * width
    assert abs(values.std() - width / 12**0.5) < 0.02 * width


def test_factors_are_keras_factors():
    moved = matrices(RandomTranslation((0.1, 0.3), 0.2))
    spans(-moved[:, 0, 2] / 11, 0.1, 0.3)
    spans(-moved[:, 1, 2] / 21, -0.2, 0.2)
    turned = matrices(RandomRotation((-0.1, 0.2)))
    spans(np.arctan2(turned[:, 0, 1], turned[:, 0, 0]) / (2 * np.pi), -0.1, 0.2)
    zoomed = matrices(RandomZoom((-0.3, -0.1), width_factor=0.5))
    spans(zoomed[:, 0, 0], 0.7, 0.9)
    spans(zoomed[:, 1, 1], 0.5, 1.5)
    alike = matrices(RandomZoom(0.2))
    spans(alike[:, 0, 0], 0.8, 1.2)
    np.testing.assert_array_equal(alike[:, 0, 0], alike[:, 1, 1])


@pytest.mark.parametrize(
    ("mode", "way"), [("horizontal_and_vertical", (-1, -1)), ("horizontal", (1, -1)), ("vertical", (-1, 1))]
)
def test_half_of_the_images_are_flipped(mode, way):
    """In the one way that there is, both at once where it is both, as in Keras 3; within 7 standard deviations."""
    flipped = matrices(RandomFlip(mode))
    ways, counts = np.unique(flipped[:, [0, 1], [0, 1]], axis=0, return_counts=True)
    assert ways.tolist() == [list(way), [1, 1]] and abs(counts - 2000).max() < 7 * 32


def test_positive_factors_move_down_right_and_out(rng):
    """What Keras' documentation says in words, on an image with one bright pixel."""
    x = np.zeros((1, 9, 9, 1))
    x[0, 2, 4] = 1

    def seen(layer):
        layer.build((9, 9, 1))
        y = layer.forward(x, Space("float64", training=True))[0, :, :, 0]
        return tuple(np.round((y * grid).sum() / y.sum(), 6) for grid in np.mgrid[:9, :9])

    assert seen(RandomTranslation((1 / 9, 1 / 9), (2 / 9, 2 / 9))) == (3, 6)
    assert seen(RandomRotation((0.25, 0.25))) == (4, 2)  # from above to the left: counter-clockwise
    row, column = seen(RandomZoom((1.0, 1.0)))
    assert column == 4 and row == 3  # half as far from the middle


# ------------------------------------------------------------------------------------------------ wrong uses


def test_wrong_uses():
    with pytest.raises(ValueError, match=r"^RandomRotation: expected factor to be a number from 0 to 1, or"):
        RandomRotation(30)
    with pytest.raises(ValueError, match=r"^RandomTranslation: expected width .* got \(0.3, 0.1\)"):
        RandomTranslation(0.1, (0.3, 0.1))
    with pytest.raises(ValueError, match="^RandomZoom: expected factor .* got None"):
        RandomZoom(None)
    with pytest.raises(ValueError, match="^RandomZoom: expected fill_mode to be one of .*, got 'wrap'"):
        RandomZoom(0.1, fill_mode="wrap")
    with pytest.raises(
        ValueError, match="^RandomZoom: expected no fill_value with fill_mode='reflect', got 1; leave one"
    ):
        RandomZoom(0.1, fill_mode="reflect", fill_value=1)
    with pytest.raises(ValueError, match="^RandomZoom: expected fill_value to be a finite number, got 'white'"):
        RandomZoom(0.1, fill_value="white")
    with pytest.raises(ValueError, match="^RandomFlip: expected mode .* got 'vertically'; did you mean 'vertical'"):
        RandomFlip("vertically")
    with pytest.raises(ShapeError, match=r"^RandomFlip: expected images \(H, W, C\), got \(5,\)"):
        RandomFlip().build((5,))
    with pytest.raises(TypeError):
        RandomTranslation(0.1)


def test_descriptions():
    assert repr(RandomRotation(0.1)) == "RandomRotation(factor=(-0.1, 0.1))"
    assert repr(RandomZoom(0.1, fill_value=1, input_size=28)) == (
        "RandomZoom(factor=(-0.1, 0.1), fill_value=1.0, input_size=28)"
    )
    assert repr(RandomZoom(0.1, fill_mode="nearest")) == "RandomZoom(factor=(-0.1, 0.1), fill_mode='nearest')"
    assert repr(RandomFlip(name="mirror")) == "RandomFlip(mode='horizontal_and_vertical', name='mirror')"
    lines = []
    network = made()
    network.build((9, 8))
    network.summary(lines.append)
    assert "0.RandomTranslation" in lines[0] and "4.RandomZoom" in lines[0]


# ---------------------------------------------------------------------------------------------- in a network


def test_a_seed_repeats_the_run(data, threads):
    for n in (1, 2):
        threads(n)
        assert same(trained(data), trained(data))
    assert not same(trained(data), trained(data, seed=4))


def test_replayed_or_not(data):
    called = made()
    called.build((9, 8))
    called._engine.recorder.enabled = False
    called.fit(*data, epochs=3, batch_size=8, verbose=0)
    replayed = trained(data)
    assert (
        replayed._engine.workspaces.current_training.recordings
        and not called._engine.workspaces.current_training.recordings
    )
    assert same(called, replayed)
    assert int(replayed._randomness.draws) == 3 * 4 * 4


def test_a_seed_repeats_runs_with_images_that_continue(data, threads):
    def network():
        layers = [
            RandomTranslation(0.3, 0.3, fill_mode="reflect"),
            Conv2D(6, activation="relu"),
            RandomRotation(0.1, fill_mode="nearest"),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
        made = GWUNetwork(layers, seed=5)
        made.compile("cross_entropy", optimizer="adam")
        made.fit(*data, epochs=2, batch_size=8)
        return made

    for n in (1, 2):
        threads(n)
        assert same(network(), network())


def test_no_two_batches_move_alike(data):
    network = made()
    seen = []
    for _ in range(4):
        network.train_on_batch(data[0][:8], data[1][:8])
        seen.append(network._engine.workspaces.current_training.spaces[0].saved["matrices"].copy())
    assert all((a != b).any() for i, a in enumerate(seen) for b in seen[:i])


def test_using_a_network_moves_nothing(data):
    network = trained(data)
    still = GWUNetwork([Conv2D(6, activation="relu"), Flatten(), Dense(3, activation="softmax")], precision="float32")
    still.build((9, 8))
    still.set_weights(network.get_weights())
    draws = network._randomness.draws
    np.testing.assert_array_equal(network.predict(data[0]), still.predict(data[0]))
    np.testing.assert_array_equal(network.activations(data[0])[1][..., 0], data[0])
    assert network._randomness.draws == draws


@pytest.mark.parametrize("size", [(3, 9, 8), (2, 7, 12)])
def test_channels_first(size, rng):
    """Height is height in both orders, and one seed moves the same images alike."""
    x, y = rng.standard_normal((10, *size)), rng.integers(0, 3, 10)
    first, last = (
        GWUNetwork(
            [
                RandomTranslation((0.2, 0.4), 0, input_size=shape),
                RandomRotation(0.1),
                Conv2D(4, size[1:]),
                Flatten(),
                Dense(3, activation="softmax"),
            ],
            data_format=order,
            precision="float64",
            seed=1,
        )
        for order, shape in (("channels_first", size), ("channels_last", (*size[1:], size[0])))
    )
    losses = []
    for network, images in ((first, x), (last, x.transpose(0, 2, 3, 1))):
        network.compile("cross_entropy", lr=0.1)
        losses.append(network.fit(images, y, epochs=3, batch_size=4, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_gradients_reach_the_layers_below(data):
    """Behind a convolution: the whole network's gradient by its first kernel, against a difference."""
    network = made(precision="float64")
    network.build((9, 8))
    kernel = network.layers[2].kernel
    x, y = data[0][:8].astype("float64"), data[1][:8]

    def loss_at(step):
        twin = made(precision="float64")
        twin.build((9, 8))
        weights = network.get_weights()
        weights[0] = weights[0] + step * direction
        twin.set_weights(weights)
        return twin.train_on_batch(x, y), twin.layers[2].kernel.grad

    direction = np.random.default_rng(0).standard_normal(kernel.shape)
    (above, _), (below, _), (_, grad) = loss_at(1e-5), loss_at(-1e-5), loss_at(0)
    assert np.vdot(grad, direction) == pytest.approx((above - below) / 2e-5, rel=1e-6)


def test_names_are_in_the_package():
    for layer in RANDOM:
        assert getattr(gwucnn, type(layer).__name__) is getattr(gwucnn.layers, type(layer).__name__)
