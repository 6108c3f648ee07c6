"""Batch and layer normalisation in a network: running statistics, freezing, and folding into the layer before."""

import numpy as np
import pytest

import reference
from compare import assert_exact
from gwucnn import (
    RELU,
    SGD,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GroupNormalization,
    GWUNetwork,
    LayerNormalization,
    MaxPooling2D,
    Residual,
    SeparableConv2D,
)
from gwucnn.common import ShapeError, set_inside
from gwucnn.engine.fusion import plan
from gwucnn.layers.graphs.graph import Graph


def made(*layers, seed=3, shape=(9, 10, 2), **options):
    network = GWUNetwork([*layers, Flatten(), Dense(3, activation="softmax")], seed=seed, **options)
    network.compile(loss="cross_entropy", optimizer=SGD(0.05, momentum=0.9))
    network.build(shape)
    return network


def usual():
    return [
        Conv2D(16, add_bias=True),
        BatchNormalization(),
        RELU(),
        MaxPooling2D(),
        Conv2D(5, 2),
        BatchNormalization(momentum=0.5),
    ]


@pytest.fixture
def data(rng):
    return rng.standard_normal((24, 9, 10, 2)), rng.integers(0, 3, 24)


def running(network, number=0):
    """Return copies of running mean and variance, and the number of updates, of a network's normalisation."""
    layer = [layer for layer in network.layers if isinstance(layer, BatchNormalization)][number]
    mean, variance = layer.moving_mean.constant.copy(), layer.moving_variance.constant.copy()
    assert layer.moving_mean.updates is layer.moving_variance.updates
    return mean, variance, int(layer.moving_mean.updates[0])


def same(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


# -------------------------------------------------------------------------------------------- running statistics


def test_weights_are_in_keras_order_and_statistics_are_not_trained():
    network = made(*usual())
    names = [parameter.name for parameter in network.parameters[2:6]]
    assert names == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [weight.tolist() for weight in network.get_weights()[2:6]] == [[v] * 16 for v in (1, 0, 0, 1)]
    assert network._engine.arena.trainable == network.count_params() - 2 * (16 + 5)
    lines = []
    network.summary(lines.append)
    assert "1.BatchNormalization" in lines[0] and "64" in lines[0] and "42 of them frozen" in lines[0]


def test_the_first_batches_are_averaged(data, dtype):
    """With a momentum of 0.99 alone 99% of mean and variance would still be the first values, 0 and 1."""
    network = made(BatchNormalization(), precision=dtype.name)
    batches = [data[0][first : first + 6].astype(dtype) * 3 + 2 for first in (0, 6, 12, 18)]
    for number, x in enumerate(batches):
        network.train_on_batch(x, data[1][:6])
        rows = [reference.rows_of(batch) for batch in batches[: number + 1]]
        mean, variance, updates = running(network)
        np.testing.assert_allclose(mean, np.mean([r.mean(axis=0) for r in rows], axis=0), rtol=1e-5)
        np.testing.assert_allclose(variance, np.mean([r.var(axis=0) for r in rows], axis=0), rtol=1e-5)
        assert updates == number + 1


def test_later_batches_count_by_the_momentum(data):
    network = made(BatchNormalization(momentum=0.5), precision="float64")
    means = []
    for first in (0, 6, 12, 18):
        network.train_on_batch(data[0][first : first + 6], data[1][:6])
        means.append(data[0][first : first + 6].mean(axis=(0, 1, 2)))
    want = means[0]
    for mean in means[1:]:
        want = (want + mean) / 2
    np.testing.assert_allclose(running(network)[0], want, rtol=1e-12)


def test_weights_that_were_set_are_past_the_warm_up(data):
    network = made(BatchNormalization(), precision="float64")
    weights = network.get_weights()
    weights[2] += 7
    network.set_weights(weights)
    for _ in range(2):
        network.train_on_batch(*data)
    mean = data[0].mean(axis=(0, 1, 2))
    np.testing.assert_allclose(running(network)[0], 0.99**2 * 7 + (1 - 0.99**2) * mean, rtol=1e-12)


def test_inference_uses_and_keeps_the_running_statistics(data):
    network = made(*usual(), precision="float64")
    network.fit(*data, epochs=2, batch_size=8, verbose=0)
    before = running(network), running(network, 1)
    whole = network.predict(data[0])
    one_by_one = np.concatenate([network.predict(x[None]) for x in data[0]])
    np.testing.assert_allclose(one_by_one, whole, rtol=1e-12)
    network.evaluate(*data)
    np.testing.assert_allclose(network.activations(data[0])[-1], whole, rtol=1e-12)
    for got, want in zip((running(network), running(network, 1)), before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    assert before[0][2] == 6


def test_a_batch_that_is_not_finite_leaves_no_trace(data):
    x, y = data
    network, twin = made(*usual(), Dropout(0.5)), made(*usual(), Dropout(0.5))
    for one in (network, twin):
        one.fit(x, y, batch_size=8, verbose=0)
    before = running(network), running(network, 1)
    for value in (np.nan, np.inf):
        bad = x[:8].copy()
        bad[3, 4, 5, 1] = value
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"begin at 0\.Conv2D"):
            network.train_on_batch(bad, y[:8])
    for got, want in zip((running(network), running(network, 1)), before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    for one in (network, twin):
        one.fit(x, y, batch_size=8, verbose=0)
    assert same(network, twin)


def test_a_variance_too_large_for_its_type_stops_training(data):
    """Outputs would be 0 by division by infinity, the loss finite, and the running variance infinite for ever."""
    network = made(BatchNormalization())
    x = (1e25 * np.sign(data[0])).astype("float32")
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"begin at 0\.BatchNormalization"),
    ):
        network.train_on_batch(x, data[1])
    assert running(network)[1].tolist() == [1, 1] and running(network)[2] == 0


