"""How `fit` calls callbacks, shows progress, and warns about data that will not train."""

import re
import warnings

import numpy as np
import pytest

from gwucnn import Adam, Dense, Flatten, GWUNetwork, LambdaCallback, Layer
from trainees import small, small_data, weights


@pytest.fixture
def data(rng):
    return small_data(rng)


# -------------------------------------------------------------------------------------------------- callbacks


def test_a_callback_is_a_function_of_the_record(data):
    records = []
    small().fit(*data, epochs=2, batch_size=4, callbacks=[records.append])
    assert [list(record) for record in records] == [["epoch", "loss", "accuracy", "lr", "seconds"]] * 2
    assert [record["epoch"] for record in records] == [0, 1]
    assert all(0 <= record["accuracy"] <= 1 and record["seconds"] > 0 and record["lr"] == 0.1 for record in records)


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


@pytest.mark.parametrize("batch_size", [1, 6])
def test_hooks_for_batches(data, batch_size):
    """They see every batch, and neither weights nor history depend on them."""
    seen, begun = [], []

    class Watch:
        def on_batch_begin(self, batch):
            begun.append(batch)

        def on_batch_end(self, record):
            seen.append((record["batch"], record))

    watched, plain, stepped = small(), small(), small()
    history = watched.fit(*data, epochs=2, batch_size=batch_size, callbacks=[Watch()])
    plainly = plain.fit(*data, epochs=2, batch_size=batch_size)
    np.testing.assert_array_equal(weights(watched), weights(plain))
    assert history.history["loss"] == plainly.history["loss"]
    count = -(-20 // batch_size)
    assert begun == [batch for batch, _ in seen] == [*range(count)] * 2
    assert [logs["loss"] for batch, logs in seen if batch == count - 1] == history.history["loss"]
    assert [logs["accuracy"] for batch, logs in seen if batch == count - 1] == history.history["accuracy"]

    losses = []
    stepped.fit(*data, epochs=0)
    x, y = data
    for _ in range(2):
        order = stepped._rng.permutation(20)
        for start in range(0, 20, batch_size):
            numbers = order[start : start + batch_size]
            losses.append(stepped.train_on_batch(x[numbers], y[numbers]))
    assert [logs["batch_loss"] for _, logs in seen] == losses


def test_hooks_for_batches_may_change_the_network(data):
    """What a hook changes counts from the next batch on."""
    changed, network, losses = [], small(), []

    class Change:
        def on_batch_end(self, record):
            losses.append(network.evaluate(*data))
            network.optimizer.lr /= 2
            network.set_weights([weight / 2 for weight in network.get_weights()])
            changed.append(weights(network))

        def on_batch_begin(self, batch):
            if changed:
                np.testing.assert_array_equal(weights(network), changed[-1])

    network.fit(*data, callbacks=[Change()])
    assert network.optimizer.lr == 0.1 / 2**20 and len(set(losses)) == 20


def test_hooks_for_batches_of_a_stream(data):
    x, y = data
    seen = []
    batches = [(x[:5], y[:5]), (x[5:], y[5:])]
    small().fit(batches, callbacks=[LambdaCallback(on_batch_end=lambda record: seen.append(record["batch"]))])
    assert seen == [0, 1]


def test_without_hooks_for_batches_many_are_trained_on_at_once(data):
    network, steps = small(), []
    train = network._train
    network._train = lambda *args: steps.append(train(*args)) or steps[-1]
    network.fit(*data, callbacks=[lambda record: None])
    assert steps == [1, 19]
    steps.clear()
    network.fit(*data, callbacks=[LambdaCallback(on_batch_begin=lambda batch: None)])
    assert steps == [1] * 20


def test_a_record_that_a_callback_changes_is_its_own_affair(data):
    history = small().fit(*data, epochs=2, callbacks=[lambda record: record.clear()])
    assert len(history.history["loss"]) == 2


# ---------------------------------------------------------------------------------------- what one sees of it


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


class Divide(Layer):
    """Brings pixels to 0..1, and says so."""

    rescales_pixels = True

    def forward(self, x, space):
        return x / 255

    def backward(self, dy, space):
        return dy / 255


def test_unscaled_pixels_are_warned_about_once(rng):
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
        scaled = GWUNetwork([Divide(), Flatten(), Dense(3, activation="softmax")])
        scaled.compile("cross_entropy")
        scaled.fit(x, y)
        small().fit(x / 255, y)
        table = GWUNetwork([Dense(1)])
        table.compile("mse", lr=1e-9)
        table.fit(np.full((3, 2), 1000.0), [0, 1, 2])


def test_a_callback_may_have_methods_of_its_own(data):
    seen = []

    class Own:
        def on_epoch_end(self, record):
            self.on_improvement(record)

        def on_improvement(self, record):
            seen.append(record["epoch"])

    small().fit(*data, epochs=2, callbacks=[Own()])
    assert seen == [0, 1]
