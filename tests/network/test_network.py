"""Building a network: declared sizes, weights, and its repr."""

import warnings

import numpy as np
import pytest

import reference
from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, Sigmoid, Softmax
from gwucnn.common import set_inside
from gwucnn.common.errors import SizeMismatchWarning
from trainees import every_kind

# --------------------------------------------------------------------------------------------------- building


def test_it_builds_at_add_where_the_size_is_stated():
    network = GWUNetwork()
    network.add(Conv2D(input_size=(8, 9, 2)))
    assert network.layers[0].out_shape == (6, 7, 2)
    network.add(MaxPooling2D())
    assert network.layers[1].out_shape == (3, 3, 2)
    assert network.count_params() == 36


def test_it_builds_by_a_shape():
    shapes = [((8, 9), (8, 9, 1)), ((8, 9, 3), (8, 9, 3)), ((None, 8, 9, 3), (8, 9, 3)), ([8, 9], (8, 9, 1))]
    for given, shape in shapes:
        network = GWUNetwork([Conv2D()])
        network.build(given)
        assert network.layers[0].in_shape == shape
    for given in (7, (7,), (None, 7), np.int64(7)):
        network = GWUNetwork([Dense(2)])
        network.build(given)
        assert network.get_weights()[0].shape == (7, 2)


@pytest.mark.parametrize("call", ["fit", "predict", "evaluate", "activations", "train_on_batch"])
def test_it_builds_at_the_first_call_with_data(call, rng):
    network = every_kind()
    network.compile("cross_entropy")
    x, y = rng.random((3, 10, 10)), [0, 1, 2]
    getattr(network, call)(*((x,) if call in ("predict", "activations") else (x, y)))
    assert network.layers[0].in_shape == (10, 10, 1)
    assert [w.shape for w in network.get_weights()] == [
        (3, 3, 1, 3), (3,), (2, 2, 3, 4), (36, 5), (5,), (5, 3),
    ]  # fmt: skip


def test_building_again_with_the_same_shape_changes_nothing():
    network = every_kind()
    network.build((10, 10))
    before = network.get_weights()
    network.build((10, 10, 1))
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_layer_added_later_leaves_the_weights_below_as_they_are(rng):
    x, y = rng.random((8, 6, 6)), rng.integers(0, 2, 8)
    network = GWUNetwork([Conv2D(), Flatten(), Dense(4)], seed=0)
    network.compile("mse", lr=0.01)
    network.fit(x, rng.random((8, 4)), verbose=0)
    below, outputs = network.get_weights(), network.predict(x)
    network.add(Dense(2, activation="softmax"))
    network.compile("cross_entropy", optimizer="adam")
    *same, new = network.get_weights()
    for old, kept in zip(below, same, strict=True):
        np.testing.assert_array_equal(old, kept)
    np.testing.assert_allclose(network.predict(x), reference.softmax(outputs @ new), rtol=1e-5)
    network.fit(x, y, verbose=0)


def test_a_network_of_one_activation(rng):
    """There is no step to run and nothing to train, but it predicts and trains without errors."""
    x = rng.standard_normal((4, 3))
    network = GWUNetwork([Softmax()], precision="float64")
    network.compile("cross_entropy", optimizer="adam")
    np.testing.assert_allclose(network.predict(x), reference.softmax(x), rtol=1e-14)
    assert network.fit(x, [0, 1, 2, 0], epochs=2).history["loss"][0] > 0
    assert network.count_params() == 0 and network.get_weights() == []
    network.set_weights([])


# ----------------------------------------------------------------------------------------------- stated sizes


@pytest.mark.parametrize(
    ("layer", "note", "size"),
    [
        (MaxPooling2D(input_size=23), "MaxPooling2D: input_size=23 stated, Conv2D makes 26 = (28 - 3) + 1; using 26", 26),
        (Conv2D(input_size=(26, 25)), "Conv2D: input_size=(26, 25) stated, Conv2D makes 26 = (28 - 3) + 1; using (26, 26)",
         (26, 26)),
        (Flatten(input_size=(26, 26, 3)), "Flatten: input_size=(26, 26, 3) stated, Conv2D makes 26 = (28 - 3) + 1; using "
         "(26, 26, 2)", (26, 26, 2)),
    ],
)  # fmt: skip
def test_a_wrong_size_on_a_later_layer_is_corrected_with_a_warning(layer, note, size):
    network = GWUNetwork([Conv2D(input_size=28)])
    with pytest.warns(SizeMismatchWarning) as caught:
        network.add(layer)
    assert [(str(warning.message), warning.filename) for warning in caught] == [(note, __file__)]
    assert layer.input_size == size
    assert repr(size) in repr(layer)


def test_a_wrong_number_of_features_too():
    with pytest.warns(SizeMismatchWarning) as caught:
        GWUNetwork([Flatten((5, 5, 2)), Dense(3, input_size=49), Dense(2, input_size=4)])
    assert [str(warning.message) for warning in caught] == [
        "Dense: input_size=49 stated, Flatten makes 50 = 5 * 5 * 2; using 50",
        "Dense: input_size=4 stated, Dense makes 3; using 3",
    ]


