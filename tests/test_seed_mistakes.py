"""Mistakes of the slides and of gwu_nn 0.2.0, one test for each, named after the mistake."""

import numpy as np
import pytest

from gradcheck import assert_gradient, numerical_gradient, spaced
from gwucnn import (
    RELU,
    Conv2D,
    CrossEntropy,
    Dense,
    Flatten,
    GWUNetwork,
    LogLoss,
    MaxPooling2D,
    RELUActivation,
    Sigmoid,
    Softmax,
    SoftmaxActivation,
)
from gwucnn.common.errors import ShapeError, SizeMismatchWarning
from gwucnn.memory.parameters import Arena
from gwucnn.memory.workspace import Space


def built(layer, in_shape, rng=None):
    """Return the layer with weights from -1 to 1 (zeros without a generator), and a space to run it in."""
    layer.build(in_shape)
    arena = Arena(layer.parameters, "float64")
    if rng is not None:
        arena.values[...] = rng.uniform(-1, 1, arena.values.size)
    return layer, Space("float64", training=True)


def test_max_pooling_backward_wrote_the_value_instead_of_the_gradient():
    """Slide 27: `input_gradient[...][max_x, max_y] = max`; its picture has 9 and 20 come back."""
    layer, space = built(MaxPooling2D(2), (2, 4, 1))
    x = np.array([[1.0, 2, 4, 5], [7, 9, 20, 3]])
    assert layer.forward(x.reshape(1, 2, 4, 1), space).ravel().tolist() == [9, 20]
    dx = layer.backward(np.array([0.5, -3.0]).reshape(1, 1, 2, 1), space)
    assert dx[0, :, :, 0].tolist() == [[0, 0, 0, 0], [0, 0.5, -3, 0]]


def test_overlapping_windows_assigned_instead_of_adding():
    layer, space = built(MaxPooling2D(2, strides=1), (2, 3, 1))
    x = np.array([[0.0, 9, 0], [0, 0, 0]]).reshape(1, 2, 3, 1)  # both windows are won by the 9
    layer.forward(x, space)
    dx = layer.backward(np.array([1.0, 10.0]).reshape(1, 1, 2, 1), space)
    assert dx[0, :, :, 0].tolist() == [[0, 11, 0], [0, 0, 0]]


def test_max_pooling_backward_returned_after_the_first_channel():
    """Slide 27: `return` stands inside the loop over channels."""
    layer, space = built(MaxPooling2D(2), (2, 2, 3))
    layer.forward(np.arange(12.0).reshape(1, 2, 2, 3), space)
    dx = layer.backward(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3), space)
    assert dx[0, 1, 1].tolist() == [1, 2, 3]


def test_relu_truncated_to_integers_after_a_first_element_that_is_not_positive():
    """numpy.vectorize takes the type of the first result for all: there an integer 0."""
    assert RELUActivation.activation(np.array([-1.0, 0.75, 2.5])).tolist() == [0, 0.75, 2.5]
    layer, space = built(RELU(), (3,))
    assert layer.forward(np.array([[-1.0, 0.75, 2.5]]), space).tolist() == [[0, 0.75, 2.5]]
    network = GWUNetwork([RELU()], precision="float64")
    assert network.predict([[-1.0, 0.75, 2.5]]).tolist() == [[0, 0.75, 2.5]]


def test_derivative_of_log_loss_was_summed_to_one_number(rng):
    """`-np.sum(y_true - y_pred)`: one number for all samples and outputs, and not the derivative either."""
    y, p = rng.integers(0, 2, (5, 2)).astype(float), rng.uniform(0.1, 0.9, (5, 2))
    derivative = LogLoss.loss_partial_derivative(y, p)
    assert derivative.shape == (5, 2)
    assert_gradient(derivative, lambda: LogLoss.loss(y, p), p)


def test_gradient_of_a_batch_was_broadcast_over_its_rows(rng):
    """Each image must get the gradient of its own loss: that of one alone, divided by the size of the batch."""
    layer, space = built(Dense(3, activation="relu"), (4,), rng)
    x, dy = rng.standard_normal((5, 4)), rng.standard_normal((5, 3))
    layer.forward(x, space)
    together = layer.backward(dy, space).copy()
    for n in range(5):
        layer.forward(x[n : n + 1], space)
        np.testing.assert_allclose(layer.backward(dy[n : n + 1], space)[0], together[n], rtol=1e-13)
    assert len(np.unique(together, axis=0)) == 5


@pytest.mark.parametrize("layer", [Dense(3, True, "sigmoid"), Conv2D(3, 2, add_bias=True)], ids=["Dense", "Conv2D"])
def test_bias_with_more_than_one_image_a_batch(layer, rng):
    layer, space = built(layer, (4,) if isinstance(layer, Dense) else (3, 3, 1), rng)
    x = spaced(rng, (6, *layer.in_shape))
    dy = rng.standard_normal(layer.forward(x, space).shape)
    layer.backward(dy, space)
    assert layer.bias.value.shape == layer.bias.grad.shape == (3,)
    assert_gradient(layer.bias.grad.copy(), lambda: np.vdot(layer.forward(x, space), dy), layer.bias.value)


def test_softmax_was_taken_over_the_whole_array_and_its_jacobian_of_the_input(rng):
    """`np.sum(exps)` over all rows; `diagflat(x) - x x^T` of x instead of softmax(x)."""
    x = rng.standard_normal((3, 4))
    y = SoftmaxActivation.activation(x)
    np.testing.assert_allclose(y.sum(axis=1), [1, 1, 1], rtol=1e-14)
    jacobian = SoftmaxActivation.activation_partial_derivative(x)
    for k in range(4):
        by_x = numerical_gradient(lambda k=k: SoftmaxActivation.activation(x)[0, k], x)
        np.testing.assert_allclose(jacobian[0, k], by_x[0], atol=1e-9)
        assert not by_x[1:].any()
    network = GWUNetwork([Dense(4, input_size=4, kernel_initializer="orthogonal"), Softmax()])
    np.testing.assert_allclose(network.predict(x).sum(axis=1), [1, 1, 1], rtol=1e-6)


