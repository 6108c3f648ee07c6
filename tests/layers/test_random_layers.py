"""Augmentation of brightness and contrast, random crops and erasing: what is drawn, what is made of it, and errors."""

import numpy as np
import pytest

import gwucnn
from gwucnn import (
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    Rescaling,
    ShapeError,
)
from layer_cases import Space

CHANGES = [RandomBrightness(0.3), RandomContrast(0.5), RandomErasing(), RandomErasing(0.5, fill_value=1.0)]
every_change = pytest.mark.parametrize("layer", CHANGES, ids=map(repr, CHANGES))


def passed(layer, x, dtype="float64"):
    """Return what a layer makes of x in training, and the space."""
    layer.build(x.shape[1:])
    space = Space(dtype, training=True)
    return np.array(layer.forward(x.astype(dtype), space)), space


def spans(values, low, high):
    """Fail unless values fill the range evenly: by extremes, mean and deviation."""
    width = high - low
    assert low <= values.min() < low + width / 50 and high - width / 50 < values.max() <= high
    assert abs(values.mean() - (low + high) / 2) < 0.03 * width
    assert abs(values.std() - width / 12**0.5) < 0.03 * width


@every_change
def test_inference_skips_it(layer):
    layer.build((3, 4, 2))
    x = np.ones((2, 3, 4, 2))
    for space in (Space("float64"), Space("float64", backward_follows=True)):
        assert layer.forward(x, space) is x
        assert layer.backward(x, space) is x


# -------------------------------------------------------------------------------------- brightness and contrast


def test_brightness_adds_a_number_to_each_image():
    x = np.full((4000, 2, 3, 2), 0.5)
    y, _ = passed(RandomBrightness(0.25), x)
    assert (y == y[:, :1, :1, :1]).all()
    spans(y[:, 0, 0, 0] - 0.5, -0.25, 0.25)
    y, _ = passed(RandomBrightness((0.1, 0.3), (0, 255)), 255 * x)
    spans(y[:, 0, 0, 0] / 255 - 0.5, 0.1, 0.3)


def test_contrast_stretches_about_the_mean_of_each_channel(rng):
    x = 0.5 + (rng.random((4000, 3, 2, 2)) - 0.5) / 10
    y, _ = passed(RandomContrast((0.3, 0.8)), x)
    mean = x.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(y.mean(axis=(1, 2), keepdims=True), mean, rtol=1e-12)
    factors = (y - mean) / (x - mean)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1, :1], x.shape), rtol=1e-9)
    spans(factors[:, 0, 0, 0], 0.7, 1.8)


@pytest.mark.parametrize("layer", [RandomBrightness((0.5, 0.5)), RandomContrast((0, 1))])
def test_values_stay_in_their_range_and_clipped_ones_get_no_gradient(layer, rng):
    x = rng.random((50, 3, 4, 1))
    y, space = passed(layer, x)
    assert y.min() >= 0 and y.max() == 1
    dx = layer.backward(np.ones(x.shape), space)
    if isinstance(layer, RandomBrightness):
        np.testing.assert_array_equal(dx == 0, x >= 0.5)
        np.testing.assert_array_equal(y, np.minimum(x + 0.5, 1))


def test_images_of_another_range_are_refused(rng):
    x, y = rng.integers(0, 256, (6, 5, 5)).astype("uint8"), [0, 1, 2, 0, 1, 2]
    for layer in (RandomBrightness(0.2), RandomContrast(0.2)):
        name = type(layer).__name__
        network = GWUNetwork([layer, Rescaling(1 / 255), Flatten(), Dense(3, activation="softmax")])
        network.compile("cross_entropy")
        network.build((5, 5))
        before = network.get_weights()
        with pytest.raises(ValueError) as caught:
            network.fit(x, y, batch_size=6)
        assert str(caught.value) == (
            f"0.{name}: expected pixels from 0 to 1, got some from {x.min()} to {x.max()}; put this layer behind "
            "Rescaling, or give value_range=(0, 255)"
        )
        np.testing.assert_array_equal(before[0], network.get_weights()[0])
        network.predict(x)
    scaled = GWUNetwork(
        [RandomBrightness(0.2, (0, 255)), Rescaling(1 / 255), Flatten(), Dense(3, activation="softmax")]
    )
    scaled.compile("cross_entropy")
    scaled.fit(x, y, batch_size=6)