def test_images_that_are_not_square_need_two_numbers():
    network = GWUNetwork([Conv2D(input_size=(28, 26))])
    with pytest.warns(
        SizeMismatchWarning, match=r"Conv2D makes 26x24, 26 = \(28 - 3\) \+ 1 and 24 = .*; using \(26, 24\)$"
    ):
        network.add(MaxPooling2D(input_size=26))


@pytest.mark.parametrize("size", [26, (26, 26), (26, 26, 2), [26, 26]])
def test_a_right_size_is_silent_and_leaves_channels_open(size):
    network = GWUNetwork([Conv2D(input_size=28)])
    network.add(MaxPooling2D(input_size=size))
    assert network.layers[1].in_shape == (26, 26, 2)


def test_without_a_first_size_the_warning_comes_at_build():
    network = GWUNetwork([Conv2D(), MaxPooling2D(input_size=23)])
    with pytest.warns(SizeMismatchWarning, match="using 26") as caught:
        network.predict(np.zeros((1, 28, 28)))
    assert caught[0].filename == __file__


def test_a_warning_raised_as_an_error_changes_nothing():
    network, layer = GWUNetwork([Conv2D(input_size=28)]), MaxPooling2D(input_size=23)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SizeMismatchWarning):
            network.add(layer)
    assert len(network.layers) == 1 and layer.input_size == 23
    network.add(MaxPooling2D(input_size=26))
    assert network.layers[1].label == "1.MaxPooling2D"


# ---------------------------------------------------------------------------------------------------- weights


def test_weights_go_in_and_come_out_as_copies(rng):
    network = every_kind()
    network.build((10, 10))
    weights = [rng.standard_normal(w.shape).astype(np.float32) for w in network.get_weights()]
    network.set_weights(weights)
    for got, given in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, given)
        assert not np.shares_memory(got, given)
    network.get_weights()[0][...] = 0
    weights[0][...] = 0
    assert network.get_weights()[0].all()
    network.set_weights([w.astype(np.float64).tolist() for w in network.get_weights()])


def test_weights_are_in_keras_order_and_layout():
    network = every_kind()
    network.build((10, 10))
    assert [p.name for p in network.parameters] == ["kernel", "bias", "kernel", "kernel", "bias", "kernel"]
    assert network.count_params() == sum(w.size for w in network.get_weights()) == 30 + 48 + 185 + 15


def test_first_weights_follow_the_initializers():
    network = GWUNetwork(
        [
            Dense(3, True, input_size=4, kernel_initializer="ones", bias_initializer="random_normal"),
            Dense(2, True),
        ]
    )
    ones, drawn, glorot, zeros = network.get_weights()
    assert (ones == 1).all() and drawn.all() and not zeros.any()
    assert 0 < abs(glorot).max() <= np.sqrt(6 / 5)


def test_weights_that_could_not_be_drawn_are_drawn_at_the_next_call():
    """If the initialization of weights is interrupted, none of them may remain uninitialized."""
    network, twin = (GWUNetwork([Dense(3, input_size=4), Dense(2)], seed=3) for _ in range(2))
    kernel = network.layers[1].kernel
    draws = kernel.initializer
    set_inside(kernel, initializer=interrupted)
    with pytest.raises(KeyboardInterrupt):
        network.get_weights()
    set_inside(kernel, initializer=draws)
    for got, want in zip(network.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


def interrupted(array, rng):
    raise KeyboardInterrupt


# ------------------------------------------------------------------------------------- repr


def test_repr():
    assert repr(GWUNetwork()) == "GWUNetwork([])"
    assert repr(GWUNetwork([Conv2D(), Sigmoid()])) == (
        "GWUNetwork([\n    Conv2D(filters=2, kernel_size=(3, 3)),\n    Sigmoid(),\n])"
    )
    text = repr(GWUNetwork([Conv2D(input_size=(3, 8, 9))], data_format="channels_first", precision="float64"))
    assert text == (
        "GWUNetwork([\n    Conv2D(filters=2, kernel_size=(3, 3), input_size=(3, 8, 9)),\n], "
        "data_format='channels_first', precision='float64')"
    )
    assert repr(eval(text)) == text


def test_layers_is_a_tuple():
    network = GWUNetwork([Conv2D(), Flatten()])
    assert network.layers == tuple(network.layers) and len(network.layers) == 2
    with pytest.raises(AttributeError, match=r"^layers: expected no modification, got \.append; .*network\.add\(lay"):
        network.layers.append(Dense(2))
    with pytest.raises(AttributeError, match=r"got \.pop; "):
        network.layers.pop()
    with pytest.raises(TypeError):
        network.layers[0] = Flatten()
    with pytest.raises(AttributeError, match="appended"):
        network.layers.appended  # noqa: B018
    assert repr(network.layers) == f"({network.layers[0]!r}, {network.layers[1]!r})"
    assert not hasattr(network.layers, "append")
    assert network.predict(np.zeros((1, 5, 5))).shape == (1, 18)
