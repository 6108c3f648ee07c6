"""Global pooling, zero padding, upsampling and reshaping: in networks, and what they reject."""

import numpy as np
import pytest

from gradcheck import assert_gradient
from gwucnn import (
    AveragePooling2D,
    Conv2D,
    Cropping2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GroupNormalization,
    GWUNetwork,
    MaxPooling2D,
    Reshape,
    Resizing,
    ShapeError,
    SizeMismatchWarning,
    UpSampling2D,
    ZeroPadding2D,
)

STACKS = {
    "average": lambda: [Conv2D(4, 2), AveragePooling2D(3, 2, "same"), Flatten()],
    "global average": lambda: [Conv2D(4, 2), GlobalAveragePooling2D()],
    "global max": lambda: [Conv2D(4, 2), GlobalMaxPooling2D()],
    "border": lambda: [ZeroPadding2D(((1, 0), (2, 1))), Conv2D(4, 3), MaxPooling2D(3, 2, "same"), Flatten()],
    "cropped": lambda: [Conv2D(4, 2), Cropping2D(((1, 0), (2, 1))), Conv2D(4, 3), Flatten()],
    "groups": lambda: [Conv2D(6, 2), GroupNormalization(3), Conv2D(4, 3), GroupNormalization(1), Flatten()],
    "larger": lambda: [Conv2D(3, 3), UpSampling2D((2, 1)), Conv2D(2, 3, strides=2), Flatten()],
    "reshaped": lambda: [Conv2D(4, 2), Reshape((-1, 6, 2)), Conv2D(2, 2), Reshape(-1)],
    "rows in between": lambda: [Reshape((-1,)), Dense(24), Reshape((4, 3, 2)), Conv2D(2, 2), Flatten()],
}
every_stack = pytest.mark.parametrize("stack", STACKS)
FORMATS = ("channels_last", "channels_first")


def network(stack, data_format="channels_last", **options):
    options = {"precision": "float64"} | options
    made = GWUNetwork([*STACKS[stack](), Dense(3)], seed=2, data_format=data_format, **options)
    made.build((2, 7, 7) if data_format == "channels_first" else (7, 7, 2))
    made.compile("mse", lr=0.02)
    return made


def data(rng, data_format, n=3):
    x = rng.permutation(n * 98).reshape(n, 7, 7, 2) / 50 - 2  # all differ: no winner of a window is in doubt
    return x.transpose(0, 3, 1, 2) if data_format == "channels_first" else x, rng.random((n, 3))


@every_stack
@pytest.mark.parametrize("data_format", FORMATS)
def test_gradients_are_those_of_the_loss(stack, data_format, rng):
    made = network(stack, data_format)
    x, y = data(rng, data_format)
    start = made.get_weights()
    made.train_on_batch(x, y)
    found = [parameter.grad.copy() for parameter in made.parameters]
    made.set_weights(start)
    for parameter, gradient in zip(made.parameters, found, strict=True):
        assert_gradient(gradient, lambda: made.evaluate(x, y), parameter.value)


@every_stack
@pytest.mark.parametrize("data_format", FORMATS)
def test_batches_are_replayed(stack, data_format, rng, dtype):
    """With the same bits as when each layer is called."""
    pair = [network(stack, data_format, precision=dtype.name) for _ in range(2)]
    pair[1]._engine.recorder.enabled = False
    for n in (3, 3, 1, 3, 5, 3):
        x, y = data(rng, data_format, n)
        assert pair[0].train_on_batch(x, y) == pair[1].train_on_batch(x, y)
    assert pair[0]._engine.workspaces.current_training.recordings
    np.testing.assert_array_equal(pair[0].predict(x), pair[1].predict(x))


