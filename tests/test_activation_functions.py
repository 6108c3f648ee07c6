"""Activation functions: gwu_nn's class methods, and lookup by name."""

import numpy as np
import pytest

import reference
from gradcheck import numerical_gradient, spaced
from gwucnn import (
    ELUActivation,
    GELUActivation,
    HardSigmoidActivation,
    HardSwishActivation,
    LeakyReLUActivation,
    MishActivation,
    ReLU6Activation,
    RELUActivation,
    SELUActivation,
    SigmoidActivation,
    SiLUActivation,
    SoftmaxActivation,
    SoftplusActivation,
    TanhActivation,
)
from gwucnn.activation_functions import ACTIVATIONS, activation_function

FUNCTIONS = {
    RELUActivation: reference.relu,
    SigmoidActivation: reference.sigmoid,
    SoftmaxActivation: reference.softmax,
    TanhActivation: reference.tanh,
    LeakyReLUActivation: reference.leaky_relu,
    ELUActivation: reference.elu,
    GELUActivation: reference.gelu,
    SiLUActivation: reference.silu,
    SoftplusActivation: reference.softplus,
    ReLU6Activation: reference.relu6,
    HardSigmoidActivation: reference.hard_sigmoid,
    HardSwishActivation: reference.hard_swish,
    MishActivation: reference.mish,
    SELUActivation: reference.selu,
}
every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)


@every_function
def test_values(function, dtype, rng):
    x = rng.standard_normal((5, 7)).astype(dtype)
    y = function.activation(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, FUNCTIONS[function](x), rtol=20 * np.finfo(dtype).eps)


@every_function
def test_integers_lists_and_halves_are_not_cut_to_integers(function):
    """gwu_nn's relu decided by its first result whether all became integers."""
    for x in (
        [[-1, 2, 0.75]],
        [[-1, 2, 3]],
        np.array([[-1, 2, 3]], np.int8),
        np.array([[-1, 2, 0.5]], np.float16),
    ):
        y = function.activation(x)
        assert y.dtype == np.float64
        np.testing.assert_allclose(y, FUNCTIONS[function](x), rtol=1e-14)


@every_function
def test_derivatives(function, rng):
    """Of relu and sigmoid number by number; of softmax the matrix of each row."""
    x = spaced(rng, (3, 4))
    slopes = function.activation_partial_derivative(x)
    assert slopes.shape == ((3, 4, 4) if function is SoftmaxActivation else (3, 4))
    for n, k in np.ndindex(3, 4):
        by_x = numerical_gradient(lambda n=n, k=k: function.activation(x)[n, k], x)
        want = np.zeros((3, 4))
        want[n] = slopes[n, k] if function is SoftmaxActivation else slopes[n] * (np.arange(4) == k)
        np.testing.assert_allclose(by_x, want, atol=1e-9)


def test_softmax_is_of_each_row_not_of_the_whole_array(rng):
    x = rng.standard_normal((6, 4))
    y = SoftmaxActivation.activation(x)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(y[2:3], SoftmaxActivation.activation(x[2:3]))
    jacobian = SoftmaxActivation.activation_partial_derivative(x)
    np.testing.assert_allclose(jacobian.sum(axis=2), 0, atol=1e-15)


@every_function
def test_by_name_and_as_a_class(function):
    assert ACTIVATIONS[function.name] is function
    assert activation_function("test", function.name) is function
    assert activation_function("test", function) is function


def test_options_make_another_class_of_the_same_name():
    """The same one for the same options, so that what was bound stays bound."""
    x = np.linspace(-2, 2, 9)
    half = LeakyReLUActivation.with_options(negative_slope=0.5)
    assert half is LeakyReLUActivation.with_options(negative_slope=0.5)
    assert issubclass(half, LeakyReLUActivation) and half.name == "leaky_relu"
    np.testing.assert_array_equal(half.activation(x), np.where(x > 0, x, x / 2))
    np.testing.assert_array_equal(half.activation_partial_derivative(x), np.where(x > 0, 1, 0.5))
    np.testing.assert_array_equal(LeakyReLUActivation.activation(x), np.where(x > 0, x, 0.3 * x))


def test_none_and_linear_are_none():
    assert activation_function("test", None) is None
    assert activation_function("test", "linear") is None


@pytest.mark.parametrize(("name", "hint"), [("ReLU", "; did you mean 'relu'?"), ("swoosh", ""), (3, "")])
def test_unknown_names(name, hint):
    with pytest.raises(ValueError) as caught:
        activation_function("0.Conv2D", name)
    assert str(caught.value) == (
        f"0.Conv2D: expected activation to be one of 'relu', 'sigmoid', 'softmax', 'tanh', "
        f"'leaky_relu', 'elu', 'gelu', 'silu', 'softplus', 'relu6', 'hard_sigmoid', 'hard_swish', 'mish', 'selu', got "
        f"{name!r}{hint}"
    )
