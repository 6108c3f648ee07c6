"""Every option of every public layer takes effect in a network that is built, trained, used, saved and loaded."""

import inspect

import numpy as np
import pytest

import gwucnn
from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, Layer
from gwucnn.layers.graphs.merge import Merge
from layer_cases import inside

SHAPE = (6, 7, 4)

# What a layer cannot be made without, or its options would say nothing without; and another value of each option.
NEEDED = {
    "Activation": {"activation": "relu"},
    "Concatenate": {"branches": [inside(Conv2D(2, 1)), []]},
    "Conv2DTranspose": {"filters": 4, "kernel_size": 3, "strides": 2},
    "Dense": {"output_size": 4},
    "Dropout": {"rate": 0.5},
    "Normalization": {"mean": 0.5, "variance": 4.0},
    "GroupNormalization": {"groups": 2},
    "RandomBrightness": {"factor": 0.3, "value_range": (-5, 5)},
    "RandomContrast": {"factor": 0.3, "value_range": (-5, 5)},
    "RandomCrop": {"height": 4, "width": 5},
    "RandomRotation": {"factor": 0.1},
    "RandomTranslation": {"height": 0.2, "width": 0.2},
    "RandomZoom": {"factor": 0.2},
    "Rescaling": {"scale": 0.5},
    "Reshape": {"shape": (7, 6, 4)},
    "Residual": {"layers": inside(Conv2D(4, padding="same"))},
    "Resizing": {"height": 5, "width": 9},
    "SeparableConv2D": {"filters": 4, "kernel_size": 3},
    "SpatialDropout2D": {"rate": 0.5},
}
OTHER = {
    "activation": "tanh",
    "add_bias": True,
    "alpha": 0.5,
    "alpha_initializer": "ones",
    "approximate": True,
    "bias_initializer": "ones",
    "branches": [inside(Conv2D(3, 1)), []],
    "cropping": ((1, 0), (0, 1)),
    "depth_multiplier": 2,
    "depthwise_initializer": "he_uniform",
    "depthwise_regularizer": "l2",
    "dilation_rate": 2,
    "epsilon": 0.5,
    "factor": (-0.3, 0.5),
    "fill_mode": "reflect",
    "fill_value": 3.0,
    "filters": 6,
    "groups": 2,
    "height": (-0.5, 0.1),
    "input_size": SHAPE,
    "interpolation": "nearest",
    "kernel_initializer": "he_uniform",
    "kernel_regularizer": "l2",
    "kernel_size": (2, 3),
    "layers": inside(Conv2D(4, 1)),
    "mean": 1.0,
    "mode": "vertical",
    "momentum": 0.1,
    "name": "mine",
    "negative_slope": 0.1,
    "offset": 0.25,
    "output_padding": 1,
    "output_size": 5,
    "padding": ((1, 0), (0, 1)),
    "pointwise_initializer": "he_uniform",
    "pointwise_regularizer": "l2",
    "pool_size": 3,
    "rate": 0.2,
    "ratio": (1.0, 2.0),
    "scale": 0.1,
    "shape": (6, 4, 7),
    "shared_axes": [1, 2],
    "shortcut": inside(Conv2D(4, 1)),
    "size": (1, 3),
    "strides": (1, 3),
    "trainable": False,
    "value_range": (-2, 2),
    "variance": 9.0,
    "width": (0.0, 0.5),
    "width_factor": 0.4,
}
# Dense alone wants features; and some options need other values in some layers.
SPECIAL = {
    ("Dense", "input_size"): 7,
    ("GroupNormalization", "groups"): 4,
    ("Resizing", "height"): 9,
    ("Resizing", "width"): 4,
    ("RandomCrop", "height"): 5,
    ("RandomCrop", "width"): 4,
    ("RandomErasing", "scale"): (0.5, 0.75),
    ("RandomErasing", "factor"): 0.5,
    ("RandomContrast", "factor"): (0.1, 0.5),
}
WITHOUT_EFFECT = ("name", "input_size")


def public_layers():
    kinds = [getattr(gwucnn, name) for name in gwucnn.__all__]
    layers = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Layer) and kind is not Layer]
    return [kind for kind in layers if not issubclass(kind, Merge)]  # which need several inputs: test_graphs.py


OPTIONS = [
    (kind, option) for kind in public_layers() for option in list(inspect.signature(kind.__init__).parameters)[1:]
]


def network_of(kind, **options):
    network = GWUNetwork([kind(**options), Flatten(), Dense(3, activation="softmax")], seed=1)
    network.compile("cross_entropy", lr=0.1)
    return network


def experience(network, shape):
    """Train for three batches; return the losses, what the network predicts in the end, and of what."""
    x = np.random.default_rng(2).standard_normal((3, 8, *shape)).astype(np.float32)
    losses = [network.train_on_batch(batch, np.arange(8) % 3) for batch in x]
    return losses, network.predict(x[0]), x[0]


@pytest.mark.parametrize(("kind", "option"), OPTIONS, ids=[f"{kind.__name__}-{option}" for kind, option in OPTIONS])
def test_every_option(kind, option, tmp_path):
    shape = (7,) if kind is Dense else SHAPE
    needed = dict(NEEDED.get(kind.__name__, {}))
    if option == "bias_initializer":
        needed["add_bias"] = True
    network = network_of(kind, **needed | {option: SPECIAL.get((kind.__name__, option), OTHER[option])})
    losses, outputs, x = experience(network, shape)
    assert np.isfinite(losses).all() and outputs.shape == (8, 3)
    layer, plain = network.layers[0], network_of(kind, **needed)
    plain_losses, plain_outputs, _ = experience(plain, shape)
    same = losses == plain_losses and (outputs == plain_outputs).all()
    assert (same and layer.out_shape == plain.layers[0].out_shape) == (option in WITHOUT_EFFECT)

    lines = []
    network.summary(lines.append)
    assert f"0.{kind.__name__}" in lines[0] and ", ".join(map(str, ("N", *layer.out_shape))) in lines[0]

    if option == "name":
        assert "(mine)" in lines[0]

    network.save(tmp_path / "network")
    loaded = GWUNetwork.load(tmp_path / "network")
    assert repr(loaded.layers[0]) == repr(layer)
    assert loaded.layers[0].config() == layer.config()
    assert (loaded.predict(x) == outputs).all()
