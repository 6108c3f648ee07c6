"""The table that `summary` prints, and the numbers in it."""

import numpy as np
import pytest

import graphs
from gwucnn import (
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GWUNetwork,
    Layer,
    MaxPooling2D,
    Residual,
    SeparableConv2D,
    Sigmoid,
)
from layer_cases import CASES


def lines_of(network):
    lines = []
    network.summary(lines.append)
    assert len(lines) == 1
    return lines[0].splitlines()


def test_before_and_after():
    network = GWUNetwork([Conv2D(8, 3), Flatten(), Dense(10, True, name="digits")])
    before = lines_of(network)
    network.build((28, 28))
    assert before == [
        "layer             output shape  weights  multiply-adds  bytes",
        "-------------------------------------------------------------",
        "0.Conv2D          ?                   ?              ?      ?",
        "1.Flatten         ?                   ?              ?      ?",
        "2.Dense (digits)  ?                   ?              ?      ?",
        "-------------------------------------------------------------",
        "not built yet; call build(input_shape), or fit",
    ]
    assert lines_of(network) == [
        "layer             output shape    weights  multiply-adds    bytes",
        "-----------------------------------------------------------------",
        "0.Conv2D          (N, 26, 26, 8)       72         48,672   21,920",
        "1.Flatten         (N, 5408)             0              0   21,632",
        "2.Dense (digits)  (N, 10)          54,090         54,080  216,400",
        "-----------------------------------------------------------------",
        "54,162 weights",
        "102,752 multiply-adds per image",
        "216.6 kB of weights, 43.3 kB of activations per image",
    ]


def test_a_partly_built_network_shows_what_is_known():
    """The error names the layer that does not fit; the layers before it stay built."""
    lines = lines_of(GWUNetwork([Dense(3, input_size=2), Dense(1)]))
    assert lines[2].split() == ["0.Dense", "(N,", "3)", "6", "6", "36"]
    assert lines_of(GWUNetwork())[-1] == "0 bytes of weights, 0 bytes of activations per image"


def test_frozen_weights(capsys):
    GWUNetwork([Dense(3, input_size=2, trainable=False), Dense(1)]).summary()
    assert capsys.readouterr().out.splitlines()[-3] == "9 weights, 6 of them frozen"


def test_layers_inside_a_layer_stand_below_it_and_are_counted_once():
    network = GWUNetwork([Residual([Conv2D(1, padding="same", input_size=6), Sigmoid()])])
    network.build((6, 6))
    lines = lines_of(network)
    assert [line[:23].rstrip() for line in lines[2:5]] == [
        "0.Residual", "  0.Residual.0.Conv2D", "  0.Residual.1.Sigmoid",
    ]  # fmt: skip
    assert lines[2].split()[-3:] == lines[3].split()[-3:] == ["9", "324", "180"]
    assert lines[-3:-1] == ["9 weights", "324 multiply-adds per image"]


def test_double_precision_and_channels_first():
    made = {}
    for precision in ("float32", "float64"):
        network = GWUNetwork([Conv2D(2, input_size=(3, 8, 9))], precision=precision, data_format="channels_first")
        network.build((3, 8, 9))
        made[precision] = lines_of(network)[2].split()
    assert made["float32"] == ["0.Conv2D", "(N,", "2,", "6,", "7)", "54", "2,268", "552"]
    assert made["float64"][-1] == "1,104"


@pytest.mark.parametrize(
    ("layer", "in_shape", "count"),
    [
        (Conv2D(6, 5), (28, 28, 1), 86_400),  # first convolution of LeNet-5 on 28x28: 24 * 24 * 6 * 25
        (Conv2D(64, 3, padding="same"), (224, 224, 3), 86_704_128),  # the first two of VGG-16
        (Conv2D(64, 3, padding="same"), (224, 224, 64), 1_849_688_064),
        (Conv2D(256, 5, padding=2, groups=2), (27, 27, 96), 223_948_800),  # the second of AlexNet
        (Conv2D(32, 3, groups=32), (10, 10, 32), 8 * 8 * 9 * 32),
        (Dense(4096), (25088,), 102_760_448),  # the first dense layer of VGG-16
        (DepthwiseConv2D(3, padding="same"), (112, 112, 32), 112 * 112 * 9 * 32),  # the first two of MobileNet
        (SeparableConv2D(64, 3, padding="same"), (112, 112, 32), 112 * 112 * 32 * (9 + 64)),
        (Conv2DTranspose(3, 5, 2, "same"), (32, 32, 128), 32 * 32 * 128 * 5 * 5 * 3),  # the last of DCGAN
        (MaxPooling2D(), (8, 8, 3), 0),
    ],
)
def test_multiply_adds_of_known_layers(layer, in_shape, count):
    layer.build(in_shape)
    assert layer.multiply_adds == count


@pytest.mark.parametrize("case", [case for case in CASES if case.layer in (Conv2D, Dense)], ids=lambda case: case.why)
def test_multiply_adds_are_counted_right(case):
    """With all weights and pixels 1 and no padding, each output equals the number of products in it."""
    options = case.options | {"activation": None, "add_bias": False}
    layer = case.layer(**options | ({"padding": "valid"} if case.layer is Conv2D else {}))
    try:
        layer.build(case.in_shape)
    except ValueError:
        pytest.skip("the image is too small without its border")
    network = GWUNetwork([layer.__class__(**layer.config() | {"kernel_initializer": "ones"})], precision="float64")
    assert network.predict(np.ones((1, *case.in_shape))).sum() == layer.multiply_adds


def test_a_users_own_layer_counts_nothing_by_default():
    class Halve(Layer):
        def forward(self, x, space):
            return x / 2

    class Counted(Halve):
        multiply_adds = 7

    network = GWUNetwork([Halve(), Counted()])
    network.build((4, 4))
    lines = lines_of(network)
    assert lines[2].split()[-2] == "0" and lines[3].split()[-2] == "7"


def test_of_connected_layers():
    """What each layer reads stands at the end of its row; of a shared one, what each call reads."""
    network = graphs.network(graphs.shared)
    lines = lines_of(network)
    assert lines[0].split()[-1] == "reads"
    assert [line.split()[0] for line in lines[2:-4]] == [layer.label for layer in network.layers]
    assert [line[lines[0].index("reads") :] for line in lines[2:-4]] == [
        *["input; 1; 2", "0", "input, 1", "0", "1, 0, 3", "4", "5"]
    ]
    assert "1, 0, 3" in network._repr_html_()