def test_the_learning_rate_finder_leaves_no_trace(data):
    network = made(*usual())
    network.train_on_batch(*data)
    before = running(network)
    network.lr_find(*data)
    assert all(np.array_equal(a, b) for a, b in zip(running(network), before, strict=True))


def test_replays_move_the_statistics_the_same(data, isa, dtype):
    replayed, called = (made(*usual(), precision=dtype.name) for _ in range(2))
    called._engine.recorder.enabled = False
    for network in (replayed, called):
        for size in (6, 6, 3, 6, 9, 6, 6):
            network.train_on_batch(data[0][:size], data[1][:size])
    assert (
        replayed._engine.workspaces.current_training.recordings
        and not called._engine.workspaces.current_training.recordings
    )
    assert same(replayed, called)
    assert running(replayed)[2] == running(called)[2] == 7


def test_a_row_of_features_alone_is_beta(rng):
    """As in Keras: a batch of one has no variance. It may not divide by zero."""
    network = GWUNetwork([BatchNormalization(epsilon=0.5), Dense(1)], seed=1)
    network.compile("mse")
    network.build((4,))
    network.train_on_batch(rng.standard_normal((1, 4)), [0.5])
    assert running(network)[1].tolist() == [0] * 4
    assert np.isfinite(network.predict(rng.standard_normal((3, 4)))).all()


# ------------------------------------------------------------------------------------------------------ freezing


def test_frozen_it_uses_the_running_statistics_in_training(data):
    network = made(*usual(), precision="float64")
    network.fit(*data, batch_size=8, verbose=0)
    norm = network.layers[1]
    norm.trainable = False
    network.compile(loss="cross_entropy", lr=0.05)
    before, weights = running(network), [p.constant.copy() for p in norm.parameters]
    loss = network.evaluate(*data)
    network.layers[5].trainable = False
    network.compile(loss="cross_entropy", lr=0.05)
    assert network.train_on_batch(*data) == pytest.approx(loss, rel=1e-12), "the same forward as in use"
    assert all(np.array_equal(a, b) for a, b in zip(running(network), before, strict=True))
    assert all(np.array_equal(p.constant, w) for p, w in zip(norm.parameters, weights, strict=True))
    assert not norm.gamma.grad.any() and not norm.beta.grad.any()
    norm.trainable = True
    network.compile(loss="cross_entropy", lr=0.05)
    network.train_on_batch(*data)
    assert running(network)[2] == before[2] + 1
    assert (norm.gamma.constant != weights[0]).any()
    assert not norm.moving_mean.trainable and not norm.moving_variance.trainable


def test_a_frozen_layer_normalisation(data):
    network = made(LayerNormalization(trainable=False), precision="float64")
    network.train_on_batch(*data)
    assert network.get_weights()[0].tolist() == [1, 1]
    network.layers[0].trainable = True
    network.compile(loss="cross_entropy", lr=0.05)
    network.train_on_batch(*data)
    assert (network.get_weights()[0] != 1).all()


