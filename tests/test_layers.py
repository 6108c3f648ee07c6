"""One table of layers, one contract that each of them keeps.

What a layer must do stands in gwucnn/layers/base.py; here every line of it is put to every layer. The arithmetic
comes from reference.py, the gradients from central differences.
"""

import json
from typing import Any, NamedTuple

import numpy as np
import pytest

import gwucnn
import reference
from compare import assert_within
from gradcheck import STEP, assert_gradient, spaced
from gwucnn import RELU, Conv2D, Dense, Flatten, MaxPooling2D, Sigmoid, Softmax
from gwucnn.parameters import Arena
from gwucnn.workspace import Space


class Case(NamedTuple):
    why: str
    layer: type
    options: dict[str, Any]
    in_shape: tuple[int, ...]

    def build(self, dtype="float64", seed=0):
        """Return a built layer with weights that are no zeros, its arena, and the shape of its outputs."""
        layer = self.layer(**self.options)
        if "channels_first" in self.why:
            layer.channels_first = True
        out_shape = layer.build(self.in_shape)
        arena = Arena(layer.parameters, dtype)
        arena.values[...] = np.random.default_rng(seed).uniform(0.1, 0.9, arena.values.size)
        arena.values[::2] *= -1
        return layer, arena, out_shape


IMAGE = (5, 6, 4)

