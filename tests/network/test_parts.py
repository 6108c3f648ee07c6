"""Layers by name, parts of networks, and networks as parts of others, which share the weights."""

import copy
import re
import tracemalloc

import numpy as np
import pytest

import graphs
from compare import assert_exact
from gwucnn import (
    RELU,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GWUNetwork,
    Input,
    MaxPooling2D,
    NotBuiltError,
    Residual,
    ShapeError,
)


def row(**options):
    network = GWUNetwork(
        [
            Conv2D(4, 3, activation="relu", add_bias=True, name="edges"),
            MaxPooling2D(),
            Flatten(),
            Dense(6, True, "tanh"),
            Dense(3, True, "softmax"),
        ],
        **{"seed": 1} | options,
    )
    network.compile("cross_entropy", optimizer="adam", lr=0.01)
    network.build((8, 8))
    return network


def data(rng, n=12):
    return rng.standard_normal((n, 8, 8)).astype(np.float32), rng.integers(0, 3, n)


# ------------------------------------------------------------------------------------------------- layers by name


def test_layers_by_name_or_label():
    network = GWUNetwork([Residual([Conv2D(1, 3, padding="same", name="inner"), RELU()], name="block"), Flatten()])
    block = network.layers[0]
    assert network.get_layer("block") is network.get_layer("0.Residual") is block
    assert network.get_layer("inner") is network.get_layer("0.Residual.0.Conv2D") is block.layers[0]
    with pytest.raises(
        ValueError, match=r"^get_layer: expected the name or label of a layer, got 'iner'; did you mean"
    ):
        network.get_layer("iner")
    with pytest.raises(ValueError, match="got 3"):
        network.get_layer(3)


def test_numbers_and_loops():
    network = row()
    assert network[0] is network.layers[0] and network[-1] is network.layers[-1]
    assert list(network) == list(network.layers) and len(network) == 5 and bool(GWUNetwork())
    with pytest.raises(IndexError):
        network[5]


def test_weights_of_a_layer():
    network = row()
    kernel, bias = network.layers[0].get_weights()
    assert kernel.shape == (3, 3, 1, 4) and not np.shares_memory(kernel, network.layers[0].kernel.constant)
    network.layers[0].set_weights([2 * kernel, bias + 1])
    assert_exact(network.get_weights()[0], 2 * kernel, np.float32)
    assert network.layers[1].get_weights() == []
    with pytest.raises(ShapeError, match=r"^0\.Conv2D\.set_weights: expected 2 arrays, got 1"):
        network.layers[0].set_weights([kernel])
    assert_exact(network.layers[0].get_weights()[0], 2 * kernel, np.float32)
    for layer in (Dense(3), GWUNetwork([Dense(3)]).layers[0]):
        with pytest.raises(NotBuiltError, match=r"Dense\.get_weights: expected a layer of a built network"):
            layer.get_weights()
    (inside,) = GWUNetwork([Residual(Dense(2, input_size=2))]).layers
    with pytest.raises(NotBuiltError):
        inside.get_weights()


# ---------------------------------------------------------------------------------------------------- activations


@pytest.mark.parametrize("part", graphs.PARTS, ids=lambda part: part.__name__)
def test_activations_of_some_layers(part, rng):
    network = graphs.network(part)
    x = rng.standard_normal((3, *graphs.SHAPE))
    every = network.activations(x)
    steps = network._layer_row.graph.steps
    for number, layer in enumerate(network.layers):
        last = max(place for place, step in enumerate(steps) if step is layer)
        for which in (number, layer, layer.label):
            assert_exact(network.activations(x, which), every[last], np.float32)
    got = network.activations(x, [-1, 0])
    last = max(place for place, step in enumerate(steps) if step is network.layers[0])
    assert_exact(got[0], every[-1], np.float32)
    assert_exact(got[1], every[last], np.float32)
    assert network.activations(x, []) == []


def test_activations_of_layers_that_are_not_there(rng):
    network = row()
    for which in (5, -6, "egdes", Dense(2), None.__class__, 1.5, True):
        with pytest.raises(ValueError, match=r"^activations: expected layers of this network, by number from 0 to 4"):
            network.activations(data(rng)[0], [which])
    with pytest.raises(ValueError, match="did you mean 'edges'"):
        network.activations(data(rng)[0], "egdes")


def test_one_layer_takes_little_memory():
    network = GWUNetwork([Conv2D(8, 3, padding="same") for _ in range(12)], seed=0)
    x = np.zeros((4, 64, 64, 8), np.float32)
    network.build((64, 64, 8))

    def peak(call):
        tracemalloc.start()
        call()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most / x.nbytes

    assert peak(lambda: network.activations(x)) > 12
    assert peak(lambda: network.activations(x, -1)) < 6


