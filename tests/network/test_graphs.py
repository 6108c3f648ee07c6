"""Networks of connected layers: gradients, fusion, replay, files, and what does not fit."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import graphs
from compare import assert_exact
from gradcheck import assert_gradient, spaced
from gwucnn import (
    RELU,
    SGD,
    Add,
    Average,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    Input,
    Maximum,
    MaxPooling2D,
    Multiply,
    ShapeError,
    Subtract,
)
from gwucnn.layers.graphs.graph import Graph

every_part = pytest.mark.parametrize("part", graphs.PARTS, ids=lambda part: part.__name__)


def data(rng, n=4):
    return spaced(rng, (n, *graphs.SHAPE)), rng.integers(0, 3, n)


def made(part, lr=0.1, **options):
    network = graphs.network(part, **options)
    network.compile("cross_entropy", optimizer=SGD(lr))
    network.build(graphs.SHAPE)
    return network


def moved(network, rng):
    """Move the weights away from where relus and maxima have their kinks."""
    for parameter in network.parameters:
        parameter.value[...] += 0.1 * rng.standard_normal(parameter.shape)
    return network


# ------------------------------------------------------------------------------------------------------- numbers


# Without batch normalisation, which `evaluate` does by other statistics than training: test_graphs_against_torch.py.
@pytest.mark.parametrize(
    "part", [part for part in graphs.PARTS if part is not graphs.normalised], ids=lambda part: part.__name__
)
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "layer-by-layer"])
def test_gradients(part, fuse, isa, rng):
    """With a learning rate of 1, what a step takes off each weight is the gradient."""
    network, (x, y) = moved(made(part, 1.0, fuse=fuse, precision="float64"), rng), data(rng)
    start = network.get_weights()
    network.train_on_batch(x, y)
    gradients = [old - new for old, new in zip(start, network.get_weights(), strict=True)]
    network.set_weights(start)
    for parameter, gradient in zip(network.parameters, gradients, strict=True):
        assert_gradient(gradient, lambda: network.evaluate(x, y), parameter.value)


@every_part
def test_fused_and_unfused_train_alike(part, dtype, rng):
    pair = made(part, precision=dtype.name), made(part, precision=dtype.name, fuse=False)
    x, y = data(rng, 20)
    for network in pair:
        network.fit(x, y, epochs=4, batch_size=6, verbose=0)
    for got, want in zip(pair[0].get_weights(), pair[1].get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)
    np.testing.assert_allclose(pair[0].predict(x), pair[1].predict(x), atol=1e-5 if dtype == "float32" else 1e-13)


@every_part
def test_replayed_batches_are_the_same(part, rng):
    pair = made(part), made(part)
    pair[1]._engine.recorder.enabled = False
    for n in (4, 4, 2, 4, 6, 2, 6):
        x, y = data(rng, n)
        assert pair[0].train_on_batch(x, y) == pair[1].train_on_batch(x, y)
    for one, other in zip(*(network.get_weights() for network in pair), strict=True):
        assert one.tobytes() == other.tobytes()
    assert ("train", 6) in pair[0]._engine.workspaces.current_training.recordings


def test_a_shared_layer_has_the_sum_of_its_gradients(rng):
    layer = Dense(3)
    x = Input(3)
    network = GWUNetwork(inputs=x, outputs=layer(layer(layer(x))), precision="float64", seed=0)
    network.compile("mse", optimizer=SGD(1.0))
    assert [type(each).__name__ for each in network.layers] == ["Dense"] and network.count_params() == 9
    a, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    (K,) = network.get_weights()
    dz = 2 * (a @ K @ K @ K - y) / y.size
    want = (a @ K @ K).T @ dz + (a @ K).T @ (dz @ K.T) + a.T @ (dz @ K.T @ K.T)
    network.train_on_batch(a, y)
    np.testing.assert_allclose(K - network.get_weights()[0], want, rtol=1e-12)
    for _ in range(2):  # replayed
        (K,) = network.get_weights()
        dz = 2 * (a @ K @ K @ K - y) / y.size
        network.train_on_batch(a, y)
        want = (a @ K @ K).T @ dz + (a @ K).T @ (dz @ K.T) + a.T @ (dz @ K.T @ K.T)
        np.testing.assert_allclose(K - network.get_weights()[0], want, rtol=1e-10)


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        (Add, lambda a, b, c: a + b + c),
        (Average, lambda a, b, c: (a + b + c) / 3),
        (Multiply, lambda a, b, c: a * b * c),
        (Maximum, lambda a, b, c: np.maximum(np.maximum(a, b), c)),
        (Concatenate, lambda *parts: np.concatenate(parts, axis=-1)),
    ],
)
def test_merging_three(kind, function, dtype, rng):
    x = Input((4, 5, 3))
    parts = [Conv2D(3, 1)(x) for _ in range(3)]
    network = GWUNetwork(inputs=x, outputs=kind()(parts), precision=dtype.name, seed=1)
    a = rng.standard_normal((2, 4, 5, 3)).astype(dtype)
    kernels = [weight[0, 0] for weight in network.get_weights()]
    want = function(*(a.astype(np.float64) @ kernel for kernel in kernels))
    np.testing.assert_allclose(network.predict(a), want, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)


def test_a_row_is_a_graph(rng):
    """The same layers, in a list or called one after the other, compute the same bits."""

    def layers():
        return [Conv2D(4, activation="relu"), MaxPooling2D(), Flatten(), Dense(3, True, "softmax")]

    x, y = data(rng, 20)
    row, t = GWUNetwork(layers(), seed=5), Input(graphs.SHAPE)
    inputs = t
    for layer in layers():
        t = layer(t)
    graph = GWUNetwork(inputs=inputs, outputs=t, seed=5)
    for network in (row, graph):
        network.compile("cross_entropy", optimizer="adam")
        network.fit(x, y, epochs=3, batch_size=4, verbose=0)
    for one, other in zip(row.get_weights(), graph.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    assert row._engine.training_recording(4).steps and len(graph._engine.training_recording(4).steps) == len(
        row._engine.training_recording(4).steps
    )


def test_what_another_layer_reads_is_not_fused_away(rng):
    x = Input((8, 8, 3))
    y = Conv2D(16, padding="same")(x)
    network = GWUNetwork(inputs=x, outputs=Concatenate()([RELU()(y), y]), seed=0)
    network.build((8, 8, 3))
    assert [type(step).__name__ for step in network._engine.steps] == ["Conv2D", "RELU", "Concatenate"]
    a = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)
    rectified, plain = np.split(network.predict(a), 2, axis=-1)
    assert_exact(rectified, np.maximum(plain, 0), np.float32)


# --------------------------------------------------------------------------------------------------------- files


@every_part
def test_saved_and_copied(part, tmp_path, rng):
    network, (x, y) = made(part), data(rng, 12)
    network.fit(x, y, epochs=2, batch_size=5, verbose=0)
    network.save(tmp_path / "network")
    twins = [GWUNetwork.load(tmp_path / "network"), pickle.loads(pickle.dumps(network)), copy.deepcopy(network)]
    network.fit(x, y, epochs=4, initial_epoch=2, batch_size=5, verbose=0)
    for twin in twins:
        assert repr(twin) == repr(network)
        twin.fit(x, y, epochs=4, initial_epoch=2, batch_size=5, verbose=0)
        for one, other in zip(network.get_weights(), twin.get_weights(), strict=True):
            assert one.tobytes() == other.tobytes()
        assert twin.predict(x).tobytes() == network.predict(x).tobytes()


# ---------------------------------------------------------------------------------------------------- users' view


def test_shapes_are_known_at_once():
    x = Input((None, 12, 10, 3))
    y = Conv2D(5, 3)(x)
    assert x.shape == (None, 12, 10, 3) and y.shape == (None, 10, 8, 5)
    assert Input(7).shape == (None, 7) and Input((5, 6)).shape == (None, 5, 6, 1)
    first = Conv2D(5, 3)(Input((3, 12, 10), data_format="channels_first"))
    assert first.shape == (None, 5, 10, 8)
    with pytest.raises(ShapeError, match=r"^Conv2D: expected kernel_size to fit"):
        Conv2D(5, 3)(Input((2, 2, 1)))


def test_channels_first(rng):
    x = rng.standard_normal((3, *graphs.SHAPE))
    last = made(graphs.crossing, precision="float64")
    t = Input((2, 6, 6), data_format="channels_first")
    first = GWUNetwork(
        inputs=t, outputs=graphs.head(graphs.crossing(t)), data_format="channels_first", precision="float64", seed=3
    )
    np.testing.assert_allclose(first.predict(x.transpose(0, 3, 1, 2)), last.predict(x), rtol=1e-12)
    assert [a.shape for a in first.activations(x.transpose(0, 3, 1, 2))][-3] == (3, 9, 6, 6)


@every_part
def test_activations_and_gradients_of_every_call(part, rng):
    network, (x, _) = moved(made(part, precision="float64"), rng), data(rng, 2)
    outputs = network.activations(x)
    np.testing.assert_allclose(outputs[-1], network.predict(x), rtol=1e-12)
    values, slopes = network.gradients(x, [0, 2])
    assert len(values) == len(slopes) == len(outputs) + 1
    assert all(value.shape == slope.shape for value, slope in zip(values, slopes, strict=True))
    assert_gradient(slopes[0], lambda: network.gradients(x, [0, 2])[0][-1][[0, 1], [0, 2]].sum(), x)


def test_networks_that_share_layers(rng):
    """Each uses the weights as they are now, whoever trained them last."""
    x = Input(graphs.SHAPE)
    features = graphs.residual(x)
    whole, part = GWUNetwork(inputs=x, outputs=graphs.head(features), seed=0), GWUNetwork(inputs=x, outputs=features)
    a, y = data(rng, 8)
    whole.compile("cross_entropy", optimizer="adam")
    for _ in range(3):
        whole.fit(a, y, batch_size=4, verbose=0)
        assert_exact(part.predict(a), whole.activations(a)[3], np.float32)
    before = whole.get_weights()
    part.compile("mse", lr=0.1)
    part.fit(a, np.zeros((8, 6, 6, 4)), verbose=0)
    assert (whole.get_weights()[0] != before[0]).any()
    assert_exact(part.predict(a), whole.activations(a)[3], np.float32)


def test_threads_may_predict_at_once(rng):
    network = made(graphs.crossing)
    inputs = [data(rng, n)[0] for n in (1, 5, 9, 3)] * 4
    wanted = [network.predict(x).tobytes() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda x: network.predict(x).tobytes(), inputs)) == wanted


def test_numbers_that_are_not_finite_are_traced(rng):
    network, (x, y) = made(graphs.crossing), data(rng)
    weights = network.get_weights()
    weights[4][...] = np.inf
    network.set_weights(weights)
    with pytest.raises(FloatingPointError, match=r"not finite begin at 2\.Conv2D"):
        network.train_on_batch(x, y)


def test_freezing_leaves_out_what_nobody_needs(rng):
    network, (x, y) = made(graphs.unet), data(rng)
    for layer in network.layers[:-1]:
        layer.trainable = False
    before = network.get_weights()
    network.train_on_batch(x, y)
    assert [(a != b).any() for a, b in zip(before, network.get_weights(), strict=True)] == [False] * 6 + [True] * 2
    gradients = network._engine._training_graph.needs_gradient()
    assert gradients[-2:] == [False, True] and not any(gradients[:-2])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: Conv2D(2)(np.zeros((1, 8, 8, 3))), TypeError, r"Conv2D: expected the output of Input\(shape\)"),
        (lambda x: Conv2D(2)([x, 3]), TypeError, r"expected outputs of Input\(shape\) or of other layers, got int"),
        (lambda x: Add()(x), ShapeError, r"^Add: expected a list of inputs, got one; write Add\(\)\(\[a, b\]\)"),
        (lambda x: Add()([x, Conv2D(4)(x)]), ShapeError, r"^Add: expected inputs of one shape, got \(8, 8, 3\)"),
        (lambda x: Subtract()([x, x, x]), ShapeError, r"^Subtract: expected two inputs, got 3"),
        (lambda x: Concatenate()([x, Conv2D(4)(x)]), ShapeError, r"expected inputs that differ only in their channels"),
        (lambda x: GWUNetwork([Add()]).build(3), ShapeError, r"Add: expected a list of inputs, got one"),
        (lambda x: GWUNetwork(inputs=x, outputs=x), ValueError, r"expected outputs of layers, got its inputs"),
        (lambda x: GWUNetwork(inputs=x, outputs=Flatten()(Input(3 * [4]))), ValueError, r"got one that needs <Tensor \(None, 4, 4, 4\)"),
        (lambda x: GWUNetwork(inputs=Input(3), outputs=Flatten()(x)), ValueError, r"got one that needs <Tensor"),
        (lambda x: GWUNetwork(inputs=[x, Input(3)], outputs=Flatten()(x)), ValueError, r"inputs that the outputs need, got <T"),
        (lambda x: GWUNetwork(x), TypeError, r"expected a list of layers, got Tensors; write inputs=..., outputs=..."),
        (lambda x: GWUNetwork(inputs=x), TypeError, r"expected inputs from Input\(shape\) and outputs of layers"),
        (lambda x: GWUNetwork(inputs=x, outputs=Flatten()(x)).add(Dense(2)), ValueError, r"^add: expected a network that is a row"),
        (lambda x: GWUNetwork(inputs=x, outputs=Flatten()(x), data_format="channels_first"), ValueError, r"data_format='channels_last'"),
        (lambda x: GWUNetwork(inputs=x, outputs=Flatten()(x)).predict(np.zeros((2, 7, 8, 3))), ShapeError, r"expected inputs of shape"),
        (lambda x: list(x), TypeError, r"Tensor: expected a layer called on it"),
        (lambda x: Input((1, 2, 3, 4)), ShapeError, r"Input: expected the shape of one sample"),
        (lambda x: Input(0), ValueError, r"Input: "),
    ],
)  # fmt: skip
def test_what_does_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make(Input((8, 8, 3)))


def test_arithmetic_of_outputs(rng):
    x = Input(3)
    a, b = Dense(2)(x), Dense(2)(x)
    network = GWUNetwork(inputs=x, outputs=(a - b) * a + b, precision="float64", seed=0)
    assert [type(layer).__name__ for layer in network.layers] == ["Dense", "Dense", "Subtract", "Multiply", "Add"]
    z = rng.standard_normal((4, 3))
    one, other = (z @ kernel for kernel in network.get_weights())
    np.testing.assert_allclose(network.predict(z), (one - other) * one + other, rtol=1e-12)
    with pytest.raises(TypeError, match="unsupported operand"):
        a + 1


def test_a_layer_called_again_needs_the_same_shape():
    layer = Dense(3)
    layer(Input(4))
    with pytest.raises(ShapeError, match=r"^Dense: expected inputs as in its first call, \(4,\), got \(5,\)"):
        layer(Input(5))


def test_values_in_the_order_of_nodes():
    row = Graph.row([RELU(), RELU()])
    assert [node.sources for node in row.nodes] == [(0,), (1,)] and row.outputs == (2,)
    assert row.readers() == [[0], [1], [-1]]
    assert list(row.chains(3)) == [[0, 1], [1]]