# ------------------------------------------------------------------------------------------- crops and erasing


def test_each_image_is_cropped_at_its_own_place(rng):
    x = np.arange(7 * 9.0).reshape(1, 7, 9, 1) + np.zeros((3000, 1, 1, 1))
    y, _ = passed(RandomCrop(4, 6), x)
    places, counts = np.unique(y[:, 0, 0, 0], return_counts=True)
    assert places.tolist() == [9 * i + j for i in range(4) for j in range(4)]
    assert abs(counts - 3000 / 16).max() < 6 * np.sqrt(3000 / 16)
    np.testing.assert_array_equal(y - y[:, :1, :1], (x[:, :4, :6] - x[:, :1, :1]))


def test_the_middle_is_cropped_in_inference():
    x = np.arange(7 * 9.0).reshape(1, 7, 9)
    network = GWUNetwork([RandomCrop(4, 6)], precision="float64")
    np.testing.assert_array_equal(network.predict(x)[..., 0], x[:, 1:5, 1:7])


def test_erased_rectangles():
    """Of the sizes, shapes and places that the options say; never beyond the image."""
    x = np.ones((4000, 20, 30, 2))
    y, _ = passed(RandomErasing(0.75, (0.1, 0.2), (0.5, 2.0), fill_value=-1), x)
    gone = (y == -1).all(axis=3)
    assert (gone == (y == -1).any(axis=3)).all()
    erased = gone.any(axis=(1, 2))
    assert abs(erased.mean() - 0.75) < 0.03
    height, width = gone.any(axis=2).sum(axis=1)[erased], gone.any(axis=1).sum(axis=1)[erased]
    np.testing.assert_array_equal(gone.sum(axis=(1, 2))[erased], height * width)  # a rectangle
    assert 0.085 < (height * width / 600).min() < 0.11 and 0.19 < (height * width / 600).max() < 0.22  # rounded
    ratio = np.log(height / width)
    assert -0.85 < ratio.min() < -0.6 < 0.6 < ratio.max() < 0.85 and abs(ratio.mean()) < 0.05
    assert gone[:, 0].any() and gone[:, -1].any() and gone[:, :, 0].any() and gone[:, :, -1].any()


def test_rectangles_larger_than_the_image():
    y, space = passed(layer := RandomErasing(scale=(1, 1), ratio=(20, 20), fill_value=3), np.ones((9, 4, 5, 1)))
    assert (y == 3).all(axis=1).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(layer.backward(np.ones(y.shape), space), y != 3)


# -------------------------------------------------------------------------------------------------- in a network


def made(seed=3, **options):
    layers = [
        RandomBrightness(0.2),
        RandomCrop(8, 7),
        Conv2D(6, activation="relu"),
        RandomErasing(),
        RandomContrast(0.3, (-50, 50)),
        RandomFlip("horizontal"),
        Flatten(),
        Dense(3, activation="softmax"),
    ]
    network = GWUNetwork(layers, seed=seed, **options)
    network.compile(loss="cross_entropy", optimizer="adam")
    return network


@pytest.fixture
def data(rng):
    return rng.random((30, 9, 8)).astype("float32"), rng.integers(0, 3, 30)


def trained(data, **options):
    network = made(**options)
    network.fit(*data, epochs=3, batch_size=8, verbose=0)
    return np.concatenate([weight.ravel() for weight in network.get_weights()])


def test_a_seed_repeats_the_run(data, threads):
    runs = []
    for n in (1, 2):
        threads(n)
        runs.append(trained(data))
        np.testing.assert_array_equal(runs[-1], trained(data))
    np.testing.assert_allclose(*runs, rtol=1e-4, atol=1e-6)
    assert (runs[0] != trained(data, seed=4)).any()


def test_both_precisions_draw_the_same(data):
    np.testing.assert_allclose(trained(data), trained(data, precision="float64"), rtol=0.01, atol=1e-4)


