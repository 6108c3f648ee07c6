"""check_gradients: right layers and losses pass, and each kind of mistake is found where it is."""

import re

import numpy as np
import pytest

import gwucnn
from gwucnn import Conv2D, Dense, Dropout, Layer, LossFunction, Normalization, Parameter
from gwucnn.common.errors import ShapeError
from gwucnn.initializers import INITIALIZERS
from gwucnn.loss_functions import LOSSES
from gwucnn.testing import check_gradients
from layer_cases import CASES


@pytest.mark.parametrize("case", CASES, ids=[f"{case.layer.__name__}-{case.why}" for case in CASES])
def test_every_layer_of_the_package(case):
    layer = case.layer(**case.options)
    if isinstance(layer, Normalization):
        layer.adapt(np.random.default_rng(0).random((5, *case.in_shape)))
    assert check_gradients(layer, case.in_shape) < 1e-6


@pytest.mark.parametrize("shape", [(3,), (2,), (2, 3, 2)])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_the_package(loss, shape):
    if len(shape) == 3 and loss == "log_loss":
        return
    assert check_gradients(loss, shape) < 1e-7
    assert check_gradients(LOSSES[loss](), shape, batch_size=5, seed=1) < 1e-7


class Scale(Layer):
    """y = x * scale, with a mistake to choose."""

    def __init__(self, wrong=None):
        self.wrong = wrong

    def build(self, in_shape):
        self.scale = Parameter("scale", in_shape[-1:], INITIALIZERS["ones"])
        self.parameters = (self.scale,)
        return in_shape

    def forward(self, x, space):
        space.saved["x"] = x
        return x * self.scale.constant

    def backward(self, dy, space):
        gradient = (dy * space.saved["x"]).sum(axis=tuple(range(dy.ndim - 1)))
        if self.wrong == "scale":
            gradient[2] *= 1.001
        self.scale.grad += gradient
        dx = dy * self.scale.constant
        if self.wrong == "input":
            dx[1, 0] = np.nan
        return dx.sum(axis=-1) if self.wrong == "shape" else None if self.wrong == "none" else dx


def test_a_layer_of_ones_own():
    layer = Scale()
    assert check_gradients(layer, 4) < 1e-9 and check_gradients(layer, (2, 3)) < 1e-9
    assert not layer.parameters, "the layer itself is not built"


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ("scale", AssertionError, r"Scale: expected the gradient of scale\[2\] to be \S+, by central differences, got \S+, "
         r"a relative error of 0\.00\d+; check its backward"),
        ("input", AssertionError, r"Scale: expected the gradient of input\[1, 0\] to be \S+, by central differences, got "
         r"nan, a relative error of inf; check its backward"),
        ("shape", ShapeError, r"Scale: expected the gradient of the input of shape \(3, 4\), got \(3,\); a batch begins "
         "with the number of samples"),
        ("none", ShapeError, r"Scale: expected the gradient of the input of shape \(3, 4\), got None; a batch begins .*"),
    ],
)  # fmt: skip
def test_mistakes_of_a_layer(wrong, kind, message):
    with pytest.raises(kind) as caught:
        check_gradients(Scale(wrong), 4)
    assert re.fullmatch(message, str(caught.value)), caught.value


def squared(y_true, y_pred):
    return np.mean((y_pred - y_true) ** 2), 2 * (y_pred - y_true) / y_pred.size


def doubled(y_true, y_pred):
    return np.mean((y_pred - y_true) ** 2), 2 * (y_pred - y_true) / len(y_pred)


class Hinge(LossFunction):
    def loss(self, y_true, y_pred):
        return np.maximum(0, 1 - y_true * y_pred).mean()

    def loss_partial_derivative(self, y_true, y_pred):
        return -y_true * (y_true * y_pred < 1) / y_pred.size


def test_losses_of_ones_own():
    assert check_gradients(squared, (3, 4, 2)) < 1e-8 and check_gradients(Hinge, 3) < 1e-8
    rng = np.random.default_rng(0)
    assert check_gradients(Hinge(), 5, y_true=rng.choice([-1, 1], (6, 5)), y_pred=rng.standard_normal((6, 5))) < 1e-8
    assert check_gradients("mse", 2, y_pred=[[1, 2]], y_true=[[3, 4]]) < 1e-8
    with pytest.raises(
        AssertionError, match=r"^doubled: .* of y_pred\[\d, \d\] to be .* a relative error of 1; check its derivative$"
    ):
        check_gradients(doubled, 2)


def test_the_layers_of_a_network_can_be_checked():
    network = gwucnn.GWUNetwork([Conv2D(2, activation="relu"), gwucnn.Flatten(), Dense(2)], seed=0)
    network.build((5, 5))
    before = network.get_weights()
    assert check_gradients(network.layers[0], (5, 5)) < 1e-6
    assert network.layers[0].label == "0.Conv2D"
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_random_layers_repeat_their_numbers():
    assert check_gradients(Dropout(0.5), 20) < 1e-8


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "message"),
    [
        ((Dense, 3), {}, TypeError, "check_gradients: expected a layer, got the class; write Dense(...)"),
        ((Dense(2), "3"), {}, ValueError, "check_gradients: expected each length of shape to be an integer of at least 1, "
         "got '3'; write 3 without quotes"),
        (("mse", 3), {"tolerance": 0}, ValueError, "check_gradients: expected tolerance to be a positive number, got 0"),
        (("mse", 3), {"y_true": [[1, 2]]}, ShapeError, "check_gradients: expected y_true of shape (1, 3), got (1, 2); a "
         "batch begins with the number of samples"),
        ((Dense(2), (5, 5)), {}, ShapeError, "Dense: expected a flat input"),
    ],
)  # fmt: skip
def test_what_cannot_be_checked(arguments, options, kind, message):
    with pytest.raises(kind) as caught:
        check_gradients(*arguments, **options)
    assert str(caught.value).startswith(message)
