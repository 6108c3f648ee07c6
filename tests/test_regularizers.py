"""Weight penalties: the op, the objects, and the loss and gradients of networks that use them."""

import json

import numpy as np
import pytest

from gradcheck import assert_gradient
from gwucnn import (
    L1,
    L1L2,
    L2,
    Adam,
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    Residual,
    ops,
)
from gwucnn.common.configurable import to_config
from gwucnn.common.errors import ShapeError
from gwucnn.regularizers import REGULARIZERS, Regularizer, regularizer
from trainees import weights

# ------------------------------------------------------------------------------------------------------ the op


def penalty(w, l1, l2):
    w = np.float64(w)
    return l1 * np.abs(w).sum() + l2 * np.square(w).sum()


@pytest.mark.parametrize("shape", [(1,), (15,), (16,), (17,), (3, 3, 2, 5), (4099,), (0, 4)], ids=str)
@pytest.mark.parametrize(("l1", "l2"), [(0.5, 0.0), (0.0, 0.25), (0.3, 0.7), (0.0, 0.0)])
def test_value_and_slope(shape, l1, l2, isa, dtype, rng):
    w, before = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    w.flags.writeable = False
    gradient = before.copy()
    value = ops.weight_penalty(w, l1=l1, l2=l2, gradient=gradient)
    assert type(value) is float
    assert value == pytest.approx(penalty(w, l1, l2), rel=1e-12)
    want = np.float64(before) + l1 * np.sign(np.float64(w)) + 2 * l2 * np.float64(w)
    np.testing.assert_allclose(gradient, want, rtol=0, atol=8 * np.finfo(dtype).eps * 5)
    assert ops.weight_penalty(w, l1=l1, l2=l2) == value


def test_slope_is_that_of_the_value(isa, rng):
    w, gradient = rng.standard_normal((5, 7)), np.zeros((5, 7))
    ops.weight_penalty(w, l1=0.3, l2=0.7, gradient=gradient)
    assert_gradient(gradient, lambda: ops.weight_penalty(w, l1=0.3, l2=0.7), w)


def test_no_slope_at_zero_and_nan_is_not_hidden(isa, dtype):
    w, gradient = np.zeros(20, dtype), np.ones(20, dtype)
    w[3], w[17] = -0.0, 2
    assert ops.weight_penalty(w, l1=0.5, gradient=gradient) == 1
    assert gradient.tolist() == [1] * 17 + [1.5, 1, 1]
    for place in (2, 19):
        w[place], gradient[...] = np.nan, 1
        assert np.isnan(ops.weight_penalty(w, l1=0.5, gradient=gradient))
        assert np.isnan(gradient[place])
        w[place] = 0


def test_a_bound_step_computes_from_what_is_there_by_then(dtype, rng):
    w, gradient = np.zeros(30, dtype), np.zeros(30, dtype)
    step = ops.weight_penalty.bind(w, l2=0.5, gradient=gradient)
    assert step() == step.value == 0
    w[...] = 2
    assert step() == step.value == 60
    step()
    assert gradient.tolist() == [4] * 30


@pytest.mark.parametrize(
    ("error", "argument", "options"),
    [
        (ValueError, "l1", {"l1": -1}),
        (ValueError, "l2", {"l2": float("inf")}),
        (ValueError, "l2", {"l2": "0.1"}),
        (ShapeError, "gradient", {"gradient": np.zeros(4)}),
        (TypeError, "gradient", {"gradient": np.zeros(3, "float32")}),
        (ValueError, "gradient", {"gradient": np.broadcast_to(0.0, 3)}),
    ],
)
def test_what_does_not_fit(error, argument, options):
    with pytest.raises(error, match=rf"^weight_penalty: expected {argument} "):
        ops.weight_penalty(np.ones(3), **options)
    w = np.ones(3)
    with pytest.raises(ValueError, match="^weight_penalty: expected gradient to have memory of its own"):
        ops.weight_penalty(w, l2=1.0, gradient=w)


