"""A diagram has a box for each layer, in order, with its shape, and branches side by side."""

from itertools import combinations, pairwise

import pytest

import graphs
from gwucnn import (
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GWUNetwork,
    Input,
    MaxPooling2D,
    Residual,
    models,
    plotting,
)

pytest.importorskip("matplotlib")


def texts(figure):
    """Return the texts of a diagram from top to bottom, with their places."""
    found = [(text.get_position(), text.get_text()) for text in figure.axes[0].texts if text.get_text()]
    return sorted(found, key=lambda pair: pair[0][1])


def boxes(figure):
    """Return the frames of all boxes and blocks: left, top, width, height."""
    return [
        (patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height())
        for patch in figure.axes[0].patches
        if hasattr(patch, "get_x")
    ]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_consecutive_layers(data_format):
    layers = [
        Conv2D(8, 3, 2, activation="relu"),
        MaxPooling2D(),
        Dropout(0.5, name="half"),
        Flatten(),
        Dense(10, activation="softmax"),
    ]
    network = GWUNetwork(layers, data_format=data_format)
    before = [text for _, text in texts(plotting.network_diagram(network))]
    assert before[:4] == ["input", "?", "0.Conv2D  3x3, strides 2, relu", "?"]
    first = data_format == "channels_first"
    network.build((1, 28, 28) if first else (28, 28))
    assert [text for _, text in texts(plotting.network_diagram(network))] == [
        "input", "1 x 28 x 28" if first else "28 x 28 x 1",
        "0.Conv2D  3x3, strides 2, relu", "8 x 13 x 13   72 weights" if first else "13 x 13 x 8   72 weights",
        "1.MaxPooling2D  2x2", "8 x 6 x 6" if first else "6 x 6 x 8",
        "2.Dropout 'half'  0.5", "8 x 6 x 6" if first else "6 x 6 x 8",
        "3.Flatten", "288",
        "4.Dense  softmax", "10   2,880 weights",
    ]  # fmt: skip


def test_branches_stand_side_by_side():
    network = GWUNetwork([
        Residual([Conv2D(4, 3, padding="same")], Conv2D(4, 1)),
        Concatenate([Conv2D(2, 1), [Residual([Conv2D(4, 1)])], []]),
    ])  # fmt: skip
    network.build((8, 8))
    found = {text: place for place, text in texts(plotting.network_diagram(network))}
    assert found["Conv2D  3x3"][1] == next(
        place[1] for place, text in texts(plotting.network_diagram(network)) if text == "Conv2D  1x1"
    )
    assert {"0.Residual", "1.Concatenate", "Residual", "concatenated", "8 x 8 x 10", "+"} <= found.keys()


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [Concatenate([[], []])],
        lambda: [Residual([Conv2D(1, 1)])],
        lambda: [Residual([Concatenate([Conv2D(1, 1), Residual([Conv2D(1, 1)], Conv2D(1, 1))])], Conv2D(2, 1))],
        lambda: [Concatenate([Conv2D(1, 1), [], Conv2D(1, 1), [Conv2D(1, 1), Residual([Conv2D(1, 1)])]]), Flatten()],
    ],
)
def test_nothing_overlaps_or_is_cut_off(layers):
    network = GWUNetwork(layers())
    network.build((4, 4))
    figure = plotting.network_diagram(network)
    width, height = figure.axes[0].get_xlim()[1], figure.axes[0].get_ylim()[0]
    found = boxes(figure)
    for number, (left, top, w, h) in enumerate(found):
        assert left > 0 and top > 0 and left + w < width and top + h < height
        for x, y, other_w, other_h in found[:number]:
            apart = left + w <= x or x + other_w <= left or top + h <= y or y + other_h <= top
            inside = (x <= left and left + w <= x + other_w) and (y <= top and top + h <= y + other_h)
            around = (left <= x and x + other_w <= left + w) and (top <= y and y + other_h <= top + h)
            assert apart or inside or around


def test_a_large_network():
    network = models.resnet18_small()
    found = [text for _, text in texts(plotting.network_diagram(network))]
    assert sum(text.endswith("Residual") for text in found) == 8 and found.count("+") == 8


def test_connected_layers_stand_below_each_other():
    """An arrow that passes layers runs beside them, and crosses no other that it meets for longer."""
    network = graphs.network(graphs.crossing)
    network.build(graphs.SHAPE)
    figure = plotting.network_diagram(network)
    names = [text for _, text in texts(figure) if text[0].isdigit() and "." in text]
    assert [name.split()[0] for name in names] == [layer.label for layer in network.layers]
    frames = sorted(boxes(figure), key=lambda box: box[1])
    assert len(frames) == 11 and all(a[1] + a[3] < b[1] for a, b in pairwise(frames))
    right = max(left + width for left, _, width, _ in frames)
    vertical = [(*line.get_xdata(), *line.get_ydata()) for line in figure.axes[0].lines]
    vertical = [(x, *sorted((y, z))) for x, other, y, z in vertical if x == other]
    # input to 1; 0 to 3 and 4; 1 to 5; 3 to 6 and 7; 5 to 7
    assert len(vertical) == 7 and all(x > right for x, _, _ in vertical)
    for (x, top, bottom), (other, first, last) in combinations(vertical, 2):
        assert x != other or bottom < first or last < top
    assert max(x for x, _, _ in vertical) < figure.axes[0].get_xlim()[1]


def test_several_inputs():
    a, b = Input(3, name="left"), Input((4, 5))
    network = GWUNetwork(inputs=[a, b], outputs=Dense(2)(a) * Dense(2)(Flatten()(b)))
    found = [text for _, text in texts(plotting.network_diagram(network))]
    assert found[:4] == ["left", "3", network._layer_row.input_names[1], "4 x 5 x 1"]
    assert len(boxes(plotting.network_diagram(network))) == 6


def test_wrong_arguments():
    with pytest.raises(
        ValueError, match=r"^network_diagram: expected at least one layer, got none; call add\(layer\)$"
    ):
        plotting.network_diagram(GWUNetwork())
    with pytest.raises(TypeError, match="^network_diagram: expected a network first, got Flatten"):
        plotting.network_diagram(Flatten())
