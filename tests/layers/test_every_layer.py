"""One table of layers, and one contract that each of them keeps.

gwucnn/layers/base.py states the contract; here every line of it is checked for every layer, against the arithmetic of
reference.py and central differences.
"""

import json

import numpy as np
import pytest

import gwucnn
from compare import assert_within
from gradcheck import STEP, assert_gradient
from gwucnn import (
    RELU,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    MaxPooling2D,
    RandomCrop,
    Residual,
    Resizing,
    SeparableConv2D,
    Softmax,
)
from gwucnn.layers.weighted import WeightedLayer
from layer_cases import CASES, Space, differs_in_training, expected, gradients, inputs, terms

WEIGHTED = [case for case in CASES if issubclass(case.layer, WeightedLayer)]
NESTED = [case for case in CASES if case.layer in (Residual, Concatenate)]


def ids(cases):
    return [f"{case.layer.__name__}-{case.why.replace(' ', '-')}" for case in cases]


LEARNS = [case for case in CASES if case.build()[0].parameters]
ALONE = [case for case in CASES if not differs_in_training(case)]
every_layer = pytest.mark.parametrize("case", CASES, ids=ids(CASES))
every_layer_that_works_alone = pytest.mark.parametrize("case", ALONE, ids=ids(ALONE))
every_layer_that_learns = pytest.mark.parametrize("case", LEARNS, ids=ids(LEARNS))
every_weighted_layer = pytest.mark.parametrize("case", WEIGHTED, ids=ids(WEIGHTED))
every_layer_with_weights = pytest.mark.parametrize("case", WEIGHTED + NESTED, ids=ids(WEIGHTED + NESTED))


def passes(case, N, space, layer, arena, dtype="float64"):
    """Run forward and backward; return copies of y, dx and all parameters' gradients."""
    arena.grads.fill(0)
    y = np.array(layer.forward(inputs(case, N, dtype), space))
    dx = np.array(layer.backward(gradients(case, N, dtype), space))
    return y, dx, arena.grads.copy()


# ------------------------------------------------------------------------------------------------- arithmetic


@every_layer
def test_build_tells_forwards_shape_and_dtype_follows_the_input(case, dtype):
    layer, arena, out_shape = case.build(dtype)
    assert (layer.in_shape, layer.out_shape) == (case.in_shape, out_shape)
    assert all(type(size) is int for size in out_shape)
    y, dx, _ = passes(case, 3, Space(dtype, training=True), layer, arena, dtype)
    assert y.shape == (3, *out_shape) and dx.shape == (3, *case.in_shape)
    assert y.dtype == dx.dtype == dtype


@every_layer
def test_forward_is_the_reference(case, dtype):
    layer, _, _ = case.build(dtype)
    x = inputs(case, 3, dtype)
    y = layer.forward(x, Space(dtype))
    # No activation here stretches: an error before it is none larger behind it.
    assert_within(y, expected(layer, x), np.maximum(expected(layer, x, magnitude=True), abs(y)), terms(layer))


@every_layer
def test_input_gradient(case):
    layer, x, dy = no_kinks(case)
    space = Space("float64", training=True)
    layer.forward(x, space)
    dx = np.array(layer.backward(dy, space))
    assert_gradient(dx, lambda: np.vdot(layer.forward(x, space), dy), x)


@every_layer
def test_input_gradient_in_inference(case):
    """What saliency maps are made of: backward after a forward pass that is not training."""
    layer, x, dy = no_kinks(case)
    space = Space("float64", backward_follows=True)
    layer.forward(x, space)
    dx = np.array(layer.backward(dy, space))
    assert_gradient(dx, lambda: np.vdot(layer.forward(x, space), dy), x)


@every_layer_that_learns
def test_gradient_of_each_parameter(case):
    layer, x, dy = no_kinks(case)
    space = Space("float64", training=True)
    layer.forward(x, space)
    layer.backward(dy, space)
    for parameter in layer.parameters:
        if not parameter.trainable:
            assert not parameter.grad.any()
            continue
        assert_gradient(parameter.grad.copy(), lambda: np.vdot(layer.forward(x, space), dy), parameter.value)


