"""Losses as gwu_nn's class methods, and as heads fused with the last activation."""

import json

import numpy as np
import pytest

import reference
from compare import normals
from gradcheck import assert_gradient
from gwucnn import (
    MAE,
    MSE,
    BinaryCrossentropy,
    CrossEntropy,
    Dense,
    GWUNetwork,
    Huber,
    LogLoss,
    RELUActivation,
    SigmoidActivation,
    SoftmaxActivation,
)
from gwucnn.common.configurable import to_config
from gwucnn.common.errors import NotBuiltError, ShapeError
from gwucnn.engine.loss_head import LossHead
from gwucnn.loss_functions import loss_function
from gwucnn.memory.workspace import Space

# loss, its reference by the numbers before the activation, that activation
PAIRS = [
    (LogLoss, reference.log_loss, SigmoidActivation),
    (BinaryCrossentropy, reference.binary_crossentropy, SigmoidActivation),
    (CrossEntropy, reference.categorical_crossentropy, SoftmaxActivation),
    (MSE, reference.mse, None),
    (MAE, reference.mae, None),
    (Huber, reference.huber, None),
]
every_loss = pytest.mark.parametrize(("loss", "twin", "activation"), PAIRS, ids=[row[0].name for row in PAIRS])
TWINS = {"sigmoid": reference.sigmoid, "softmax": reference.softmax, "relu": reference.relu}


def targets(rng, loss, shape):
    if loss is CrossEntropy:
        return np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
    return rng.random(shape)


def applied(activation, z):
    return z if activation is None else TWINS[activation.name](z)


# ------------------------------------------------------------------------ as functions of what a network says


@every_loss
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 2)])
def test_class_methods(loss, twin, activation, shape, rng):
    if loss is CrossEntropy and shape[1] < 2:
        shape = (1, 2)
    z, t = rng.standard_normal(shape), targets(rng, loss, shape)
    p = applied(activation, z)
    value, gradient = twin(z, t)
    assert loss.loss(t, p) == pytest.approx(value, rel=1e-10)
    assert type(loss.loss(t, p)) is float
    by_p = loss.loss_partial_derivative(t, p)
    assert by_p.shape == shape
    backwards = {"sigmoid": reference.sigmoid_backward, "softmax": reference.softmax_backward}
    by_z = by_p if activation is None else backwards[activation.name](by_p, p)
    np.testing.assert_allclose(by_z, gradient, rtol=1e-10, atol=1e-14)


@every_loss
def test_class_methods_are_their_own_derivatives(loss, twin, activation, rng):
    t, p = targets(rng, loss, (4, 3)), rng.uniform(0.1, 0.9, (4, 3))
    assert_gradient(loss.loss_partial_derivative(t, p), lambda: loss.loss(t, p), p)


@pytest.mark.parametrize("loss", [LogLoss, BinaryCrossentropy, CrossEntropy])
def test_log_of_zero_is_finite(loss):
    """A certain and wrong answer costs much, but neither infinity nor NaN."""
    y_true, y_pred = [[1, 0], [0, 1]], [[0, 1], [1, 0]]
    assert 5 < loss.loss(y_true, y_pred) < 100
    assert np.isfinite(loss.loss_partial_derivative(y_true, y_pred)).all()
    assert 0 <= loss.loss(y_true, y_true) < 1e-6
    assert np.isfinite(loss.loss_partial_derivative(y_true, y_true)).all()


@pytest.mark.parametrize("loss", [LogLoss, BinaryCrossentropy, MSE, MAE, Huber])
def test_a_column_against_a_row_of_numbers_does_not_broadcast(loss):
    """(N,) against (N, 1) would make an (N, N) table of differences."""
    y, p = np.array([0.0, 1.0, 1.0]), np.array([[0.2], [0.7], [0.9]])
    expected = loss.loss(y[:, None], p)
    assert loss.loss(y, p) == loss.loss(y[:, None], p[:, 0]) == loss.loss(list(y), list(p[:, 0])) == expected
    assert loss.loss_partial_derivative(y, p).shape == (3, 1)
    assert loss.loss_partial_derivative(y[:, None], p[:, 0]).shape == (3,)


