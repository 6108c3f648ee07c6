"""Images as (N, C, H, W) or (N, H, W, C): the same network, with sizes in the user's order."""

import numpy as np
import pytest

from gwucnn import Conv2D, Flatten, GWUNetwork, MaxPooling2D
from gwucnn.common.errors import SizeMismatchWarning
from trainees import every_kind


def test_channels_first_is_the_same_network_on_permuted_images(rng):
    """Flatten then uses the order (C, H, W), as weights from channels-first frameworks expect."""
    x = rng.random((4, 2, 10, 9)).astype(np.float32)
    first, last = every_kind(data_format="channels_first"), every_kind()
    first.build((2, 10, 9))
    last.build((10, 9, 2))
    weights = first.get_weights()
    rows = weights[3].reshape(4, 3, 2, -1)  # in Flatten's order (C, H, W)
    last.set_weights([*weights[:3], rows.transpose(1, 2, 0, 3).reshape(weights[3].shape), *weights[4:]])
    np.testing.assert_allclose(first.predict(x), last.predict(x.transpose(0, 2, 3, 1)), rtol=1e-5)
    ours, theirs = first.activations(x), last.activations(x.transpose(0, 2, 3, 1))
    for a, b in zip(ours[:4], theirs[:4], strict=True):
        np.testing.assert_array_equal(a, b.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(ours[4], ours[3].reshape(4, -1))
    np.testing.assert_array_equal(theirs[4], theirs[3].reshape(4, -1))


def test_channels_first_trains_as_channels_last_does(rng):
    x, y = rng.random((12, 2, 10, 9)), rng.integers(0, 3, 12)
    first, last = (every_kind(data_format=order, precision="float64") for order in ("channels_first", "channels_last"))
    for network, images in ((first, x), (last, x.transpose(0, 2, 3, 1))):
        network.build(images.shape[1:])
        network.compile("cross_entropy", lr=0.5)
    weights = first.get_weights()
    rows = weights[3].reshape(4, 3, 2, -1)
    last.set_weights([*weights[:3], rows.transpose(1, 2, 0, 3).reshape(weights[3].shape), *weights[4:]])
    one = first.fit(x, y, epochs=3, batch_size=5, shuffle=False).history
    two = last.fit(x.transpose(0, 2, 3, 1), y, epochs=3, batch_size=5, shuffle=False).history
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-12)


def test_channels_first_reads_and_shows_sizes_in_its_order():
    network = GWUNetwork([Conv2D(4, input_size=(3, 10, 8)), Flatten()], data_format="channels_first")
    assert network.layers[0].in_shape == (10, 8, 3)
    lines = []
    network.summary(lines.append)
    assert "(N, 4, 8, 6)" in lines[0] and "(N, 192)" in lines[0]
    assert "input_size=(3, 10, 8)" in repr(network)
    assert network.predict(np.zeros((2, 3, 10, 8))).shape == (2, 192)
    with pytest.warns(SizeMismatchWarning, match=r"using \(4, 8, 6\)$"):
        GWUNetwork(
            [Conv2D(4, input_size=(3, 10, 8)), MaxPooling2D(input_size=(9, 9, 9))],
            data_format="channels_first",
        )


def test_channels_first_images_come_out_as_they_went_in(rng):
    """In a network without Flatten, inputs, outputs and targets are all channels first."""
    x, y = rng.random((5, 2, 8, 7)), rng.random((5, 3, 6, 5))
    network = GWUNetwork([Conv2D(3, input_size=(2, 8, 7))], data_format="channels_first", precision="float64", seed=0)
    twin = GWUNetwork([Conv2D(3, input_size=(8, 7, 2))], precision="float64", seed=0)
    for each in (network, twin):
        each.compile("mse", lr=0.1)
    assert network.predict(x).shape == (5, 3, 6, 5)
    images, targets = x.transpose(0, 2, 3, 1), y.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(network.predict(x), twin.predict(images).transpose(0, 3, 1, 2))
    assert network.evaluate(x, y) == pytest.approx(np.mean((network.predict(x) - y) ** 2), rel=1e-12)
    assert network.fit(x, y, epochs=2).history["loss"] == twin.fit(images, targets, epochs=2).history["loss"]


def test_images_without_channels_have_one_in_both_orders(rng):
    x = rng.random((3, 8, 8))
    for order in ("channels_first", "channels_last"):
        network = GWUNetwork([Conv2D(input_size=8)], data_format=order)
        assert network.predict(x).shape == ((3, 2, 6, 6) if order == "channels_first" else (3, 6, 6, 2))
