"""Conv2D and its relatives in networks: padding, weights in Keras' shapes, gradients, replay, errors."""

import itertools

import numpy as np
import pytest

import reference
from gradcheck import assert_gradient, spaced
from gwucnn import (
    L1L2,
    L2,
    SGD,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GWUNetwork,
    SeparableConv2D,
)
from gwucnn.common.errors import ShapeError, SizeMismatchWarning

FORMATS = ["channels_last", "channels_first"]
every_format = pytest.mark.parametrize("data_format", FORMATS)

# ------------------------------------------------------------------------------------------- padding of Conv2D

PADDINGS = ["valid", "same", 0, 1, (2, 1), [0, 2], ((0, 2), (3, 1)), [[1, 0], [0, 1]]]


@every_format
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
def test_every_padding_with_every_other_option(padding, data_format, rng):
    """In a network, whose summary and config say the same as the array that comes out."""
    first = data_format == "channels_first"
    x = rng.standard_normal((2, 9, 8, 4))
    images = x.transpose(0, 3, 1, 2) if first else x
    for strides, dilation_rate, groups in itertools.product([1, 2, (3, 2)], [1, (1, 3)], [1, 2, 4]):
        options = {"strides": strides, "padding": padding, "dilation_rate": dilation_rate, "groups": groups}
        layer = Conv2D(8, (3, 2), add_bias=True, input_size=images.shape[1:], **options)
        network = GWUNetwork([layer], data_format=data_format, precision="float64")
        weights = [rng.standard_normal(weight.shape) for weight in network.get_weights()]
        network.set_weights(weights)
        y = network.predict(images)
        want = reference.conv2d(x, *weights, **options)
        np.testing.assert_allclose(y.transpose(0, 2, 3, 1) if first else y, want, rtol=1e-12, atol=1e-12)
        lines = []
        network.summary(lines.append)
        assert f"(N, {', '.join(map(str, y.shape[1:]))})" in lines[0]
        again = GWUNetwork([Conv2D(**layer.config())], data_format=data_format, precision="float64")
        again.set_weights(weights)
        assert again.predict(images).tobytes() == y.tobytes()


@pytest.mark.parametrize("padding", PADDINGS, ids=str)
def test_every_padding_trains(padding, rng):
    options = {"strides": (2, 1), "padding": padding, "dilation_rate": (1, 2), "groups": 2, "add_bias": True}
    check_gradients([Conv2D(4, 3, **options)], (6, 7, 2), rng)


# ------------------------------------------------------------------------------------------ the four, in networks


def check_gradients(layers, image, rng, **options):
    """Fail unless a network that begins with `layers` moves its weights by the gradient of its loss."""
    network = GWUNetwork([*layers, Flatten(), Dense(3, activation="softmax")], precision="float64", seed=3, **options)
    network.compile("cross_entropy", lr=1.0)
    network.build(image)
    x, labels = spaced(rng, (2, *image)), np.array([0, 2])
    start = [weight + 0.1 * rng.standard_normal(weight.shape) for weight in network.get_weights()]
    network.set_weights(start)
    network.train_on_batch(x, labels)
    gradients = [old - new for old, new in zip(start, network.get_weights(), strict=True)]
    network.set_weights(start)
    for parameter, gradient in zip(network.parameters, gradients, strict=True):
        assert_gradient(gradient, lambda: network.evaluate(x, labels), parameter.value)


def relatives():
    """A network of every kind of convolution that keeps its images' size or doubles it."""
    return [
        Conv2D(3, 3, 2, "same", add_bias=True),
        DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="sigmoid", add_bias=True),
        SeparableConv2D(4, (2, 3), padding=1, depth_multiplier=2, add_bias=True),
        Conv2DTranspose(2, 3, 2, "same", add_bias=True, activation="sigmoid"),
    ]


@every_format
@pytest.mark.parametrize("frozen", [None, 1, 2, 3])
def test_gradients_of_a_network_of_all_of_them(data_format, frozen, rng):
    layers = relatives()
    if frozen is not None:
        layers[frozen].trainable = False
    image = (6, 4, 2) if data_format == "channels_last" else (2, 6, 4)
    network = GWUNetwork([*layers, Flatten(), Dense(3)], precision="float64", seed=3, data_format=data_format)
    network.compile("mse", lr=1.0)
    network.build(image)
    x, y = spaced(rng, (2, *image)), rng.standard_normal((2, 3))
    start = [weight + 0.1 * rng.standard_normal(weight.shape) for weight in network.get_weights()]
    network.set_weights(start)
    network.train_on_batch(x, y)
    moved = [old - new for old, new in zip(start, network.get_weights(), strict=True)]
    network.set_weights(start)
    for parameter, gradient in zip(network.parameters, moved, strict=True):
        if parameter.trainable:
            assert_gradient(gradient, lambda: network.evaluate(x, y), parameter.value)
        else:
            assert not gradient.any()


