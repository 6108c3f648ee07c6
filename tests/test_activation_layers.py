"""Every activation in a network: inside layers, as a layer, and last, where the loss takes it over."""

import numpy as np
import pytest

import layer_cases
from gradcheck import assert_gradient
from gwucnn import (
    ELU,
    GELU,
    Activation,
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    LeakyReLU,
    MaxPooling2D,
    ShapeError,
    SiLU,
)
from gwucnn.activation_functions import ACTIVATIONS
from gwucnn.loss_functions import MSE
from gwucnn.memory.workspace import Space

every_name = pytest.mark.parametrize("name", ACTIVATIONS)
# Everything but the partners of losses, which run by themselves below the squared error.
OPTIONS = [LeakyReLU(0.1), ELU(1.5), GELU(approximate=True), SiLU(), Activation("linear")]


def within(name):
    return [Conv2D(4, 3, activation=name, add_bias=True), MaxPooling2D(2), Flatten(), Dense(3, True, name)]


def apart(name):
    layers = [Conv2D(4, 3, add_bias=True), Activation(name), MaxPooling2D(2), Flatten(), Dense(3, True)]
    return [*layers, Activation(name)]


def network(layers, **options):
    made = GWUNetwork(layers, seed=4, **{"precision": "float64"} | options)
    made.compile("mse", lr=0.05)
    return made


def data(rng, n=6):
    return rng.standard_normal((n, 8, 9)), rng.random((n, 3))


@every_name
@pytest.mark.parametrize("fuse", [True, False])
def test_within_layers_and_as_layers_it_is_the_same(name, fuse, rng):
    """Three batches, so that recorded ones are replayed too; then predictions.

    Both networks run the same kernels, so that their bits are equal, with one exception: relu inside Conv2D is fused with
    the pooling, but the layer Activation('relu') is not. The fused kernel may add the 9 products of an output in another
    order; the bound allows 100 roundings of each result, over four batches.
    """
    rtol = 100 * np.finfo(np.float64).eps if fuse and name == "relu" else 0
    pair = network(within(name), fuse=fuse), network(apart(name), fuse=fuse)
    for x, y in (data(rng), data(rng), data(rng)):
        losses = [each.train_on_batch(x, y) for each in pair]
        np.testing.assert_allclose(losses[0], losses[1], rtol=rtol)
    x, y = data(rng)
    predictions = [each.predict(x) for each in pair]
    np.testing.assert_allclose(predictions[0], predictions[1], rtol=rtol, atol=rtol)
    results = [each.evaluate(x, y) for each in pair]
    np.testing.assert_allclose(results[0], results[1], rtol=rtol)
    assert results[0] == pytest.approx(MSE.loss(y, predictions[0]))


@every_name
@pytest.mark.parametrize("make", [within, apart])
def test_gradients_are_those_of_the_loss(name, make, rng):
    made = network(make(name))
    x, y = data(rng, 2)
    made.build(x.shape[1:])
    start = made.get_weights()
    made.train_on_batch(x, y)
    found = [parameter.grad.copy() for parameter in made.parameters]
    made.set_weights(start)
    for parameter, gradient in zip(made.parameters, found, strict=True):
        assert_gradient(gradient, lambda: made.evaluate(x, y), parameter.value)


@pytest.mark.parametrize("last", OPTIONS, ids=repr)
def test_options_hold_in_the_middle_and_at_the_end(last, rng):
    """The last activation runs in the loss head, which must not forget them."""
    x, y = rng.standard_normal((5, 7)), rng.random((5, 3))
    made = network([Dense(4, input_size=7), type(last)(**last.config()), Dense(3), type(last)(**last.config())])
    z = made.predict(x)
    weights = made.get_weights()

    def apply(values):
        return layer_cases.expected(last, values)

    np.testing.assert_allclose(z, apply(apply(x @ weights[0]) @ weights[1]), rtol=1e-13)
    before = made.evaluate(x, y)
    made.train_on_batch(x, y)
    found = [parameter.grad.copy() for parameter in made.parameters]
    made.set_weights(weights)
    assert made.evaluate(x, y) == before
    for parameter, gradient in zip(made.parameters, found, strict=True):
        assert_gradient(gradient, lambda: made.evaluate(x, y), parameter.value)


@every_name
def test_replayed_batches_are_those_of_layers_called_again(name, rng):
    pair = network(within(name)), network(within(name))
    sizes = (4, 4, 2, 4, 6, 4)
    for n in sizes:
        x, y = data(rng, n)
        pair[1].build(x.shape[1:])
        pair[1]._engine.recorder.enabled = False
        assert pair[0].train_on_batch(x, y) == pair[1].train_on_batch(x, y)
    compiled = name not in ("relu6", "hard_sigmoid", "hard_swish", "mish")  # by numpy
    assert bool(pair[0]._engine.workspaces.current_training.recordings) == compiled
    for one, other in zip(pair[0].get_weights(), pair[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_in_use_the_input_of_an_activation_takes_no_memory_of_its_own(rng):
    """Only the gradient asks for it, in training or not."""
    layer = Dense(4, activation="gelu")
    layer.build((7,))
    layer.kernel.value = rng.standard_normal((7, 4))
    for mode, kept in ({}, False), ({"training": True}, True), ({"backward_follows": True}, True):
        space = Space("float64", **mode)
        layer.forward(rng.standard_normal((3, 7)), space)
        assert (space.saved["before activation"] is not space.saved["y"]) == kept


def test_a_softmax_by_name_is_the_partner_of_its_loss(rng):
    """Paired or not is told from the function, however it got there."""
    pair = [Dense(3, activation="softmax", input_size=4)], [Dense(3, input_size=4), Activation("softmax")]
    x, y = rng.standard_normal((6, 4)), rng.integers(0, 3, 6)
    losses = []
    for layers in pair:
        made = GWUNetwork(layers, seed=0)
        made.compile("cross_entropy")
        losses.append([made.train_on_batch(x, y) for _ in range(3)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LeakyReLU("0.3"),
            "LeakyReLU: expected negative_slope to be a finite number, got '0.3'; write 0.3 without quotes",
        ),
        (lambda: ELU(float("nan")), "ELU: expected alpha to be a finite number, got nan"),
        (lambda: GELU(approximate="tanh"), "GELU: expected approximate to be True or False, got 'tanh'"),
        (
            lambda: Activation("gelo"),
            "Activation: expected activation to be one of 'relu', 'sigmoid', 'softmax', 'tanh', 'leaky_relu', "
            "'elu', 'gelu', 'silu', 'softplus', 'relu6', 'hard_sigmoid', 'hard_swish', 'mish', 'selu', got 'gelo'; did you mean 'gelu'?",
        ),
    ],
)
def test_mistyped(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_activations_take_any_shape():
    """ShapeError belongs to layers that need images; an activation has no needs."""
    for shape in ((5,), (4, 4, 2), (3, 2)):
        assert GELU().build(shape) == shape
    with pytest.raises(ShapeError):
        MaxPooling2D().build((5,))
