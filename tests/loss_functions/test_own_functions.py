"""Losses and activations written by users in numpy."""

import numpy as np
import pytest

from gwucnn import ActivationFunction, Dense, GWUNetwork, LossFunction, ops


class MeanAbsoluteError(LossFunction):
    name = "mean_absolute_error"
    classifies = False

    def step(self, space, z, target, share, p, gradient):
        np.multiply(np.sign(z - target), share[:, None] / z.shape[1], out=gradient)
        return float((np.abs(z - target).mean(axis=1) * share).sum())


def cube(x, *, out=None):
    out = np.empty_like(x) if out is None else out
    return lambda: np.power(x, 3, out=out)


def cube_backward(dy, y, *, out=None):
    return lambda: np.multiply(dy, 3 * np.cbrt(y) ** 2, out=out)


class Cube(ActivationFunction):
    name = "cube"
    op = ops.Op(cube)
    backward_op = ops.Op(cube_backward)


def data():
    rng = np.random.default_rng(5)
    return rng.random((20, 3)), rng.random((20, 2))


def test_a_loss_of_ones_own_trains_and_evaluates():
    x, y = data()
    network = GWUNetwork([Dense(2, input_size=3)], seed=0, precision="float64")
    network.compile(MeanAbsoluteError, lr=0.1)
    before = network.evaluate(x, y)
    assert before == pytest.approx(np.abs(network.predict(x) - y).mean())
    losses = network.fit(x, y, epochs=3, batch_size=5).history["loss"]
    assert losses[0] > losses[1] > losses[2]
    assert network.evaluate(x, y) == pytest.approx(np.abs(network.predict(x) - y).mean())
    assert network.evaluate(x, y) < before


@pytest.mark.parametrize("place", ["between", "last"])
def test_an_activation_of_ones_own(place):
    x, y = data()
    layers = [Dense(4, activation=Cube, input_size=3), Dense(2)]
    network = GWUNetwork(layers if place == "between" else layers[:1], seed=0, precision="float64")
    y = y if place == "between" else np.hstack([y, y])
    network.compile("mse", lr=0.1)
    weights = network.get_weights()
    hidden = (x @ weights[0]) ** 3
    np.testing.assert_allclose(network.predict(x), hidden @ weights[1] if place == "between" else hidden)
    losses = network.fit(x, y, epochs=3, batch_size=5).history["loss"]
    assert losses[0] > losses[1] > losses[2]


def test_a_derived_loss_that_computes_by_itself_is_not_replayed():
    class Doubled(MeanAbsoluteError):
        def step(self, *args):
            return 2 * super().step(*args)

    assert not Doubled.replayable
