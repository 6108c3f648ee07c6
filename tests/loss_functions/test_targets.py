"""Targets of all kinds, losses by name, the last layer that each loss expects, and the errors."""

import numpy as np
import pytest

from gwucnn import (
    MSE,
    BinaryCrossentropy,
    Conv2D,
    CrossEntropy,
    GWUNetwork,
    LogLoss,
    SigmoidActivation,
    SoftmaxActivation,
)
from gwucnn.common.errors import ShapeError
from gwucnn.loss_functions import LOSSES, loss_function

# ---------------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize("out_shape", [(2, 3, 1), (1, 2, 3)])
def test_images_of_one_channel_may_come_without_it_as_in_x(out_shape):
    images = np.arange(12.0).reshape(2, 2, 3)
    made = loss_function("mse").targets(images, out_shape)
    np.testing.assert_array_equal(made, images.reshape(2, *out_shape))
    for shape in [(2, 3, 2), (2, 6), (2, 12), (4, 3), (2, 2, 3, 1, 1)]:
        with pytest.raises(ShapeError):
            loss_function("mse").targets(np.zeros(shape), out_shape)
    with pytest.raises(ShapeError):
        loss_function("mse").targets(images, (2, 3, 2))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_an_autoencoder_of_grey_images_takes_them_as_targets(data_format, rng):
    def losses(*data):
        network = GWUNetwork([Conv2D(1, padding="same")], seed=0, data_format=data_format)
        network.compile("mse")
        return network.fit(*data, epochs=2, batch_size=4, validation_split=0.25).history

    x = rng.random((8, 5, 6))
    channel = x[..., None] if data_format == "channels_last" else x[:, None]
    assert losses(x, x) == losses(channel, channel)


@pytest.mark.parametrize(
    ("name", "outputs", "y", "made"),
    [
        ("log_loss", 1, [0, 1], [[0], [1]]),
        ("log_loss", 1, [[0.0], [1.0]], [[0], [1]]),
        ("log_loss", 1, [True, False], [[1], [0]]),
        ("log_loss", 2, [0, 1], [0, 1]),
        ("log_loss", 2, [[0], [1]], [0, 1]),
        ("log_loss", 2, [[1, 0], [0.25, 1]], [[1, 0], [0.25, 1]]),
        ("binary_crossentropy", 3, [[1, 0, 1]], [[1, 0, 1]]),
        ("cross_entropy", 3, [2, 0], [2, 0]),
        ("cross_entropy", 3, np.array([2, 0], np.uint8), [2, 0]),
        ("cross_entropy", 3, [[2], [0]], [2, 0]),
        ("cross_entropy", 3, [2.0, 0.0], [2, 0]),
        ("cross_entropy", 3, [[0, 0, 1], [0.5, 0.25, 0.25]], [[0, 0, 1], [0.5, 0.25, 0.25]]),
        ("sparse_categorical_crossentropy", 3, [1], [1]),
        ("categorical_crossentropy", 2, [[1, 0]], [[1, 0]]),
        ("mse", 1, [0.5, -7], [[0.5], [-7]]),
        ("mae", 1, [0.5, -7], [[0.5], [-7]]),
        ("huber", 2, [[0.5, -7]], [[0.5, -7]]),
        ("mse", 3, [[1, 2, 3]], [[1, 2, 3]]),
        ("mse", 2, np.zeros((0, 2)), np.zeros((0, 2)).tolist()),
        ("cross_entropy", 3, [], []),
    ],
)
def test_targets(name, outputs, y, made):
    assert np.asarray(loss_function(name).targets(y, (outputs,))).tolist() == made


BAD_TARGETS = [
    ("log_loss", 1, [[0, 1]], "log_loss: expected y of shape (N, 1), got (1, 2); the last layer makes 1 number a sample, "
     "y must have as many"),
    ("mse", 3, [1, 2, 3], "mse: expected y of shape (N, 3), got (3,); the last layer makes 3 numbers a sample, y must have "
     "as many"),
    ("mae", 2, [1, 2], "mae: expected y of shape (N, 2), got (2,); the last layer makes 2 numbers a sample, y must have as "
     "many"),
    ("huber", 1, [[1, 2]], "huber: expected y of shape (N, 1), got (1, 2); the last layer makes 1 number a sample, y must "
     "have as many"),
    ("mse", 1, 4.0, "mse: expected y of shape (N, ...), a row for each sample, got a single number; write [y]"),
    ("log_loss", 2, 1, "log_loss: expected y of shape (N, ...), a row for each sample, got a single number; write [y]"),
    ("log_loss", 1, [0, 2], "log_loss: expected y from 0 to 1, got values from 0 to 2; for more than two classes "
     "use one softmax output for each and loss='cross_entropy'"),
    ("log_loss", 2, [[-1, 0]], "log_loss: expected y from 0 to 1, got values from -1 to 0; write 0 and 1"),
    ("log_loss", 2, [0, 2], "log_loss: expected labels from 0 to 1 for 2 outputs, got 2; give the last layer as many outputs "
     "as there are classes"),
    ("cross_entropy", 3, [0, 3], "cross_entropy: expected labels from 0 to 2 for 3 outputs, got 3; give the last layer as "
     "many outputs as there are classes"),
    ("cross_entropy", 3, [0, -1, 3], "cross_entropy: expected labels from 0 to 2 for 3 outputs, got -1; give the last layer "
     "as many outputs as there are classes"),
    ("cross_entropy", 3, [0.5, 1], "cross_entropy: expected integer labels, got 0.5, 1.0; round them, or for quantities use a "
     "loss such as 'mse'"),
    ("cross_entropy", 3, [np.nan], "cross_entropy: expected integer labels, got nan; remove or repair what is not finite"),
    ("cross_entropy", 3, ["cat"], "cross_entropy: expected integer labels, got 'cat'; number the classes from 0, as "
     "np.unique(y, return_inverse=True)[1] does"),
    ("cross_entropy", 3, [[0, 1]], "cross_entropy: expected y of shape (N, 3), got (1, 2); the last layer makes 3 numbers a "
     "sample, y must have as many"),
    ("cross_entropy", 2, [[1, 1]], "cross_entropy: expected rows of y that are one-hot or sum to 1, got [1, 1]; use "
     "to_categorical(labels)"),
    ("cross_entropy", 2, [[2, -1]], "cross_entropy: expected rows of y that are one-hot or sum to 1, got [2, -1]; use "
     "to_categorical(labels)"),
    ("mse", 1, [np.inf], "mse: expected finite y, got NaN or infinity; remove or repair those rows"),
    ("log_loss", 2, [[np.nan, 0]], "log_loss: expected finite y, got NaN or infinity; remove or repair those rows"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "outputs", "y", "message"), BAD_TARGETS)
