"""Errors for calls in the wrong order, data of the wrong shape, and unknown names."""

import re

import numpy as np
import pytest

from gwucnn import (
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    Sigmoid,
    Softmax,
)
from gwucnn.common.errors import NotBuiltError, ShapeError

X, Y = np.zeros((4, 6, 6)), np.array([0, 1, 0, 1])


def built(loss="cross_entropy", last="softmax"):
    network = GWUNetwork([Conv2D(input_size=6), Flatten(), Dense(2, activation=last)])
    network.compile(loss)
    return network


def uncompiled():
    return GWUNetwork([Conv2D(), Flatten(), Dense(2)])


def stacked(*layers, **options):
    """Return a function that builds a network of these layers for images of 6x6."""
    return lambda: GWUNetwork(layers, **options).build((6, 6))


# the call, the type of the error, its full text
ORDER = [
    (lambda: GWUNetwork().predict(X), NotBuiltError,
     "GWUNetwork: expected at least one layer, got none; call add(layer) first"),
    (lambda: uncompiled().fit(X, Y), NotBuiltError,
     "fit: expected a compiled network; call compile(loss=...) first"),
    (lambda: uncompiled().evaluate(X, Y), NotBuiltError,
     "evaluate: expected a compiled network; call compile(loss=...) first"),
    (lambda: uncompiled().train_on_batch(X, Y), NotBuiltError,
     "train_on_batch: expected a compiled network; call compile(loss=...) first"),
    (lambda: uncompiled().get_weights(), NotBuiltError,
     "get_weights: expected a built network; give input_size, or call build(input_shape)"),
    (lambda: uncompiled().set_weights([]), NotBuiltError,
     "set_weights: expected a built network; give input_size, or call build(input_shape)"),
    (lambda: GWUNetwork().count_params(), NotBuiltError,
     "count_params: expected a built network; give input_size, or call build(input_shape)"),
]  # fmt: skip

LAYERS = [
    (lambda: GWUNetwork([Conv2D]), TypeError,
     "add: expected a layer, got <class 'gwucnn.layers.conv.Conv2D'>; write Conv2D(...)"),
    (lambda: GWUNetwork().add("relu"), TypeError, "add: expected a layer, got 'relu'; write Dense(10), or for an activation Activation('relu')"),
    (lambda: GWUNetwork(Dense(2)), TypeError,
     "GWUNetwork: expected a list of layers, got Dense(output_size=2); write GWUNetwork([...])"),
    (lambda: GWUNetwork([layer := Dense(2), layer]), ValueError,
     "add: expected a layer that belongs to no network yet, got 0.Dense; make a new one"),
    (stacked(Conv2D(), Dense(2)), ShapeError,
     "1.Dense: expected a flat input (D,), got (4, 4, 2); put Flatten() before this layer"),
    (stacked(Flatten(), Dense(9), MaxPooling2D()), ShapeError,
     "2.MaxPooling2D: expected images (H, W, C), got (9,); give x as (N, H, W) or (N, H, W, C), and put this layer before "
     "Flatten()"),
    (lambda: GWUNetwork([Conv2D()]).predict(np.zeros((3, 784))), ShapeError,
     "0.Conv2D: expected images (H, W, C), got (784,); give x as (N, H, W) or (N, H, W, C), and put this layer before "
     "Flatten()"),
    (stacked(Conv2D(), Conv2D(kernel_size=5)), ShapeError,
     "1.Conv2D: expected kernel_size to fit in an image of 4x4, got a window of 5x5 pixels; use a smaller window, larger "
     "images or padding='same'"),
    (stacked(MaxPooling2D(7)), ShapeError,
     "0.MaxPooling2D: expected pool_size to fit in an image of 6x6, got a window of 7x7 pixels; use a smaller window, larger "
     "images or padding='same'"),
    (stacked(MaxPooling2D(2, padding=2)), ShapeError,
     "0.MaxPooling2D: expected padding smaller than the window (2, 2), got ((2, 2), (2, 2)); lower padding, or raise "
     "pool_size"),
    (stacked(Conv2D(3), Conv2D(4, groups=2)), ShapeError,
     "1.Conv2D: expected channels to be a multiple of groups=2, got 3; change groups, or the filters of the layer before"),
    (lambda: GWUNetwork([Conv2D(input_size=2)]), ShapeError,
     "0.Conv2D: expected kernel_size to fit in an image of 2x2, got a window of 3x3 pixels; use a smaller window, larger "
     "images or padding='same'"),
]  # fmt: skip