@pytest.mark.parametrize("shape", [(-1,), (8, -1), (6, 8, 3), (2, 4, 18), (3, -1, 8)])
def test_reshape_is_numpys_in_the_users_order(shape, rng):
    for data_format, given in (("channels_last", (3, 6, 8)), ("channels_first", (3, 6, 8))):
        made = GWUNetwork([Reshape(shape)], data_format=data_format)
        x = rng.random((4, *given)).astype("float32")
        np.testing.assert_array_equal(made.predict(x), x.reshape(4, *shape))


def test_reshape_makes_images_of_rows(rng):
    """As for a table of digits, one row an image; the slides' sizes still hold behind it."""
    made = GWUNetwork([Reshape((28, 28, 1)), Conv2D(2, 3), MaxPooling2D(2), Flatten(), Dense(2)])
    assert made.predict(rng.random((3, 784))).shape == (3, 2)
    assert [layer.out_shape for layer in made.layers[:3]] == [(28, 28, 1), (26, 26, 2), (13, 13, 2)]


def test_global_pooling_takes_images_of_another_size_in_another_network(rng):
    """Its weights do not depend on the size: that is what it is for."""
    small, large = (GWUNetwork([Conv2D(3, 3), GlobalAveragePooling2D(), Dense(2)]) for _ in range(2))
    small.build((8, 8))
    large.build((20, 30))
    large.set_weights(small.get_weights())
    x = np.full((1, 8, 8), 0.5)
    np.testing.assert_allclose(small.predict(x), large.predict(np.full((1, 20, 30), 0.5)), rtol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("data_format", FORMATS)
def test_resizing_in_a_network(interpolation, data_format, rng):
    """Gradients of a layer below, batches of several sizes, and images of other sizes than the network was made for."""
    layers = [Conv2D(3, 3), Resizing(7, 3, interpolation), Conv2D(2, 3), Flatten(), Dense(3)]
    made = GWUNetwork(layers, seed=2, data_format=data_format, precision="float64")
    made.compile("mse", lr=0.02)
    for n in (3, 1, 5):
        x, y = data(rng, data_format, n)
        made.evaluate(x, y)
        start = made.get_weights()
        made.train_on_batch(x, y)
        found = [parameter.grad.copy() for parameter in made.parameters]
        made.set_weights(start)
        for parameter, gradient in zip(made.parameters, found, strict=True):
            assert_gradient(gradient, lambda x=x, y=y: made.evaluate(x, y), parameter.value)


def test_resizing_by_hand():
    """Four pixels of a row as two and as eight: (i + 1/2) * 4 / n - 1/2, from border pixel to border pixel."""
    x = np.float32([[[[0], [4], [8], [12]]]])

    def resized(width, interpolation="bilinear"):
        return GWUNetwork([Resizing(1, width, interpolation)]).predict(x).ravel().tolist()

    assert resized(2) == [2, 10]
    assert resized(8) == [0, 1, 3, 5, 7, 9, 11, 12]
    assert resized(4) == [0, 4, 8, 12]
    assert resized(3, "nearest") == [0, 8, 12]
    assert resized(2, "nearest") == [4, 12]
    assert resized(6, "nearest") == [0, 4, 4, 8, 12, 12]


REFUSED = [
    (lambda: Reshape((2, "3")), ValueError,
     "Reshape: expected shape to be positive integers, of which one may be -1, got (2, '3')"),
    (lambda: Reshape(()), ValueError, "Reshape: expected shape to be positive integers, of which one may be -1, got ()"),
    (lambda: Reshape((0, 3)), ValueError,
     "Reshape: expected shape to be positive integers, of which one may be -1, got (0, 3)"),
    (lambda: Reshape((-1, -1)), ValueError, "Reshape: expected at most one -1 in shape, got (-1, -1)"),
    (lambda: Reshape((5, -1)).build((4, 3, 2)), ShapeError,
     "Reshape: expected a shape of 24 numbers for inputs (4, 3, 2), got (5, -1)"),
    (lambda: Reshape((4, 5)).build((24,)), ShapeError,
     "Reshape: expected a shape of 24 numbers for inputs (24,), got (4, 5)"),
    (lambda: ZeroPadding2D("same"), ValueError,
     "ZeroPadding2D: expected padding an integer, (ph, pw) or ((top, bottom), (left, right)), got 'same'"),
    (lambda: ZeroPadding2D(-1), ValueError, "ZeroPadding2D: expected padding to be an integer of at least 0, got -1"),
    (lambda: Cropping2D(-1), ValueError, "Cropping2D: expected cropping to be an integer of at least 0, got -1"),
    (lambda: Cropping2D((1, 2, 3)), ValueError,
     "Cropping2D: expected cropping an integer, (ph, pw) or ((top, bottom), (left, right)), got (1, 2, 3)"),
    (lambda: Cropping2D((0, 3)).build((5, 6, 1)), ShapeError,
     "Cropping2D: expected cropping that leaves a pixel of an image of 5x6, got ((0, 0), (3, 3)); crop less"),
    (lambda: Resizing(0, 5), ValueError, "Resizing: expected height to be an integer of at least 1, got 0"),
    (lambda: Resizing(5, 5, "linear"), ValueError,
     "Resizing: expected interpolation to be one of 'bilinear', 'nearest', got 'linear'; did you mean 'bilinear'?"),
    (lambda: UpSampling2D(0), ValueError, "UpSampling2D: expected size to be an integer of at least 1, got 0"),
    (lambda: UpSampling2D(2.0), ValueError,
     "UpSampling2D: expected size to be an integer or a pair of integers, got 2.0"),
    (lambda: AveragePooling2D("2"), ValueError,
     "AveragePooling2D: expected pool_size to be an integer or a pair of integers, got '2'; write 2 without quotes"),
    (lambda: AveragePooling2D(2, padding=2).build((5, 5, 1)), ShapeError,
     "AveragePooling2D: expected padding smaller than the window (2, 2), got ((2, 2), (2, 2)); lower padding, or raise "
     "pool_size"),
    (lambda: AveragePooling2D(7).build((5, 6, 1)), ShapeError,
     "AveragePooling2D: expected pool_size to fit in an image of 5x6, got a window of 7x7 pixels; use a smaller window, "
     "larger images or padding='same'"),
    (lambda: GlobalMaxPooling2D().build((5,)), ShapeError,
     "GlobalMaxPooling2D: expected images (H, W, C), got (5,); give x as (N, H, W) or (N, H, W, C), and put this layer "
     "before Flatten()"),
    (lambda: GlobalAveragePooling2D(2), TypeError, None),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refused(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert message is None or str(caught.value) == message


@pytest.mark.parametrize(
    ("layer", "makes"),
    [
        (ZeroPadding2D(2), "10 = 2 + 6 + 2"),
        (ZeroPadding2D((1, 0)), "8x6, 8 = 1 + 6 + 1 and 6 = 0 + 6 + 0"),
        (Cropping2D(2), "2 = 6 - 2 - 2"),
        (Cropping2D((1, 0)), "4x6, 4 = 6 - 1 - 1 and 6 = 6 - 0 - 0"),
        (Resizing(4, 5), "4 x 5"),
        (UpSampling2D(3), "18 = 6 * 3"),
        (UpSampling2D((1, 2)), "6x12, 6 = 6 * 1 and 12 = 6 * 2"),
        (AveragePooling2D(2), "3 = (6 - 2) // 2 + 1"),
        (Reshape((12, 3, -1)), "12 x 3 x 1 of 6 x 6 x 1"),
    ],
)
def test_a_wrong_stated_size_is_reported_with_the_actual_one(layer, makes):
    made = GWUNetwork([MaxPooling2D(1, input_size=6), layer])
    with pytest.warns(SizeMismatchWarning, match=r"input_size=99 stated") as caught:
        made.add(MaxPooling2D(1, input_size=99))
    assert f"{type(layer).__name__} makes {makes}; using" in str(caught[0].message)