def no_kinks(case, N=2):
    """Return a layer, x and dy such that a small step takes no relu through 0: what depends on chance is drawn again."""
    x, dy = inputs(case, N).copy(), gradients(case, N)
    for seed in range(20):
        layer, _, _ = case.build(seed=seed)
        bent = (gwucnn.RELUActivation, gwucnn.LeakyReLUActivation)
        if getattr(layer, "activation", None) not in bent:
            return layer, x, dy
        if abs(layer.split_activation()[0].forward(x, Space("float64"))).min() > 50 * STEP:
            return layer, x, dy
    raise AssertionError("every drawing had an input of relu near 0")


@every_layer
def test_backward_adds(case):
    layer, arena, _ = case.build()
    space = Space("float64", training=True)
    _, dx, once = passes(case, 3, space, layer, arena)
    again = layer.backward(gradients(case, 3), space)
    np.testing.assert_array_equal(again, dx)
    # A sum that goes on from another number rounds by the size of its parts, not by its own.
    np.testing.assert_allclose(arena.grads, 2 * once, rtol=1e-14, atol=1e-15 * abs(once).max(initial=0))


@every_layer_that_works_alone
def test_gradients_of_a_batch_add_up_over_its_images(case):
    """A gradient that is broadcast over rows, or one image's that is taken for all, would not."""
    layer, arena, _ = case.build()
    _, dx, together = passes(case, 3, Space("float64", training=True), layer, arena)
    arena.grads.fill(0)
    x, dy = inputs(case, 3), gradients(case, 3)
    for n in range(3):
        space = Space("float64", training=True)
        layer.forward(x[n : n + 1], space)
        np.testing.assert_allclose(layer.backward(dy[n : n + 1], space)[0], dx[n], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(arena.grads, together, rtol=1e-12, atol=1e-14)


@every_layer
def test_nan_in_nan_out(case):
    layer, _, _ = case.build()
    x = inputs(case, 3).copy()
    leaves_out = isinstance(layer, (Cropping2D, RandomCrop, Resizing))  # perhaps the first pixel
    x[1].flat[: x[1].size if leaves_out else 1] = np.nan
    y = layer.forward(x, Space("float64"))
    with np.errstate(invalid="ignore"):
        want = np.isnan(expected(layer, x))
    np.testing.assert_array_equal(np.isnan(y), want)
    assert np.isnan(y[1]).any() and not np.isnan(y[[0, 2]]).any()


# ----------------------------------------------------------------------------------------------------- memory


@every_layer
def test_batches_of_every_size_one_after_another(case):
    """Of none, of one, larger than before, and the first size again: each as in fresh memory."""
    layer, arena, out_shape = case.build()
    space = Space("float64", training=True)
    for N in (2, 0, 1, 5, 2):
        results = passes(case, N, space, layer, arena)
        for got, fresh in zip(results, passes(case, N, Space(training=True, dtype="f8"), layer, arena), strict=True):
            np.testing.assert_array_equal(got, fresh)
        assert results[0].shape == (N, *out_shape)
        if N == 0:
            assert not results[2].any()


@every_layer
def test_inputs_and_gradients_are_left_as_they_were(case):
    layer, arena, _ = case.build()
    x, dy, weights = inputs(case, 3).copy(), gradients(case, 3).copy(), arena.values.copy()
    x_before, dy_before = x.copy(), dy.copy()
    space = Space("float64", training=True)
    layer.forward(x, space)
    layer.backward(dy, space)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dy, dy_before)
    np.testing.assert_array_equal(arena.values, weights)


@every_layer
def test_two_spaces_do_not_interfere(case):
    layer, arena, _ = case.build()
    alone = passes(case, 3, Space("float64", training=True), layer, arena)
    here, there = Space("float64", training=True), Space("float64", training=True)
    y = layer.forward(inputs(case, 3), here)
    layer.forward(inputs(case, 2, seed=9), there)
    layer.backward(gradients(case, 2, seed=9), there)
    arena.grads.fill(0)
    dx = layer.backward(gradients(case, 3), here)
    for got, want in zip((y, dx, arena.grads), alone, strict=True):
        np.testing.assert_array_equal(got, want)


@every_layer_that_works_alone
def test_the_same_forward_with_and_without_training(case):
    layer, _, _ = case.build()
    x = inputs(case, 3)
    used = np.array(layer.forward(x, Space("float64", training=False)))
    np.testing.assert_array_equal(used, layer.forward(x, Space("float64", training=True)))