SHAPES = [
    (lambda: built().predict(np.zeros((2, 7, 7))), ShapeError,
     "0.Conv2D: expected inputs of shape (N, 6, 6, 1), got (N, 7, 7, 1); as input_size states; resize the images, or "
     "make a network for such"),
    (lambda: built().predict(np.zeros((2, 6, 6, 3))), ShapeError,
     "0.Conv2D: expected inputs of shape (N, 6, 6, 1), got (N, 6, 6, 3); as input_size states; give images of 1 channel"),
    (lambda: built().predict(np.zeros((6, 6))), ShapeError,
     "0.Conv2D: expected inputs of shape (N, 6, 6, 1), got (N, 6); as input_size states; for one image pass x[None]"),
    (lambda: built().predict(np.zeros(36)), ShapeError,
     "predict: expected x of shape (N, H, W), (N, H, W, C) or (N, D), got (36,); for one sample pass x[None]"),
    (lambda: built().fit(np.zeros((1, 2, 3, 4, 5)), Y), ShapeError,
     "fit: expected x of shape (N, H, W), (N, H, W, C) or (N, D), got (1, 2, 3, 4, 5); for one sample pass x[None]"),
    (lambda: built().fit(X, Y[:3]), ShapeError, "fit: expected as many y as x, got 3 and 4; give one y for each x"),
    (lambda: built().fit(X[:0], Y[:0]), ValueError, "fit: expected at least one sample, got none; check how x was made"),
    (lambda: built().train_on_batch(X[:0], Y[:0]), ValueError,
     "train_on_batch: expected at least one sample, got none; check how x was made"),
    (lambda: built().evaluate(X[:0], Y[:0]), ValueError, "evaluate: expected at least one sample, got none; check how x was made"),
    (lambda: built().fit([["a"]], Y), TypeError,
     "fit: expected x to be an array of numbers, got strings such as 'a'; read the files that they name into an array first"),
    (lambda: built().predict(None), TypeError,
     "predict: expected x to be an array of numbers, got None; give an array (N, H, W), (N, H, W, C) or (N, D)"),
    (lambda: built().build((7, 7)), ShapeError,
     "0.Conv2D: expected inputs of shape (N, 6, 6, 1), got (N, 7, 7, 1); as input_size states; resize the images, or "
     "make a network for such"),
    (lambda: uncompiled().build((1, 28, 28, 1)), ShapeError,
     "build: expected the shape of one input, (H, W), (H, W, C) or (D,), got (1, 28, 28, 1); leave out the number of images"),
    (lambda: uncompiled().build("28x28"), TypeError,
     "build: expected input_shape to be sizes such as (28, 28), got '28x28'"),
    (lambda: uncompiled().build((28, 0)), ValueError, "build: expected input_shape to be an integer of at least 1, got 0"),
    (lambda: built().fit(X, [0, 1, 2, 0]), ValueError,
     "cross_entropy: expected labels from 0 to 1 for 2 outputs, got 2; give the last layer as many outputs as there are "
     "classes"),
    (lambda: built().fit(X, [0, 1, -1, 0]), ValueError,
     "cross_entropy: expected labels from 0 to 1 for 2 outputs, got -1; give the last layer as many outputs as there are "
     "classes"),
    (lambda: built().fit(X, np.zeros((4, 3))), ShapeError,
     "cross_entropy: expected y of shape (N, 2), got (4, 3); the last layer makes 2 numbers a sample, y must have as many"),
    (lambda: built().set_weights([np.zeros(3)]), ShapeError, "set_weights: expected 2 arrays, got 1; give what get_weights returns"),
    (lambda: built().set_weights([np.zeros((3, 3, 1, 2)), np.zeros((2, 32))]), ShapeError,
     "set_weights: expected array 1 (kernel) of shape (32, 2), got (2, 32); give what get_weights returns"),
    (lambda: built().set_weights([np.zeros((3, 3, 1, 2)), np.full((32, 2), "a")]), TypeError,
     "set_weights: expected array 1 (kernel) to be numbers, got <U1"),
]  # fmt: skip

