"""A network as a thing: when it is built, in which order its images come, its weights, what it says of itself."""

import threading
import warnings

import numpy as np
import pytest

import reference
from gwucnn import RELU, Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, Sigmoid, Softmax
from gwucnn.errors import SizeMismatchWarning


def small(**options):
    """A network of every kind of layer, not built yet."""
    return GWUNetwork(
        [
            Conv2D(3, 3, activation="relu", add_bias=True),
            MaxPooling2D(2),
            Conv2D(4, 2),
            RELU(),
            Flatten(),
            Dense(5, activation="sigmoid", add_bias=True),
            Dense(3, activation="softmax"),
        ],
        **{"seed": 1} | options,
    )


def forwards(network, x):
    """Return what each layer of `small` makes of images (N, H, W, C), by reference.py."""
    kernel1, bias1, kernel2, dense1, bias, dense2 = network.get_weights()
    y = [reference.relu(reference.conv2d(x, kernel1, bias1))]
    y.append(reference.max_pool2d(y[-1], 2)[0])
    y.append(reference.conv2d(y[-1], kernel2))
    y.append(reference.relu(y[-1]))
    y.append(y[-1].reshape(len(x), -1))
    y.append(reference.sigmoid(reference.dense(y[-1], dense1, bias)))
    return [*y, reference.softmax(reference.dense(y[-1], dense2))]


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
    network = small()
    network.compile("cross_entropy")
    x, y = rng.random((3, 10, 10)), [0, 1, 2]
    getattr(network, call)(*((x,) if call in ("predict", "activations") else (x, y)))
    assert network.layers[0].in_shape == (10, 10, 1)
    assert [w.shape for w in network.get_weights()] == [
        (3, 3, 1, 3), (3,), (2, 2, 3, 4), (36, 5), (5,), (5, 3),
    ]  # fmt: skip


def test_building_again_with_the_same_shape_changes_nothing():
    network = small()
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
    """No step to run and nothing to train, but it predicts and trains all the same."""
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
def test_a_wrong_size_on_a_later_layer_is_corrected_and_said(layer, note, size):
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


def test_without_a_first_size_the_note_comes_when_the_network_is_built():
    network = GWUNetwork([Conv2D(), MaxPooling2D(input_size=23)])
    with pytest.warns(SizeMismatchWarning, match="using 26") as caught:
        network.predict(np.zeros((1, 28, 28)))
    assert caught[0].filename == __file__


def test_a_note_that_is_made_an_error_leaves_the_network_as_it_was():
    network, layer = GWUNetwork([Conv2D(input_size=28)]), MaxPooling2D(input_size=23)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SizeMismatchWarning):
            network.add(layer)
    assert len(network.layers) == 1 and layer.input_size == 23
    network.add(MaxPooling2D(input_size=26))
    assert network.layers[1].label == "1.MaxPooling2D"


# ---------------------------------------------------------------------------------------------- order of axes


def test_channels_first_is_the_same_network_on_permuted_images(rng):
    """Flatten then takes (C, H, W), as weights from such frameworks expect."""
    x = rng.random((4, 2, 10, 9)).astype(np.float32)
    first, last = small(data_format="channels_first"), small()
    first.build((2, 10, 9))
    last.build((10, 9, 2))
    weights = first.get_weights()
    rows = weights[3].reshape(4, 3, 2, -1)  # of Flatten's (C, H, W)
    last.set_weights([*weights[:3], rows.transpose(1, 2, 0, 3).reshape(weights[3].shape), *weights[4:]])
    np.testing.assert_allclose(first.predict(x), last.predict(x.transpose(0, 2, 3, 1)), rtol=1e-5)
    ours, theirs = first.activations(x), last.activations(x.transpose(0, 2, 3, 1))
    for a, b in zip(ours[:4], theirs[:4], strict=True):
        np.testing.assert_array_equal(a, b.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(ours[4], ours[3].reshape(4, -1))
    np.testing.assert_array_equal(theirs[4], theirs[3].reshape(4, -1))


def test_channels_first_trains_as_channels_last_does(rng):
    x, y = rng.random((12, 2, 10, 9)), rng.integers(0, 3, 12)
    first, last = (
        small(data_format=order, precision="float64") for order in ("channels_first", "channels_last")
    )
    for network, images in ((first, x), (last, x.transpose(0, 2, 3, 1))):
        network.build(images.shape[1:])
        network.compile("cross_entropy", lr=0.5)
    weights = first.get_weights()
    rows = weights[3].reshape(4, 3, 2, -1)
    last.set_weights([*weights[:3], rows.transpose(1, 2, 0, 3).reshape(weights[3].shape), *weights[4:]])
    one = first.fit(x, y, epochs=3, batch_size=5, shuffle=False).history
    two = last.fit(x.transpose(0, 2, 3, 1), y, epochs=3, batch_size=5, shuffle=False).history
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-12)


def test_channels_first_reads_and_shows_sizes_in_its_order():
    network = GWUNetwork([Conv2D(4, input_size=(3, 10, 8)), Flatten()], data_format="channels_first")
    assert network.layers[0].in_shape == (10, 8, 3)
    lines = []
    network.summary(lines.append)
    assert "(N, 4, 8, 6)" in lines[0] and "(N, 192)" in lines[0]
    assert "input_size=(3, 10, 8)" in repr(network)
    assert network.predict(np.zeros((2, 3, 10, 8))).shape == (2, 192)
    with pytest.warns(SizeMismatchWarning, match=r"using \(4, 8, 6\)$"):
        GWUNetwork(
            [Conv2D(4, input_size=(3, 10, 8)), MaxPooling2D(input_size=(9, 9, 9))],
            data_format="channels_first",
        )