# ---------------------------------------------------------------------------------------------- parts of networks


def test_pop(rng):
    network, (x, y) = row(), data(rng)
    network.fit(x, y, epochs=2, batch_size=4, verbose=0)
    before = network.activations(x)
    popped = network.pop()
    assert popped.label == "Dense" and network.optimizer is None
    assert [layer.label for layer in network.layers][-1] == "3.Dense"
    assert_exact(network.predict(x), before[3], np.float32)
    network.add(popped)  # with its weights
    assert_exact(network.predict(x), before[4], np.float32)
    network.pop()
    network.add(Dense(5, True, "softmax"))
    network.compile("cross_entropy", lr=0.1)
    network.fit(x, y, batch_size=4, verbose=0)
    assert network.predict(x).shape == (12, 5)
    empty = GWUNetwork()
    with pytest.raises(ValueError, match="^pop: expected a network with layers, got none"):
        empty.pop()
    with pytest.raises(ValueError, match=r"^pop: .*write network\[:-1\]"):
        graphs.network(graphs.unet).pop()


def test_a_popped_first_layer_leaves_an_empty_network():
    network = GWUNetwork([Dense(3, input_size=4)])
    network.pop()
    network.add(Dense(2, input_size=5))
    assert network.predict(np.zeros((1, 5))).shape == (1, 2)


def test_a_layer_with_weights_is_never_built_again():
    dense = row().pop()
    with pytest.raises(ShapeError, match=r"^0\.Dense: expected inputs \(6,\), for which it has weights, got \(7,\)"):
        GWUNetwork([dense]).build(7)
    dense = row().pop()
    network = GWUNetwork([dense])
    network.build(6)
    assert network.layers[0].kernel is dense.kernel


def test_slices_share_the_layers(rng):
    network, (x, y) = row(), data(rng)
    head, tail = network[:-2], network[3:]
    middle = head.predict(x)
    assert_exact(middle, network.activations(x, 2), np.float32)
    assert_exact(tail.predict(middle), network.predict(x), np.float32)
    network.fit(x, y, epochs=2, batch_size=4, verbose=0)
    assert_exact(tail.predict(head.predict(x)), network.predict(x), np.float32)
    assert head.layers == network.layers[:3] and head.data_format == network.data_format
    for wrong, error in ((slice(None, None, 2), ValueError), (slice(3, 3), IndexError)):
        with pytest.raises(error, match=r"^network\[\.\.\.\]: "):
            network[wrong]
    with pytest.raises(NotBuiltError, match=r"^network\[\.\.\.\]: expected a built network"):
        GWUNetwork([Dense(2)])[:1]


def test_slices_of_connected_layers(rng):
    network = graphs.network(graphs.crossing)
    x = rng.standard_normal((2, *graphs.SHAPE)).astype(np.float32)
    for stop in (1, 4, 6, len(network.layers)):
        assert_exact(network[:stop].predict(x), network.activations(x, stop - 1), np.float32)
    with pytest.raises(ValueError, match=r"got one from layer 2 on; write network\[:5\]"):
        network[2:5]


# ----------------------------------------------------------------------------------- networks in other networks


def trained_base(rng):
    network, (x, y) = row(), data(rng)
    network.fit(x, y, epochs=2, batch_size=4, verbose=0)
    return network