def test_derivative_of_cross_entropy_applied_softmax_again(rng):
    """y_pred are probabilities already."""
    p = SoftmaxActivation.activation(rng.standard_normal((4, 3)))
    assert CrossEntropy.loss([0, 1, 2, 0], p) == pytest.approx(-np.log(p[range(4), [0, 1, 2, 0]]).mean())
    derivative = CrossEntropy.loss_partial_derivative(np.array([0, 1, 2, 0]), p)
    assert_gradient(derivative, lambda: CrossEntropy.loss([0, 1, 2, 0], p), p)


def test_log_of_zero(rng):
    """A unit that says 0 or 1 in floats: the loss and its gradient stay finite, and training goes on."""
    assert np.isfinite(LogLoss.loss([[1.0, 0.0]], [[0.0, 1.0]]))
    assert np.isfinite(LogLoss.loss_partial_derivative([[1.0, 0.0]], [[0.0, 1.0]])).all()
    assert np.isfinite(CrossEntropy.loss([1], [[1.0, 0.0]]))
    for last, loss in (
        (Dense(2, activation="sigmoid"), "log_loss"),
        (Dense(2, activation="softmax"), "cross_entropy"),
    ):
        network = GWUNetwork([last])
        network.compile(loss, lr=1e-6)
        network.build(1)
        network.set_weights([[[1000.0, -1000.0]]])
        assert network.predict([[1.0]]).tolist() == [[1, 0]]
        losses = network.fit(np.ones((3, 1)), [[0, 1]] * 3, epochs=2).history["loss"]
        assert 1000 < losses[0] < 3000 and np.isfinite(losses).all()


@pytest.mark.parametrize("loss", ["mse", "log_loss"])
def test_a_column_against_a_row_of_targets_was_broadcast_to_a_table(loss, rng):
    x, y = rng.standard_normal((7, 3)), rng.random(7)
    results = []
    for targets in (y, y[:, None]):
        network = GWUNetwork([Dense(1, input_size=3), Sigmoid()], seed=0)
        network.compile(loss, lr=0.5)
        losses = network.fit(x, targets, epochs=3, batch_size=7).history["loss"]
        results.append([*losses, *network.get_weights()[0].ravel()])
    assert results[0] == results[1]
    with pytest.raises(ShapeError):
        network.fit(x, y[None])


def test_activation_was_ignored_on_convolution_and_pooling(rng):
    x = rng.standard_normal((4, 6, 6))
    assert GWUNetwork([Conv2D(3)], seed=0).predict(x).min() < 0
    assert GWUNetwork([Conv2D(3, activation="relu")], seed=0).predict(x).min() == 0
    with pytest.raises(ValueError, match="^Conv2D: expected activation to be one of"):
        Conv2D(activation="swish!")
    # A pooling has no activation: a layer of its own says what is meant.
    with pytest.raises(TypeError) as caught:
        MaxPooling2D(pool_size=2, activation="relu")
    assert str(caught.value) == (
        "MaxPooling2D: expected the arguments pool_size, strides, padding, input_size, name, got 'activation'"
    )


def test_images_were_cropped_silently_to_a_stated_size(rng):
    """A pooling that was told 23 looked at 23 of 26 rows."""
    x = np.zeros((1, 28, 28))
    network = GWUNetwork([Conv2D(1, 1, input_size=28, kernel_initializer="ones")])
    with pytest.warns(SizeMismatchWarning, match=r"input_size=23 stated, Conv2D makes 28 = \(28 - 1\) \+ 1; using 28"):
        network.add(MaxPooling2D(2, input_size=23))
    x[0, 27, 27] = 7
    y = network.predict(x)
    assert y.shape == (1, 14, 14, 1)
    assert y[0, 13, 13, 0] == 7
    with pytest.raises(ShapeError):
        network.predict(np.zeros((1, 30, 30)))


def test_strides_were_ignored():
    x = np.arange(49.0).reshape(1, 7, 7)
    pooled = GWUNetwork([MaxPooling2D(2, strides=3)]).predict(x)
    assert pooled[0, :, :, 0].tolist() == [[8, 11], [29, 32]]
    assert GWUNetwork([Conv2D(1, 1, strides=3, kernel_initializer="ones")]).predict(x)[0, ..., 0].tolist() == [
        [0, 3, 6],
        [21, 24, 27],
        [42, 45, 48],
    ]


def test_weights_moved_inside_backward(rng):
    """Then a layer's error would go down through weights that are new already, and could not be checked."""
    layers = [
        Conv2D(2, input_size=6, activation="relu"),
        MaxPooling2D(),
        Flatten(),
        Dense(2, activation="sigmoid"),
    ]
    shape = (6, 6, 1)
    for layer in layers:
        shape = layer.build(shape)
    arena = Arena([p for layer in layers for p in layer.parameters], "float64")
    arena.values[...] = rng.uniform(-1, 1, arena.values.size)
    before, spaces = arena.values.copy(), [Space("float64", training=True) for _ in layers]
    y = rng.standard_normal((3, 6, 6, 1))
    for layer, space in zip(layers, spaces, strict=True):
        y = layer.forward(y, space)
    dy = np.ones_like(y)
    for layer, space in zip(reversed(layers), reversed(spaces), strict=True):
        dy = layer.backward(dy, space)
    np.testing.assert_array_equal(arena.values, before)
    assert arena.grads.any()