def test_channels_first_images_come_out_as_they_went_in(rng):
    """A network without Flatten: images in, images out, and targets like them."""
    x, y = rng.random((5, 2, 8, 7)), rng.random((5, 3, 6, 5))
    network = GWUNetwork(
        [Conv2D(3, input_size=(2, 8, 7))], data_format="channels_first", precision="float64", seed=0
    )
    twin = GWUNetwork([Conv2D(3, input_size=(8, 7, 2))], precision="float64", seed=0)
    for each in (network, twin):
        each.compile("mse", lr=0.1)
    assert network.predict(x).shape == (5, 3, 6, 5)
    images, targets = x.transpose(0, 2, 3, 1), y.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(network.predict(x), twin.predict(images).transpose(0, 3, 1, 2))
    assert network.evaluate(x, y) == pytest.approx(np.mean((network.predict(x) - y) ** 2), rel=1e-12)
    assert network.fit(x, y, epochs=2).history["loss"] == twin.fit(images, targets, epochs=2).history["loss"]


def test_images_without_channels_have_one_in_both_orders(rng):
    x = rng.random((3, 8, 8))
    for order in ("channels_first", "channels_last"):
        network = GWUNetwork([Conv2D(input_size=8)], data_format=order)
        assert network.predict(x).shape == ((3, 2, 6, 6) if order == "channels_first" else (3, 6, 6, 2))


# -------------------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize(("precision", "room"), [("float32", 1e-5), ("float64", 1e-13)])
def test_every_layer_in_both_precisions(precision, room, isa, rng):
    network, x = small(precision=precision), rng.random((5, 10, 11))
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
    networks = [small(fuse=fused, precision="float64") for fused in (True, fuse)]
    for network in networks:
        network.compile("cross_entropy", lr=0.1)
        network.fit(x, y, epochs=3, batch_size=4)
    np.testing.assert_allclose(networks[0].predict(x), networks[1].predict(x), rtol=1e-10)
    np.testing.assert_allclose(networks[0].activations(x)[0], networks[1].activations(x)[0], rtol=1e-10)


# ------------------------------------------------------------------------------------------------ predictions


def test_predictions_are_fresh_memory(rng):
    network, x = small(), rng.random((4, 10, 10))
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
    network, x = small(precision="float64"), rng.random((23, 10, 10))
    whole = network.predict(x)
    for size in (1, 5, 23, 100, 7):
        np.testing.assert_allclose(network.predict(x, size), whole, rtol=1e-12)
    assert network.predict(x[:0]).shape == (0, 3)


def test_predictions_change_with_the_weights(rng):
    """Kernels may keep packed weights from call to call; they must not keep old ones."""
    network, x = small(precision="float64"), rng.random((300, 10, 10))
    for seed in range(3):
        network.predict(x)
        network.set_weights(
            [np.random.default_rng(seed).standard_normal(w.shape) for w in network.get_weights()]
        )
        np.testing.assert_allclose(network.predict(x), forwards(network, x[..., None])[-1], rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_one_image_stays_with_it(bad, isa, rng):
    network, x = small(), rng.random((6, 10, 10))
    clean = network.predict(x)
    x[2, 4, 5] = bad
    for _ in range(2):
        dirty = network.predict(x)
        if np.isnan(bad):
            assert np.isnan(dirty[2]).all()
        np.testing.assert_array_equal(np.delete(dirty, 2, axis=0), np.delete(clean, 2, axis=0))
    np.testing.assert_array_equal(network.predict(np.delete(x, 2, axis=0)), np.delete(clean, 2, axis=0))


def test_eight_threads_predict_at_once(rng):
    network = small()
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


# ---------------------------------------------------------------------------------------------------- weights


def test_weights_go_in_and_come_out_as_copies(rng):
    network = small()
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
    network = small()
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


# ------------------------------------------------------------------------------------------ what it says of itself


def test_summary_before_and_after():
    network, lines = GWUNetwork([Conv2D(8, 3), Flatten(), Dense(10, True, name="digits")]), []
    network.summary(lines.append)
    network.build((28, 28))
    network.summary(lines.append)
    before, after = (text.splitlines() for text in lines)
    assert before[-1] == "not built yet" and before[2].split() == ["0.Conv2D", "?", "?"]
    assert after == [
        "layer             output shape    weights",
        "-----------------------------------------",
        "0.Conv2D          (N, 26, 26, 8)       72",
        "1.Flatten         (N, 5408)             0",
        "2.Dense (digits)  (N, 10)          54,090",
        "-----------------------------------------",
        "54,162 weights",
    ]


def test_summary_prints_and_counts_what_is_frozen(capsys):
    GWUNetwork([Dense(3, input_size=2, trainable=False), Dense(1)]).summary()
    assert capsys.readouterr().out.splitlines()[-1] == "9 weights, 6 of them frozen"
    GWUNetwork().summary()


def test_repr():
    assert repr(GWUNetwork()) == "GWUNetwork([])"
    assert repr(GWUNetwork([Conv2D(), Sigmoid()])) == (
        "GWUNetwork([\n    Conv2D(filters=2, kernel_size=(3, 3)),\n    Sigmoid(),\n])"
    )


def test_weights_that_could_not_be_drawn_are_drawn_at_the_next_call():
    """Whatever breaks off the making of weights: none of them may stay zero for want of an initializer."""
    network, twin = (GWUNetwork([Dense(3, input_size=4), Dense(2)], seed=3) for _ in range(2))
    network.layers[1].kernel.initializer, draws = interrupted, network.layers[1].kernel.initializer
    with pytest.raises(KeyboardInterrupt):
        network.get_weights()
    network.layers[1].kernel.initializer = draws
    for got, want in zip(network.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


def interrupted(array, rng):
    raise KeyboardInterrupt
