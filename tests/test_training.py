"""What the arguments of fit do: batches, epochs, held-out data, weights, callbacks, progress, and the record of it."""

import re
import warnings

import numpy as np
import pytest

from gwucnn import Adam, Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, set_random_seed, to_categorical


def small(loss="cross_entropy", lr=0.1, optimizer="sgd", seed=0, **options):
    network = GWUNetwork(
        [Conv2D(3, activation="relu", add_bias=True), MaxPooling2D(), Flatten(), Dense(3, True, "softmax")],
        seed=seed,
        precision="float64",
        **options,
    )
    network.compile(loss, lr=lr, optimizer=optimizer)
    return network


@pytest.fixture
def data(rng):
    return rng.random((20, 6, 6)), rng.integers(0, 3, 20)


def weights(network):
    return np.concatenate([weight.ravel() for weight in network.get_weights()])


# ------------------------------------------------------------------------------------------- batches, epochs


def test_fit_is_the_same_batches_one_by_one(data):
    """Also with a last batch that is smaller, and an optimizer that remembers."""
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


def test_train_on_batch_returns_the_loss_before_and_moves_once(data):
    x, y = data
    network = small(lr=0.01)
    before = network.evaluate(x, y)
    loss = network.train_on_batch(x, y)
    assert type(loss) is float
    assert loss == pytest.approx(before, rel=1e-12)
    assert network.evaluate(x, y) < before


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples(data):
    """Not over its batches, of which the last is smaller."""
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
    network._train = lambda where, engine, batches, indices, totals: (
        seen.append(batches.x[indices].sum()),
        step(where, engine, batches, indices, totals),
    )
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


def test_initial_epoch_goes_on_counting(data):
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


# ----------------------------------------------------------------------------------------------------- seeds


def test_the_same_seed_gives_the_same_bits(data):
    first, second, other = (small(seed=seed) for seed in (7, 7, 8))
    losses = [
        network.fit(*data, epochs=3, batch_size=4).history["loss"] for network in (first, second, other)
    ]
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
def test_what_is_no_seed(seed):
    for who, call in (
        ("GWUNetwork", lambda: GWUNetwork(seed=seed)),
        ("set_random_seed", lambda: set_random_seed(seed)),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == f"{who}: expected seed to be an integer of at least 0, got {seed!r}"


# ---------------------------------------------------------------------------------------------- held-out data


def test_validation_data_are_evaluated_after_each_epoch(data, rng):
    network = small()
    x, y = rng.random((9, 6, 6)), np.array([0, 1, 2] * 3)
    evaluations = []
    history = network.fit(
        *data,
        epochs=3,
        validation_data=(x, y),
        callbacks=[lambda record: evaluations.append(network.evaluate(x, y, return_dict=True)) or False],
    ).history
    assert [each["loss"] for each in evaluations] == pytest.approx(history["val_loss"], rel=1e-12)
    assert [each["accuracy"] for each in evaluations] == history["val_accuracy"]
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "lr"]


def test_validation_split_holds_out_the_last_part(data, rng):
    x, y = data
    y[-5:] = [0, 1, 2, 0, 1]
    split, given = small(), small()
    first = split.fit(x, y, epochs=2, batch_size=4, validation_split=0.25).history
    second = given.fit(x[:15], y[:15], epochs=2, batch_size=4, validation_data=(x[15:], y[15:])).history
    assert first == second
    np.testing.assert_array_equal(weights(split), weights(given))


def test_validation_changes_nothing_about_the_training(data):
    watched, alone = small(), small()
    watched.fit(*data, epochs=3, batch_size=6, validation_data=data)
    alone.fit(*data, epochs=3, batch_size=6)
    np.testing.assert_array_equal(weights(watched), weights(alone))


def test_a_class_that_is_not_validated_is_warned_about_once(data):
    x, y = data[0], np.sort(data[1])
    message = (
        "fit: expected every class in the validation split, got none of class 0, 1 in the last 4 samples; shuffle x and "
        "y together before fit, or give validation_data"
    )
    network = small()
    with pytest.warns(UserWarning) as caught:
        network.fit(x, y, validation_split=0.2)
    assert [(str(warning.message), warning.filename) for warning in caught] == [(message, __file__)]
    network.fit(x, y, validation_split=0.2)
    with pytest.warns(UserWarning, match="got none of class 0, 1 in"):
        small().fit(x, to_categorical(y), validation_split=0.2)
    quantities = GWUNetwork([Flatten(), Dense(1)])
    quantities.compile("mse")
    quantities.fit(x, y, validation_split=0.2)


# ---------------------------------------------------------------------------------------------------- weights