def test_targets_that_do_not_fit(name, outputs, y, message):
    with pytest.raises(ValueError) as caught:
        loss_function(name).targets(y, (outputs,))
    assert str(caught.value) == message


@pytest.mark.parametrize("y", [["a"], [None], [1j]])
def test_targets_that_are_no_numbers(y):
    with pytest.raises(TypeError, match="^mse: expected y to be numbers, got "):
        loss_function("mse").targets(y, (1,))


def test_targets_of_several_lengths():
    with pytest.raises(ShapeError, match="^cross_entropy: expected rows of y of one length, got several"):
        loss_function("cross_entropy").targets([[1, 0], [1]], (2,))


# ------------------------------------------------------------------------------------------ names and endings


@pytest.mark.parametrize("name", LOSSES)
def test_by_name_as_a_class_and_as_an_object(name):
    classes_by_name = loss_function(name)
    assert type(classes_by_name) is LOSSES[name]
    assert type(loss_function(LOSSES[name])) is LOSSES[name]
    assert loss_function(classes_by_name) is classes_by_name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("crossentropy", "got 'crossentropy'; did you mean 'cross_entropy'?"),
        ("MSE", "got 'MSE'; did you mean 'mse'?"),
        ("hinge", "got 'hinge'"),
        (None, "got None"),
    ],
)
def test_unknown_losses(given, message):
    with pytest.raises(ValueError) as caught:
        loss_function(given)
    names = ", ".join(map(repr, LOSSES))
    assert str(caught.value) == f"compile: expected loss to be one of {names}, {message}"


ENDINGS = [
    (LogLoss, None, (2,), "log_loss: expected a network that ends with sigmoid, got a last layer with no activation; give the "
     "last layer activation='sigmoid'"),
    (LogLoss, SoftmaxActivation, (2,), "log_loss: expected a network that ends with sigmoid, got a last layer with activation "
     "'softmax'; give the last layer activation='sigmoid'"),
    (CrossEntropy, SigmoidActivation, (2,), "cross_entropy: expected a network that ends with softmax, got a last layer with "
     "activation 'sigmoid'; give the last layer activation='softmax'"),
    (CrossEntropy, None, (10,), "cross_entropy: expected a network that ends with softmax, got a last layer with no "
     "activation; give the last layer activation='softmax'"),
    (CrossEntropy, SoftmaxActivation, (1,), "cross_entropy: expected a network with one output for each class, at least two, "
     "got (1,); for one yes-or-no output use activation='sigmoid' and loss='log_loss'"),
    (LogLoss, SigmoidActivation, (4, 4, 2), "log_loss: expected a network with outputs (N, K), got (4, 4, 2); add Flatten(), or for "
     "answers for each pixel use loss='binary_crossentropy'"),
    (BinaryCrossentropy, None, (4, 4, 2), "binary_crossentropy: expected a network that ends with sigmoid, got a last layer "
     "with no activation; give the last layer activation='sigmoid'"),
    (CrossEntropy, SoftmaxActivation, (4, 4, 1), "cross_entropy: expected a network with one output for each class, at "
     "least two, got (4, 4, 1); for one yes-or-no output use activation='sigmoid' and loss='binary_crossentropy'"),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "activation", "out_shape", "message"), ENDINGS)
def test_endings_that_do_not_fit(loss, activation, out_shape, message):
    with pytest.raises(ValueError) as caught:
        loss().check_outputs(activation, out_shape)
    assert str(caught.value) == message


@pytest.mark.parametrize("loss", [LogLoss, BinaryCrossentropy, CrossEntropy, MSE])
def test_endings_that_fit(loss):
    loss().check_outputs(loss.partner, (3,))
    MSE().check_outputs(loss.partner, (4, 4, 2))