# ------------------------------------------------------------------------------------------------- the objects


@pytest.mark.parametrize("made", [L1(), L1(0.5), L2(), L2(0.25), L1L2(), L1L2(0.5, 0.25)], ids=repr)
def test_objects(made, rng):
    w = rng.standard_normal((3, 4))
    assert made(w) == pytest.approx(penalty(w, made.l1, made.l2), rel=1e-12)
    again = regularizer("Dense", "kernel_regularizer", json.loads(json.dumps(to_config(made))))
    assert type(again) is type(made)
    assert repr(again) == repr(made) == repr(eval(repr(made)))
    assert regularizer("Dense", "kernel_regularizer", made) is made


def test_names_are_objects_of_keras_defaults():
    for name, kind in REGULARIZERS.items():
        made = regularizer("Dense", "kernel_regularizer", name)
        assert type(made) is kind and made.config() == {name: 0.01}
    assert regularizer("Dense", "kernel_regularizer", None) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L1(-1), "L1: expected l1 to be a number of at least 0, got -1"),
        (lambda: L2("a"), "L2: expected l2 to be a number of at least 0, got 'a'"),
        (lambda: L1L2(0, float("nan")), "L1L2: expected l2 to be a number of at least 0, got nan"),
        (lambda: Dense(3, kernel_regularizer="l3"),
         "Dense: expected kernel_regularizer to be one of 'l1', 'l2', got 'l3'; did you mean 'l1'?"),
        (lambda: Conv2D(kernel_regularizer=0.01), "Conv2D: expected kernel_regularizer to be a regularizer, got 0.01; write L2(0.01)"),
        (lambda: Dense(3, kernel_regularizer=L2),
         "Dense: expected kernel_regularizer to be a regularizer, got its class; write L2(...)"),
        (lambda: Dense(3, kernel_regularizer={"class_name": "L3", "config": {}}),
         "Dense: expected kernel_regularizer to be one of 'L1', 'L2', 'L1L2', got 'L3'; did you mean 'l2'?"),
        (lambda: Dense(3, kernel_regularizer=Regularizer()),
         "Dense: expected kernel_regularizer to be one of 'l1', 'l2', got Regularizer()"),
    ],
)  # fmt: skip
def test_invalid_regularizer(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value).split("; did")[0] == message.split("; did")[0]


# ------------------------------------------------------------------------------------------------ in a network


BOTH = L1L2(0.02, 0.05)


def layers(first=BOTH, second="l2", **options):
    return [
        Conv2D(3, activation="relu", add_bias=True, kernel_regularizer=first, **options),
        MaxPooling2D(),
        Flatten(),
        Dense(3, True, "softmax", kernel_regularizer=second),
    ]


def made_of(layers, precision="float64", **options):
    made = GWUNetwork(layers, seed=0, precision=precision, **options)
    made.compile("cross_entropy", lr=1.0)
    made.build((6, 6))
    return made


def penalties(made, first=(0.02, 0.05), second=(0.0, 0.01)):
    conv, _, dense, _ = made.get_weights()
    return penalty(conv, *first) + penalty(dense, *second)


@pytest.fixture
def data(rng):
    return rng.random((10, 6, 6)), rng.integers(0, 3, 10)


def test_the_reported_loss_has_the_penalty(data, rng):
    made, plain = made_of(layers()), made_of(layers(None, None))
    other = rng.random((7, 6, 6)), rng.integers(0, 3, 7)
    more = penalties(made)
    for size in (3, 256):
        assert made.evaluate(*data, size) == pytest.approx(plain.evaluate(*data, size) + more, rel=1e-12)
    history = made.fit(*data, batch_size=10, validation_data=other).history
    want = plain.fit(*data, batch_size=10).history
    assert history["loss"] == pytest.approx([want["loss"][0] + more], rel=1e-12)
    assert history["accuracy"] == want["accuracy"]
    assert history["val_loss"] == [made.evaluate(*other)]
    more = penalties(made)
    plain.set_weights(made.get_weights())
    assert made.train_on_batch(*data) == pytest.approx(plain.train_on_batch(*data) + more, rel=1e-12)