def test_a_sample_that_counts_twice_is_a_sample_that_is_there_twice(data):
    x, y = data
    counts = np.arange(20) % 3
    weighted, repeated = small(), small()
    weighted.fit(x, y, epochs=3, batch_size=20, sample_weight=counts)
    repeated.fit(np.repeat(x, counts, axis=0), np.repeat(y, counts), epochs=3, batch_size=60)
    np.testing.assert_allclose(weights(weighted), weights(repeated), rtol=1e-10)


def test_weights_in_small_batches_are_relative_to_their_batch(data):
    """A batch's loss is its weighted mean, so that equal weights, however large, are no weights."""
    x, y = data
    plain, weighted = small(), small()
    plain.fit(x, y, batch_size=6)
    history = weighted.fit(x, y, batch_size=6, sample_weight=np.full(20, 7.0)).history
    np.testing.assert_allclose(weights(plain), weights(weighted), rtol=1e-10)
    assert history["loss"][0] == pytest.approx(small().fit(x, y, batch_size=6).history["loss"][0], rel=1e-10)


def test_class_weight_weighs_the_samples_of_a_class(data):
    x, y = data
    for targets in (y, y[:, None], to_categorical(y, 3)):
        by_class, by_sample = small(), small()
        by_class.fit(x, targets, batch_size=5, class_weight={0: 2.0, 2: 0.5})
        by_sample.fit(x, targets, batch_size=5, sample_weight=np.choose(y, [2.0, 1.0, 0.5]))
        np.testing.assert_array_equal(weights(by_class), weights(by_sample))


def test_class_and_sample_weight_multiply(data):
    x, y = data
    both, product = small(), small()
    each = np.linspace(0.5, 2, 20)
    both.fit(x, y, class_weight={1: 3}, sample_weight=each)
    product.fit(x, y, sample_weight=each * np.where(y == 1, 3, 1))
    np.testing.assert_allclose(weights(both), weights(product), rtol=1e-12)


def test_class_weight_of_one_yes_or_no_output(rng):
    x, y = rng.standard_normal((12, 3)), rng.integers(0, 2, 12)
    results = []
    for options in ({"class_weight": {1: 4.0}}, {"sample_weight": np.where(y == 1, 4.0, 1.0)}):
        network = GWUNetwork([Dense(1, activation="sigmoid")], seed=0)
        network.compile("log_loss", lr=0.5)
        network.fit(x, y, epochs=3, batch_size=5, **options)
        results.append(weights(network))
    np.testing.assert_array_equal(*results)


def test_samples_of_no_weight_do_not_count(data):
    x, y = data
    counted = y != 2
    weighted, without = small(), small()
    weighted.fit(x, y, epochs=2, batch_size=20, class_weight={2: 0})
    without.fit(x[counted], y[counted], epochs=2, batch_size=20)
    np.testing.assert_allclose(weights(weighted), weights(without), rtol=1e-10)
    network = small()
    before = network.evaluate(x, y)
    network.fit(x, y, batch_size=1, shuffle=False, sample_weight=[1.0] + [0.0] * 19)
    alone = small()
    alone.fit(x[:1], y[:1])
    np.testing.assert_array_equal(weights(network), weights(alone))
    assert np.isfinite(before)


# -------------------------------------------------------------------------------------------------- callbacks


def test_a_callback_is_a_function_of_the_record(data):
    records = []
    small().fit(*data, epochs=2, batch_size=4, callbacks=[records.append])
    assert [list(record) for record in records] == [["epoch", "loss", "accuracy", "lr", "seconds"]] * 2
    assert [record["epoch"] for record in records] == [0, 1]
    assert all(
        0 <= record["accuracy"] <= 1 and record["seconds"] > 0 and record["lr"] == 0.1 for record in records
    )


def test_true_stops_and_all_callbacks_have_seen_it(data):
    seen = []
    history = small().fit(
        *data,
        epochs=9,
        callbacks=[lambda record: record["epoch"] == 2, lambda record: seen.append(record["epoch"])],
    )
    assert history.epoch == seen == [0, 1, 2]


class Watcher:
    """Writes down which of its hooks was called."""

    def __init__(self, answer=None):
        self.calls, self.answer = [], answer

    def set_network(self, network):
        self.calls.append(network)

    def on_train_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self, record):
        self.calls.append(record["epoch"])
        return self.answer

    def on_train_end(self):
        self.calls.append("end")


