"""Weights that a network caches in transformed form between two predictions never outlive the originals."""

import numpy as np
import pytest

from compare import assert_exact
from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D
from gwucnn.ops import conv2d, conv2d_relu_pool


def network(weights=None):
    net = GWUNetwork(
        [
            Conv2D(32, activation="relu", add_bias=True, input_size=(14, 14, 3)),
            Conv2D(64, padding="same", activation="relu", add_bias=True),  # Winograd's transformed filters are cached
            MaxPooling2D(),
            Conv2D(5, 3),  # not a whole vector of filters: packed
            Flatten(),
            Dense(4, True, "softmax"),
        ],
        seed=1,
    )
    net.compile(loss="cross_entropy", lr=0.1)
    if weights is None:
        net.build((14, 14, 3))
    else:
        net.set_weights(weights)
    return net


def twin(net):
    """Return a new network with the same weights; if `net` has handed out a writable array, so has the copy."""
    other = network(net.get_weights())
    if not net._engine.arena.tracked:
        assert other.layers[1].kernel.value.flags.writeable
    return other


def assign_all(net, x):
    net.set_weights([2 * w for w in net.get_weights()])


def write_one(net, x):
    net.layers[1].kernel.value[...] *= -1


def assign_one(net, x):
    net.layers[3].kernel.value = np.ones(net.layers[3].kernel.shape)


def train(net, x):
    net.train_on_batch(x, np.zeros(len(x), int))


@pytest.mark.parametrize("change", [assign_all, write_one, assign_one, train])
@pytest.mark.parametrize("use", ["predict", "evaluate"])
def test_changed_weights_take_effect_at_once(change, use, isa, rng):
    net, x = network(), rng.random((2, 14, 14, 3), "float32")
    call = {"predict": lambda n: n.predict(x), "evaluate": lambda n: n.evaluate(x, [0, 1])}[use]
    for _ in range(3):
        before = call(net)
    change(net, x)
    for _ in range(2):
        after = call(net)
        assert np.all(after == call(twin(net)))
    assert np.any(after != before)


def test_a_writable_array_may_change_at_any_time(rng):
    net, x = network(), rng.random((1, 14, 14, 3), "float32")
    net.predict(x)
    kernel = net.layers[1].kernel.value
    for factor in (2, -1, 3):
        net.predict(x)
        kernel *= factor
        assert_exact(net.predict(x), twin(net).predict(x), np.float32)


def test_layers_read_weights_through_read_only_views():
    kernel = network().layers[0].kernel
    assert np.shares_memory(kernel.constant, kernel.value)
    with pytest.raises(ValueError, match="read-only"):
        kernel.constant[...] = 0


@pytest.mark.parametrize("op", [conv2d, conv2d_relu_pool])
@pytest.mark.parametrize("winograd", [False, True])
@pytest.mark.parametrize("size, channels, filters", [(8, 32, 32), (9, 48, 80), (6, 64, 272)])
def test_constant_weight_changes_only_the_algorithm(op, winograd, size, channels, filters, isa, dtype, rng):
    x = rng.standard_normal((1, size, size, channels)).astype(dtype)
    weight = rng.standard_normal((3, 3, channels, filters)).astype(dtype)
    plain = op(x, weight)
    got = op(x, weight, winograd=winograd, constant_weight=True)
    if not winograd:
        assert_exact(got, plain, dtype)
    else:
        room = 4 * (4 + (9 * channels) ** 0.5) * np.finfo(dtype).eps  # see gwucnn.ops.conv_algorithm.use_winograd
        assert (abs(got - plain) <= 1.1 * room * conv2d(abs(x), abs(weight)).max()).all()
