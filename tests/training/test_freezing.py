"""Freezing and unfreezing layers: a change takes effect at the next step, wherever it is made."""

import itertools

import numpy as np
import pytest

from gwucnn import BatchNormalization, Conv2D, Dense, Flatten, GWUNetwork, LambdaCallback, Layer, Residual
from gwucnn.memory import Parameter
from gwucnn.optimizers import SGD, Adam

X = np.random.default_rng(0).random((24, 6, 6, 2), np.float32)
Y = np.arange(24) % 3


def network(optimizer="adam", **options):
    made = GWUNetwork(
        [
            Conv2D(4, 3, activation="relu", add_bias=True),
            BatchNormalization(),
            Residual([Conv2D(4, 3, padding="same")]),
            Flatten(),
            Dense(5, activation="relu"),
            Dense(3, activation="softmax"),
        ],
        seed=1,
        **options,
    )
    made.compile("cross_entropy", optimizer=optimizer)
    made.build(X.shape[1:])
    return made


def moved(made, train):
    """Train, and return the numbers of the layers whose weights have changed."""
    before = [[p.constant.copy() for p in layer.parameters] for layer in made.layers]
    train()
    return {
        number
        for number, (layer, old) in enumerate(zip(made.layers, before, strict=True))
        if any((p.constant != value).any() for p, value in zip(layer.parameters, old, strict=True))
    }


TRAIN = {
    "fit": lambda made: made.fit(X, Y, epochs=2, batch_size=4, verbose=0),
    "train_on_batch": lambda made: made.train_on_batch(X, Y),
}


@pytest.mark.parametrize("how", TRAIN)
@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_freezing_after_training_takes_effect_at_the_next_step(how, fuse, optimizer):
    made = network(optimizer, fuse=fuse)
    train = TRAIN[how]
    assert moved(made, lambda: train(made)) == {0, 1, 2, 4, 5}
    made.layers[0].trainable = made.layers[1].trainable = made.layers[4].trainable = False
    assert moved(made, lambda: train(made)) == {2, 5}
    made.layers[0].trainable = made.layers[1].trainable = True
    made.layers[2].trainable = False
    assert moved(made, lambda: train(made)) == {0, 1, 5}


def test_freezing_the_network_freezes_its_layers():
    made = network()
    made.train_on_batch(X, Y)
    made.trainable = False
    assert not made.trainable and not any(layer.trainable for layer in made.layers)
    assert moved(made, lambda: made.fit(X, Y, epochs=1, batch_size=4, verbose=0)) == set()
    made.trainable = True
    assert moved(made, lambda: made.train_on_batch(X, Y)) == {0, 1, 2, 4, 5}
    with pytest.raises(ValueError, match="GWUNetwork: expected trainable to be True or False, got 'no'"):
        made.trainable = "no"


def test_a_callback_can_unfreeze_layers_during_fit():
    made = network()
    made.layers[0].trainable = made.layers[1].trainable = made.layers[2].trainable = False
    seen = []

    def unfreeze(record):
        seen.append(made.layers[0].kernel.constant.copy())
        if record["epoch"] == 1:
            made.trainable = True

    made.fit(X, Y, epochs=4, batch_size=4, verbose=0, callbacks=[LambdaCallback(on_epoch_end=unfreeze)])
    moves = [bool((a != b).any()) for a, b in itertools.pairwise(seen)]
    assert moves == [False, True, True]


@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.01, momentum=0.9)], ids=["adam", "momentum"])
def test_what_stays_trained_keeps_its_slots(optimizer):
    made = network(optimizer)
    made.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    updates = optimizer.updates
    arena = made._engine.arena
    kernel = made.layers[5].kernel

    def slots(arena):
        return {
            name: next(part for p, part in arena.parts(flat) if p is kernel) for name, flat in optimizer.slots.items()
        }

    before = {name: part.copy() for name, part in slots(arena).items()}
    made.layers[0].trainable = False
    made._engine.update_layout()
    assert made._engine.arena is not arena
    assert optimizer.updates == updates
    for name, part in slots(made._engine.arena).items():
        np.testing.assert_array_equal(part, before[name])
        assert part.any()


def test_training_with_a_frozen_layer_is_that_of_a_network_frozen_from_the_start():
    """With plain SGD there is no state: the weights must be the same."""
    late, early = network("sgd", precision="float64"), network("sgd", precision="float64")
    late.fit(X, Y, epochs=1, batch_size=4, verbose=0, shuffle=False)
    early.layers[0].trainable = early.layers[1].trainable = False
    early.set_weights(late.get_weights())
    late.layers[0].trainable = late.layers[1].trainable = False
    for made in (late, early):
        made.fit(X, Y, epochs=2, batch_size=4, verbose=0, shuffle=False)
    for a, b in zip(late.get_weights(), early.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


class Scale(Layer):
    """A layer of a user's own, with a weight that is learned and one that is not."""

    def build(self, in_shape):
        self.parameters = (
            Parameter("scale", (1,), lambda value, rng: value.fill(2)),
            Parameter("offset", (1,), lambda value, rng: value.fill(1), trainable=False),
        )
        return in_shape

    def forward(self, x, space):
        space.saved["x"] = x
        return x * self.parameters[0].constant + self.parameters[1].constant

    def backward(self, dy, space):
        if self.trainable:
            self.parameters[0].grad += (dy * space.saved["x"]).sum()
        return dy * self.parameters[0].constant


class FrozenScale(Scale):
    trainable = False


@pytest.mark.parametrize("kind", [Scale, FrozenScale])
def test_own_layers_freeze_too(kind):
    layer = kind()
    made = GWUNetwork([layer, Flatten(), Dense(3, activation="softmax")], seed=1)
    made.compile("cross_entropy", lr=0.1)
    made.build(X.shape[1:])
    first = {0, 2} if kind is Scale else {2}
    assert moved(made, lambda: made.train_on_batch(X, Y)) == first
    layer.trainable = not layer.trainable
    assert moved(made, lambda: made.train_on_batch(X, Y)) == {0, 2} ^ first | {2}
    assert not layer.parameters[1].trainable


def test_a_network_that_was_frozen_after_training_is_saved_as_it_is(tmp_path):
    made = network()
    made.fit(X, Y, epochs=1, batch_size=4, verbose=0)
    made.layers[0].trainable = False
    made.save(tmp_path / "frozen.gwucnn")
    again = GWUNetwork.load(tmp_path / "frozen.gwucnn")
    assert not again.layers[0].trainable
    for one in (made, again):
        assert 0 not in moved(one, lambda one=one: one.fit(X, Y, epochs=2, initial_epoch=1, batch_size=4, verbose=0))
    for a, b in zip(made.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_penalty_of_frozen_weights_does_not_count():
    made = GWUNetwork([Flatten(), Dense(3, activation="softmax", kernel_regularizer="l2")], seed=1)
    made.compile("cross_entropy")
    made.train_on_batch(X, Y)
    penalized = made.evaluate(X, Y)
    made.layers[1].trainable = False
    assert made.evaluate(X, Y) < penalized


def test_lr_find_leaves_no_trace_in_a_network_with_newly_frozen_layers():
    made = network()
    made.fit(X, Y, epochs=1, batch_size=4, verbose=0)
    made.layers[0].trainable = False
    assert moved(made, lambda: made.lr_find(X, Y, batch_size=4, steps=20, verbose=0)) == set()
