"""Arguments that once gave numbers, or Python's raw words, where an error is due."""

import re

import numpy as np
import pytest

from gwucnn import Dense, Flatten, GWUNetwork, ops
from gwucnn.loss_functions import MAE, MSE, BinaryCrossentropy, CrossEntropy, Huber, LogLoss

ONE, PIXELS = np.ones((1, 4, 4, 1), "f"), np.ones((3, 3, 1, 2), "f")


def refused(function, *args, error=ValueError, says, **options):
    with pytest.raises(error, match=re.escape(says)):
        function(*args, **options)


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("loss", [MSE, MAE, Huber, LogLoss, BinaryCrossentropy, CrossEntropy])
@pytest.mark.parametrize("method", ["loss", "loss_partial_derivative"])
class TestLosses:
    def test_shapes_are_not_guessed(self, loss, method):
        call = getattr(loss, method)
        half = np.full((3, 2), 0.5)
        refused(
            call, np.ones((1, 3)), np.ones((3, 1)), says="expected y_true of the shape of y_pred, (3, 1), got (1, 3)"
        )
        refused(call, np.ones((3, 2, 1)), half, says="expected y_true of the shape of y_pred, (3, 2), got (3, 2, 1)")
        assert np.isfinite(call(np.zeros(3), np.full((3, 1), 0.5))).all()

    def test_numbers_are_real(self, loss, method):
        call = getattr(loss, method)
        refused(
            call,
            np.ones((2, 2)) * 1j,
            np.ones((2, 2)),
            error=TypeError,
            says="expected y_true to be real numbers, got complex128",
        )
        refused(
            call,
            np.ones((2, 2)),
            np.ones((2, 2)) * 1j,
            error=TypeError,
            says="expected y_pred to be real numbers, got complex128",
        )
        refused(call, [["a", "b"]], [[1.0, 0.0]], error=TypeError, says="expected y_true to be real numbers")
        refused(call, [[1.0, 0.0]], [[1.0], [1.0, 2.0]], says="expected rows of y_pred of one length, got several")
        refused(call, [[1.0], [1.0, 2.0]], [[1.0]], says="of one length, got several")

    def test_there_is_a_row(self, loss, method):
        refused(getattr(loss, method), np.ones((0, 2)), np.ones((0, 2)), says="expected at least one row, got none")


@pytest.mark.parametrize("loss", [LogLoss, BinaryCrossentropy, CrossEntropy])
def test_probabilities_are_from_0_to_1(loss):
    says = "expected y_pred to be probabilities from 0 to 1, got values from 0.5 to 1.5; apply the sigmoid or softmax first"
    refused(loss.loss, [[0.0, 1.0]], [[0.5, 1.5]], says=says)
    refused(loss.loss_partial_derivative, [[0.0, 1.0]], [[-0.5, 0.5]], says="got values from -0.5 to 0.5")
    refused(loss.loss, [[2.0, 0.0]], [[0.5, 0.5]], says="from 0 to 1, got values from 0 to 2")


# ---------------------------------------------------------------- ops