@pytest.mark.parametrize("fuse", [True, False])
def test_gradients_are_those_of_the_reported_loss(fuse, data):
    """Asked of the whole network: at lr=1 one update is the gradient, and evaluate is the loss."""
    made = made_of(layers(L1L2(0.2, 0.5), L1L2(0.1, 0.3)), fuse=fuse)
    start = made.get_weights()
    made.train_on_batch(*data)
    moved = [before - after for before, after in zip(start, made.get_weights(), strict=True)]
    for number, gradient in enumerate(moved):
        values = [weight.copy() for weight in start]

        def loss(values=values):
            made.set_weights(values)
            return made.evaluate(*data)

        assert_gradient(gradient, loss, values[number])


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_replayed_batches_are_those_that_are_called(precision, data):
    replayed, called = made_of(layers(), precision), made_of(layers(), precision)
    losses = []
    for made in (replayed, called):
        made.compile("cross_entropy", optimizer=Adam(0.01))
        made._engine.recorder.enabled = made is replayed
        losses.append(made.fit(*data, epochs=5, batch_size=4).history["loss"])
    assert (
        replayed._engine.workspaces.current_training.recordings
        and not called._engine.workspaces.current_training.recordings
    )
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(weights(replayed), weights(called))
    assert len(set(losses[0])) == 5, "each batch has the penalty of its own weights"


def test_float32_and_the_finite_check(data):
    made, plain = made_of(layers(), "float32"), made_of(layers(None, None), "float32")
    more = penalties(made)
    assert made.train_on_batch(*data) == pytest.approx(plain.train_on_batch(*data) + more, rel=1e-5)
    huge = made_of(layers(None, L2(1e38)), "float32")
    before = weights(huge)
    with np.errstate(all="ignore"):
        huge.set_weights([1e10 * weight for weight in huge.get_weights()])
        with pytest.raises(FloatingPointError, match="the gradient of 3.Dense's kernel is not finite"):
            huge.train_on_batch(data[0] * 1e-10, data[1])
    np.testing.assert_allclose(weights(huge), 1e10 * before, rtol=1e-6)


def test_a_frozen_layer_has_no_penalty_until_it_is_free(data):
    frozen, plain = made_of(layers(trainable=False)), made_of(layers(None, None))
    want = plain.evaluate(*data)
    assert frozen.evaluate(*data) == pytest.approx(want + penalties(frozen, (0, 0)), rel=1e-12)
    before = frozen.get_weights()[0]
    frozen.train_on_batch(*data)
    np.testing.assert_array_equal(frozen.get_weights()[0], before)
    frozen.layers[0].trainable = True
    frozen.compile("cross_entropy", lr=1.0)
    plain.set_weights(frozen.get_weights())
    assert frozen.evaluate(*data) == pytest.approx(plain.evaluate(*data) + penalties(frozen), rel=1e-12)


def test_inside_a_block(data):
    def stack(given):
        inside = Conv2D(1, 3, padding="same", kernel_regularizer=given)
        return [Residual([inside]), Flatten(), Dense(3, activation="softmax")]

    made, plain = made_of(stack(L1(0.5))), made_of(stack(None))
    more = 0.5 * np.abs(made.get_weights()[0]).sum()
    assert made.evaluate(*data) == pytest.approx(plain.evaluate(*data) + more, rel=1e-12)
    made.train_on_batch(*data)
    plain.train_on_batch(*data)
    assert (made.get_weights()[0] != plain.get_weights()[0]).any()


def test_l1_makes_weights_small_and_l2_smaller_than_none(data):
    norms = []
    for given in (None, L2(0.1), L1(0.1)):
        made = made_of(layers(None, given))
        made.compile("cross_entropy", lr=0.05)
        made.fit(*data, epochs=60, batch_size=10)
        norms.append(np.abs(made.get_weights()[2]).sum())
    assert norms[0] > norms[1] and norms[0] > norms[2]