# ------------------------------------------------------------------------------------------------------- folding


def names(layers, **options):
    network = GWUNetwork(layers)
    network.build((14, 14, 2))
    return [type(step).__name__ for step in plan(Graph.row(network.layers), **options).graph.steps]


def conv(activation=None, **options):
    return Conv2D(4, activation=activation, **options)


@pytest.mark.parametrize(
    ("layers", "steps"),
    [
        ([conv(), BatchNormalization()], ["Conv2D"]),
        ([conv(), BatchNormalization(), RELU(), Flatten()], ["Conv2D", "Flatten"]),
        ([conv(), BatchNormalization(), RELU(), MaxPooling2D(), Flatten()], ["ConvPool", "Flatten"]),
        ([conv(), BatchNormalization(), MaxPooling2D(), Flatten()], ["ConvPool", "Flatten"]),
        ([conv(), BatchNormalization(), BatchNormalization()], ["Conv2D", "BatchNormalization"]),
        ([conv("relu"), BatchNormalization()], ["Conv2D", "BatchNormalization"]),
        ([conv(), RELU(), BatchNormalization()], ["Conv2D", "BatchNormalization"]),
        ([conv(), LayerNormalization()], ["Conv2D", "LayerNormalization"]),
        ([conv(), Dropout(0.5), BatchNormalization()], ["Conv2D"]),
        ([BatchNormalization(), conv(), BatchNormalization()], ["BatchNormalization", "Conv2D"]),
        ([DepthwiseConv2D(), BatchNormalization(), RELU(), Flatten()], ["ConvRelu", "Flatten"]),
        ([SeparableConv2D(3, 3), BatchNormalization()], ["SeparableConv2D"]),
        ([Conv2DTranspose(3, 3), BatchNormalization()], ["Conv2DTranspose", "BatchNormalization"]),
        ([Flatten(), Dense(4), BatchNormalization(), RELU(), Dense(2)], ["Flatten", "Dense", "Dense"]),
    ],
)
def test_steps_of_inference(layers, steps):
    assert names(layers, training=False) == steps
    for layer in layers:
        set_inside(layer, label=type(layer).__name__)
    written = [type(layer).__name__ for layer in layers]
    assert names(layers, training=False, fuse=False) == written
    assert {"BatchNormalization", "NormRelu", "LayerNormalization"} & set(names_again(layers))