def test_arrays_of_ops_are_arrays():
    refused(ops.conv2d, None, PIXELS, error=TypeError, says="conv2d: expected x to be an array, got None")
    refused(ops.conv2d, ONE, None, error=TypeError, says="conv2d: expected weight to be an array, got None")
    refused(ops.max_pool2d, None, 2, error=TypeError, says="max_pool2d: expected x to be an array, got None")
    refused(
        ops.dense,
        [[1.0], [2.0, 3.0]],
        ONE,
        error=TypeError,
        says="dense: expected x to be an array, got rows of several lengths",
    )
    refused(ops.relu, None, error=TypeError, says="relu: expected x to be an array, got None")
    x, C = np.ones((2, 3), "f"), np.ones(3, "f")
    assert ops.dense(x, x.T.copy(), None).shape == (2, 2)
    refused(
        ops.batch_norm,
        x,
        None,
        None,
        None,
        C,
        1e-3,
        error=TypeError,
        says="batch_norm: expected gamma to be an array, got None",
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets_of_losses_are_probabilities(dtype):
    z, share = np.zeros((2, 2), dtype), np.full(2, 0.5, dtype)
    for op, wrong, says in [
        (ops.sigmoid_log_loss, -1, "sigmoid_log_loss: expected target from 0 to 1, got values from -1 to 1; write 0 and 1"),
        (ops.sigmoid_log_loss, 2, "sigmoid_log_loss: expected target from 0 to 1, got values from 1 to 2; write 0 and 1"),
        (ops.sigmoid_log_loss, np.nan, "sigmoid_log_loss: expected target from 0 to 1, got values from nan to nan"),
        (ops.softmax_cross_entropy, -1,
         "softmax_cross_entropy: expected target of at least 0, got values from -1 to 1; write 0 and 1"),
        (ops.softmax_cross_entropy, np.nan, "softmax_cross_entropy: expected target of at least 0, got values from nan"),
    ]:  # fmt: skip
        target = np.array([[1, wrong], [1, 1]], dtype)
        p, gradient = np.full((2, 2), 7, dtype), np.full((2, 2), 7, dtype)
        refused(op, z, target, share, probability=p, gradient=gradient, says=says)
        refused(op, z, target=target, share=share, probability=p, gradient=gradient, says=says)
        assert (p == 7).all() and (gradient == 7).all()
        target[0, 1] = 0
        assert op(z, target, share, probability=p, gradient=gradient) > 0
        assert op(z[:0], target[:0], share[:0], probability=p[:0], gradient=gradient[:0]) == 0


@pytest.mark.parametrize("name", ["strides", "dilation_rate", "padding"])
def test_sizes_fit_into_the_machine(name):
    says = f"conv2d: expected {name} of at most 2147483647 pixels, got 9223372036854775808"
    refused(ops.conv2d, ONE, PIXELS, says=says, **{name: 2**63})
    assert ops.conv2d(ONE, PIXELS, strides=2**31 - 1).shape == (1, 1, 1, 2)


@pytest.mark.parametrize("momentum", [-0.1, 1.5, float("nan"), "0.9"])
def test_the_momentum_of_statistics_is_a_fraction(momentum):
    running, mean = np.ones(2), np.zeros(2)
    updates, batch = np.zeros(1, np.int64), np.ones(2)
    says = "move_statistics: expected momentum to be a number from 0 to less than 1"
    refused(ops.move_statistics, running, updates, batch, batch, momentum, out=mean, says=says)
    assert (running == 1).all() and (mean == 0).all() and updates[0] == 0


# ---------------------------------------------------------------- networks


def network():
    made = GWUNetwork([Flatten(), Dense(1)], seed=0)
    made.compile("mse", lr=0.01)
    made.build((2, 2))
    return made


@pytest.mark.parametrize(
    ("weights", "error", "says"),
    [
        (None, TypeError, "set_weights: expected a list of arrays, got NoneType"),
        ("weights", TypeError, "set_weights: expected a list of arrays, got str"),
        ([[[1.0], [2.0], [3.0], [4.0, 5.0]]], ValueError, "set_weights: expected array 0 to have rows of one length, got several"),
        ([np.full((4, 1), -1e300)], ValueError, "set_weights: expected array 0 (kernel) to fit into float32, got 1e+300"),
    ],
)  # fmt: skip
def test_weights_that_are_none(weights, error, says):
    made = network()
    before = made.get_weights()[0]
    refused(made.set_weights, weights, error=error, says=says)
    np.testing.assert_array_equal(made.get_weights()[0], before)


def test_numbers_that_float32_has_not():
    made = network()
    x, y = np.ones((3, 2, 2)), np.ones(3)
    before = made.get_weights()[0]
    says = "fit: expected x to fit into float32, up to 3.4e+38, got 1e+300; scale x, or write GWUNetwork(precision='float64')"
    refused(made.fit, x * -1e300, y, says=says)
    refused(made.fit, x, y * 1e300, says="fit: expected y to fit into float32, up to 3.4e+38, got 1e+300")
    np.testing.assert_array_equal(made.get_weights()[0], before)
    made.set_weights([np.full((4, 1), np.inf)])  # what a network that diverged returns