def test_a_run_is_resumed_bit_for_bit(data, tmp_path):
    whole, part = made(), made()
    whole.fit(*data, epochs=4, batch_size=8)
    part.fit(*data, epochs=2, batch_size=8)
    part.save(tmp_path / "net")
    resumed = GWUNetwork.load(tmp_path / "net")
    resumed.fit(*data, epochs=4, batch_size=8, initial_epoch=2)
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_inference_is_recorded_as_if_they_were_not_there(data):
    def network(*before):
        layers = [*before, Conv2D(6, activation="relu"), Flatten(), Dense(3, activation="softmax")]
        return GWUNetwork(layers, seed=1)

    plain, augmented = network(), network(RandomErasing(), RandomBrightness(0.1), RandomFlip())
    for each in (plain, augmented):
        each.compile("cross_entropy")
        each.fit(*data, batch_size=8)
    augmented.set_weights(plain.get_weights())
    for task in ("evaluate", "predict"):
        results = [getattr(each, task)(*data if task == "evaluate" else data[:1]) for each in (plain, augmented)]
        np.testing.assert_array_equal(*results)
        (workspace,) = augmented._engine.workspaces._idle
        assert (task, 30) in workspace.recordings
    assert not augmented._engine.workspaces.current_training.recordings


def test_channels_first(data, rng):
    x, y = rng.random((10, 2, 9, 8)), rng.integers(0, 3, 10)
    losses = []
    for order, images in (("channels_first", x), ("channels_last", x.transpose(0, 2, 3, 1))):
        layers = [RandomCrop(8, 5), RandomBrightness(0.1), RandomErasing(0.5), Conv2D(3, (8, 5)), Flatten(), Dense(3)]
        network = GWUNetwork(layers, data_format=order, precision="float64", seed=1)
        network.compile("mse", lr=0.1)
        losses.append(network.fit(images, np.eye(3)[y], epochs=3, batch_size=4).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-12)


# ------------------------------------------------------------------------------------------------------- errors

REFUSED = [
    (lambda: RandomBrightness(2), "RandomBrightness: expected factor to be a number from 0 to 1, or a pair (low, high) from -1 "
     "to 1, got 2"),
    (lambda: RandomBrightness(0.1, 255), "RandomBrightness: expected value_range to be a pair (low, high), got 255"),
    (lambda: RandomContrast(0.1, (1, 0)), "RandomContrast: expected value_range to be a pair (low, high), got (1, 0)"),
    (lambda: RandomContrast(0.1, (1, 1)), "RandomContrast: expected value_range with low below high, got (1, 1); try (0, 1)"),
    (lambda: RandomContrast(-0.5), "RandomContrast: expected factor to be a number from 0 to 1, got -0.5"),
    (lambda: RandomCrop(0, 3), "RandomCrop: expected height to be an integer of at least 1, got 0"),
    (lambda: RandomErasing(1.5), "RandomErasing: expected factor to be a number from 0 to 1, got 1.5"),
    (lambda: RandomErasing(scale=(0.5, 0.2)), "RandomErasing: expected scale to be a pair (low, high) from 0 to 1, got (0.5, 0.2)"),
    (lambda: RandomErasing(ratio=(0, 1)), "RandomErasing: expected ratio to be a pair (low, high) from 0.001 to 1000, got (0, 1)"),
    (lambda: RandomErasing(fill_value="mean"), "RandomErasing: expected fill_value to be a finite number, got 'mean'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refused(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_images_that_are_too_small():
    with pytest.raises(ShapeError) as caught:
        RandomCrop(6, 5).build((5, 9, 1))
    assert str(caught.value) == (
        "RandomCrop: expected images of at least 6x5, got 5x9; put ZeroPadding2D or Resizing before"
    )
    with pytest.raises(ShapeError, match=r"^RandomErasing: expected images \(H, W, C\), got \(5,\)"):
        RandomErasing().build((5,))


def test_names_are_in_the_package():
    for layer in (*CHANGES, RandomCrop(2, 2)):
        assert getattr(gwucnn, type(layer).__name__) is getattr(gwucnn.layers, type(layer).__name__)
