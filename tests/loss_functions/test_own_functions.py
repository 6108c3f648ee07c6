"""Losses and activations written by users in numpy."""

import numpy as np
import pytest

from gwucnn import (
    MSE,
    ActivationFunction,
    Conv2D,
    CrossEntropy,
    Dense,
    GWUNetwork,
    LossFunction,
    SoftmaxActivation,
    ops,
)
from gwucnn.common.errors import ShapeError


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


# ---------------------------------------------------------------------------- in numpy, by value and derivative


class Cubic(LossFunction):
    """Two methods and no more: no name, no step."""

    classifies = False

    def loss(self, y_true, y_pred):
        return np.mean(np.abs(y_pred - y_true) ** 3)

    def loss_partial_derivative(self, y_true, y_pred):
        error = y_pred - y_true
        return 3 * error * np.abs(error) / error.size


def squared(y_true, y_pred):
    error = y_pred - y_true
    return np.mean(error**2), 2 * error / error.size


class Focal(CrossEntropy):
    """A loss of the package with other methods: its compiled step must not be used."""

    def loss(self, y_true, y_pred):
        return -np.sum(y_true * (1 - y_pred) ** 2 * np.log(y_pred)) / len(y_true)

    def loss_partial_derivative(self, y_true, y_pred):
        p = y_pred
        return -y_true * ((1 - p) ** 2 / p - 2 * (1 - p) * np.log(p)) / len(y_true)


def trained(loss, data, layers=None, **options):
    network = GWUNetwork(layers or [Dense(2, input_size=3)], seed=0, precision="float64")
    network.compile(loss, lr=0.1)
    history = network.fit(*data, epochs=3, batch_size=6, **options)
    return network, history.history


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_function_trains_as_the_same_loss_of_the_package_does(weighted, precision):
    weights = np.random.default_rng(1).random(20) * (np.arange(20) % 3) if weighted else None
    networks = []
    for loss in (squared, MSE):
        network = GWUNetwork([Dense(2, input_size=3)], seed=0, precision=precision)
        network.compile(loss, lr=0.1)
        history = network.fit(*data(), epochs=3, batch_size=6, sample_weight=weights).history
        networks.append((network, history))
    (own, own_history), (theirs, history) = networks
    rtol = 1e-5 if precision == "float32" else 1e-10
    assert own_history["loss"] == pytest.approx(history["loss"], rel=rtol)
    np.testing.assert_allclose(own.get_weights()[0], theirs.get_weights()[0], rtol=rtol)
    x, y = data()
    assert own.evaluate(x, y, sample_weight=weights) == pytest.approx(
        theirs.evaluate(x, y, sample_weight=weights), rtol
    )
    assert own.train_on_batch(x, y) == pytest.approx(theirs.train_on_batch(x, y), rtol)


def test_two_methods_are_enough():
    x, y = data()
    for loss in (Cubic, Cubic()):
        network, history = trained(loss, (x, y))
        assert history["loss"][0] > history["loss"][1] > history["loss"][2] and "accuracy" not in history
        want = np.mean(np.abs(network.predict(x) - y) ** 3)
        assert network.evaluate(x, y, batch_size=7) == pytest.approx(want)
    assert Cubic.name == "Cubic"


def test_a_step_of_the_base_class_does_not_compute_another_loss(rng):
    x, y = rng.standard_normal((20, 3)), rng.integers(0, 2, 20)
    network, history = trained(Focal, (x, y), [Dense(2, activation="softmax", input_size=3)])
    assert {"loss", "accuracy"} <= set(history)
    p = network.predict(x)[np.arange(20), y]
    assert network.evaluate(x, y) == pytest.approx(np.mean(-((1 - p) ** 2) * np.log(p)))
    with pytest.raises(ValueError, match="^cross_entropy: expected a network that ends with softmax"):
        trained(Focal, (x, y))
    before = network.evaluate(x, y)
    network.fit(x, y, epochs=20, batch_size=5)
    assert network.evaluate(x, y) < before


def test_outputs_that_are_images_keep_their_shape(rng):
    shapes = set()

    def seen(y_true, y_pred):
        shapes.add((y_true.shape, y_pred.shape))
        return squared(y_true, y_pred)

    x = rng.random((6, 4, 5))
    for loss in (seen, "mse"):
        network = GWUNetwork([Conv2D(2, padding="same")], seed=0)
        network.compile(loss)
        network.fit(x, np.stack([x, x], axis=-1), batch_size=3)
    assert shapes == {((3, 4, 5, 2),) * 2}


