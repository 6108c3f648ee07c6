"""`fit`: batches, epochs, seeds, and the state of the network afterwards."""

import numpy as np
import pytest

from gwucnn import Dense, Flatten, GWUNetwork, set_random_seed, to_categorical
from trainees import small, small_data, weights


@pytest.fixture
def data(rng):
    return small_data(rng)


# -------------------------------------------------------------------------------------------- batches, epochs


def test_fit_is_the_same_batches_one_by_one(data):
    """Also with a smaller last batch and an optimizer that has state."""
    x, y = data
    fitted, stepped = small(optimizer="adam"), small(optimizer="adam")
    fitted.fit(x, y, epochs=2, batch_size=8, shuffle=False)
    for _ in range(2):
        for start in (0, 8, 16):
            stepped.train_on_batch(x[start : start + 8], y[start : start + 8])
    np.testing.assert_array_equal(weights(fitted), weights(stepped))


def test_by_default_one_image_is_a_batch(data):
    x, y = data
    fitted, stepped = small(), small()
    fitted.fit(x, y, shuffle=False)
    for image, label in zip(x, y, strict=True):
        stepped.train_on_batch(image[None], label[None])
    np.testing.assert_array_equal(weights(fitted), weights(stepped))


def test_train_on_batch_returns_the_loss_before_its_update(data):
    x, y = data
    network = small(lr=0.01)
    before = network.evaluate(x, y)
    loss = network.train_on_batch(x, y)
    assert type(loss) is float
    assert loss == pytest.approx(before, rel=1e-12)
    assert network.evaluate(x, y) < before


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples(data):
    """Not over its batches, the last of which is smaller."""
    x, y = data
    losses = small(lr=1e-9).fit(x, y, batch_size=7).history["loss"]
    assert losses[0] == pytest.approx(small().evaluate(x, y), rel=1e-6)


def test_batches_larger_than_the_data(data):
    x, y = data
    network, twin = small(), small()
    network.fit(x, y, batch_size=1000, shuffle=False)
    twin.train_on_batch(x, y)
    np.testing.assert_array_equal(weights(network), weights(twin))


def test_shuffle_takes_another_order_each_epoch(data):
    x, y = data
    network = GWUNetwork([Flatten(), Dense(1)], seed=0, precision="float64")
    network.compile("mse", lr=1e-12)
    seen = []
    step = network._train

    def watched(sweeper, run, first, totals):
        batches = step(sweeper, run, first, totals)
        seen.extend(run.data.x[run.indices(first + number)].sum() for number in range(batches))
        return batches

    network._train = watched
    network.fit(x, y, epochs=3, verbose=0)
    epochs = np.reshape(seen, (3, 20))
    for order in epochs:
        np.testing.assert_allclose(np.sort(order), np.sort(x.sum(axis=(1, 2))), rtol=1e-12)
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
    seen.clear()
    network.fit(x, y, shuffle=False)
    np.testing.assert_allclose(seen, x.sum(axis=(1, 2)), rtol=1e-12)


def test_the_data_are_left_as_they_were(data):
    x, y = data
    before = x.copy(), y.copy()
    small().fit(x, y, epochs=2, batch_size=4)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.filterwarnings("ignore:fit. the loss stays")
def test_initial_epoch_continues_counting(data):
    whole, parts = small(optimizer="adam", seed=3), small(optimizer="adam", seed=3)
    records = []
    history = whole.fit(*data, epochs=4, batch_size=5)
    parts.fit(*data, epochs=2, batch_size=5)
    rest = parts.fit(*data, epochs=4, initial_epoch=2, batch_size=5, callbacks=[records.append])
    assert rest.epoch == [record["epoch"] for record in records] == [2, 3]
    assert rest.history["loss"] == history.history["loss"][2:]
    np.testing.assert_array_equal(weights(whole), weights(parts))
    assert parts.fit(*data, epochs=4, initial_epoch=4).epoch == []
    assert parts.fit(*data, epochs=0).history == {}


# ------------------------------------------------------------------------------------------------------ seeds


