"""Gradients of whole networks against central differences, and training that follows them."""

import numpy as np
import pytest

from gradcheck import assert_gradient, spaced
from gwucnn import Dense, Flatten, GWUNetwork, Softmax
from trainees import deep


def targets(loss, labels):
    return labels if loss == "cross_entropy" else np.eye(3)[labels] * 0.8 + 0.1


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "layer-by-layer"])
@pytest.mark.parametrize("loss", ["cross_entropy", "log_loss", "binary_crossentropy", "mse"])
def test_gradient_of_a_whole_network(loss, fuse, isa, rng):
    """With a learning rate of 1, a step subtracts the gradient from the weights."""
    x, labels = spaced(rng, (3, 10, 10)), rng.integers(0, 3, 3)
    made, y = deep(loss, fuse=fuse), targets(loss, labels)
    made.build((10, 10))
    # No zeros: a bias of 0 could put the input of relu exactly at its kink.
    made.set_weights([weight + 0.05 * rng.standard_normal(weight.shape) for weight in made.get_weights()])
    start = made.get_weights()
    made.train_on_batch(x, y)
    gradients = [old - new for old, new in zip(start, made.get_weights(), strict=True)]
    made.set_weights(start)
    for parameter, gradient in zip(made.parameters, gradients, strict=True):
        # The subtraction from weights of size 1 rounds at 1e-16, which is negligible beside 1e-7 of the largest gradient.
        assert_gradient(gradient, lambda: made.evaluate(x, y), parameter.value)


@pytest.mark.parametrize(
    "last", [[Dense(3, activation="relu")], [Dense(3), Softmax()], [Dense(3, activation="sigmoid")]]
)
def test_gradient_of_a_loss_with_another_activation(last, rng):
    made = GWUNetwork([Flatten(), *last], precision="float64", seed=2)
    made.compile("mse", lr=1.0)
    x, y = spaced(rng, (5, 3, 3)), rng.random((5, 3))
    made.build((3, 3))
    start = made.get_weights()[0]
    made.train_on_batch(x, y)
    gradient = start - made.get_weights()[0]
    made.set_weights([start])
    assert_gradient(gradient, lambda: made.evaluate(x, y), made.parameters[0].value)


def test_it_memorizes_32_images(rng):
    x, y = rng.random((32, 10, 10)), rng.integers(0, 3, 32)
    made = deep(optimizer="adam", lr=0.02, precision="float32")
    history = made.fit(x, y, epochs=150, batch_size=32)
    assert history.history["accuracy"][-1] == 1
    assert history.history["loss"][-1] < 0.02
    assert (made.predict(x).argmax(axis=1) == y).all()