def test_a_loss_may_not_change_what_the_network_said():
    def changing(y_true, y_pred):
        y_pred -= y_true
        return np.mean(y_pred), y_pred

    with pytest.raises(ValueError, match="read-only"):
        trained(changing, data())


def wide(y_true, y_pred):
    return 0.0, (y_pred - y_true).mean(axis=0)


def many(y_true, y_pred):
    return (y_pred - y_true) ** 2, y_pred - y_true


def alone(y_true, y_pred):
    return np.mean((y_pred - y_true) ** 2)


class Half(LossFunction):
    def loss(self, y_true, y_pred):
        return 0.0


class Duck:
    loss = loss_partial_derivative = None


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        (wide, ShapeError, "wide: expected the gradient of the loss in the shape of y_pred, (6, 2), got (2,); return the "
         "derivative of the mean loss by each prediction"),
        (many, TypeError, "many: expected the loss to be a number, got an array of shape (6, 2); return a mean over the batch"),
        (alone, TypeError, "alone: expected the loss to return a pair (loss, gradient), got float64; the gradient is the "
         "derivative of the loss by each number of y_pred"),
        (Half, TypeError, "compile: expected the loss Half to define loss_partial_derivative(y_true, y_pred), got none; "
         "training needs the loss and its derivative"),
        (Duck(), TypeError, "compile: expected a loss of a class derived from LossFunction, got Duck; write class "
         "Duck(gwucnn.LossFunction)"),
    ],
)  # fmt: skip
def test_losses_that_cannot_be_used(loss, kind, message):
    with pytest.raises(kind) as caught:
        trained(loss, data())
    assert str(caught.value) == message


def test_a_refused_batch_leaves_the_weights_as_they_were():
    network = GWUNetwork([Dense(2, input_size=3)], seed=0)
    before = network.get_weights()
    network.compile(wide)
    with pytest.raises(ShapeError):
        network.fit(*data())
    np.testing.assert_array_equal(network.get_weights(), before)


def test_a_loss_that_is_not_finite_is_found():
    def gone(y_true, y_pred):
        return np.nan, np.zeros(y_pred.shape)

    with pytest.raises(FloatingPointError, match="^fit: epoch 1, batch 1: expected finite numbers"):
        trained(gone, data())


def brier(y_true, y_pred):
    error = y_pred - y_true
    return np.sum(error**2) / len(error), 2 * error / len(error)


class Brier(LossFunction):
    def loss_and_derivative(self, y_true, y_pred):
        return brier(y_true, y_pred)


@pytest.mark.parametrize("loss", [brier, Brier])
def test_labels_come_as_one_hot_rows(loss, rng):
    x, labels = rng.standard_normal((20, 3)), rng.integers(0, 3, 20)
    histories = [trained(loss, (x, y), [Dense(3, input_size=3)])[1]["loss"] for y in (labels, np.eye(3)[labels])]
    assert histories[0] == histories[1]
    images = rng.random((4, 5, 5))
    classes = (images > 0.5).astype(np.uint8)
    histories = [
        trained(loss, (images, y), [Conv2D(2, 1, input_size=5)])[1]["loss"] for y in (classes, np.eye(2)[classes])
    ]
    assert histories[0] == histories[1]
    with pytest.raises(ShapeError if loss is brier else ValueError, match=f"^{loss.__name__}: expected "):
        trained(loss, (x, labels + 0.5), [Dense(3, input_size=3)])
    with pytest.raises(ValueError, match=f"^{loss.__name__}: expected labels from 0 to 2 for 3 outputs, got 3"):
        trained(loss, (x, labels + 1), [Dense(3, input_size=3)])


def test_a_loss_of_ones_own_may_require_a_final_activation(rng):
    class Sure(Brier):
        name = "sure"
        partner = SoftmaxActivation

    x, y = rng.standard_normal((20, 3)), rng.integers(0, 3, 20)
    with pytest.raises(ValueError, match="^sure: expected a network that ends with softmax, got a last layer with no"):
        trained(Sure, (x, y), [Dense(3, input_size=3)])
    histories = [trained(loss, (x, y), [Dense(3, activation="softmax", input_size=3)])[1] for loss in (Sure, brier)]
    assert histories[0]["loss"] == histories[1]["loss"] and "accuracy" in histories[0]