OPTIONS = [
    ({"batch_size": 0}, "fit: expected batch_size to be an integer of at least 1, got 0"),
    ({"batch_size": 2.0}, "fit: expected batch_size to be an integer of at least 1, got 2.0"),
    ({"epochs": -1}, "fit: expected epochs to be an integer of at least 0, got -1"),
    ({"epochs": 1.5}, "fit: expected epochs to be an integer of at least 0, got 1.5"),
    ({"initial_epoch": -1}, "fit: expected initial_epoch to be an integer of at least 0, got -1"),
    ({"shuffle": "batch"}, "fit: expected shuffle to be True or False, got 'batch'"),
    ({"verbose": 3}, "fit: expected verbose to be 0, 1, 2 or 'auto', got 3"),
    ({"verbose": "yes"}, "fit: expected verbose to be 0, 1, 2 or 'auto', got 'yes'"),
    ({"validation_split": 1}, "fit: expected validation_split from 0 to less than 1, got 1; 0.2 holds out a fifth"),
    ({"validation_split": -0.1}, "fit: expected validation_split from 0 to less than 1, got -0.1; 0.2 holds out a fifth"),
    ({"validation_split": "0.2"}, "fit: expected validation_split from 0 to less than 1, got '0.2'; 0.2 holds out a fifth"),
    ({"validation_split": 0.1}, "fit: expected validation_split to hold out a sample, got 0.1 of 4; give more samples or "
     "validation_data"),
    ({"validation_data": X}, "fit: expected validation_data to be a pair (x, y), or (x, y, sample_weight), got ndarray; write "
     "validation_data=(x, y)"),
    ({"validation_data": (X,)}, "fit: expected validation_data to be a pair (x, y), or (x, y, sample_weight), got tuple; write "
     "validation_data=(x, y)"),
    ({"validation_data": (X, Y, [1.0])}, "fit: validation_data: expected sample_weight of shape (4,), got (1,); give one for each "
     "sample"),
    ({"validation_data": (X, Y[:2])}, "fit: validation_data: expected as many y as x, got 2 and 4; give one y for each x"),
    ({"validation_data": (X[:0], Y[:0])}, "fit: validation_data: expected at least one sample, got none; check how x was made"),
    ({"validation_data": (X[:, :5], Y)}, "0.Conv2D: expected inputs of shape (N, 6, 6, 1), got (N, 5, 6, 1); as input_size "
     "states; resize the images, or make a network for such"),
    ({"sample_weight": [1, 2]}, "fit: expected sample_weight of shape (4,), got (2,); give one for each sample"),
    ({"sample_weight": [1, 2, 3, -4]}, "fit: expected finite weights of at least 0 for samples and classes, got -4.0; "
     "give 0 to samples to be ignored"),
    ({"sample_weight": [1, 2, 3, np.nan]}, "fit: expected finite weights of at least 0 for samples and classes, got nan; "
     "give 0 to samples to be ignored"),
    ({"sample_weight": [0, 0, 0, 0]}, "fit: expected a positive sample weight, got only zeros"),
    ({"class_weight": {0: -1}}, "fit: expected finite weights of at least 0 for samples and classes, got -1.0; give 0 "
     "to samples to be ignored"),
    ({"class_weight": {2: 1.0}}, "fit: expected class_weight for classes from 0 to 1, got one for 2; leave it out"),
    ({"class_weight": {"cat": 1.0}}, "fit: expected class_weight for classes from 0 to 1, got one for 'cat'; leave it out"),
    ({"class_weight": [1, 2]}, "fit: expected class_weight to be a dict such as {0: 1.0, 1: 2.5} or 'balanced', got [1, 2]"),
    ({"class_weight": "balance"}, "fit: expected class_weight to be a dict such as {0: 1.0, 1: 2.5} or 'balanced', got "
     "'balance'"),
    ({"callbacks": print}, "fit: expected a list of callbacks, got <built-in function print>; write callbacks=[...]"),
    ({"callbacks": [3]}, "fit: expected a callback with any of set_network, on_train_begin, on_epoch_begin, on_batch_begin, "
     "on_batch_end, on_epoch_end, on_train_end or a function, got 3"),
    ({"callbacks": [Exception]}, "fit: expected a callback, got the class Exception; write Exception(...)"),
]  # fmt: skip