def test_channels_first_computes_the_same(rng):
    x = rng.standard_normal((3, 6, 4, 2))
    last = GWUNetwork(relatives(), precision="float64", seed=5)
    first = GWUNetwork(relatives(), precision="float64", seed=5, data_format="channels_first")
    y = last.predict(x)
    assert y.shape == (3, 8, 4, 2)
    images = x.transpose(0, 3, 1, 2)
    assert first.predict(images).tobytes() == np.ascontiguousarray(y.transpose(0, 3, 1, 2)).tobytes()
    for ours, theirs in zip(first.activations(images), last.activations(x), strict=True):
        np.testing.assert_array_equal(ours, theirs.transpose(0, 3, 1, 2))


def test_replayed_batches_give_the_same_bits(dtype, rng):
    pair = [GWUNetwork([*relatives(), Flatten(), Dense(2)], precision=dtype.name, seed=1) for _ in range(2)]
    for network in pair:
        network.compile("mse", optimizer=SGD(0.05, momentum=0.9))
        network.build((6, 4, 2))
    pair[1]._engine.recorder.enabled = False
    for n in (4, 4, 2, 4, 6, 4, 1):
        x, y = rng.standard_normal((n, 6, 4, 2)), rng.standard_normal((n, 2))
        losses = [network.train_on_batch(x, y) for network in pair]
        assert losses[0] == losses[1]
    assert pair[0]._engine.workspaces.current_training.recordings
    for got, want in zip(*(network.get_weights() for network in pair), strict=True):
        assert got.tobytes() == want.tobytes()
    assert pair[0].predict(x).tobytes() == pair[1].predict(x).tobytes()


def test_an_autoencoder_learns(rng):
    """Convolutions that halve an image, transposed ones that double it, and the image itself as the target."""
    x = np.cumsum(rng.standard_normal((24, 8, 8, 1)), axis=1) / 4
    layers = [
        Conv2D(6, 3, 2, "same", add_bias=True, activation="relu"),
        Conv2DTranspose(6, 3, 2, "same", add_bias=True, activation="relu"),
        SeparableConv2D(1, 3, padding="same", add_bias=True),
    ]
    network = GWUNetwork(layers, seed=1)
    network.compile("mse", optimizer="adam", lr=0.01)
    losses = network.fit(x, x, epochs=60, batch_size=8, verbose=0).history["loss"]
    assert network.predict(x).shape == x.shape
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize(
    "layer",
    [
        lambda penalty: DepthwiseConv2D(3, kernel_regularizer=penalty),
        lambda penalty: SeparableConv2D(2, 3, depthwise_regularizer=penalty),
        lambda penalty: SeparableConv2D(2, 3, pointwise_regularizer=penalty),
        lambda penalty: Conv2DTranspose(2, 3, kernel_regularizer=penalty),
    ],
)
def test_penalties_are_part_of_loss_and_gradient(layer, rng):
    check_gradients([layer(L1L2(0.03, 0.02))], (5, 4, 2), rng)
    plain, penalized = (GWUNetwork([layer(penalty)], seed=1) for penalty in (None, L2(0.5)))
    x = rng.random((2, 5, 4, 2))
    y = plain.predict(x)
    losses = []
    for network in (plain, penalized):
        network.compile("mse")
        losses.append(network.evaluate(x, y))
    sizes = [float((weight**2).sum()) for weight in plain.get_weights()]
    assert losses[0] == 0
    assert any(losses[1] == pytest.approx(0.5 * size, rel=1e-5) for size in sizes)


# ---------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("layer", "shapes", "names"),
    [
        (DepthwiseConv2D(3, depth_multiplier=4, add_bias=True), [(3, 3, 2, 4), (8,)], "kernel bias"),
        (
            SeparableConv2D(5, (3, 2), depth_multiplier=4, add_bias=True),
            [(3, 2, 2, 4), (1, 1, 8, 5), (5,)],
            "depthwise_kernel pointwise_kernel bias",
        ),
        (SeparableConv2D(5, 3), [(3, 3, 2, 1), (1, 1, 2, 5)], "depthwise_kernel pointwise_kernel"),
        (Conv2DTranspose(5, (3, 2), add_bias=True), [(3, 2, 5, 2), (5,)], "kernel bias"),
        (Conv2DTranspose(6, 3, groups=2, add_bias=True), [(3, 3, 3, 2), (6,)], "kernel bias"),
    ],
)
def test_weights_have_keras_shapes_and_order(layer, shapes, names):
    network = GWUNetwork([layer])
    network.build((7, 8, 2))
    assert [weight.shape for weight in network.get_weights()] == shapes
    assert [parameter.name for parameter in network.parameters] == names.split()
    assert network.count_params() == sum(int(np.prod(shape)) for shape in shapes)


