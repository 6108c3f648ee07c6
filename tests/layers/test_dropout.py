"""Dropout in a network: active in training only, and repeatable with a seed."""

import numpy as np
import pytest

from gwucnn import Conv2D, Dense, Dropout, Flatten, GWUNetwork, Layer, SpatialDropout2D, ops
from gwucnn.common.errors import ShapeError
from layer_cases import Case, Space


def made(seed=3, **options):
    layers = [
        Conv2D(6, activation="relu"),
        SpatialDropout2D(0.3),
        Flatten(),
        Dense(16, activation="relu"),
        Dropout(0.5),
        Dense(3, activation="softmax"),
    ]
    network = GWUNetwork(layers, seed=seed, **options)
    network.compile(loss="cross_entropy", optimizer="adam")
    return network


@pytest.fixture
def data(rng):
    return rng.standard_normal((30, 7, 8)).astype("float32"), rng.integers(0, 3, 30)


def trained(data, **options):
    network = made(**options)
    network.fit(*data, epochs=3, batch_size=8, verbose=0)
    return network


def same(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


# -------------------------------------------------------------------------------------------------- one layer


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_so_many_are_dropped_and_the_mean_stays(rate, dtype):
    layer = Dropout(rate)
    layer.build((100, 100))
    x = np.ones((10, 100, 100), dtype)
    y = layer.forward(x, Space(dtype, training=True))
    assert set(np.unique(y)) == {0, dtype.type(1 / (1 - rate))}
    # Five standard deviations of the share of dropped ones among 100,000.
    assert abs(np.mean(y == 0) - rate) < 5 * np.sqrt(rate * (1 - rate) / y.size)


def test_whole_channels_are_dropped():
    layer = SpatialDropout2D(0.5)
    layer.build((4, 5, 200))
    y = layer.forward(np.ones((3, 4, 5, 200)), Space("float64", training=True))
    assert (y == y[:, :1, :1]).all()
    shares = np.mean(y[:, 0, 0] == 0, axis=1)
    assert len(set(shares)) > 1 and (abs(shares - 0.5) < 0.2).all()


def test_gradients_pass_where_the_numbers_did(rng):
    layer, space = Dropout(0.5), Space("float64", training=True)
    layer.build((50,))
    x, dy = rng.standard_normal((4, 50)), rng.standard_normal((4, 50))
    y = layer.forward(x, space)
    np.testing.assert_array_equal(layer.backward(dy, space), np.where(y != 0, 2 * dy, 0))


def test_inference_skips_it():
    for layer in (Dropout(0.5), SpatialDropout2D(0.5)):
        layer.build((2, 3, 4))
        x = np.ones((2, 2, 3, 4))
        space = Space("float64")
        assert layer.forward(x, space) is x
        assert layer.backward(x, space) is x


def test_wrong_uses():
    with pytest.raises(ValueError, match="^Dropout: expected rate to be a number from 0 to less than 1, got 50"):
        Dropout(50)
    with pytest.raises(TypeError):
        Dropout()
    with pytest.raises(ShapeError, match=r"^SpatialDropout2D: expected images \(H, W, C\), got \(5,\)"):
        SpatialDropout2D(0.5).build((5,))


def test_descriptions():
    assert repr(Dropout(0.5)) == "Dropout(rate=0.5)"
    assert repr(SpatialDropout2D(0.2, name="some")) == "SpatialDropout2D(rate=0.2, name='some')"
    lines = []
    network = made()
    network.build((7, 8))
    network.summary(lines.append)
    assert "4.Dropout" in lines[0] and "1.SpatialDropout2D" in lines[0]


# -------------------------------------------------------------------------------------------------- in a network


def test_a_seed_repeats_the_run(data, threads):
    for n in (1, 2):
        threads(n)
        assert same(trained(data), trained(data))
    assert not same(trained(data), trained(data, seed=4))


def test_numpys_global_seed_repeats_the_run(data):
    networks = []
    for _ in range(2):
        np.random.seed(5)
        networks.append(trained(data, seed=None))
    assert same(*networks)


def test_replayed_or_not(data):
    """Replays draw new masks: the same as when every layer is called each time."""
    called = made()
    called.build((7, 8))
    called._engine.recorder.enabled = False
    called.fit(*data, epochs=3, batch_size=8, verbose=0)
    replayed = trained(data)
    assert (
        replayed._engine.workspaces.current_training.recordings
        and not called._engine.workspaces.current_training.recordings
    )
    assert same(called, replayed)
    assert int(replayed._randomness.draws) == 3 * 4 * 2


def test_no_two_batches_have_one_mask(data):
    """All weights 0 but the last bias: only the mask could make a difference, so look at the masks themselves."""
    network = made()
    masks = []
    for _ in range(4):
        network.train_on_batch(data[0][:8], data[1][:8])
        masks.append(network._engine.workspaces.current_training.spaces[4].saved["mask"].copy())
    assert all((a != b).any() for i, a in enumerate(masks) for b in masks[:i])


def test_using_a_network_draws_nothing(data):
    network = trained(data)
    before, draws = network.predict(data[0]), network._randomness.draws
    network.evaluate(*data)
    network.activations(data[0])
    assert network.predict(data[0]).tobytes() == before.tobytes()
    assert network._randomness.draws == draws
    idle = GWUNetwork([Flatten(), Dense(2)], seed=1)
    idle.build((3, 3))
    state = idle._rng.bit_generator.state
    assert idle._randomness.draws == 0
    assert idle._rng.bit_generator.state == state


def test_the_learning_rate_finder_leaves_no_trace(data):
    network, twin = made(), made()
    for one in (network, twin):
        one.build((7, 8))
    network.lr_find(*data)
    assert network._randomness.draws == 0
    for one in (network, twin):
        one.fit(*data, epochs=2, batch_size=8, verbose=0)
    assert same(network, twin)


def test_the_state_put_back_draws_the_same(data):
    """What a checkpoint has to keep: the array of key and count."""
    network = trained(data)
    state, weights = network._randomness.state.copy(), network.get_weights()
    first = [network.train_on_batch(*data) for _ in range(3)]
    network.set_weights(weights)
    network.compile(loss="cross_entropy", optimizer="adam")
    network._randomness.state[...] = state
    network._engine.optimizer.lr = 1e-9
    assert network.train_on_batch(*data) == first[0]


def test_a_batch_that_was_not_finite_draws_nothing(data):
    x, y = data
    network, twin = made(), made()
    for one in (network, twin):
        one.train_on_batch(x, y)
    bad = x.copy()
    bad[0, 0, 0] = np.nan
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="begin at 0.Conv2D"):
        network.train_on_batch(bad, y)
    for one in (network, twin):
        one.train_on_batch(x, y)
    assert same(network, twin)


class Noisy(Layer):
    """A layer of a user that adds random numbers in training."""

    replayable = True

    def forward(self, x, space):
        if not space.training:
            return x
        noise = space.run("noise", ops.random_uniform, space.random, out=space.array("noise", x.shape))
        return x + noise

    def backward(self, dy, space):
        return dy


def test_layers_of_a_users_own_draw_from_the_same_state(data):
    networks = []
    for _ in range(2):
        network = GWUNetwork([Noisy(), Flatten(), Dense(3, activation="softmax")], seed=2)
        Noisy.replayable = False
        network.compile(loss="cross_entropy")
        network.fit(*data, batch_size=10, verbose=0)
        networks.append(network)
    assert same(*networks) and networks[0]._randomness.draws == 3


def test_cases_have_masks():
    """The table of layer_cases would prove nothing of a layer that dropped nothing."""
    layer, _, _ = Case("", Dropout, {"rate": 0.4}, (37,)).build()
    y = layer.forward(np.ones((2, 37)), Space("float64", training=True))
    assert 0 < np.mean(y == 0) < 1
