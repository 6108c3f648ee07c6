"""The picture of one output pixel shows the window, the filter, their products and the sum that convolution computes."""

import re

import numpy as np
import pytest

from gwucnn import Conv2D, Flatten, GWUNetwork, ShapeError, plotting

pytest.importorskip("matplotlib")


def numbers(axis):
    """Return the numbers that are written into a panel, by row and column."""
    written = [(text.get_position(), text.get_text()) for text in axis.texts if re.match(r"-?\d", text.get_text())]
    shape = [max(place[axis] for place, _ in written) + 1 for axis in (1, 0)]
    made = np.full(shape, np.nan)
    for (column, row), text in written:
        made[row, column] = float(text)
    return made


def test_an_example_by_hand():
    image = np.arange(25).reshape(5, 5)
    figure = plotting.sliding_window(image, [[1, 0, -1]] * 3, at=(1, 2))
    _, window, weights, products, output = figure.axes
    assert numbers(window).tolist() == [[7, 8, 9], [12, 13, 14], [17, 18, 19]]
    assert numbers(weights).tolist() == [[1, 0, -1]] * 3
    assert numbers(products).tolist() == [[7, 0, -9], [12, 0, -14], [17, 0, -19]]
    assert "-0" not in [text.get_text() for text in products.texts]
    assert (products.get_xlabel(), output.get_xlabel()) == ("sum -6", "sum -6")
    np.testing.assert_array_equal(output.images[0].get_array(), np.full((3, 3), -6))
    assert [axis.get_title() for axis in figure.axes] == ["image", "window", "filter 0", "products", "output [1, 2]"]


@pytest.mark.parametrize("options", [
    {}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2, "add_bias": True}, {"groups": 2, "padding": 1}
])  # fmt: skip
def test_a_layer_computes_the_same(options, rng):
    layer = Conv2D(4, 3, bias_initializer="random_normal", **options)
    network = GWUNetwork([layer], precision="float64", seed=1)
    x = rng.random((7, 8, 2))
    want = network.predict(x[None])[0, 1, 2, 3]
    figure = plotting.sliding_window(x, layer, (1, 2), filter_number=3)
    assert figure.axes[4].images[0].get_array()[1, 2] == pytest.approx(want)
    channels = 1 if "groups" in options else 2
    products = [float(figure.axes[5 * c + 3].get_xlabel().removeprefix("sum ")) for c in range(channels)]
    bias = layer.bias.constant[3] if layer.add_bias else 0
    assert sum(products) + bias == pytest.approx(want, abs=0.02)
    if channels == 2:
        assert figure.axes[9].texts[0].get_text().endswith(f"= {want:.2f}")
    else:
        assert figure.axes[0].get_ylabel() == "" and figure.axes[4].get_xlabel() == f"sum {want:.2f}"


def test_many_channels_are_added(rng):
    layer = Conv2D(2, (2, 3), activation="relu")
    network = GWUNetwork([layer], precision="float64", seed=1)
    x = rng.random((4, 5, 6))
    network.build(x.shape)
    figure = plotting.sliding_window(x, layer)
    assert len(figure.axes) == 4 * 5
    lines = figure.axes[9].texts[0].get_text().splitlines()
    want = (x[:2, :3] * layer.kernel.constant[..., 0].transpose(0, 1, 2)).sum()
    assert lines[-2].endswith(" of 2 more channels") and lines[-1] == f"= {want:.2f}, then relu"


def test_axes_of_the_caller():
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots(2, 5)
    assert plotting.sliding_window(np.ones((4, 4, 2)), np.ones((3, 3, 2)), ax=axes) is figure
    assert axes[1, 3].get_xlabel() == "sum 9"
    with pytest.raises(ValueError, match=r"expected 5 Axes in ax, for image, window, .* with pyplot.subplots\(1, 5\)$"):
        plotting.sliding_window(np.ones((4, 4)), np.ones((3, 3)), ax=axes)


IMAGE, KERNEL = np.ones((5, 5)), np.ones((3, 3))

WRONG = [
    (lambda: plotting.sliding_window(np.ones((2, 5, 5, 1)), KERNEL), ShapeError,
     r"expected one image, \(H, W\) or \(H, W, C\), got \(2, 5, 5, 1\); pick one, such as x\[0\]"),
    (lambda: plotting.sliding_window("digit.png", KERNEL), ShapeError, "expected one image, .* got str_"),
    (lambda: plotting.sliding_window(np.ones((5, 5, 3)), KERNEL), ShapeError,
     r"expected an image of 1 channels, got \(5, 5, 3\)"),
    (lambda: plotting.sliding_window(IMAGE, KERNEL, (3, 0)), ValueError, r"expected at from \(0, 0\) to \(2, 2\), got \(3, 0\)"),
    (lambda: plotting.sliding_window(IMAGE, KERNEL, 1), ValueError, r"expected at=\(row, column\) of an output pixel, got 1"),
    (lambda: plotting.sliding_window(IMAGE, KERNEL, filter_number=1), ValueError, "expected filter_number from 0 to 0, got 1"),
    (lambda: plotting.sliding_window(IMAGE, Flatten()), TypeError, "expected kernel to be a Conv2D or an array .* got a Flatten"),
    (lambda: plotting.sliding_window(IMAGE, Conv2D()), ValueError, "expected a layer in a built network, .* call build first"),
    (lambda: plotting.sliding_window(IMAGE, np.ones((6, 6))), ShapeError, "expected kernel_size to fit in an image of 5x5"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_what_does_not_fit(call, kind, message):
    with pytest.raises(kind, match=f"^sliding_window: {message}"):
        call()
