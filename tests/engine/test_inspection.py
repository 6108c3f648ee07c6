"""Outputs of layers, and gradients of class scores with respect to them, against central differences."""

import numpy as np
import pytest

from gradcheck import assert_gradient, spaced
from gwucnn import (
    RELU,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    Residual,
    Sigmoid,
    Softmax,
)
from gwucnn.memory.workspace import Space


def block():
    """Layers of several kinds, from images to images, without kinks at the points that are tested."""
    return [
        Conv2D(4, 3, padding="same", activation="sigmoid", add_bias=True),
        MaxPooling2D(),
        Residual([Conv2D(4, 3, padding="same", activation="sigmoid")]),
        Concatenate([Conv2D(2, 1), [MaxPooling2D(2, 1, "same")]]),
        RELU(),
    ]


def network(*last):
    made = GWUNetwork([*block(), Flatten(), *last], precision="float64", seed=4)
    made.build((6, 6, 2))
    return made


ENDS = [
    [Dense(3, activation="softmax", add_bias=True)],
    [Dense(3), Softmax()],
    [Dense(3)],
    [Dense(5, activation="sigmoid"), Dense(3, activation="relu")],
]


def scores_from(made, number, x):
    """Return the output of the layers from `number` on for x, without the final activation."""
    last = made.layers[-1].split_activation()[0]
    for layer in [*made.layers[number:-1], *([] if last is None else [last])]:
        x = layer.forward(x, Space("float64"))
    return x


@pytest.mark.parametrize("last", ENDS, ids=["softmax", "layer", "none", "deep"])
def test_gradients_with_respect_to_images(last, rng):
    made = network(*[type(layer)(**layer.config()) for layer in last])
    x, labels = spaced(rng, (3, 6, 6, 2)), np.array([2, 0, 1])
    values, slopes = made.gradients(x, labels)
    assert_gradient(slopes[0], lambda: scores_from(made, 0, x)[np.arange(3), labels].sum(), x)
    assert [value.shape for value in values] == [slope.shape for slope in slopes]
    np.testing.assert_array_equal(values[0], x)
    np.testing.assert_allclose(values[-1], scores_from(made, 0, x), rtol=1e-13)
    np.testing.assert_array_equal(slopes[-1], np.eye(3)[labels])


def test_gradients_with_respect_to_layer_outputs(rng):
    made = network(Dense(3, activation="softmax"))
    values, slopes = made.gradients(spaced(rng, (1, 6, 6, 2)), 1)
    for number, (value, slope) in enumerate(zip(values[:-1], slopes[:-1], strict=True)):
        x = value.copy()
        assert_gradient(slope, lambda x=x, number=number: scores_from(made, number, x)[0, 1], x)


def test_the_largest_score_is_the_default_label(rng):
    made, x = network(Dense(3, activation="softmax")), rng.standard_normal((5, 6, 6, 2))
    best = made.predict(x).argmax(axis=1)
    for got, want in zip(made.gradients(x)[1], made.gradients(x, best)[1], strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(made.gradients(x, 2)[1], made.gradients(x, np.full(5, 2))[1], strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("last", [[Dense(1, activation="sigmoid")], [Dense(1), Sigmoid()]])
def test_one_output_stands_for_two_classes(last, rng):
    made, x = network(*last), rng.standard_normal((4, 6, 6, 2))
    up, down = made.gradients(x, 1)[1][0], made.gradients(x, 0)[1][0]
    np.testing.assert_array_equal(up, -down)
    chosen = np.where((made.predict(x) > 0.5)[:, :, None, None], up, down)
    np.testing.assert_array_equal(made.gradients(x)[1][0], chosen)


def test_scores_of_image_outputs_are_summed_over_pixels(rng):
    made = GWUNetwork([Conv2DTranspose(3, 2, 2)], precision="float64", seed=0)
    x = spaced(rng, (2, 3, 4, 2))
    _, slopes = made.gradients(x, 2)
    assert_gradient(slopes[0], lambda: made.predict(x)[..., 2].sum(), x)


def test_channels_first_are_the_same_numbers(rng):
    """Up to Flatten, which permutes the features."""
    x = rng.standard_normal((3, 6, 6, 2))
    options = [{"data_format": "channels_first"}, {}]
    first, last = (GWUNetwork(block(), seed=4, **each) for each in options)
    ours, theirs = first.gradients(x.transpose(0, 3, 1, 2), 1), last.gradients(x, 1)
    for one, other in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1]), strict=True):
        np.testing.assert_array_equal(one, other.transpose(0, 3, 1, 2))


def test_training_is_not_affected(rng):
    x, y = rng.standard_normal((6, 6, 6, 2)), rng.integers(0, 3, 6)
    pair = [network(Dense(3, activation="softmax")) for _ in range(2)]
    for made in pair:
        made.compile("cross_entropy", lr=0.1)
    for _ in range(3):
        pair[0].gradients(x)
        assert len({made.train_on_batch(x, y) for made in pair}) == 1
    for one, other in zip(*(made.get_weights() for made in pair), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (3, "gradients: expected labels from 0 to 2, got 3"),
        (-1, "gradients: expected labels from 0 to 2, got -1"),
        ([0.5, 1], "gradients: expected labels from 0 to 2, got [0.5, 1.0]"),
        ("cat", "gradients: expected labels from 0 to 2, got 'cat'"),
        ([0, 1, 2], "gradients: expected one label, or one for each of the 2 samples, got shape (3,)"),
    ],
)
def test_invalid_labels(labels, text, rng):
    made = network(Dense(3, activation="softmax"))
    with pytest.raises(ValueError) as caught:
        made.gradients(rng.standard_normal((2, 6, 6, 2)), labels)
    assert str(caught.value) == text
