"""Small networks and data for tests that inspect which steps a network runs."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gwucnn import RELU, Concatenate, Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, Residual

CLASSES = 3
PLAIN: Mapping[str, Any] = MappingProxyType({})


class Net(NamedTuple):
    why: str
    image: tuple[int, int, int]
    layers: Callable[[], list[Any]]  # all but Flatten and Dense at the end
    options: Mapping[str, Any] = PLAIN


def conv(filters, kernel_size=3, activation="relu", add_bias=True, **options):
    return Conv2D(filters, kernel_size, activation=activation, add_bias=add_bias, **options)


# Each has a convolution with 2x2 pooling. For its gradients there are kernels for lists of winners, for masks, or
# none, and then the full-size gradient is written out after all: by weights, by inputs, or both.
NETS = [
    Net("masks", (10, 11, 1), lambda: [conv(16), MaxPooling2D()]),
    Net("masks, then lists", (14, 13, 2), lambda: [conv(16), MaxPooling2D(), conv(18), MaxPooling2D()]),
    Net(
        "no bias",
        (14, 14, 1),
        lambda: [conv(16, add_bias=False), MaxPooling2D(), conv(5, add_bias=False), MaxPooling2D()],
    ),
    Net("relu as a layer", (10, 9, 3), lambda: [conv(16, activation=None), RELU(), MaxPooling2D()]),
    Net(
        "no activation",
        (12, 13, 1),
        lambda: [conv(16, activation=None), MaxPooling2D(), conv(4, activation=None), MaxPooling2D()],
    ),
    Net("8 channels", (14, 12, 1), lambda: [conv(8), MaxPooling2D(), conv(8), MaxPooling2D()]),
    Net("17 filters", (12, 14, 1), lambda: [conv(17), MaxPooling2D(), conv(17), MaxPooling2D()]),
    Net(
        "5 x 5 filters",
        (18, 17, 1),
        lambda: [conv(16, 5), MaxPooling2D(), conv(16, 5, padding="same"), MaxPooling2D()],
    ),
    Net(
        "few channels, not the first layer",
        (13, 12, 1),
        lambda: [conv(3), MaxPooling2D(), conv(32, 2), MaxPooling2D()],
    ),
    Net(
        "behind a plain convolution",
        (12, 11, 2),
        lambda: [conv(16), conv(16, padding="same"), MaxPooling2D()],
    ),
    Net(
        "first is frozen",
        (14, 13, 1),
        lambda: [conv(16, trainable=False), MaxPooling2D(), conv(6), MaxPooling2D()],
    ),
    Net(
        "second is frozen",
        (14, 13, 1),
        lambda: [conv(16), MaxPooling2D(), conv(6, trainable=False), MaxPooling2D()],
    ),
    Net(
        "second is frozen, no kernel",
        (14, 13, 1),
        lambda: [conv(3), MaxPooling2D(), conv(5, 2, trainable=False), MaxPooling2D()],
    ),
    Net(
        "strides and padding",
        (19, 21, 1),
        lambda: [
            conv(16, strides=(1, 2), padding=2),
            MaxPooling2D(),
            conv(5, strides=2, padding="same"),
            MaxPooling2D(),
        ],
    ),
    Net(
        "dilation",
        (17, 16, 1),
        lambda: [conv(16, dilation_rate=2), MaxPooling2D(), conv(16, 2, dilation_rate=2), MaxPooling2D()],
    ),
    Net(
        "groups",
        (18, 17, 2),
        lambda: [
            conv(16),
            MaxPooling2D(),
            conv(16, 2, groups=2, padding=1),
            MaxPooling2D(),
            conv(16, groups=16, padding="same"),
            MaxPooling2D(),
        ],
    ),
    Net(
        "relu in the store",
        (15, 14, 2),
        lambda: [
            conv(9),
            conv(20, strides=2, padding="same", activation=None),
            RELU(),
            conv(12, 1, add_bias=False),
            MaxPooling2D(),
            conv(17, 2, trainable=False),
        ],
    ),
    Net(
        "relu in Winograd's store",
        (20, 20, 2),
        lambda: [
            conv(32),
            conv(32, padding="same"),
            conv(32, activation=None),
            RELU(),
            conv(4),
            MaxPooling2D(),
        ],
    ),
    Net(
        "channels first",
        (12, 13, 1),
        lambda: [conv(16), MaxPooling2D(), conv(6), MaxPooling2D()],
        {"data_format": "channels_first"},
    ),
    Net(
        "many channels",
        (22, 22, 1),
        lambda: [conv(32), MaxPooling2D(), conv(32, padding="same"), MaxPooling2D()],
    ),
    Net(
        "residual blocks",
        (15, 14, 2),
        lambda: [
            conv(8),
            MaxPooling2D(),
            Residual([conv(8, padding="same"), conv(8, padding="same", activation=None)]),
            RELU(),
            Residual(
                [conv(6, padding="same", activation=None), RELU(), MaxPooling2D()],
                conv(6, 2, strides=2, activation=None),
            ),
        ],
    ),
    Net(
        "branches, the first layer of all",
        (12, 13, 2),
        lambda: [
            Concatenate(
                [
                    [conv(16), MaxPooling2D()],
                    [MaxPooling2D(), conv(3, 2)],
                    [MaxPooling2D(), Residual(conv(2, padding="same")), conv(4, 2, activation="sigmoid")],
                ]
            ),
            conv(5, 2),
            MaxPooling2D(),
        ],
    ),
]


def build(net, seed=1, **options):
    """Return the network of a Net, built, with first weights drawn from `seed`."""
    layers = [*net.layers(), Flatten(), Dense(CLASSES, activation="softmax", add_bias=True)]
    network = GWUNetwork(layers, seed=seed, **{**net.options, **options})
    H, W, C = net.image
    network.build((C, H, W) if network.data_format == "channels_first" else (H, W, C))
    # Biases start at 0, where a forgotten one would not be missed.
    rng = np.random.default_rng(seed)
    for parameter in network.parameters:
        if parameter.name == "bias":
            parameter.value[...] = 0.1 * rng.standard_normal(parameter.shape)
    return network


def data(net, rng, n=6, dtype="float64"):
    """Return n images as the network wants them, and their labels."""
    H, W, C = net.image
    first = net.options.get("data_format") == "channels_first"
    x = rng.standard_normal((n, C, H, W) if first else (n, H, W, C)).astype(dtype)
    return x, rng.integers(0, CLASSES, n)
