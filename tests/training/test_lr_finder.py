"""The learning rate finder: its losses, its suggestion, and that it leaves the network unchanged."""

import copy
import re

import numpy as np
import pytest

from gwucnn import (
    SGD,
    Adam,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    ExponentialDecay,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    RandomTranslation,
    datasets,
    plotting,
)
from gwucnn.training import LearningRates
from gwucnn.training.lr_finder import BATCHES, PASSES
from trainees import small, small_data, weights


@pytest.fixture
def data(rng):
    return small_data(rng)


@pytest.mark.parametrize(
    "made",
    [lambda: Adam(0.05), lambda: SGD(0.1, momentum=0.9), lambda: Adam(ExponentialDecay(0.1, 5, 0.9))],
    ids=["Adam", "SGD", "schedule"],
)
def test_it_leaves_no_trace(made, data):
    """Training is the same with and without it: weights, optimizer slots, learning rate, order of samples."""
    searched, twin = small(), small()
    for network in (searched, twin):
        network.compile("cross_entropy", optimizer=made())
        network.fit(*data, epochs=2, batch_size=6)
    before = searched.optimizer.updates
    found = searched.lr_find(*data, batch_size=6)
    assert len(found.lrs) > 10
    assert (searched.optimizer.lr, searched.optimizer.updates) == (twin.optimizer.lr, before)
    np.testing.assert_array_equal(weights(searched), weights(twin))
    for network in (searched, twin):
        network.fit(*data, epochs=2, batch_size=6)
    np.testing.assert_array_equal(weights(searched), weights(twin))
    assert searched.history.history == twin.history.history