def test_cross_entropy_takes_labels():
    p = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    expected = -(np.log(0.3) + np.log(0.6)) / 2
    for y in ([2, 0], [[2], [0]], [2.0, 0.0], np.array([2, 0], np.uint8), [[0, 0, 1], [1, 0, 0]]):
        assert CrossEntropy.loss(y, p) == pytest.approx(expected, rel=1e-12)
        assert CrossEntropy.loss_partial_derivative(y, p).shape == p.shape


def test_cross_entropy_does_not_apply_softmax_again():
    p = np.array([[0.9, 0.1]])
    assert CrossEntropy.loss([0], p) == pytest.approx(-np.log(0.9), rel=1e-12)


@pytest.mark.parametrize("loss", [LogLoss, BinaryCrossentropy, CrossEntropy, MSE, MAE, Huber])
@pytest.mark.parametrize("shapes", [((3, 2), (2, 2)), ((4,), (2, 2)), ((2, 3), (3, 2)), ((1, 2), (2, 2)), ((), (2,))])
def test_other_shapes_are_an_error(loss, shapes):
    y_true, y_pred = np.full(shapes[0], 0.5), np.full(shapes[1], 0.5)
    with pytest.raises(ShapeError) as caught:
        loss.loss(y_true, y_pred)
    expected = f"{loss.name}: expected y_true of the shape of y_pred, {y_pred.shape}, got {y_true.shape}"
    assert str(caught.value) == expected
    with pytest.raises(ShapeError):
        loss.loss_partial_derivative(y_true, y_pred)


@every_loss
def test_there_is_no_loss_of_no_samples(loss, twin, activation):
    for method in (loss.loss, loss.loss_partial_derivative):
        with pytest.raises(ValueError, match="expected at least one row, got none; check how y_pred was made"):
            method(np.zeros((0, 3)), np.zeros((0, 3)))


# ------------------------------------------------------------------------------ as the last part of a network


def run_head(loss, activation, z, t, share=None):
    """Return (loss, gradient by z, outputs) of a head, for targets as a network gathers them."""
    head, space = LossHead(activation, loss()), Space(z.dtype, training=True)
    share = np.full(len(z), 1 / max(len(z), 1)) if share is None else share
    value, gradient, outputs = head.loss(z, t.astype(z.dtype), share.astype(z.dtype), space)
    return value, np.array(gradient), np.array(outputs)


@every_loss
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (5, 3), (33, 10)])
def test_heads(loss, twin, activation, shape, isa, rng):
    if loss is CrossEntropy and shape[1] < 2:
        shape = (1, 2)
    z, t = 3 * rng.standard_normal(shape), targets(rng, loss, shape)
    value, gradient, outputs = run_head(loss, activation, z, t)
    want, want_gradient = twin(z, t)
    assert value == pytest.approx(want, rel=1e-10)
    np.testing.assert_allclose(gradient, want_gradient, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(outputs, applied(activation, z), rtol=1e-10)


@every_loss
def test_heads_in_float32_differ_by_rounding_only(loss, twin, activation, isa, rng):
    shape = (33, 10)
    z, t = normals(rng, shape, "float32"), targets(rng, loss, shape).astype("float32")
    value, gradient, outputs = run_head(loss, activation, z, t)
    want, want_gradient = twin(z, t)
    assert gradient.dtype == outputs.dtype == np.float32
    assert value == pytest.approx(want, rel=1e-6)
    np.testing.assert_allclose(gradient, want_gradient, rtol=0, atol=1e-6 * abs(want_gradient).max())
    np.testing.assert_allclose(outputs, applied(activation, z), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        *((row[0], row[2]) for row in PAIRS),
        (MSE, SigmoidActivation),
        (MSE, SoftmaxActivation),
        (MSE, RELUActivation),
        (MAE, SigmoidActivation),
        (Huber, SoftmaxActivation),
    ],
)
def test_gradient_of_whole_heads(loss, activation, rng):
    """Also of heads whose halves run one after the other."""
    z, t = rng.standard_normal((4, 3)), targets(rng, loss, (4, 3))
    share = np.array([0.1, 0.5, 0.0, 0.4])
    _, gradient, outputs = run_head(loss, activation, z, t, share)
    np.testing.assert_allclose(outputs, applied(activation, z), rtol=1e-12)
    assert_gradient(gradient, lambda: run_head(loss, activation, z, t, share)[0], z)
    assert not gradient[2].any(), "a sample without weight has no gradient"


