"""Several inputs and outputs: gradients, replay, names, losses and metrics of each output, files, and what is refused."""

import copy
import pickle

import numpy as np
import pytest

import joint
from gradcheck import assert_gradient
from gwucnn import (
    SGD,
    Add,
    Concatenate,
    Conv2D,
    Dense,
    EarlyStopping,
    Flatten,
    GWUNetwork,
    Input,
    MixUp,
    NotBuiltError,
    ShapeError,
)
from ranks import on_ranks

every_case = pytest.mark.parametrize("case", joint.CASES, ids=lambda case: case.__name__)


def trained(network, x, y=None, **options):
    return network.fit(x, y, **{"epochs": 3, "batch_size": 4, "verbose": 0} | options)


def same_weights(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


# ------------------------------------------------------------------------------------------------------- numbers


@every_case
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "layer-by-layer"])
def test_gradients(case, fuse, isa, rng):
    """With a learning rate of 1, what a step takes off each weight is the gradient."""
    network, (x, y) = joint.made(case, SGD(1.0), fuse=fuse, precision="float64"), joint.samples(case, rng)
    network.set_weights([weight + 0.1 * rng.standard_normal(weight.shape) for weight in network.get_weights()])
    for _ in range(2):  # the second one is replayed
        start = network.get_weights()
        network.train_on_batch(x, y)
        gradients = [old - new for old, new in zip(start, network.get_weights(), strict=True)]
        network.set_weights(start)
    for parameter, gradient in zip(network.parameters, gradients, strict=True):
        assert_gradient(gradient, lambda: network.evaluate(x, y), parameter.value)


@every_case
def test_the_loss_is_the_weighted_sum(case, rng):
    """Against the losses of networks with one of the outputs."""
    network, (x, y) = joint.made(case, precision="float64"), joint.samples(case, rng, 10)
    record = network.evaluate(x, y, return_dict=True, batch_size=4)
    losses, weights, _ = joint.CASES[case]
    inputs, outputs = network._layer_row.inputs, network._layer_row.outputs
    names, total = network._layer_row.output_names, 0.0
    for place, loss in enumerate(joint.several(losses)):
        alone = _alone(inputs, outputs[place], network.precision)
        alone.compile(loss)
        mine = [given for tensor, given in zip(inputs, joint.several(x), strict=True) if alone.uses(tensor)]
        want = alone.evaluate(mine if len(mine) > 1 else mine[0], joint.several(y)[place])
        total += want * (weights[place] if weights else 1)
        if weights:
            np.testing.assert_allclose(record[f"{names[place]}_loss"], want, rtol=1e-12)
    np.testing.assert_allclose(record["loss"], total, rtol=1e-12)


def _alone(inputs, output, precision):
    """Return a network with only those of the inputs that this output needs."""

    class Alone(GWUNetwork):
        def uses(self, tensor):
            return any(tensor is used for used in self._layer_row.inputs)

    needed, waiting = [], [output]
    while waiting:
        tensor = waiting.pop()
        needed += [tensor] * (tensor.layer is None)
        waiting += tensor.sources
    return Alone(inputs=[t for t in inputs if any(t is n for n in needed)], outputs=output, precision=precision)


@every_case
def test_replayed_batches_are_the_same(case, rng):
    pair = joint.made(case, "adam"), joint.made(case, "adam")
    pair[1].get_weights()  # builds it
    pair[1]._engine.recorder.enabled = False
    for n in (4, 4, 2, 4, 6, 2, 6):
        x, y = joint.samples(case, rng, n)
        assert pair[0].train_on_batch(x, y) == pair[1].train_on_batch(x, y)
    assert same_weights(*pair)
    assert ("train", 6) in pair[0]._engine.workspaces.current_training.recordings
    first, again = (network.predict(x) for network in (pair[0], pair[0]))
    for one, other in zip(joint.several(first), joint.several(again), strict=True):
        assert one.tobytes() == other.tobytes()


def test_inputs_of_different_dtypes(rng):
    """Bytes and floats are rounded as they are alone, and are not scaled by each other."""
    image = rng.integers(0, 256, (9, *joint.IMAGE)).astype(np.uint8)
    features, y = rng.standard_normal((9, joint.FEATURES)), joint.samples(joint.towers, rng, 9)[1]
    pair = joint.made(joint.towers), joint.made(joint.towers)
    trained(pair[0], [image, features], y)
    trained(pair[1], [image.astype(np.float32), features.astype(np.float32)], y)
    assert same_weights(*pair)