@pytest.mark.parametrize("at", [30, 110], ids=["ramp", "trials"])
def test_it_leaves_no_trace_when_interrupted(at, data, monkeypatch):
    network, twin = small(), small()
    for each in (network, twin):
        each.fit(*data)
    step, calls = type(network._engine).train_step, []

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == at:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(type(network._engine), "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        network.lr_find(*data)
    monkeypatch.undo()
    network.fit(*data)
    twin.fit(*data)
    np.testing.assert_array_equal(weights(network), weights(twin))


def noisy():
    """Return a network with random numbers and running statistics in training."""
    layers = [
        RandomTranslation(0.1, 0.1),
        Conv2D(3, add_bias=True),
        BatchNormalization(),
        Flatten(),
        Dropout(0.5),
        Dense(3, True, "softmax"),
    ]
    network = GWUNetwork(layers, seed=0, precision="float64")
    network.compile("cross_entropy", optimizer="adam")
    return network


def test_it_leaves_no_trace_with_dropout_augmentation_and_running_statistics(data):
    searched, twin = noisy(), noisy()
    for network in (searched, twin):
        network.fit(*data, epochs=2, batch_size=6)
    predicted = searched.predict(data[0])
    searched.lr_find(*data, batch_size=6)
    np.testing.assert_array_equal(searched.predict(data[0]), predicted)
    for network in (searched, twin):
        network.fit(*data, epochs=2, batch_size=6)
    np.testing.assert_array_equal(searched.get_weights()[0], twin.get_weights()[0])
    np.testing.assert_array_equal(searched.predict(data[0]), twin.predict(data[0]))


def test_rates_grow_by_the_same_factor_and_losses_are_those_of_training(data):
    x, y = data
    network, twin = small(), small()
    found = network.lr_find(x, y, batch_size=20, min_lr=1e-4, max_lr=1e-1, steps=7)
    np.testing.assert_allclose(found.lrs, np.geomspace(1e-4, 1e-1, 7), rtol=1e-12)
    losses = []
    for lr in found.lrs:
        twin.compile("cross_entropy", lr=lr)
        losses.append(twin.train_on_batch(x, y))
    np.testing.assert_allclose(found.raw_losses, losses, rtol=1e-12)
    shares = [[0.9 ** (i - j) for j in range(i + 1)] for i in range(7)]
    smoothed = [np.dot(share, losses[: len(share)]) / sum(share) for share in shares]
    np.testing.assert_allclose(found.losses, smoothed, rtol=1e-12)


def test_a_batch_is_32_by_default_and_batches_are_shuffled(rng):
    x, y = rng.random((64, 3)), rng.random(64)
    network = GWUNetwork([Dense(1, kernel_initializer="zeros")], seed=0, precision="float64")
    network.compile("mse")
    pairs = np.array(network.lr_find(x, y, min_lr=1e-12, max_lr=2e-12, steps=4).raw_losses).reshape(2, 2)
    np.testing.assert_allclose(pairs.mean(axis=1), (y**2).mean(), rtol=1e-6)
    assert pairs[0, 0] != pairs[0, 1] and abs(pairs[0, 0] - (y[:32] ** 2).mean()) > 1e-3


def test_it_ends_when_the_loss_is_far_too_large_or_not_finite(rng):
    x, y = rng.standard_normal((40, 5)), rng.standard_normal(40)
    network = GWUNetwork([Dense(1)], seed=0)
    network.compile("mse")
    found = network.lr_find(x, y)
    ended = [
        number >= 10 and loss > 4 * min(found.losses[:number]) and loss > 2 * found.start
        for number, loss in enumerate(found.losses, 1)
    ]
    assert len(found.lrs) < 100 and ended.index(True) == len(ended) - 1
    with np.errstate(all="ignore"):
        wild = network.lr_find(x, y, min_lr=1e30, max_lr=1e35)
    assert len(wild.lrs) <= 2 and np.isfinite(wild.losses).all()
    with pytest.raises(ValueError, match="^LearningRates.suggestion: expected a learning rate that lowers the loss"):
        _ = wild.suggestion
    assert np.isfinite(weights(network)).all()


def test_the_suggestion_trains():
    """On ten digits, one epoch at the suggested rate learns, at a thousandth of it does not, at a hundred times diverges."""
    (x, y), (x_test, y_test) = datasets.load_sample()
    right = []
    for factor in (1, 1e-3, 100):
        network = GWUNetwork([Dense(32, True, "relu", 784), Dense(10, True, "softmax")], seed=0)
        network.compile("cross_entropy", optimizer="sgd")
        found = network.lr_find(x.reshape(-1, 784) / 255, y, batch_size=16)
        network.compile("cross_entropy", lr=found.suggestion * factor, optimizer="sgd")
        network.fit(x.reshape(-1, 784) / 255, y, 2, 16)
        right.append(network.evaluate(x_test.reshape(-1, 784) / 255, y_test, return_dict=True)["accuracy"])
    assert right[0] > 0.8 > 0.5 > right[1] and right[2] < 0.5


def digits(optimizer, seed, epochs):
    """Return a small network, new or trained on the digits, and the digits."""
    (x, y), _ = datasets.load_sample()
    x = x.astype("float32") / 255
    layers = [Conv2D(8, activation="relu", add_bias=True), MaxPooling2D(), Flatten(), Dense(10, True, "softmax")]
    network = GWUNetwork(layers, seed=seed)
    network.compile("cross_entropy", optimizer=optimizer)
    network.build((28, 28))
    network.fit(x, y, epochs=epochs, batch_size=32, verbose=0)
    return network, x, y


def loss_after_training(network, x, y, lr, optimizer):
    """Return the training loss of the last of five more epochs at this rate, infinity if it was not finite."""
    copied = copy.deepcopy(network)
    copied.compile("cross_entropy", lr=lr, optimizer=optimizer)
    try:
        return copied.fit(x, y, epochs=5, batch_size=32, verbose=0).history["loss"][-1]
    except FloatingPointError:
        return np.inf


@pytest.mark.filterwarnings("ignore:fit. the loss stays:UserWarning")  # at ten times the suggestion
@pytest.mark.parametrize(("optimizer", "trained"), [("adam", 0), ("adam", 5), ("sgd", 0), ("sgd", 15)])
@pytest.mark.parametrize(
    "seed", [0, 8, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3, 4, 5, 6, 7, 9))]
)
def test_five_epochs_at_the_suggestion_beat_those_at_a_tenth_and_at_ten_times_of_it(optimizer, trained, seed):
    network, x, y = digits(optimizer, seed, trained)
    suggested = network.lr_find(x, y, batch_size=32).suggestion
    low, middle, high = (loss_after_training(network, x, y, suggested * factor, optimizer) for factor in (0.1, 1, 10))
    assert middle < low and middle < high