def test_a_network_as_the_beginning_of_a_row(rng, tmp_path):
    base, (x, y) = trained_base(rng)[:3], data(rng)
    network = GWUNetwork([base, Dense(2, True, "softmax")], seed=0)
    assert [layer.label for layer in network.layers] == ["0.Conv2D", "1.MaxPooling2D", "2.Flatten", "3.Dense"]
    base.trainable = False
    network.compile("cross_entropy", lr=0.1)
    before = base.get_weights()
    network.fit(x, y % 2, epochs=2, batch_size=4, verbose=0)
    for one, other in zip(before, base.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    base.trainable = True  # and then all of it
    network.fit(x, y % 2, epochs=2, batch_size=4, verbose=0)
    assert (base.get_weights()[0] != before[0]).any()
    network.save(tmp_path / "whole")
    assert_exact(GWUNetwork.load(tmp_path / "whole").predict(x), network.predict(x), np.float32)
    assert_exact(copy.deepcopy(network).predict(x), network.predict(x), np.float32)


def test_a_network_at_the_end_of_a_row(rng):
    tail = row()[3:]
    network = GWUNetwork([Flatten(input_size=(6, 6)), tail], seed=0)
    assert network.predict(np.zeros((1, 6, 6))).shape == (1, 3)
    other = GWUNetwork([Flatten(input_size=(6, 7))])
    with pytest.raises(ShapeError, match=r"^3\.Dense: expected inputs of shape|Dense: expected inputs of shape"):
        other.add(tail)
    assert len(other.layers) == 1


def test_a_network_called_on_an_output(rng):
    base = GWUNetwork([Conv2D(4, 3, padding="same", activation="relu"), Conv2D(2, 1)], seed=0)
    x, z = Input(graphs.SHAPE), rng.standard_normal((3, *graphs.SHAPE)).astype(np.float32)
    twice = GWUNetwork(inputs=x, outputs=base(base(x)))
    assert_exact(twice.predict(z), base.predict(base.predict(z)), np.float32)
    inner = graphs.network(graphs.gate)
    network = GWUNetwork(inputs=x, outputs=Dense(2)(inner(base(x))), seed=0)
    assert network.predict(z).shape == (3, 2) and inner.layers[0] in network.layers
    with pytest.raises(
        TypeError, match=r"^GWUNetwork: expected the output of Input\(shape\) or of a layer, got ndarray"
    ):
        base(z)
    with pytest.raises(ShapeError, match="expected inputs of shape"):
        base(Input((6, 6, 3)))


def test_parts_of_networks_with_several_inputs(rng):
    a, b = Input(3), Input(4)
    c, d = Dense(2)(a), Dense(2)(b)
    inner = GWUNetwork(inputs=[a, b], outputs=[c + d, c * d], seed=0)
    x, z = rng.standard_normal((5, 3)).astype("f4"), rng.standard_normal((5, 4)).astype("f4")
    assert_exact(inner[:1].predict(x), inner.activations([x, z], 0), np.float32)
    assert_exact(inner[:2].predict(z), inner.activations([x, z], 1), np.float32)
    assert_exact(inner[:3].predict([x, z]), inner.predict([x, z])[0], np.float32)
    p, q = Input(3), Input(4)
    total, product = inner([p, q])
    outer = GWUNetwork(inputs=[p, q], outputs=total - product)
    want = np.subtract(*inner.predict([x, z]))
    np.testing.assert_allclose(outer.predict([x, z]), want, rtol=1e-6)
    with pytest.raises(TypeError, match="expected 2 inputs, got 1"):
        inner(p)


def test_discriminative_rates_by_two_networks(rng):
    """The recipe of the documentation: the head with one optimizer, then all with a smaller rate."""
    base, (x, y) = trained_base(rng)[:3], data(rng)
    whole = GWUNetwork([base, GWUNetwork([Dense(3, True, "softmax", input_size=36)], seed=2)], seed=0)
    head = whole[3:]
    head.compile("cross_entropy", lr=0.5)
    features, before = base.predict(x), whole.get_weights()
    losses = head.fit(features, y, epochs=30, batch_size=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert_exact(head.predict(features), whole.predict(x), np.float32)
    for number, (one, other) in enumerate(zip(before, whole.get_weights(), strict=True)):
        assert (one.tobytes() == other.tobytes()) == (number < 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: GWUNetwork([GWUNetwork([Dense(2)])]), NotBuiltError, r"add: expected a network that knows the shape"),
        (lambda: GWUNetwork([Flatten(), row()[3:]]), NotBuiltError, r"before another is added"),
        (lambda: GWUNetwork([row(precision="float64")]), ValueError, r"add: expected a network of precision 'float32'"),
        (lambda: GWUNetwork([row()], data_format="channels_first"), ValueError, r"data_format 'channels_first', got"),
        (lambda: GWUNetwork([graphs.network(graphs.unet)]), ValueError, r"call the network on an output: network\(x\)"),
        (lambda: (lambda network: network.add(network))(row()), ValueError, r"got the network itself"),
    ],
)
def test_networks_that_do_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_shared_layers_have_one_precision():
    x = Input(3)
    y = Dense(2)(x)
    GWUNetwork(inputs=x, outputs=y, precision="float64").build(3)
    with pytest.raises(ValueError, match=re.escape("expected layers of precision 'float32', got float64 in kernel")):
        GWUNetwork(inputs=x, outputs=y).build(3)


def test_global_pooling_of_features_of_another(rng):
    """What transfer learning comes down to, with weights from a file in place of a download."""
    source = GWUNetwork([Conv2D(8, 3, activation="relu", input_size=(8, 8)), Conv2D(8, 3), Flatten(), Dense(3)], seed=4)
    features = source[:2]
    network = GWUNetwork([features, GlobalAveragePooling2D(), Dense(2, activation="softmax")], seed=0)
    assert network.count_params() == source.layers[0].kernel.size + source.layers[1].kernel.size + 16
    assert network.predict(data(rng)[0]).shape == (12, 2)