CASES = [
    Case("plain", Conv2D, {}, (5, 6, 1)),
    Case("filters", Conv2D, {"filters": 5, "kernel_size": (2, 3)}, IMAGE),
    Case("bias", Conv2D, {"filters": 3, "add_bias": True}, IMAGE),
    Case("strides", Conv2D, {"strides": (2, 3), "add_bias": True}, (6, 8, 3)),
    Case("same", Conv2D, {"filters": 3, "padding": "same"}, IMAGE),
    Case("same, strides", Conv2D, {"strides": 2, "padding": "same"}, (5, 8, 2)),
    Case("padding", Conv2D, {"padding": 1}, IMAGE),
    Case("padding by axis", Conv2D, {"padding": (2, 0)}, IMAGE),
    Case("four paddings", Conv2D, {"padding": ((0, 2), (3, 1))}, (4, 4, 2)),
    Case("dilation", Conv2D, {"kernel_size": 2, "dilation_rate": (2, 3)}, IMAGE),
    Case("groups", Conv2D, {"filters": 6, "groups": 2, "add_bias": True}, IMAGE),
    Case("each channel by itself", Conv2D, {"filters": 4, "groups": 4}, IMAGE),
    Case("relu", Conv2D, {"filters": 3, "activation": "relu", "add_bias": True}, IMAGE),
    Case("sigmoid", Conv2D, {"filters": 3, "activation": "sigmoid"}, IMAGE),
    Case("softmax", Conv2D, {"filters": 3, "activation": "softmax"}, IMAGE),
    Case("one pixel", Conv2D, {"filters": 3, "kernel_size": 1}, (1, 1, 2)),
    Case("window of the whole image", Conv2D, {"filters": 17, "kernel_size": (4, 3)}, (4, 3, 1)),
    Case("everything", Conv2D,
         {"filters": 6, "kernel_size": (2, 3), "strides": (2, 1), "padding": ((1, 0), (2, 1)), "dilation_rate": (1, 2),
          "groups": 2, "activation": "sigmoid", "add_bias": True, "name": "all"}, (5, 6, 2)),
    Case("halves", MaxPooling2D, {}, (4, 6, 3)),
    Case("pixels left over", MaxPooling2D, {}, (5, 7, 2)),
    Case("overlap", MaxPooling2D, {"pool_size": 3, "strides": 1}, IMAGE),
    Case("overlap by axis", MaxPooling2D, {"pool_size": (2, 3), "strides": (1, 2)}, IMAGE),
    Case("same, overlap", MaxPooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    Case("padding", MaxPooling2D, {"pool_size": 3, "padding": ((1, 2), (0, 1))}, IMAGE),
    Case("gaps", MaxPooling2D, {"pool_size": 1, "strides": 3, "name": "sparse"}, IMAGE),
    Case("a window of 256 pixels", MaxPooling2D, {"pool_size": 16}, (16, 16, 1)),
    Case("images", Flatten, {}, IMAGE),
    Case("images, channels_first", Flatten, {}, IMAGE),
    Case("rows", Flatten, {"name": "flat"}, (7,)),
    Case("plain", Dense, {"output_size": 4}, (7,)),
    Case("bias", Dense, {"output_size": 3, "add_bias": True}, (5,)),
    Case("relu", Dense, {"output_size": 6, "add_bias": True, "activation": "relu"}, (5,)),
    Case("sigmoid", Dense, {"output_size": 2, "activation": "sigmoid"}, (5,)),
    Case("softmax", Dense, {"output_size": 4, "add_bias": True, "activation": "softmax"}, (5,)),
    Case("one number", Dense, {"output_size": 1}, (1,)),
    *(Case(f"{kind}", layer, {}, shape)
      for layer in (RELU, Sigmoid, Softmax) for kind, shape in (("images", (3, 4, 3)), ("rows", (6,)))),
]  # fmt: skip

WEIGHTED = [case for case in CASES if case.layer in (Conv2D, Dense)]


def ids(cases):
    return [f"{case.layer.__name__}-{case.why.replace(' ', '-')}" for case in cases]


every_layer = pytest.mark.parametrize("case", CASES, ids=ids(CASES))
every_weighted_layer = pytest.mark.parametrize("case", WEIGHTED, ids=ids(WEIGHTED))

ACTIVATIONS = {"relu": reference.relu, "sigmoid": reference.sigmoid, "softmax": reference.softmax}


def expected(layer, x, magnitude=False):
    """Return what the layer makes of x, by reference.py; or the sums of magnitudes before the activation."""
    size = abs if magnitude else np.asarray
    if isinstance(layer, (Conv2D, Dense)):
        kernel = size(layer.kernel.value)
        bias = size(layer.bias.value) if layer.add_bias else None
        if isinstance(layer, Dense):
            z = reference.dense(size(x), kernel, bias)
        else:
            names = ("strides", "padding", "dilation_rate", "groups")
            z = reference.conv2d(size(x), kernel, bias, **{name: getattr(layer, name) for name in names})
        return z if magnitude or layer.activation is None else ACTIVATIONS[layer.activation.name](z)
    if isinstance(layer, MaxPooling2D):
        return size(reference.max_pool2d(x, layer.pool_size, layer.strides, layer.padding)[0])
    if isinstance(layer, Flatten):
        moved = np.moveaxis(x, -1, 1) if layer.channels_first else x
        return size(moved.reshape(len(x), -1))
    return size(ACTIVATIONS[layer.function.name](x))


def inputs(case, N, dtype="float64", seed=1):
    """Return images whose values all differ, and which nobody may write to."""
    x = spaced(np.random.default_rng(seed), (N, *case.in_shape)).astype(dtype)
    x.flags.writeable = False
    return x


def gradients(case, N, dtype="float64", seed=2):
    dy = np.random.default_rng(seed).standard_normal((N, *case.build()[2])).astype(dtype)
    dy.flags.writeable = False
    return dy


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
    terms = layer.kernel.size // layer.kernel.shape[-1] if layer.parameters else 1
    assert_within(y, expected(layer, x), np.maximum(expected(layer, x, magnitude=True), abs(y)), terms)


@every_layer
def test_gradient_by_the_input(case):
    layer, x, dy = no_kinks(case)
    space = Space("float64", training=True)
    layer.forward(x, space)
    dx = np.array(layer.backward(dy, space))
    assert_gradient(dx, lambda: np.vdot(layer.forward(x, space), dy), x)


@every_weighted_layer
def test_gradient_by_each_parameter(case):
    layer, x, dy = no_kinks(case)
    space = Space("float64", training=True)
    layer.forward(x, space)
    layer.backward(dy, space)
    for parameter in layer.parameters:
        assert_gradient(parameter.grad.copy(), lambda: np.vdot(layer.forward(x, space), dy), parameter.value)


def no_kinks(case, N=2):
    """Return a layer, x and dy such that a small step takes no relu through 0: what depends on chance is drawn again."""
    x, dy = inputs(case, N).copy(), gradients(case, N)
    for seed in range(20):
        layer, _, _ = case.build(seed=seed)
        if not layer.parameters or layer.activation is not gwucnn.RELUActivation:
            return layer, x, dy
        y = layer.forward(x, Space("float64"))
        shut = layer.split_activation()[0].forward(x, Space("float64")) * (y == 0)
        if min(y[y > 0]) > 50 * STEP and min(abs(shut[y == 0])) > 50 * STEP:
            return layer, x, dy
    raise AssertionError("every drawing had an input of relu near 0")


@every_layer
def test_backward_adds(case):
    layer, arena, _ = case.build()
    space = Space("float64", training=True)
    _, dx, once = passes(case, 3, space, layer, arena)
    again = layer.backward(gradients(case, 3), space)
    np.testing.assert_array_equal(again, dx)
    np.testing.assert_allclose(arena.grads, 2 * once, rtol=1e-14)


@every_layer
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
    x[1].flat[0] = np.nan
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
        for got, fresh in zip(
            results, passes(case, N, Space(training=True, dtype="f8"), layer, arena), strict=True
        ):
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


@every_layer
def test_the_same_forward_with_and_without_training(case):
    layer, _, _ = case.build()
    x = inputs(case, 3)
    used = np.array(layer.forward(x, Space("float64", training=False)))
    np.testing.assert_array_equal(used, layer.forward(x, Space("float64", training=True)))


@every_weighted_layer
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
        assert copy.build(case.in_shape) == out_shape
        assert [p.shape for p in copy.parameters] == [p.shape for p in layer.parameters]


@every_layer
def test_repr_is_the_call_that_makes_the_layer(case):
    written = case.layer(**case.options)
    text = repr(written)
    built, arena, _ = case.build()
    passes(case, 1, Space("float64", training=True), built, arena)
    assert repr(built) == text
    assert repr(eval(text, vars(gwucnn))) == text
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
    assert repr(eval(text, vars(gwucnn))) == text