def test_rates_that_shut_all_relus_are_not_too_low():
    """With this seed, the loss of guessing, without a bounce before, ended the search at the four highest rates."""
    network, x, y = digits("sgd", 4, 0)
    found = network.lr_find(x, y)
    assert max(found.trials) == 10 and min(found.trials) < 0.1 and found.suggestion > 0.05


def result(start, trials):
    found = LearningRates(start)
    for lr in trials:
        found.append(lr, start)
    found.trials.update(trials)
    return found


NOTHING_FALLS = {
    "no rate": result(np.nan, {}),
    "the loss rises": result(1.0, {0.1: 1.5, 1.0: np.inf}),
    "the loss stays": result(1.0, {0.1: 1.0, 1.0: 0.995}),
    "nothing to learn": result(0.0, {0.1: 0.0, 1.0: 0.0}),
}


@pytest.mark.parametrize("found", NOTHING_FALLS.values(), ids=NOTHING_FALLS)
def test_no_suggestion_can_be_passed_on_where_no_rate_lowers_the_loss(found):
    network = small()
    with pytest.raises(
        ValueError, match="^LearningRates.suggestion: expected a learning rate that lowers the loss, got none;"
    ):
        network.compile("cross_entropy", lr=found.suggestion)
    assert "suggestion none, no rate lowers the loss" in repr(found)
    if found.lrs:
        assert "none: no rate lowers the loss" in found._repr_html_()


def test_no_suggestion_where_there_is_nothing_to_learn(rng):
    network = GWUNetwork([Dense(1, kernel_initializer="zeros")], seed=0)
    network.compile("mse")
    with pytest.raises(ValueError, match="none lowers it from 0; the network may have learnt these samples"):
        _ = network.lr_find(rng.random((40, 3)), np.zeros(40)).suggestion


def test_trials_begin_with_the_same_weights_and_the_loss_of_each_is_that_of_its_last_pass(data):
    """Against `train_on_batch` with the whole data as the only batch, so that their order plays no part."""
    x, y = data
    network = small()
    found = network.lr_find(x, y, batch_size=20)
    assert len(found.trials) > 3
    start = copy.deepcopy(network)
    start.compile("cross_entropy", lr=1e-300)
    np.testing.assert_allclose(found.start, start.train_on_batch(x, y), rtol=1e-9)
    for lr, loss in found.trials.items():
        twin = copy.deepcopy(network)
        twin.compile("cross_entropy", lr=lr)
        losses = [twin.train_on_batch(x, y) for _ in range(PASSES)]
        if np.isfinite(loss):
            np.testing.assert_allclose(loss, losses[-1], rtol=1e-9)
        else:
            assert max(losses) > 4 * found.start


def test_the_ramp_does_not_end_by_the_differences_between_batches(rng):
    """The loss of one batch in four is a thousand times as large, and at the smallest rates nothing changes it."""
    x, y = np.zeros((8, 3)), np.full(8, 0.03)
    pairs = [(x, y), (x, y), (x, y + 0.97), (x, y)]
    network = GWUNetwork([Dense(1, kernel_initializer="zeros")], seed=0)
    network.compile("mse")
    assert len(network.lr_find(pairs, max_lr=1e-5).lrs) == 100


def test_a_stream(data):
    x, y = data
    pairs = [(x[:8], y[:8]), (x[8:16], y[8:16]), (x[16:], y[16:])]
    found = small().lr_find(pairs, steps=20)
    assert len(found.lrs) == 20 and found.losses[0] > 0 and found.suggestion > 0


@pytest.mark.parametrize("count", [3, 1000])
def test_a_generator_gives_its_first_batches_once(count, data):
    """They are trained on again and again, so that a generator need neither be long nor start again."""
    x, y = data
    given = []

    def batches():
        for number in range(count):
            given.append(number)
            yield x, y

    assert small().lr_find(batches()).suggestion > 0
    assert len(given) <= min(count, BATCHES + 4)