def test_a_kernel_of_ones_tells_channels_and_multiples_apart():
    """Keras' order: output c*M + m is filter m of channel c."""
    network = GWUNetwork([DepthwiseConv2D(1, depth_multiplier=3)])
    network.build((1, 1, 2))
    network.set_weights([np.array([[[[1, 2, 3], [4, 5, 6]]]])])
    np.testing.assert_array_equal(network.predict([[[[1, 10]]]]), [[[[1, 2, 3, 40, 50, 60]]]])


def test_initializers_are_used():
    separable = SeparableConv2D(
        4,
        3,
        depthwise_initializer="ones",
        pointwise_initializer="zeros",
        bias_initializer="ones",
        add_bias=True,
    )
    deep = DepthwiseConv2D(3, kernel_initializer="ones")
    turned = Conv2DTranspose(4, 3, kernel_initializer="ones")
    network = GWUNetwork([separable, deep, turned])
    network.build((9, 9, 2))
    assert [float(weight.mean()) for weight in network.get_weights()] == [1, 0, 1, 1, 1]


# ----------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: DepthwiseConv2D(depth_multiplier=0), ValueError,
         "DepthwiseConv2D: expected depth_multiplier to be an integer of at least 1, got 0"),
        (lambda: DepthwiseConv2D(groups=2), TypeError, "got 'groups'"),
        (lambda: DepthwiseConv2D(depth_multiplyer=2), TypeError, "did you mean 'depth_multiplier'?"),
        (lambda: SeparableConv2D(0, 3), ValueError, "SeparableConv2D: expected filters to be an integer"),
        (lambda: SeparableConv2D(2, 3, depthwise_initializer="he_norml"), ValueError,
         "SeparableConv2D: expected depthwise_initializer to be one of"),
        (lambda: SeparableConv2D(2, 3, pointwise_initializer="he_norml"), ValueError, "pointwise_initializer"),
        (lambda: SeparableConv2D(2, 3, padding="full"), ValueError, "SeparableConv2D: expected padding"),
        (lambda: Conv2DTranspose(2, 3, output_padding=1), ValueError,
         "Conv2DTranspose: expected output_padding smaller than strides=(1, 1), or than dilation_rate=(1, 1), got 1"),
        (lambda: Conv2DTranspose(3, 3, groups=2), ValueError,
         "Conv2DTranspose: expected filters to be a multiple of groups=2, got 3"),
        (lambda: Conv2DTranspose(2), TypeError, "kernel_size"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (DepthwiseConv2D(4), "1.DepthwiseConv2D: expected kernel_size to fit in an image of 3x3, got a window of 4x4"),
        (SeparableConv2D(2, 4), "1.SeparableConv2D: expected kernel_size to fit in an image of 3x3"),
        (Conv2DTranspose(2, 2, padding=2), "1.Conv2DTranspose: expected padding to leave pixels of an output of 4x4, "
         "got ((2, 2), (2, 2)), which makes it 0x0"),
        (Conv2DTranspose(3, 3, groups=3), "1.Conv2DTranspose: expected channels to be a multiple of groups=3, got 2"),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit_their_input(layer, text):
    network = GWUNetwork([Conv2D(2, 3, input_size=5)])
    with pytest.raises(ShapeError) as caught:
        network.add(layer)
    assert text in str(caught.value)


@pytest.mark.parametrize("layer", [DepthwiseConv2D(), SeparableConv2D(2, 3), Conv2DTranspose(2, 3)])
def test_features_are_no_images(layer):
    with pytest.raises(ShapeError, match=rf"^1\.{type(layer).__name__}: expected images \(H, W, C\), got"):
        GWUNetwork([Flatten(input_size=5), layer])


def test_sizes_that_are_stated_wrong_are_explained():
    network = GWUNetwork([Conv2DTranspose(2, 3, 2, input_size=4)])
    with pytest.warns(SizeMismatchWarning) as caught:
        network.add(DepthwiseConv2D(input_size=8))
    assert str(caught[0].message) == (
        "DepthwiseConv2D: input_size=8 stated, Conv2DTranspose makes 9 = (4 - 1) * 2 + 3; using 9"
    )
    assert repr(network.layers[1]) == "DepthwiseConv2D(kernel_size=(3, 3), input_size=9)"