@every_layer_with_weights
def test_the_first_layer_leaves_out_the_gradient_by_its_input(case):
    layer, arena, _ = case.build()
    _, _, grads = passes(case, 3, Space("float64", training=True), layer, arena)
    arena.grads.fill(0)
    space = Space("float64", training=True, needs_dx=False)
    layer.forward(inputs(case, 3), space)
    assert layer.backward(gradients(case, 3), space) is None
    np.testing.assert_array_equal(arena.grads, grads)


@every_weighted_layer
def test_a_frozen_layer_hands_on_gradients_but_takes_none(case):
    layer, arena, _ = case.build()
    _, dx, _ = passes(case, 3, Space("float64", training=True), layer, arena)
    frozen, arena, _ = case._replace(options=case.options | {"trainable": False}).build()
    assert arena.trainable == 0
    _, same, grads = passes(case, 3, Space("float64", training=True), frozen, arena)
    np.testing.assert_array_equal(same, dx)
    assert not grads.any()


# ---------------------------------------------------------------------------------------------- descriptions


@every_layer
def test_config_builds_the_same_layer(case):
    layer, _, out_shape = case.build()
    for config in (layer.config(), json.loads(json.dumps(layer.config()))):
        copy = case.layer(**config)
        assert copy.config() == layer.config()
        copy, _, made = case._replace(options=config).build()
        assert made == out_shape
        assert [p.shape for p in copy.parameters] == [p.shape for p in layer.parameters]


@every_layer
def test_repr_is_the_call_that_makes_the_layer(case):
    written = case.layer(**case.options)
    text = repr(written)
    built, arena, _ = case.build()
    passes(case, 1, Space("float64", training=True), built, arena)
    assert repr(built) == text
    assert repr(eval(text, {**vars(gwucnn.layers.imported), **vars(gwucnn)})) == text
    assert text.startswith(f"{case.layer.__name__}(")


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Conv2D(), "Conv2D(filters=2, kernel_size=(3, 3))"),
        (
            Conv2D(8, 5, 2, "same", dilation_rate=1, groups=2, activation="relu", add_bias=True, input_size=28),
            "Conv2D(filters=8, kernel_size=(5, 5), strides=(2, 2), padding='same', groups=2, input_size=28, "
            "activation='relu', add_bias=True)",
        ),
        (Conv2D(padding=1), "Conv2D(filters=2, kernel_size=(3, 3), padding=((1, 1), (1, 1)))"),
        (
            Conv2D(kernel_initializer="he_normal", bias_initializer="ones", trainable=False, name="edges"),
            "Conv2D(filters=2, kernel_size=(3, 3), kernel_initializer='he_normal', bias_initializer='ones', "
            "trainable=False, name='edges')",
        ),
        (DepthwiseConv2D(), "DepthwiseConv2D(kernel_size=(3, 3))"),
        (DepthwiseConv2D(5, 2, depth_multiplier=2, activation="relu"),
         "DepthwiseConv2D(kernel_size=(5, 5), strides=(2, 2), depth_multiplier=2, activation='relu')"),
        (SeparableConv2D(8, 3, depthwise_initializer="zeros", pointwise_initializer="he_normal"),
         "SeparableConv2D(filters=8, kernel_size=(3, 3), depthwise_initializer='zeros', "
         "pointwise_initializer='he_normal')"),
        (Conv2DTranspose(8, 3, 2, "same", output_padding=1, input_size=(7, 7, 2)),
         "Conv2DTranspose(filters=8, kernel_size=(3, 3), strides=(2, 2), padding='same', output_padding=(1, 1), "
         "input_size=(7, 7, 2))"),
        (MaxPooling2D(), "MaxPooling2D(pool_size=(2, 2), strides=(2, 2))"),
        (MaxPooling2D(3, 2, "same", input_size=(8, 9)),
         "MaxPooling2D(pool_size=(3, 3), strides=(2, 2), padding='same', input_size=(8, 9))"),
        (Flatten(), "Flatten()"),
        (Flatten((11, 11), name="rows"), "Flatten(input_size=(11, 11), name='rows')"),
        (Dense(14, True, "relu", 3), "Dense(output_size=14, input_size=3, activation='relu', add_bias=True)"),
        (Dense(2, activation="linear"), "Dense(output_size=2)"),
        (RELU(), "RELU()"),
        (Softmax(name="classes"), "Softmax(name='classes')"),
    ],
)  # fmt: skip
def test_repr(layer, text):
    assert repr(layer) == text
    assert repr(eval(text, {**vars(gwucnn.layers.imported), **vars(gwucnn)})) == text