@every_loss
def test_rows_are_weighted_by_their_sample_weights(loss, twin, activation, rng):
    z, t = rng.standard_normal((3, 4)), targets(rng, loss, (3, 4))
    share = np.array([0.2, 0.5, 0.3])
    value, gradient, _ = run_head(loss, activation, z, t, share)
    rows = [twin(z[n : n + 1], t[n : n + 1]) for n in range(3)]
    assert value == pytest.approx(sum(part * row[0] for part, row in zip(share, rows, strict=True)), rel=1e-12)
    weighted = [part * row[1] for part, row in zip(share, rows, strict=True)]
    np.testing.assert_allclose(gradient, np.concatenate(weighted), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss", [LogLoss, BinaryCrossentropy])
def test_heads_of_sigmoid_are_exact_where_probabilities_round(loss, dtype):
    """At z = 200 the probability is 1 in floats, and log(1 - p) minus infinity; the loss is 200."""
    z = np.array([[200.0], [-200.0]], dtype)
    value, gradient, outputs = run_head(loss, SigmoidActivation, z, np.array([[0.0], [1.0]]))
    assert value == 200
    assert gradient.ravel().tolist() == [0.5, -0.5]
    np.testing.assert_allclose(outputs, [[1], [0]], atol=1e-80)
    assert run_head(loss, SigmoidActivation, z, np.array([[1.0], [0.0]]))[0] < 1e-80


def test_heads_of_softmax_are_exact_where_probabilities_round(dtype):
    z = np.array([[300.0, 0.0, -300.0]], dtype)
    value, gradient, _ = run_head(CrossEntropy, SoftmaxActivation, z, np.array([[0.0, 0.0, 1.0]]))
    assert value == 600
    np.testing.assert_allclose(gradient, [[1, 0, -1]], atol=1e-30)


@every_loss
def test_nan_affects_its_own_row_only(loss, twin, activation):
    z = np.array([[0.5, np.nan], [0.25, 0.5]])
    value, gradient, outputs = run_head(loss, activation, z, np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert np.isnan(value)
    assert np.isnan(gradient[0, 1]) and np.isfinite(gradient[1]).all()
    assert np.isnan(outputs[0, 1]) and np.isfinite(outputs[1]).all()


def test_a_head_without_a_loss():
    z = np.array([[1.0, -1.0]])
    head, space = LossHead(SigmoidActivation, None), Space("float64")
    np.testing.assert_allclose(head.outputs(z, space), reference.sigmoid(z), rtol=1e-14)
    assert LossHead(None, None).outputs(z, space) is z
    with pytest.raises(NotBuiltError, match=r"^loss: expected a network with a loss, .* call compile\(loss=\.\.\.\)"):
        head.loss(z, z, np.ones(1), space)


# ---------------------------------------------------------------------------------------------------- options

OPTIONS = [
    (LogLoss(label_smoothing=0.2), reference.log_loss, SigmoidActivation),
    (BinaryCrossentropy(label_smoothing=0.2), reference.binary_crossentropy, SigmoidActivation),
    (CrossEntropy(label_smoothing=0.2), reference.categorical_crossentropy, SoftmaxActivation),
    (Huber(0.25), lambda z, t: reference.huber(z, t, 0.25), None),
]
every_option = pytest.mark.parametrize(("loss", "twin", "activation"), OPTIONS, ids=[f"{row[0]}" for row in OPTIONS])


def smooth(loss, t):
    """Return targets as the loss smooths them, by hand."""
    share = {CrossEntropy: 0.2 / t.shape[1], Huber: 0}.get(type(loss), 0.1)
    return t if type(loss) is Huber else 0.8 * t + share


@every_option
def test_options_apply_to_heads_and_functions(loss, twin, activation, rng):
    z, t = rng.standard_normal((6, 4)), targets(rng, type(loss), (6, 4))
    want, want_gradient = twin(z, smooth(loss, t))
    value, gradient, p = run_head(lambda: loss, activation, z, t)
    assert value == pytest.approx(want, rel=1e-10)
    np.testing.assert_allclose(gradient, want_gradient, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(p, applied(activation, z), rtol=1e-10)
    assert loss.loss(t, p) == pytest.approx(want, rel=1e-9)
    assert type(loss).loss(t, p) != pytest.approx(want, rel=1e-3), "the class knows no options"
    inside = np.clip(p, 0.05, 0.95)
    assert_gradient(loss.loss_partial_derivative(t, inside), lambda: loss.loss(t, inside), inside)


@every_option
def test_options_are_in_the_config(loss, twin, activation):
    again = loss_function(json.loads(json.dumps(to_config(loss))))
    assert type(again) is type(loss) and again.config() == loss.config() != {}
    assert repr(again) == repr(loss) == repr(eval(repr(loss)))


def test_invalid_option():
    for loss in (LogLoss, BinaryCrossentropy, CrossEntropy):
        with pytest.raises(ValueError) as caught:
            loss(label_smoothing=1)
        assert str(caught.value) == (
            f"{loss.__name__}: expected label_smoothing to be a number from 0 to less than 1, got 1"
        )
    with pytest.raises(ValueError, match="^Huber: expected delta to be a positive number, got 0$"):
        Huber(0)
    with pytest.raises(TypeError, match="did you mean 'label_smoothing'"):
        CrossEntropy(label_smooting=0.1)
    with pytest.raises(TypeError, match=r"^MSE: expected no arguments, got \(0.5,\)$"):
        MSE(0.5)


@pytest.mark.parametrize("loss", [CrossEntropy(label_smoothing=0.3), LogLoss(label_smoothing=0.3), Huber(0.1), MAE()])
def test_networks_train_on_losses_with_options(loss, rng):
    """What fit, evaluate and train_on_batch report is the loss with its options."""
    x, y = rng.standard_normal((12, 5)), np.eye(3)[rng.integers(0, 3, 12)]
    end = loss.partner.name if loss.partner else None
    made = GWUNetwork([Dense(3, activation=end, input_size=5)], seed=0, precision="float64")
    made.compile(loss, lr=0.1)
    want = loss.loss(y, made.predict(x))
    assert made.evaluate(x, y, batch_size=5) == pytest.approx(want, rel=1e-9)
    assert made.fit(x, y, epochs=1, batch_size=12).history["loss"] == pytest.approx([want], rel=1e-9)
    assert made.evaluate(x, y) < want


def test_accuracy_knows_nothing_of_smoothing(rng):
    x, y = rng.standard_normal((12, 5)), rng.integers(0, 3, 12)
    made = GWUNetwork([Dense(3, activation="softmax", input_size=5)], seed=0)
    made.compile(CrossEntropy(label_smoothing=0.9))
    assert made.evaluate(x, y, return_dict=True)["accuracy"] == np.mean(made.predict(x).argmax(axis=1) == y)