def names(cases):
    return [re.sub(r"[^\w]+", "-", case[-1])[:40] for case in cases]


CALLS = ORDER + LAYERS + SHAPES


@pytest.mark.parametrize(("call", "kind", "message"), CALLS, ids=names(CALLS))
def test_wrong_calls(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value) == message


@pytest.mark.parametrize(("options", "message"), OPTIONS, ids=names(OPTIONS))
def test_wrong_options_of_fit_are_refused_first(options, message):
    network = built()
    before = network.get_weights()
    with pytest.raises((ValueError, TypeError)) as caught:
        network.fit(X, Y, **options)
    assert str(caught.value) == message
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("call", ["predict", "evaluate"])
@pytest.mark.parametrize("size", [0, -3, 1.5, None])
def test_wrong_batch_sizes(call, size):
    arguments = (X,) if call == "predict" else (X, Y)
    with pytest.raises(ValueError) as caught:
        getattr(built(), call)(*arguments, batch_size=size)
    assert str(caught.value) == f"{call}: expected batch_size to be an integer of at least 1, got {size!r}"


def test_images_of_several_sizes():
    with pytest.raises(
        ShapeError, match=r"^predict: expected samples of one size in x, got \(6, 6\) and \(5, 5\); resize"
    ):
        built().predict([np.zeros((6, 6)), np.zeros((5, 5))])


def test_sizes_are_in_the_networks_own_order():
    network = GWUNetwork([Conv2D(input_size=(3, 6, 7))], data_format="channels_first")
    with pytest.raises(ShapeError, match=r"expected inputs of shape \(N, 3, 6, 7\), got \(N, 6, 7, 3\); as input_size"):
        network.predict(np.zeros((1, 6, 7, 3)))
    with pytest.raises(ShapeError, match=r"expected x of shape \(N, H, W\), \(N, C, H, W\) or \(N, D\), got \(3,\)"):
        network.predict(np.zeros(3))
    with pytest.raises(ShapeError, match=r"\(H, W\), \(C, H, W\) or \(D,\), got \(1, 3, 6, 7\)"):
        network.build((1, 3, 6, 7))


def test_data_of_another_size_than_the_first():
    network = GWUNetwork([Conv2D()])
    network.predict(X)
    with pytest.raises(ShapeError, match=r"got \(N, 8, 8, 1\); as the network was built; resize the"):
        network.predict(np.zeros((1, 8, 8)))


# ------------------------------------------------------------------------------------- losses and last layers

ENDINGS = [
    ([Dense(2)], "cross_entropy", "cross_entropy: expected a network that ends with softmax, got a last layer with no "
     "activation; give the last layer activation='softmax'"),
    ([Dense(2, activation="sigmoid")], "cross_entropy", "cross_entropy: expected a network that ends with softmax, got a last "
     "layer with activation 'sigmoid'; give the last layer activation='softmax'"),
    ([Dense(1, activation="softmax")], "cross_entropy", "cross_entropy: expected a network with one output for each class, at "
     "least two, got (1,); for one yes-or-no output use activation='sigmoid' and loss='log_loss'"),
    ([Dense(2, activation="relu")], "log_loss", "log_loss: expected a network that ends with sigmoid, got a last layer with "
     "activation 'relu'; give the last layer activation='sigmoid'"),
    ([Dense(3, activation="softmax"), Softmax()], "cross_entropy", "cross_entropy: expected softmax once, got it applied to "
     "its own output, in 1.Dense and 2.Softmax; leave one out"),
    ([Dense(3, activation="sigmoid"), Sigmoid()], "log_loss", "log_loss: expected sigmoid once, got it applied to its own output, in "
     "1.Dense and 2.Sigmoid; leave one out"),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "loss", "message"), ENDINGS, ids=names(ENDINGS))
