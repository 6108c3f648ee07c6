"""The learning rate finder: its losses, its suggestion, and that it leaves the network unchanged."""

import re

import numpy as np
import pytest

from gwucnn import SGD, Adam, Dense, ExponentialDecay, GWUNetwork, datasets, plotting
from gwucnn.training.lr_finder import LearningRates
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


def test_it_leaves_no_trace_when_interrupted(data, monkeypatch):
    network, twin = small(), small()
    for each in (network, twin):
        each.fit(*data)
    step, calls = type(network._engine).train_step, []

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(type(network._engine), "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        network.lr_find(*data)
    monkeypatch.undo()
    network.fit(*data)
    twin.fit(*data)
    np.testing.assert_array_equal(weights(network), weights(twin))


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
    assert pairs[0, 0] != pairs[1, 0] != (y[:32] ** 2).mean()


def test_it_ends_when_the_loss_is_far_too_large_or_not_finite(rng):
    x, y = rng.standard_normal((40, 5)), rng.standard_normal(40)
    network = GWUNetwork([Dense(1)], seed=0)
    network.compile("mse")
    found = network.lr_find(x, y)
    assert len(found.lrs) < 100 and 4 * min(found.losses) < found.losses[-1]
    for number, loss in enumerate(found.losses[:-1], 1):
        assert loss <= 4 * min(found.losses[:number])
    with np.errstate(all="ignore"):
        wild = network.lr_find(x, y, min_lr=1e30, max_lr=1e35)
    assert len(wild.lrs) <= 2 and np.isfinite(wild.losses).all() and wild.suggestion is None
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


def result(losses):
    found = LearningRates()
    for number, loss in enumerate(losses):
        found.append(10.0**number, loss)
    return found


def test_the_suggestion_is_below_the_middle_of_the_fall():
    found = result([8, 8, 8, 8, 0, 0, 0, 0])
    assert found.losses[4] > 4 > found.losses[-1]
    half = (8 + min(found.losses)) / 2
    first = next(number for number, loss in enumerate(found.losses) if loss <= half)
    assert found.suggestion == 10.0**first / 3
    assert repr(found) == f"LearningRates(1 to 1e+07; suggestion {found.suggestion:.3g})"


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
def test_no_suggestion_where_the_loss_does_not_fall(losses):
    assert result(losses).suggestion is None
    assert "suggestion none" in repr(result(losses))


def test_a_stream(data):
    x, y = data
    pairs = [(x[:8], y[:8]), (x[8:16], y[8:16]), (x[16:], y[16:])]
    found = small().lr_find(pairs, steps=20)
    assert len(found.lrs) == 20 and found.losses[0] > 0


def test_progress_is_shown(data, capsys):
    small().lr_find(*data, steps=10, verbose=1)
    assert re.search(r"lr_find: 100%.* 10\.0/10\.0 .*loss=\d\.\d{4}", capsys.readouterr().err)
    small().lr_find(*data, steps=10, verbose=2)
    assert re.fullmatch(r"lr_find: loss \d\.\d{4} \(\d\.\d s, \d+ batches/s\)\n", capsys.readouterr().out)
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
    made = LearningRates()
    for number in range(40):
        made.append(10 ** (number / 10 - 4), max(2 - number / 20, 0.3) + (number > 35))
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
    raw, smoothed, suggestion = axis.lines
    np.testing.assert_array_equal(raw.get_ydata(), made.raw_losses)
    np.testing.assert_array_equal(smoothed.get_ydata(), made.losses)
    assert suggestion.get_xdata()[0] == made.suggestion and axis.get_xscale() == "log"
    low, high = axis.get_ylim()
    assert low < min(made.losses) and made.losses[0] < high
    with pytest.raises(ValueError, match="^LearningRates.plot: expected losses, got none; try a smaller min_lr"):
        LearningRates().plot()
