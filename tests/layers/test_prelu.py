"""PReLU in networks: what it learns, what it shares, and what it refuses. Its arithmetic is in test_every_layer.py."""

import numpy as np
import pytest

from gwucnn import RELU, Dense, Flatten, GWUNetwork, LeakyReLU, PReLU, ShapeError


def network(*layers, **options):
    made = GWUNetwork([Dense(6, input_size=4), *layers, Dense(3)], seed=3, precision="float64", **options)
    made.compile("mse", lr=0.1)
    return made


def test_it_begins_as_relu_and_learns_its_slopes(rng):
    x, y = rng.standard_normal((30, 4)), rng.random((30, 3))
    learnt, relu = network(PReLU()), network(RELU())
    np.testing.assert_array_equal(learnt.predict(x), relu.predict(x))
    learnt.fit(x, y, epochs=5, batch_size=5)
    assert learnt.layers[1].alpha.constant.all()


def test_a_frozen_slope_is_leaky_relu(rng):
    x, y = rng.standard_normal((30, 4)), rng.random((30, 3))
    frozen, leaky = network(PReLU(trainable=False)), network(LeakyReLU(0.25))
    frozen.build(4)
    kernels, alpha = frozen.get_weights(), np.full(6, 0.25)
    frozen.set_weights([kernels[0], alpha, kernels[2]])
    histories = [each.fit(x, y, epochs=3, batch_size=5).history["loss"] for each in (frozen, leaky)]
    np.testing.assert_allclose(*histories, rtol=1e-12)
    np.testing.assert_array_equal(frozen.layers[1].alpha.constant, alpha)


@pytest.mark.parametrize(
    ("axes", "shape"), [(None, (3, 4, 2)), ([1, 2], (1, 1, 2)), (3, (3, 4, 1)), ((1, 2, 3), (1, 1, 1))]
)
def test_shared_axes(axes, shape, rng):
    made = GWUNetwork([PReLU("ones", axes), Flatten()])
    x = rng.standard_normal((5, 3, 4, 2)).astype("float32")
    np.testing.assert_array_equal(made.predict(x), x.reshape(5, -1))
    assert made.get_weights()[0].shape == shape


def test_refused():
    with pytest.raises(ShapeError) as caught:
        PReLU(shared_axes=[1, 4]).build((3, 4, 2))
    assert str(caught.value) == "PReLU: expected shared_axes from 1 to 3 for inputs (3, 4, 2), got 4"
    with pytest.raises(ValueError, match="^PReLU: expected shared_axes to be an integer of at least 1, got 0"):
        PReLU(shared_axes=[0])
    with pytest.raises(ValueError, match="^PReLU: expected alpha_initializer to be one of .* did you mean 'zeros'"):
        PReLU("zero")