def test_channels_first(rng):
    (image, other), _ = joint.samples(joint.pixels, rng)
    last = joint.made(joint.pixels, precision="float64")
    a, b = (Input((2, 6, 6), name=name, data_format="channels_first") for name in ("image", "gate"))
    h = Conv2D(3, 3, padding="same", add_bias=True, activation="sigmoid")(Add()([a, Conv2D(2, 1)(b)]))
    end = Conv2D(3, 1, activation="softmax", add_bias=True, name="segments")(h)
    first = GWUNetwork(inputs=[a, b], outputs=[end, h], data_format="channels_first", precision="float64", seed=3)
    first.set_weights(last.get_weights()[: len(first.get_weights())])
    moved = [array.transpose(0, 3, 1, 2) for array in (image, other)]
    got, want = first.predict(moved), last.predict([image, other])
    assert got[0].shape == (6, 3, 6, 6) and got[1].shape == (6, 3, 6, 6)
    np.testing.assert_allclose(got[0], want[0].transpose(0, 3, 1, 2), rtol=1e-12)


# ------------------------------------------------------------------------------------------------- ways to give data


def test_by_name_and_in_batches(rng):
    """Lists, dicts, generators and objects with a length train alike."""
    (image, features), (kind, place) = joint.samples(joint.towers, rng, 12)
    x, y = [image, features], [kind, place]
    named = {"features": features, "image": image}, {"place": place, "kind": kind}
    parts = [slice(start, start + 4) for start in range(0, 12, 4)]
    batches = [(joint.part(x, rows), {"kind": kind[rows], "place": place[rows]}) for rows in parts]

    class Source:
        def __len__(self):
            return 3

        def __getitem__(self, number):
            return batches[number]

    networks = [joint.made(joint.towers, "adam") for _ in range(5)]
    trained(networks[0], x, y, shuffle=False)
    trained(networks[1], *named, shuffle=False)
    trained(networks[2], Source(), batch_size=None, shuffle=False)
    trained(networks[3], (batch for _ in range(3) for batch in batches), batch_size=None, steps_per_epoch=3)
    for _ in range(3):
        for rows in parts:
            networks[4].train_on_batch(joint.part(x, rows), tuple(joint.part(y, rows)))
    assert all(same_weights(networks[0], other) for other in networks[1:])
    whole, pieces = networks[0].predict(x, batch_size=5), networks[0].predict(Source())
    assert isinstance(whole, list) and [output.shape for output in whole] == [(12, 3), (12, 2)]
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    np.testing.assert_allclose(networks[0].evaluate(*named), networks[0].evaluate(Source()), rtol=1e-6)


def test_validation_weights_and_history(rng):
    x, y = joint.samples(joint.towers, rng, 20)
    weights = rng.integers(0, 3, 20).astype(float)
    network, repeated = joint.made(joint.towers, precision="float64"), np.repeat(np.arange(20), weights.astype(int))
    want = network.evaluate(joint.part(x, repeated), joint.part(y, repeated), return_dict=True)
    got = network.evaluate(x, y, sample_weight=weights, return_dict=True)
    assert list(got) == ["loss", "kind_loss", "place_loss", "kind_accuracy"]
    np.testing.assert_allclose(list(got.values()), list(want.values()), rtol=1e-12)
    stop = EarlyStopping("val_kind_accuracy", patience=1)
    history = trained(network, x, y, validation_split=0.25, sample_weight=weights, callbacks=[stop], epochs=2).history
    assert list(history) == [*got, *(f"val_{name}" for name in got), "lr"]
    tail = joint.part(x, slice(15, None)), joint.part(y, slice(15, None))
    given = trained(network, x, y, validation_data=tail, initial_epoch=2).history
    record = network.evaluate(*tail, return_dict=True)
    assert {name: values[-1] for name, values in given.items() if name.startswith("val_")} == {
        f"val_{name}": value for name, value in record.items()
    }
    assert stop._sign == 1 and EarlyStopping("val_auc_loss")._sign == -1


def test_penalties_count_once(rng):
    x = Input(3)
    network = GWUNetwork(inputs=x, outputs=[Dense(2, kernel_regularizer="l2", name=name)(x) for name in "pq"], seed=0)
    network.compile("mse", loss_weights={"q": 0.25, "p": 2})
    record = network.evaluate(np.ones((4, 3)), [np.ones((4, 2))] * 2, return_dict=True)
    penalty = 0.01 * sum((weight.astype(float) ** 2).sum() for weight in network.get_weights())
    np.testing.assert_allclose(record["loss"], 2 * record["p_loss"] + 0.25 * record["q_loss"] + penalty, rtol=1e-5)