def test_a_callback_is_an_object_with_hooks(data):
    network, watcher = small(), Watcher()
    network.fit(*data, epochs=2, callbacks=(watcher,))
    assert watcher.calls == [network, "begin", 0, 1, "end"]
    stopping = Watcher(answer=True)
    assert small().fit(*data, epochs=5, callbacks=[stopping]).epoch == [0]
    assert stopping.calls[1:] == ["begin", 0, "end"]


def test_any_of_the_hooks_will_do(data):
    class OnlyEnd:
        ended = False

        def on_train_end(self):
            self.ended = True

    only = OnlyEnd()
    small().fit(*data, callbacks=[only])
    assert only.ended


def test_a_callback_may_change_the_learning_rate(data):
    network, moves = small(), Adam(0.1)
    network.compile("cross_entropy", optimizer=moves)

    def halve(record):
        moves.lr /= 2

    history = network.fit(*data, epochs=3, callbacks=[halve])
    assert history.history["lr"] == [0.1, 0.05, 0.025]


def test_a_record_that_a_callback_changes_is_its_own_affair(data):
    history = small().fit(*data, epochs=2, callbacks=[lambda record: record.clear()])
    assert len(history.history["loss"]) == 2


# ------------------------------------------------------------------------------------- accuracy and evaluation


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


def test_accuracy_is_for_classes_and_for_who_wants_it(data):
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


def test_compiling_again_goes_on_from_the_same_weights(data):
    x, y = data
    network = small()
    network.fit(x, y)
    before = weights(network)
    network.compile("cross_entropy", lr=0.5, optimizer="adam")
    np.testing.assert_array_equal(weights(network), before)
    assert network.fit(x, y).history["lr"] == [0.5]


def test_a_layer_is_frozen_and_freed_at_the_next_compile(data):
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


# --------------------------------------------------------------------------------------- what one sees of it


def test_verbose_0_and_auto_without_a_terminal_are_silent(data, capsys):
    for verbose in (0, "auto", False):
        small().fit(*data, verbose=verbose)
    assert capsys.readouterr() == ("", "")


def test_verbose_1_is_a_bar_an_epoch(data, capsys):
    small().fit(*data, epochs=2, batch_size=6, verbose=1, validation_data=data)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 1/2: 100%" in err and "epoch 2/2: 100%" in err and "20.0/20.0" in err
    assert re.search(r"loss=\d\.\d{4}, accuracy=\d\.\d{4}, val_loss=\d\.\d{4}, val_accuracy=\d\.\d{4}\]", err)
    assert err.endswith("\n")


def test_verbose_auto_on_a_terminal_is_a_bar(data, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    small().fit(*data, batch_size=5)
    assert "epoch 1/1: 100%" in capsys.readouterr().err


def test_verbose_2_is_a_line_an_epoch(data, capsys):
    small().fit(*data, epochs=4, initial_epoch=2, verbose=2)
    out, err = capsys.readouterr()
    assert err == ""
    first, second = out.splitlines()
    pattern = r"epoch {}/4: loss \d\.\d{{4}}, accuracy \d\.\d{{4}} \(\d+\.\d s, \d+ images/s\)"
    assert re.fullmatch(pattern.format(3), first) and re.fullmatch(pattern.format(4), second)


def test_a_bar_is_closed_when_training_breaks_off(data, capsys):
    def fail(record):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        small().fit(*data, verbose=1, callbacks=[fail])
    assert capsys.readouterr().err.endswith("\n")


def test_pixels_that_nobody_scaled_are_warned_about_once(rng):
    x, y = rng.integers(0, 256, (6, 6, 6)).astype(np.uint8), [0, 1, 2, 0, 1, 2]
    x[0, 0, 0] = 255
    network = small(lr=1e-6)
    with pytest.warns(UserWarning) as caught:
        network.fit(x, y)
    assert [(str(warning.message), warning.filename) for warning in caught] == [
        (
            "fit: expected pixels of about 0 to 1, got values up to 255; divide by 255, or training will not get far",
            __file__,
        )
    ]
    network.fit(x, y)
    network.predict(x)
    with pytest.warns(UserWarning, match="got values up to 100;"):
        small(lr=1e-6).fit(np.full((3, 6, 6), -100.0), [0, 1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small().fit(x / 255, y)
        table = GWUNetwork([Dense(1)])
        table.compile("mse", lr=1e-9)
        table.fit(np.full((3, 2), 1000.0), [0, 1, 2])


def test_history(data):
    history = small().fit(*data, epochs=2, validation_data=data)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "lr"}
    assert all(len(values) == 2 for values in history.history.values())
    assert history.epoch == [0, 1] and len(history.seconds) == 2 and min(history.seconds) > 0
    assert all(type(value) is float for values in history.history.values() for value in values)
