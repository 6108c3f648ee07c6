"""Gradients by layer, images that a network gets wrong, and augmented images."""

import numpy as np
import pytest

from gwucnn import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GWUNetwork,
    NotBuiltError,
    RandomFlip,
    RandomTranslation,
    Rescaling,
    Residual,
    ShapeError,
    plotting,
)

pytest.importorskip("matplotlib")


def network(**options):
    layers = [
        Conv2D(3, 3, activation="relu"),
        Residual([Conv2D(3, padding="same")]),
        Flatten(),
        Dense(3, activation="softmax"),
    ]
    made = GWUNetwork(layers, seed=3, precision="float64", **options)
    made.compile("cross_entropy", lr=0.1)
    return made


def data(rng):
    return rng.random((12, 8, 8)), np.arange(12) % 3


# --------------------------------------------------------------------------------------------------- gradients


def bars(figure):
    return [bar.get_width() for bar in figure.axes[0].patches]


def test_gradients_are_those_of_training(rng):
    x, y = data(rng)
    made, twin = network(), network()
    figure = plotting.gradients(made, x, y)
    twin.train_on_batch(x, y)
    kernels = [parameter.grad for parameter in twin.parameters]
    np.testing.assert_allclose(bars(figure), [np.sqrt((grad**2).sum()) for grad in kernels], rtol=1e-12)
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["0.Conv2D", "1.Residual.0.Conv2D", "3.Dense"]
    assert figure.axes[0].get_xscale() == "log"
    made.train_on_batch(x, y)
    for one, other in zip(made.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # the picture left no trace


def test_gradients_of_zero_and_of_frozen_layers(rng):
    x, y = data(rng)
    dead = GWUNetwork([Flatten(), Dense(4, kernel_initializer="zeros"), Dense(3, activation="softmax")])
    dead.compile("cross_entropy")
    assert bars(plotting.gradients(dead, x, y))[1] == 0
    made = network()
    made.layers[0].trainable = False
    made.compile("cross_entropy")
    assert len(bars(plotting.gradients(made, x, y))) == 2
    nothing = GWUNetwork([Flatten(), Dense(3, activation="softmax", trainable=False)])
    nothing.compile("cross_entropy")
    with pytest.raises(ValueError, match="^gradients: expected a network with trainable weights, got none$"):
        plotting.gradients(nothing, x, y)
    with pytest.raises(NotBuiltError, match="^gradients: expected a compiled network"):
        plotting.gradients(GWUNetwork([Dense(3)]), x, y)


# ------------------------------------------------------------------------------------------------ most_confused


def shown(figure):
    """Return true class, text and image of each panel."""
    return [
        (axis.get_title(), axis.texts[0].get_text(), axis.images[0].get_array()) for axis in figure.axes if axis.images
    ]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_worst_come_first(data_format, rng):
    x, y = data(rng)
    made = network(data_format=data_format)
    images = x[:, None] if data_format == "channels_first" else x
    scores = made.predict(images)
    order = np.argsort(scores[np.arange(12), y])
    panels = shown(plotting.most_confused(made, images, y, 7, labels=["cat", "dog", "cow"]))
    assert len(panels) == 7
    for (title, text, image), number in zip(panels, order, strict=False):
        guess = scores[number].argmax()
        assert title == ["cat", "dog", "cow"][y[number]]
        assert text == f"{['cat', 'dog', 'cow'][guess]} ({scores[number, guess]:.0%})"
        np.testing.assert_array_equal(image, x[number])


def test_one_output_and_colours(rng):
    x = rng.random((5, 4, 4, 3))
    made = GWUNetwork([Flatten(), Dense(1, activation="sigmoid")], seed=0)
    p = made.predict(x)[:, 0]
    y = (p > 0.5).astype(int)
    y[2] = 1 - y[2]
    figure = plotting.most_confused(made, x, y)
    assert [axis.texts[0].get_color() for axis in figure.axes if axis.images] == ["red", *["black"] * 4]
    assert shown(figure)[0][0] == str(y[2]) and shown(figure)[0][2].shape == (4, 4, 3)


def test_what_most_confused_cannot_draw(rng):
    x, y = data(rng)
    with pytest.raises(ShapeError, match="^most_confused: expected as many y as x, got 3 and 12"):
        plotting.most_confused(network(), x, y[:3])
    with pytest.raises(ValueError, match="^most_confused: expected labels from 0 to 2, got 0 to 4"):
        plotting.most_confused(network(), x, y * 2)
    with pytest.raises(ValueError, match="^most_confused: expected labels to be a list of 3 names, got 'abc'"):
        plotting.most_confused(network(), x, y, labels="abc")
    with pytest.raises(ShapeError, match=r"^most_confused: expected x of shape \(N, H, W\), .* got \(8,\)"):
        plotting.most_confused(network(), x[0, 0], y)
    with pytest.raises(ShapeError, match="^most_confused: expected probabilities as outputs, got others"):
        plotting.most_confused(GWUNetwork([Flatten(), Dense(3)], seed=0), x, y)


# ---------------------------------------------------------------------------------------------------- augmented


def test_augmented_images_are_the_layers_outputs(rng):
    x = rng.random((3, 6, 6))
    figure = plotting.augmented(RandomFlip("horizontal"), x, 9)
    assert len(figure.axes) == 30
    for row in range(3):
        made = [figure.axes[10 * row + column].images[0].get_array() for column in range(10)]
        np.testing.assert_allclose(made[0], x[row], rtol=1e-6)
        flipped = [np.allclose(version, x[row][:, ::-1]) for version in made[1:]]
        same = [np.allclose(version, x[row]) for version in made[1:]]
        assert all(one != other for one, other in zip(flipped, same, strict=True))
        assert any(flipped) and any(same)
    again, other = (
        plotting.augmented(RandomFlip("horizontal"), x, 9),
        plotting.augmented(RandomFlip("horizontal"), x, 9, seed=1),
    )
    arrays = [[axis.images[0].get_array() for axis in each.axes] for each in (figure, again, other)]
    assert all(map(np.array_equal, *arrays[:2])) and not all(map(np.array_equal, arrays[0], arrays[2]))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_augmentation_of_a_network(data_format, rng):
    first = data_format == "channels_first"
    x = rng.integers(0, 256, (8, 3, 6, 6) if first else (8, 6, 6, 3))
    made = GWUNetwork(
        [Rescaling(1 / 255), RandomFlip("vertical"), RandomTranslation(0.2, 0.2), Conv2D(2), Dropout(0.5)],
        data_format=data_format,
        seed=0,
    )
    figure = plotting.augmented(made, x, 2)
    assert len(figure.axes) == 6 * 3, "of eight images, the first six"
    assert all(axis.images[0].get_array().shape == (6, 6, 3) for axis in figure.axes)
    assert not made._randomness.begun
    with pytest.raises(ValueError, match="^augmented: expected a network with augmentation, got none; add Random"):
        plotting.augmented(GWUNetwork([Conv2D()]), x)
    for wrong in (3, [], [3], "flip"):
        with pytest.raises(TypeError, match="^augmented: expected a network, a layer or a list of layers, got"):
            plotting.augmented(wrong, x)