def test_group_normalisation_is_between_two_others(rng):
    """One group of all channels at one pixel is layer normalisation; groups do not see the rest of the batch."""
    x = rng.standard_normal((5, 12))
    groups, layer = (
        GWUNetwork([GroupNormalization(1)], precision="float64"),
        GWUNetwork([LayerNormalization()], precision="float64"),
    )
    np.testing.assert_allclose(groups.predict(x), layer.predict(x), rtol=1e-12)
    images = rng.standard_normal((5, 4, 3, 6)) * 3 + 7
    network = GWUNetwork([GroupNormalization(3, epsilon=0)], precision="float64")
    y = network.predict(images).reshape(5, 12, 3, 2)
    np.testing.assert_allclose(y.mean(axis=(1, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(1, 3)), 1, rtol=1e-12)
    np.testing.assert_array_equal(network.predict(images[2:3]), network.predict(images)[2:3])


def test_groups_that_do_not_fit():
    with pytest.raises(ShapeError) as caught:
        GroupNormalization().build((5, 5, 8))
    assert str(caught.value) == (
        "GroupNormalization: expected channels that can be divided into groups=32, got 8 of them; choose a divisor of 8"
    )
    with pytest.raises(ValueError, match="^GroupNormalization: expected groups to be an integer of at least 1, got 0$"):
        GroupNormalization(0)


def names_again(layers):
    """In training nothing is folded."""
    return [type(step).__name__ for step in plan(Graph.row(layers)).graph.steps]


def test_layers_derived_from_ours_are_not_folded():
    class MyNorm(BatchNormalization):
        pass

    class MyConv(Conv2D):
        pass

    assert names([conv(), MyNorm()], training=False) == ["Conv2D", "MyNorm"]
    assert names([MyConv(4), BatchNormalization()], training=False) == ["MyConv", "BatchNormalization"]


STACKS = {
    "pooled": usual,
    "strides, groups": lambda: [
        Conv2D(6, strides=2, groups=2, add_bias=True),
        BatchNormalization(),
        RELU(),
        Conv2D(4, 2, padding="same"),
        BatchNormalization(epsilon=0.1),
        Dropout(0.5),
    ],
    "each channel by itself": lambda: [
        DepthwiseConv2D(depth_multiplier=3, add_bias=True),
        BatchNormalization(),
        RELU(),
        SeparableConv2D(5, 2),
        BatchNormalization(),
    ],
    "dense": lambda: [Flatten(), Dense(20, True), BatchNormalization(), RELU(), Dense(7), BatchNormalization()],
    "winograd": lambda: [
        Conv2D(32, padding="same"),
        BatchNormalization(),
        RELU(),
        Conv2D(32, padding="same"),
        BatchNormalization(),
        RELU(),
        MaxPooling2D(),
    ],
    "inside of others": lambda: [
        Residual([Conv2D(2, padding="same"), BatchNormalization(), RELU(), Conv2D(2, padding="same"), BatchNormalization()]),
        RELU(),
        Concatenate([[Conv2D(3), BatchNormalization()], [Conv2D(2), BatchNormalization(), RELU(), Dropout(0.2)]]),
    ],
}  # fmt: skip


def pair(stack, **options):
    """Return the same network with and without fusion, with weights that are not the first ones."""
    fused, plain = (made(*STACKS[stack](), fuse=fuse, **options) for fuse in (True, False))
    rng = np.random.default_rng(7)
    weights = [
        rng.uniform(0.5, 2, p.shape) if p.name in ("gamma", "moving_variance") else rng.standard_normal(p.shape) / 2
        for p in fused.parameters
    ]
    for network in (fused, plain):
        network.set_weights(weights)
    return fused, plain


# Of outputs of a softmax, after some layers whose sums are rounded in another order.
ROOM = {"float32": 2e-5, "float64": 1e-13}


@pytest.mark.parametrize("stack", STACKS)
def test_folded_predictions_are_those_of_the_layers(stack, isa, dtype, data):
    fused, plain = pair(stack, precision=dtype.name, winograd=stack == "winograd")
    x = data[0].astype(dtype)
    want = plain.predict(x)
    assert np.ptp(want) > 0.1
    np.testing.assert_allclose(fused.predict(x), want, atol=ROOM[dtype.name], rtol=0)
    np.testing.assert_allclose(fused.predict(x, batch_size=7), want, atol=ROOM[dtype.name], rtol=0)
    assert fused.evaluate(*data) == pytest.approx(plain.evaluate(*data), rel=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("stack", STACKS)
def test_folded_weights_follow_every_change(stack, data):
    """They are kept between predictions as long as nothing changes: training, setting and writing must be seen."""
    fused, plain = pair(stack, precision="float64")
    x, y = data

    def agree(sizes=(24, 5, 24)):
        for size in sizes:
            np.testing.assert_allclose(fused.predict(x, size), plain.predict(x, size), atol=1e-12, rtol=0)

    agree()
    before = fused.predict(x)
    for change in range(4):
        for network in (fused, plain):
            norm = next(p for p in network.parameters if p.name == "moving_mean")
            if change == 0:  # statistics move with everything else
                network.train_on_batch(x, y)
            elif change == 1:  # nothing but the statistics
                network.compile(loss="cross_entropy", lr=1e-300)
                network.train_on_batch(x[:9], y[:9])
            elif change == 2:
                network.set_weights([1.5 * weight for weight in network.get_weights()])
            else:
                norm.value[...] += 0.25
        after = fused.predict(x, 24)
        assert np.abs(after - before).max() > 1e-9
        before = after
        agree()


def test_folding_leaves_the_layers_alone(data):
    fused, plain = pair("pooled")
    assert_exact(np.array([w.sum() for w in fused.get_weights()]), [w.sum() for w in plain.get_weights()], "float32")
    fused.predict(data[0])
    assert same(fused, plain)
    assert repr(fused) == repr(plain)
    assert fused.layers[0].activation is None


@pytest.mark.parametrize("stack", STACKS)
def test_training_is_the_same_with_and_without_fusion(stack, data):
    fused, plain = pair(stack, precision="float64")
    losses = [network.fit(*data, epochs=2, batch_size=8, verbose=0).history["loss"] for network in (fused, plain)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-10)
    for got, want in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


# ------------------------------------------------------------------------------------------------------- by torch


@pytest.mark.parametrize("momentum", [0.9, 0.99])
def test_batch_normalisation_is_torchs(momentum, data):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.BatchNorm2d(2, eps=1e-3, momentum=1 - momentum, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor([0.5, 2.0]))
        theirs.bias.copy_(torch.tensor([1.0, -1.0]))
    ours = GWUNetwork([BatchNormalization(momentum)], precision="float64")
    ours.compile("mse", lr=1e-300)
    ours.build((9, 10, 2))
    ours.set_weights([np.array(v) for v in ([0.5, 2.0], [1.0, -1.0], [0.0, 0.0], [1.0, 1.0])])
    for first in (0, 8, 16):
        x = data[0][first : first + 8]
        inputs = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
        outputs = theirs(inputs)
        loss = ((outputs - 0.25) ** 2).mean()
        theirs.zero_grad()
        loss.backward()
        assert ours.train_on_batch(x, np.full(x.shape, 0.25)) == pytest.approx(loss.item(), rel=1e-12)
        layer = ours.layers[0]
        np.testing.assert_allclose(layer.gamma.grad, theirs.weight.grad.numpy(), rtol=1e-10)
        np.testing.assert_allclose(layer.beta.grad, theirs.bias.grad.numpy(), rtol=1e-10)
        np.testing.assert_allclose(layer.moving_mean.constant, theirs.running_mean.numpy(), rtol=1e-12)
    # torch's running variance is unbiased: R / (R - 1) times as large, as far as batches have moved it.
    kept = momentum**3
    scale = x.size // 2 / (x.size // 2 - 1)
    ours_moved = layer.moving_variance.constant - kept
    np.testing.assert_allclose(ours_moved * scale, theirs.running_var.numpy() - kept, rtol=1e-10)


def test_layer_normalisation_is_torchs(data):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.LayerNorm(2, eps=1e-3, dtype=torch.float64)
    ours = GWUNetwork([LayerNormalization()], precision="float64")
    ours.compile("mse", lr=1e-300)
    ours.build((9, 10, 2))
    outputs = theirs(torch.tensor(data[0]))
    loss = ((outputs - 0.25) ** 2).mean()
    loss.backward()
    assert ours.train_on_batch(data[0], np.full(data[0].shape, 0.25)) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(ours.layers[0].gamma.grad, theirs.weight.grad.numpy(), rtol=1e-10)
    np.testing.assert_allclose(ours.layers[0].beta.grad, theirs.bias.grad.numpy(), rtol=1e-10)


# -------------------------------------------------------------------------------------------------- descriptions


@pytest.mark.parametrize("momentum", [1, -0.1, 1.5, np.nan, "some", None, True])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(
        ValueError, match="^BatchNormalization: expected momentum to be a number from 0 to less than 1, got "
    ):
        BatchNormalization(momentum)


@pytest.mark.parametrize("layer", [BatchNormalization, LayerNormalization])
def test_other_wrong_uses(layer):
    with pytest.raises(ValueError, match=f"^{layer.__name__}: expected epsilon to be a number of at least 0, got -1"):
        layer(epsilon=-1)
    with pytest.raises(ValueError, match=f"^{layer.__name__}: expected trainable to be True or False"):
        layer(trainable="no")
    with pytest.raises(TypeError, match="did you mean 'epsilon'"):
        layer(epsilom=0.1)
    with pytest.raises(ShapeError):
        layer().build(())


def test_descriptions():
    assert repr(BatchNormalization()) == "BatchNormalization()"
    assert repr(BatchNormalization(0.9, 1e-5, trainable=False, name="n")) == (
        "BatchNormalization(momentum=0.9, epsilon=1e-05, trainable=False, name='n')"
    )
    assert repr(LayerNormalization(0.01)) == "LayerNormalization(epsilon=0.01)"
    assert BatchNormalization(0.5).config() == {"momentum": 0.5}


def test_channels_first(rng):
    """The network's order of axes is none of a normalisation's business: channels are normalised."""
    x = rng.standard_normal((6, 2, 9, 10))
    first = made(*usual(), data_format="channels_first", shape=(2, 9, 10), precision="float64")
    last = made(*usual(), precision="float64")
    for network, images in ((first, x), (last, x.transpose(0, 2, 3, 1))):
        network.layers[-1].trainable = network.layers[4].trainable = False
        network.compile(loss="cross_entropy", lr=0.1)
        network.train_on_batch(images, [0, 1, 2, 0, 1, 2])
    np.testing.assert_allclose(running(first)[0], running(last)[0], rtol=1e-12)
