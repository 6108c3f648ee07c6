"""Plots show the numbers that they claim to show. Skipped without matplotlib."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from gwucnn import (
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GWUNetwork,
    History,
    MaxPooling2D,
    Residual,
    SeparableConv2D,
    ShapeError,
    plotting,
)
from gwucnn.common import figures


@pytest.fixture
def plt():
    """matplotlib without a window; figures are closed at the end."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def drawn(figure):
    """Return what each panel shows as an image, without colour bars; NaN where nothing is."""
    figure.canvas.draw()
    return [[np.ma.filled(i.get_array(), np.nan) for i in axis.images] for axis in figure.axes if axis.images]


def titles(figure):
    return [axis.get_title() or axis.get_title("left") for axis in figure.axes if axis.images]


def network(**options):
    layers = [
        Conv2D(5, 3, padding="same", activation="relu", add_bias=True),
        MaxPooling2D(),
        Conv2D(4, 3, activation="sigmoid"),
        Flatten(),
        Dense(3, activation="softmax"),
    ]
    return GWUNetwork(layers, precision="float64", seed=2, **options)


# ---------------------------------------------------------------------------------------------------- training


def test_learning_curves_of_a_run(plt, rng):
    made = network()
    made.compile("cross_entropy", lr=0.1)
    x, y = rng.random((12, 8, 8, 1)), np.arange(12) % 3
    history = made.fit(x, y, epochs=4, batch_size=4, validation_data=(x, y), verbose=0)
    figure = plotting.learning_curves(history)
    assert isinstance(figure, plt.Figure)
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss", "accuracy"]
    for axis in figure.axes:
        name = axis.get_ylabel()
        assert axis.get_xlabel() == "epoch"
        assert [line.get_label() for line in axis.lines] == ["training", "validation"]
        for line, key in zip(axis.lines, (name, f"val_{name}"), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
            np.testing.assert_array_equal(line.get_ydata(), history.history[key])
    figure.canvas.draw()


def test_learning_curves_of_a_dict_and_of_a_rate_that_changes(plt):
    figure = plotting.learning_curves({"loss": np.array([3.0, 2.0]), "lr": [0.1, 0.01]})
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss", "lr"]
    assert [len(axis.lines) for axis in figure.axes] == [1, 1]
    assert len(plotting.learning_curves({"loss": [3.0], "lr": [0.1]}).axes) == 1
    for nothing in (History(), {}, {"val_loss": [1.0]}):
        with pytest.raises(ValueError, match=r"^learning_curves: expected a history with a loss, got "):
            plotting.learning_curves(nothing)
    with pytest.raises(TypeError, match="^learning_curves: expected a History, got GWUNetwork; pass what fit"):
        plotting.learning_curves(GWUNetwork())


def test_confusion_matrix(plt):
    true, predicted = [0, 0, 0, 1, 1, 3], [0, 0, 1, 1, 1, 0]
    figure = plotting.confusion_matrix(true, predicted)
    ((shares,),) = drawn(figure)[:1]
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    texts = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in figure.axes[0].texts}
    assert texts == {(0, 0): "2", (0, 1): "1", (1, 1): "2", (3, 0): "1"}
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("predicted", "true")


def test_confusion_matrix_of_probabilities_and_of_named_classes(plt):
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    assert drawn(plotting.confusion_matrix([0, 1], probabilities))[0][0].shape == (3, 3)
    axis = plotting.confusion_matrix([0, 1], [1, 1], labels=["shirt", "sandal"]).axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["shirt", "sandal"]
    with pytest.raises(ValueError, match=r"^confusion_matrix: expected classes from 0 to 1, got 0 to 2$"):
        plotting.confusion_matrix([0, 2], [1, 1], labels=["shirt", "sandal"])
    with pytest.raises(ShapeError, match="^confusion_matrix: expected as many"):
        plotting.confusion_matrix([0, 1], [1])


# ------------------------------------------------------------------------------------------- weights and maps


def tile(canvas, i, j, h, w):
    """Cut tile (i, j) of h x w out of a drawing: tiles this small lie one number apart."""
    return canvas[i * (h + 1) : i * (h + 1) + h, j * (w + 1) : j * (w + 1) + w]