def test_progress_is_shown(data, capsys):
    small().lr_find(*data, steps=10, verbose=1)
    shown = capsys.readouterr().err
    assert re.search(r"lr_find: 100%.* 10\.0/10\.0 .*loss=\d\.\d{4}", shown)
    assert re.search(r"lr_find: trials: 100%.*loss=\d\.\d{4}", shown)
    small().lr_find(*data, steps=10, verbose=2)
    lines = [rf"lr_find{part}: loss \d\.\d{{4}} \(\d\.\d s, \d+ batches/s\)\n" for part in ("", ": trials")]
    assert re.fullmatch("".join(lines), capsys.readouterr().out)
    small().lr_find(*data, steps=10)
    assert capsys.readouterr() == ("", "")


WRONG = [
    ({"min_lr": 0}, "lr_find: expected min_lr to be a number of at least 1e-12, got 0"),
    ({"min_lr": 1.0, "max_lr": 0.1}, "lr_find: expected min_lr below max_lr, got 1.0 and 0.1; give the smaller one first"),
    ({"max_lr": "10"}, "lr_find: expected max_lr to be a number of at least 1e-12, got '10'; write 10 without quotes"),
    ({"steps": 1}, "lr_find: expected steps to be an integer of at least 2, got 1"),
    ({"batch_size": 0}, "lr_find: expected batch_size to be an integer of at least 1, got 0"),
    ({"verbose": 5}, "lr_find: expected verbose to be 0, 1, 2 or 'auto', got 5"),
    ({"step": 9}, "lr_find: expected the arguments x, y, batch_size, min_lr, max_lr, steps, verbose, got 'step'; did you mean "
     "'steps'?"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda case: str(case)[:30])
def test_wrong_options(options, message, data):
    with pytest.raises((ValueError, TypeError)) as caught:
        small().lr_find(*data, **options)
    assert str(caught.value) == message


def test_wrong_data(data):
    x, y = data
    with pytest.raises(ValueError, match="^lr_find: expected finite images, got NaN or infinity in image 0;"):
        small().lr_find(x * np.nan, y)
    with pytest.raises(
        ValueError, match="^lr_find: expected no batch_size with an object that returns batches, got one; leave it out"
    ):
        small().lr_find([(x, y)], batch_size=3)
    with pytest.raises(RuntimeError, match="^lr_find: expected a compiled network"):
        GWUNetwork([Dense(2)]).lr_find(x, y)


def found():
    made = LearningRates(2.0)
    for number in range(40):
        made.append(10 ** (number / 10 - 4), max(2 - number / 20, 0.3) + (number > 35))
    made.trials.update({0.1: np.inf, 0.05: 1.0, 0.02: 0.2, 0.01: 0.4})
    return made


def test_a_notebook_shows_the_suggestion():
    html = found()._repr_html_()
    assert f"{found().suggestion:.4g}" in html and html.count("<polyline") == 1
    assert "no learning rate was tried" in LearningRates()._repr_html_()


def test_plot():
    pytest.importorskip("matplotlib")
    made = found()
    (axis,) = plotting.lr_find(made).axes
    with pytest.raises(TypeError, match="lr_find: expected what network.lr_find returned, got GWUNetwork"):
        plotting.lr_find(GWUNetwork())
    assert len(axis.lines) == len(made.plot().axes[0].lines)
    raw, smoothed, trials, suggestion = axis.lines
    np.testing.assert_array_equal(raw.get_ydata(), made.raw_losses)
    np.testing.assert_array_equal(smoothed.get_ydata(), made.losses)
    assert trials.get_xydata().tolist() == [[0.01, 0.4], [0.02, 0.2], [0.05, 1.0]]
    assert suggestion.get_xdata()[0] == made.suggestion and axis.get_xscale() == "log"
    low, high = axis.get_ylim()
    assert low < min(made.losses) and made.losses[0] < high
    (axis,) = NOTHING_FALLS["the loss rises"].plot().axes
    assert axis.get_title() == "no rate lowers the loss" and len(axis.lines) == 3
    with pytest.raises(ValueError, match="^LearningRates.plot: expected losses, got none; try a smaller min_lr"):
        LearningRates().plot()