def test_metrics_of_each_output(rng):
    x, y = joint.samples(joint.towers, rng, 12)
    network = joint.made(joint.towers)

    def off(y_true, y_pred):
        return abs(y_true - y_pred).mean()

    network.compile(["cross_entropy", "mse"], metrics={"kind": ["f1", "accuracy"], "place": [off]})
    record = network.evaluate(x, y, return_dict=True)
    assert list(record) == ["loss", "kind_loss", "place_loss", "kind_f1", "kind_accuracy", "place_off"]
    kind, place = network.predict(x)
    np.testing.assert_allclose(record["place_off"], abs(place - y[1]).mean(), rtol=1e-5)
    assert record["kind_accuracy"] == (kind.argmax(axis=1) == y[0]).mean()
    network.compile({"place": "mae", "kind": "cross_entropy"}, metrics=["auc", off])
    assert list(network.evaluate(x, y, return_dict=True))[3:] == ["kind_auc", "kind_off", "place_off"]


def test_a_loss_of_the_users_own(rng):
    """In numpy beside a compiled one: right, and not recorded."""

    def squares(y_true, y_pred):
        return ((y_pred - y_true) ** 2).mean(), 2 * (y_pred - y_true) / y_pred.size

    x, y = joint.samples(joint.towers, rng, 8)
    pair = joint.made(joint.towers, precision="float64"), joint.made(joint.towers, precision="float64")
    pair[1].compile(["cross_entropy", squares], loss_weights=[1.0, 0.3], metrics=[])
    for network in pair:
        trained(network, x, y)
    for one, other in zip(*(network.get_weights() for network in pair), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_numbers_that_are_not_finite_are_traced(rng):
    x, y = joint.samples(joint.towers, rng)
    network, weights = joint.made(joint.towers), joint.made(joint.towers).get_weights()
    weights[-1][0] = np.inf
    network.set_weights(weights)
    with pytest.raises(FloatingPointError, match=r"^train_on_batch: .* not finite begin at \d+\.Dense"):
        network.train_on_batch(x, y)
    assert all((a == b).all() for a, b in zip(weights, network.get_weights(), strict=True))


def test_lr_find(rng):
    x, y = joint.samples(joint.towers, rng, 64)
    network = joint.made(joint.towers, "adam")
    before = [weight.copy() for weight in network.get_weights()]
    found = network.lr_find(x, y, batch_size=8, steps=20, verbose=0)
    assert len(found.lrs) > 5
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


def test_activations_and_gradients(rng):
    """The scores are those of the first output, before its softmax."""
    network, (x, _) = joint.made(joint.towers, precision="float64"), joint.samples(joint.towers, rng, 2)
    outputs = network.activations({"image": x[0], "features": x[1]})
    for layer, output in zip(("kind", "place"), network.predict(x), strict=True):
        number = [each.name for each in network.layers].index(layer)
        np.testing.assert_allclose(outputs[number], output, rtol=1e-12)
    values, slopes = network.gradients(x, [0, 2])
    assert len(values) == len(slopes) == len(outputs) + 2 and not slopes[-1].any()
    scores = [layer.name for layer in network.layers].index("kind") + 2
    for array, slope in zip(x, slopes, strict=False):
        assert_gradient(slope, lambda: network.gradients(x, [0, 2])[0][scores][[0, 1], [0, 2]].sum(), array)


# ------------------------------------------------------------------------------------------------- files and ranks


@every_case
def test_saved_and_copied(case, tmp_path, rng):
    network, (x, y) = joint.made(case, "adam"), joint.samples(case, rng, 12)
    trained(network, x, y)
    network.save(tmp_path / "network")
    twins = [GWUNetwork.load(tmp_path / "network"), pickle.loads(pickle.dumps(network)), copy.deepcopy(network)]
    names = list(network.history.history)
    trained(network, x, y, epochs=5, initial_epoch=3)
    for twin in twins:
        assert repr(twin) == repr(network) and repr(twin._compiled.loss) == repr(network._compiled.loss)
        trained(twin, x, y, epochs=5, initial_epoch=3)
        assert list(twin.history.history) == names
        assert same_weights(network, twin) and twin.history.history == network.history.history


def test_own_functions_in_files(tmp_path, rng):
    def off(y_true, y_pred):
        return abs(y_true - y_pred).mean()

    def squares(y_true, y_pred):
        return ((y_pred - y_true) ** 2).mean(), 2 * (y_pred - y_true) / y_pred.size

    network, (x, y) = joint.made(joint.towers), joint.samples(joint.towers, rng)
    network.compile(["cross_entropy", squares], metrics={"place": [off]})
    want = network.evaluate(x, y, return_dict=True)
    with pytest.warns(UserWarning, match="squares, off"):
        network.save(tmp_path / "network")
    again = GWUNetwork.load(tmp_path / "network", functions=[off, squares])
    assert again.evaluate(x, y, return_dict=True) == want and "place_off" in want
    with pytest.warns(UserWarning, match="the network is not compiled"):
        without = GWUNetwork.load(tmp_path / "network", functions=[off])
    assert [a.tobytes() for a in without.predict(x)] == [a.tobytes() for a in network.predict(x)]


@pytest.mark.parametrize("size", [8, 2])  # with 2, one of the ranks has no samples
def test_several_ranks(size, rng):
    x, y = joint.samples(joint.towers, rng, 20)
    metrics, twin = ["accuracy", "auc"], joint.made(joint.towers, precision="float64")
    twin.compile(["cross_entropy", "mse"], metrics=metrics)
    want = trained(twin, x, y, batch_size=size, validation_split=0.2)

    def work(team):
        network = joint.made(joint.towers, precision="float64")
        network.compile(["cross_entropy", "mse"], metrics=metrics)
        return trained(network, x, y, batch_size=size, validation_split=0.2, distributed=team), network.get_weights()

    for history, weights in on_ranks(3, work):
        assert list(history.history) == list(want.history)
        for name, values in want.history.items():
            np.testing.assert_allclose(history.history[name], values, rtol=1e-9)
        for one, other in zip(weights, twin.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


# --------------------------------------------------------------------------------------------------------- names


def test_names():
    x, other = Input(3), Input(4, name="other")
    p = Dense(2)(x)
    q = Dense(2, name="q")(Concatenate()([p, other]))
    row = GWUNetwork(inputs=[x, other], outputs=[p, q, p, q])._layer_row
    assert row.input_names == ["input_0", "other"] and row.output_names == ["0.Dense", "q", "0.Dense_1", "q_1"]


def two():
    a, b = Input(3, name="a"), Input((4, 4, 1), name="b")
    h = Concatenate()([a, Flatten()(b)])
    return GWUNetwork(inputs=[a, b], outputs=[Dense(2, True, "softmax", name="p")(h), Dense(1, name="q")(h)], seed=0)


A, B, P, Q = np.zeros((5, 3)), np.zeros((5, 4, 4)), [0, 1, 0, 1, 0], np.zeros(5)


def compiled():
    network = two()
    network.compile({"p": "cross_entropy", "q": "mse"})
    return network


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: n.fit(A, [P, Q]), ValueError, r"^fit: expected x to be a list of 2, for the inputs 'a', 'b', or a dict by name, got ndarray"),
        (lambda n: n.fit([A], [P, Q]), ValueError, r"expected x to be a list of 2, .* got 1; give one for each input"),
        (lambda n: n.fit([A, B], P), ValueError, r"^fit: expected y to be a list of 2, for the outputs 'p', 'q', .* got 5"),
        (lambda n: n.fit([A, B]), TypeError, r"^fit: expected x and y, got x alone"),
        (lambda n: n.fit([A, B[:4]], [P, Q]), ShapeError, r"^fit: expected as many samples of each input, got 5 of 'a', 4 of 'b'"),
        (lambda n: n.fit([A, B], [P, Q[:4]]), ShapeError, r"^fit: output 'q': expected as many y as x, got 4 and 5"),
        (lambda n: n.fit([B, A], [P, Q]), ShapeError, r"^fit: expected input 'a' of shape \(N, 3\), got \(N, 4, 4, 1\); give arrays in the order"),
        (lambda n: n.fit({"a": A, "bb": B}, [P, Q]), ValueError, r"expected x for the inputs 'a', 'b', got one for 'bb'.*did you mean 'b'"),
        (lambda n: n.fit({"a": A}, [P, Q]), ValueError, r"expected x for the inputs 'a', 'b', got none for 'b'; give it too"),
        (lambda n: n.fit([A, B], {"p": P, "Q": Q}), ValueError, r"expected y for the outputs 'p', 'q', got one for 'Q'.*did you mean 'q'"),
        (lambda n: n.fit([A, B], [P, Q], class_weight={0: 2.0}), ValueError, r"^fit: expected no class_weight with several outputs, got one; give sample_weight"),
        (lambda n: n.fit([A, B], [P, Q], sample_weight=[1, 2]), ShapeError, r"expected sample_weight of shape \(5,\), got \(2,\)"),
        (lambda n: n.fit([A, B], [P, Q], batch_size=2, mix=MixUp()), ValueError, r"^fit: expected no mix with several inputs or outputs"),
        (lambda n: n.fit([A * np.nan, B], [P, Q]), ValueError, r"^fit: input 'a': expected finite images"),
        (lambda n: n.fit([A, B], [P, Q + np.inf]), ValueError, r"^fit: output 'q': mse: expected finite y"),
        (lambda n: n.fit([A, B], [[0, 1, 2, 0, 0], Q]), ValueError, r"^fit: output 'p': cross_entropy: "),
        (lambda n: n.predict([A, B[:, :3]]), ShapeError, r"^predict: expected input 'b' of shape \(N, 4, 4, 1\), got \(N, 3, 4, 1\)"),
        (lambda n: n.predict({"a": A}), ValueError, r"^predict: expected x for the inputs"),
        (lambda n: n.gradients([A, B], 2), ValueError, r"^gradients: expected labels from 0 to 1"),
        (lambda n: n.compile(["cross_entropy"]), ValueError, r"^compile: expected loss to be a list of 2"),
        (lambda n: n.compile({"p": "cross_entropy"}), ValueError, r"^compile: expected loss for the outputs 'p', 'q', got none for 'q'"),
        (lambda n: n.compile("cross_entropy"), ValueError, r"cross_entropy: expected a network with one output for each class"),
        (lambda n: n.compile(["cross_entropy", "mse"], loss_weights=[1]), ValueError, r"^compile: expected loss_weights to be a list of 2"),
        (lambda n: n.compile(["cross_entropy", "mse"], loss_weights=[1, -1]), ValueError, r"^compile: expected each of loss_weights to be"),
        (lambda n: n.compile(["cross_entropy", "mse"], loss_weights=0), ValueError, r"expected a positive one among loss_weights"),
        (lambda n: n.compile(["cross_entropy", "mse"], metrics={"r": ["f1"]}), ValueError, r"^compile: expected metrics for the outputs 'p', 'q', got one for 'r'"),
        (lambda n: n.compile(["cross_entropy", "mse"], metrics={"q": ["f1"]}), ValueError, r"expected no classification metric with a regression loss"),
        (lambda n: n.compile(["cross_entropy", "mse"], metrics=["top_3_accuracy"]), ValueError, r"expected at least 3 outputs"),
        (lambda n: n.build(3), ValueError, r"^build: expected input_shape to be a list of 2"),
        (lambda n: n.build([3, (5, 5)]), ShapeError, r"^build: expected the shapes of the inputs"),
        (lambda n: two().fit([A, B], [P, Q]), NotBuiltError, r"^fit: expected a compiled network"),
    ],
)  # fmt: skip
def test_what_does_not_fit(call, error, message):
    network = compiled()
    before, state = network.get_weights(), repr(network._compiled.loss)
    with pytest.raises(error, match=message):
        call(network)
    assert repr(network._compiled.loss) == state
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


def test_networks_that_cannot_be():
    x = Input(3, name="x")

    def made(*names, inputs=x):
        GWUNetwork(inputs=inputs, outputs=[Dense(2, name=name)(x) for name in names]).compile("mse")

    with pytest.raises(ValueError, match=r"expected outputs of different names, got two called 'p'"):
        made("p", "p")
    with pytest.raises(
        ValueError, match=r"^compile: expected outputs whose losses and metrics have names of their own"
    ):
        made("p", "val_p")
    with pytest.raises(ValueError, match=r"two called 'val_loss'"):
        made("p", "val")
    with pytest.raises(ValueError, match=r"expected inputs of different names, got two called 'x'"):
        y = Input(3, name="x")
        GWUNetwork(inputs=[x, y], outputs=Concatenate()([x, y]))
    with pytest.raises(ValueError, match=r"expected outputs of layers, got its inputs"):
        GWUNetwork(inputs=x, outputs=[Dense(2)(x), x])
    single = GWUNetwork(inputs=x, outputs=Dense(2)(x))
    with pytest.raises(ValueError, match=r"^compile: expected no loss_weights with a single output"):
        single.compile("mse", loss_weights=[1])