def test_the_same_seed_gives_the_same_bits(data):
    first, second, other = (small(seed=seed) for seed in (7, 7, 8))
    losses = [network.fit(*data, epochs=3, batch_size=4).history["loss"] for network in (first, second, other)]
    np.testing.assert_array_equal(weights(first), weights(second))
    assert losses[0] == losses[1] != losses[2]
    assert (weights(first) != weights(other)).all()


def test_networks_with_a_seed_leave_numpys_state_alone_and_others_draw_from_it(data):
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    small(seed=5).fit(*data)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    results = []
    for seed in (1, 1, 2):
        set_random_seed(seed)
        first, second = small(seed=None), small(seed=None)
        first.fit(*data)
        second.fit(*data)
        results.append((weights(first), weights(second)))
    assert (results[0][0] != results[0][1]).any(), "two networks of one run differ"
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0][0] != results[2][0]).any()


@pytest.mark.parametrize("seed", [-1, 1.5, "1"])
def test_invalid_seeds(seed):
    for caller, call in (
        ("GWUNetwork", lambda: GWUNetwork(seed=seed)),
        ("set_random_seed", lambda: set_random_seed(seed)),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == f"{caller}: expected seed to be an integer of at least 0, got {seed!r}" + (
            "; write 1 without quotes" if seed == "1" else ""
        )


# ------------------------------------------------------------------------------------ accuracy and evaluation


def test_evaluate(data):
    x, y = data
    network = small()
    loss = network.evaluate(x, y)
    assert type(loss) is float
    p = network.predict(x)
    assert loss == pytest.approx(-np.log(p[range(20), y]).mean(), rel=1e-12)
    record = network.evaluate(x, y, 3, return_dict=True)
    assert record == {"loss": pytest.approx(loss, rel=1e-12), "accuracy": np.mean(p.argmax(axis=1) == y)}
    before = weights(network)
    network.evaluate(x, to_categorical(y))
    np.testing.assert_array_equal(weights(network), before)


def test_accuracy_is_optional_and_only_for_classes(data):
    x, y = data
    quantities = GWUNetwork([Flatten(), Dense(1)], seed=0)
    quantities.compile("mse")
    assert list(quantities.fit(x, y).history) == ["loss", "lr"]
    assert list(quantities.evaluate(x, y, return_dict=True)) == ["loss"]
    network = small()
    for metrics, names in (
        ((), ["loss", "lr"]),
        (None, ["loss", "lr"]),
        ("accuracy", ["loss", "accuracy", "lr"]),
    ):
        network.compile("cross_entropy", metrics=metrics)
        assert list(network.fit(x, y).history) == names


def test_compiling_again_keeps_the_weights(data):
    x, y = data
    network = small()
    network.fit(x, y)
    before = weights(network)
    network.compile("cross_entropy", lr=0.5, optimizer="adam")
    np.testing.assert_array_equal(weights(network), before)
    assert network.fit(x, y).history["lr"] == [0.5]


def test_freezing_and_unfreezing_take_effect_at_compile(data):
    x, y = data
    network = small(lr=0.01, optimizer="adam")
    network.fit(x, y, epochs=2)
    conv, dense = network.layers[0], network.layers[3]
    for frozen, moved in ((conv, dense), (dense, conv)):
        frozen.trainable, moved.trainable = False, True
        before = [p.value.copy() for p in (*frozen.parameters, *moved.parameters)]
        network.compile("cross_entropy", lr=0.01, optimizer="adam")
        for parameter, old in zip((*frozen.parameters, *moved.parameters), before, strict=True):
            np.testing.assert_array_equal(parameter.value, old)
        network.fit(x, y, epochs=2)
        for parameter, old in zip((*frozen.parameters, *moved.parameters), before, strict=True):
            assert (parameter.value != old).any() == (parameter in moved.parameters)
    assert "trainable=False" in repr(dense) and "trainable" not in repr(conv)


def test_history(data):
    history = small().fit(*data, epochs=2, validation_data=data)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "lr"}
    assert all(len(values) == 2 for values in history.history.values())
    assert history.epoch == [0, 1] and len(history.seconds) == 2 and min(history.seconds) > 0
    assert all(type(value) is float for values in history.history.values() for value in values)