@pytest.mark.parametrize(
    ("layer", "order"),
    [
        (Conv2D(5, (3, 2)), (2, 3, 0, 1)),
        (DepthwiseConv2D(3, depth_multiplier=4), (2, 3, 0, 1)),
        (SeparableConv2D(5, 3, depth_multiplier=2), (2, 3, 0, 1)),
        (Conv2DTranspose(5, (2, 3)), (3, 2, 0, 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_filters_stand_by_channel_and_filter(layer, order, plt):
    made = GWUNetwork([layer])
    made.build((6, 6, 2))
    kernel = made.get_weights()[0].transpose(order)
    figure = plotting.filters(layer)
    canvas = drawn(figure)[0][0]
    for i, j in np.ndindex(kernel.shape[:2]):
        np.testing.assert_array_equal(tile(canvas, i, j, *kernel.shape[2:]), kernel[i, j])
    assert np.isfinite(canvas).sum() == kernel.size
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("filter", "channel")
    low, high = figure.axes[0].images[0].get_clim()
    assert -low == high == pytest.approx(abs(kernel).max())
    assert titles(figure)[0] == f"0.{type(layer).__name__}: {kernel.shape[1]} filters of 2 channels"


def test_filters_of_one_channel_make_a_square(plt):
    layer = Conv2D(7, 3)
    GWUNetwork([layer]).build((6, 6))
    figure = plotting.filters(layer)
    canvas = drawn(figure)[0][0]
    assert canvas.shape == (11, 11)
    for f in range(7):
        np.testing.assert_array_equal(tile(canvas, f // 3, f % 3, 3, 3), layer.kernel.constant[:, :, 0, f])
    assert np.isnan(tile(canvas, 2, 1, 3, 3)).all()
    assert titles(figure)[0] == "0.Conv2D: 7 filters of 1 channel"


def test_of_many_filters_the_first_are_drawn(plt):
    layer = Conv2D(40, 3, kernel_initializer="zeros")
    GWUNetwork([layer]).build((6, 6, 17))
    figure = plotting.filters(layer)
    assert drawn(figure)[0][0].shape == (16 * 4 - 1, 32 * 4 - 1)
    assert titles(figure)[0].endswith("40 filters of 17 channels, the first of them")


@pytest.mark.parametrize("layer", [Conv2D(), Dense(3), Flatten(), Residual([Conv2D(2, padding="same")]), None, 3])
def test_what_has_no_filters(layer):
    with pytest.raises(ValueError, match=r"^filters: expected a layer with filters in a built network"):
        plotting.filters(layer)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_feature_maps_are_the_activations(data_format, plt, rng):
    made = network(data_format=data_format)
    x = rng.random((8, 9, 1))
    first = data_format == "channels_first"
    x = x.transpose(2, 0, 1) if first else x
    figure = plotting.feature_maps(made, x)
    assert titles(figure) == [
        "input  8 x 9 x 1",
        "0.Conv2D  8 x 9 x 5",
        "1.MaxPooling2D  4 x 4 x 5",
        "2.Conv2D  2 x 2 x 4",
    ]
    panels = drawn(figure)
    assert panels[0][0].shape == (8, 9)
    for (canvas,), y in zip(panels[1:], made.activations(x[None]), strict=False):
        maps = y[0] if first else y[0].transpose(2, 0, 1)
        for c, each in enumerate(maps):
            np.testing.assert_array_equal(tile(canvas, 0, c, *each.shape), each)


def test_feature_maps_of_many_channels(plt, rng):
    made = GWUNetwork([Conv2D(30, 3)])
    figure = plotting.feature_maps(made, rng.random((5, 5)))
    assert titles(figure)[1] == "0.Conv2D  3 x 3 x 30, the first 24"
    assert drawn(figure)[1][0].shape == (2 * 4 - 1, 12 * 4 - 1)


# ----------------------------------------------------------------------------------------------- explanations


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_saliency_is_the_gradients_size(data_format, plt, rng):
    made = network(data_format=data_format)
    x = rng.random((3, 8, 8) if data_format == "channels_first" else (8, 8, 3))
    slopes = abs(made.gradients(x[None], 1)[1][0][0])
    figure = plotting.saliency(made, x, 1)
    image, map_ = (panel[0] for panel in drawn(figure)[:2])
    assert image.shape == (8, 8, 3) and image.min() == 0 and image.max() == 1
    np.testing.assert_array_equal(map_, slopes.max(axis=0 if data_format == "channels_first" else 2))
    best = made.predict(x[None]).argmax()
    assert titles(figure)[1] == f"saliency\nclass 1 (answer: {best})"
    default = plotting.saliency(made, x[None])
    assert titles(default)[1] == f"saliency\nclass {best} (answer: {best})"


@pytest.mark.parametrize("number", [None, 0, 1, 2])
def test_grad_cam_by_its_formula(number, plt, rng):
    made = network()
    x = rng.random((9, 8))
    values, slopes = made.gradients(x[None], 2)
    at = 2 if number is None else number
    A, slope = values[at + 1][0], slopes[at + 1][0]
    want = sum(A[..., c] * slope[..., c].sum() / slope[..., c].size for c in range(A.shape[2])).clip(0)
    figure = plotting.grad_cam(made, x, 2, layer=number)
    picture, heat = drawn(figure)[1]
    np.testing.assert_allclose(heat, want, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(picture, x)
    assert figure.axes[1].images[1].get_extent() == [-0.5, 7.5, 8.5, -0.5]
    assert titles(figure)[1].startswith(f"Grad-CAM in {made.layers[at].label}\nclass 2")
    same = plotting.grad_cam(made, x, 2, layer=made.layers[at])
    np.testing.assert_array_equal(drawn(same)[1][1], heat)


def test_the_answer_of_one_output(plt, rng):
    made = GWUNetwork([Conv2D(2), Flatten(), Dense(1, activation="sigmoid")], seed=0)
    x = rng.random((6, 6))
    answer = int(made.predict(x[None])[0, 0] > 0.5)
    assert titles(plotting.saliency(made, x))[1].endswith(f"class {answer} (answer: {answer})")
    assert titles(plotting.grad_cam(made, x, 1 - answer))[1].endswith(f"class {1 - answer} (answer: {answer})")


@pytest.mark.parametrize("layer", [3, 4, 9, -1, "2.Conv2D", 1.0, Conv2D(2)])
def test_layers_that_grad_cam_cannot_explain(layer, rng):
    with pytest.raises(ValueError) as caught:
        plotting.grad_cam(network(), rng.random((8, 8)), layer=layer)
    assert str(caught.value) == (
        f"grad_cam: expected a layer of the network, or its number, that makes images, got {layer!r}; there are "
        "['0.Conv2D', '1.MaxPooling2D', '2.Conv2D']"
    )


@pytest.mark.parametrize("draw", [plotting.feature_maps, plotting.saliency, plotting.grad_cam])
def test_one_image_at_a_time(draw, rng):
    with pytest.raises(ShapeError) as caught:
        draw(network(), rng.random((2, 8, 8, 1)))
    assert str(caught.value) == (
        f"{draw.__name__}: expected one image, (H, W) or (H, W, C), got (2, 8, 8, 1); pick one, such as x[0]"
    )


# ---------------------------------------------------------------------------------------- figures and notebooks


def test_pyplot_does_not_know_the_figures(plt, tmp_path):
    figure = plotting.learning_curves({"loss": [3.0, 2.0]})
    assert plt.get_fignums() == []
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(tmp_path / "curves.png")
    assert pickle.loads(pickle.dumps(figure)).axes[0].get_ylabel() == "loss"
    figure.show()  # no window, because of Agg
    assert plt.figure(plt.get_fignums()[0]) is figure


def test_axes_of_the_caller(plt, rng):
    made, x = network(), rng.random((8, 8))
    draw = [
        (1, lambda ax: plotting.learning_curves({"loss": [3.0, 2.0]}, ax=ax)),
        (2, lambda ax: plotting.learning_curves({"loss": [3.0, 2.0], "accuracy": [0.5, 0.6]}, ax=ax)),
        (1, lambda ax: plotting.confusion_matrix([0, 1], [0, 1], ax=ax)),
        (4, lambda ax: plotting.feature_maps(made, x, ax=ax)),
        (1, lambda ax: plotting.filters(made.layers[0], ax=ax)),
        (2, lambda ax: plotting.saliency(made, x, ax=ax)),
        (2, lambda ax: plotting.grad_cam(made, x, ax=ax)),
    ]
    made.build((8, 8))
    for count, function in draw:
        figure, axes = plt.subplots(1, count)
        assert function(axes) is figure
        assert all(axis.has_data() for axis in np.ravel(axes))
        with pytest.raises(TypeError, match="expected ax to be matplotlib Axes, got Figure; see pyplot.subplots$"):
            function(figure)
    with pytest.raises(ValueError) as caught:
        plotting.saliency(made, x, ax=plt.subplots()[1])
    assert str(caught.value) == (
        "saliency: expected 2 Axes in ax, for image, saliency, got 1; make them with pyplot.subplots(1, 2)"
    )


# ------------------------------------------------------------------------------------------------- matplotlib


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    figures.figure_class.cache_clear()
    with pytest.raises(ImportError) as caught:
        plotting.learning_curves({"loss": [1.0]})
    assert str(caught.value) == "plotting: expected matplotlib, which is not installed; pip install matplotlib"


def test_matplotlib_is_loaded_by_the_first_picture():
    program = "import sys\nfrom gwucnn import plotting\nassert 'matplotlib' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