def test_losses_that_do_not_fit_the_last_layer(layers, loss, message):
    """Raised by compile if the shapes are known, otherwise when data arrive, and again on each call."""
    kinds = [type(layer)(**layer.config()) for layer in layers]
    early = GWUNetwork([Flatten(6), *kinds])
    with pytest.raises(ValueError) as caught:
        early.compile(loss)
    assert str(caught.value) == message
    with pytest.raises(NotBuiltError):
        early.fit(X, Y)
    late = GWUNetwork([Flatten(), *(type(layer)(**layer.config()) for layer in layers)])
    late.compile(loss)
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            late.fit(X, Y)
        assert str(caught.value) == message
    if loss == "cross_entropy" and (len(layers) == 2 or late.layers[-1].out_shape == (1,)):
        return  # softmax on softmax, or over one output, is refused for other losses too
    late.compile("mse")
    late.fit(X, np.zeros((4, *late.layers[-1].out_shape)))


def test_image_outputs_with_a_classification_loss():
    network = GWUNetwork([Conv2D(2, activation="sigmoid", input_size=6)])
    with pytest.raises(
        ShapeError, match=r"^log_loss: expected a network with outputs \(N, K\), got \(4, 4, 2\); add Flat"
    ):
        network.compile("log_loss")


def test_class_weight_with_a_regression_loss():
    message = "fit: expected targets with one class per sample for class_weight, got others; give sample_weight"
    quantities = built("mse", None)
    with pytest.raises(ValueError) as caught:
        quantities.fit(X, np.zeros((4, 2)), class_weight={0: 1})
    assert str(caught.value) == message
    several = built("log_loss", "sigmoid")
    with pytest.raises(ValueError) as caught:
        several.fit(X, [[1, 1], [0, 0], [1, 0], [0, 1]], class_weight={0: 1})
    assert str(caught.value) == message


# -------------------------------------------------------------------------------- a refused call changes nothing


def test_a_refused_layer_is_not_added_and_may_be_used_elsewhere():
    network, layer = GWUNetwork([Conv2D(input_size=6)]), Dense(3)
    with pytest.raises(ShapeError):
        network.add(layer)
    network.add(Flatten())
    network.add(layer)
    assert network.layers[2].label == "2.Dense"
    first = Conv2D(input_size=2)
    empty = GWUNetwork()
    with pytest.raises(ShapeError):
        empty.add(first)
    empty.add(Flatten())
    assert empty.predict(X).shape == (4, 36)


def test_refused_data_do_not_fix_the_size():
    network = GWUNetwork([Conv2D(kernel_size=5), MaxPooling2D()])
    with pytest.raises(ShapeError):
        network.predict(np.zeros((1, 4, 4)))
    assert network.predict(np.zeros((1, 8, 8))).shape == (1, 2, 2, 2)


def test_a_refused_compile_leaves_the_old_one():
    network = built("mse", None)
    network.fit(X, np.zeros((4, 2)))
    for call in (
        lambda: network.compile("cross_entropy"),
        lambda: network.compile("mse", lr=-1),
        lambda: network.compile("nonsense"),
    ):
        with pytest.raises(ValueError):
            call()
    network.fit(X, np.zeros((4, 2)))


def test_weights_are_set_all_or_none():
    network = built()
    before = network.get_weights()
    for wrong in (np.zeros((2, 2)), np.full((32, 2), "x"), np.full((32, 2), 1j)):
        with pytest.raises((ValueError, TypeError)):
            network.set_weights([np.ones((3, 3, 1, 2)), wrong])
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
