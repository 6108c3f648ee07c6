"""What is timed beside the peers: five networks, each with a small and a large batch.

A network is described by plain values, which travel to any interpreter as JSON. Weights are generated here,
in Keras' layout, and every library starts from the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np

__all__ = ["MODES", "WORKLOADS", "Workload", "operations"]

Layer = dict[str, Any]

MODES = ("train", "predict")


def conv(
    filters: int,
    padding: str | int = "valid",
    activation: str | None = "relu",
    bias: bool = True,
    size: int = 3,
    strides: int = 1,
) -> Layer:
    """Describe a convolution with square filters; padding is 'valid', 'same' or a number of pixels."""
    return {
        "kind": "conv",
        "filters": filters,
        "size": size,
        "strides": strides,
        "padding": padding,
        "activation": activation,
        "bias": bias,
    }


def dense(units: int, activation: str, bias: bool = True) -> Layer:
    """Describe a dense layer."""
    return {"kind": "dense", "units": units, "activation": activation, "bias": bias}


POOL: Layer = {"kind": "pool", "size": 2}
FLATTEN: Layer = {"kind": "flatten"}
NORM: Layer = {"kind": "norm"}  # of batches: weights gamma, beta, and the running mean and variance
RELU: Layer = {"kind": "relu", "activation": "relu"}
MEAN: Layer = {"kind": "mean"}  # of each channel
# A residual block: store x; store the result and continue from x; add what is stored.
FORK: Layer = {"kind": "fork"}
SHORTCUT: Layer = {"kind": "shortcut"}
ADD: Layer = {"kind": "add"}


@dataclass(frozen=True)
class Workload:
    """A network, its loss and a batch.

    Attributes
    ----------
    name : str
    batch : int
    image : (H, W, C)
    layers : tuple of dict
    loss : 'log_loss' or 'cross_entropy'
        Of sigmoids, summed over the outputs, or of a softmax; both averaged over the batch.
    lr : float
        Learning rate of plain gradient descent.
    """

    name: str
    batch: int
    image: tuple[int, int, int]
    layers: tuple[Layer, ...]
    loss: str
    lr: float

    def chain(self) -> list[Layer]:
        """Return the layers, each with the shapes of one sample before and after it as 'in' and 'out'."""
        chain: list[Layer] = []
        shape: tuple[int, ...] = self.image
        remembered: list[tuple[int, ...]] = []
        for layer in self.layers:
            after = _output(layer, shape)
            match layer["kind"]:
                case "fork":
                    remembered.append(shape)
                case "shortcut":
                    after, remembered[-1] = remembered[-1], shape
                case "add":
                    remembered.pop()
            chain.append(layer | {"in": list(shape), "out": list(after)})
            shape = after
        return chain

    def arrays(self) -> dict[str, Any]:
        """Draw the batch, 'x' and 'y' (labels, or one-hot rows for log_loss), and the weights 'w0', 'w1', ...

        Always the same numbers. Pixels are normally distributed, so relu zeroes half of its inputs, as in a new
        network; images with an empty background would favour libraries that skip zeros. Biases are not zero,
        so that a lost bias is detected.
        """
        rng = np.random.default_rng(0)
        chain = self.chain()
        classes = chain[-1]["out"][0]
        labels = rng.integers(0, classes, self.batch)
        y = np.eye(classes, dtype=np.float32)[labels] if self.loss == "log_loss" else labels
        arrays = {"x": rng.standard_normal((self.batch, *self.image), np.float32), "y": y}
        for number, (shape, least, most) in enumerate(_weights(chain)):
            arrays[f"w{number}"] = rng.uniform(least, most, shape).astype(np.float32)
        return arrays

    def case(self, mode: str) -> dict[str, Any]:
        """Return everything that a library needs besides the arrays, as JSON values."""
        return {"mode": mode, "batch": self.batch, "layers": self.chain(), "loss": self.loss, "lr": self.lr}


def _output(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the output shape of one sample."""
    match layer["kind"]:
        case "conv" | "depthwise":
            pad, strides = layer["padding"], layer["strides"]
            if isinstance(pad, str):
                pad = {"valid": 0, "same": layer["size"] // 2}[pad]
            lost = layer["size"] - 1 - 2 * pad
            H, W = ((length - lost - 1) // strides + 1 for length in shape[:2])
            return H, W, layer.get("filters", shape[2])
        case "pool":
            return shape[0] // layer["size"], shape[1] // layer["size"], shape[2]
        case "flatten":
            return (prod(shape),)
        case "mean":
            return shape[-1:]
        case "dense":
            return (layer["units"],)
    return shape


def _weights(chain: list[Layer]) -> Iterator[tuple[tuple[int, ...], float, float]]:
    """Yield shape, smallest and largest number of the weights in Keras' order, layer by layer.

    He's uniform distribution keeps the variance of activations through relu (arXiv:1502.01852, equation 10); the
    variance behind it is 2.
    """
    for layer in chain:
        size, C = layer.get("size", 1), layer["in"][-1]
        kernels = {
            "conv": (size, size, C, layer.get("filters", 0)),
            "depthwise": (size, size, C, 1),
            "dense": (C, layer.get("units", 0)),
        }
        if shape := kernels.get(layer["kind"]):
            terms = size**2 if layer["kind"] == "depthwise" else prod(shape[:-1])
            yield shape, -sqrt(6 / terms), sqrt(6 / terms)
        if layer["kind"] == "norm":
            yield from (((C,), *between) for between in ((0.9, 1.1), (-0.05, 0.05), (-0.05, 0.05), (1.8, 2.2)))
        if layer.get("bias"):
            yield layer["out"][-1:], -0.05, 0.05


def operations(workload: Workload, mode: str) -> int:
    """Count the multiplications and additions of a step by direct convolution, whatever algorithm is used.

    Training counts the forward pass and two gradients of equal cost; the gradient of the images is not computed.
    Biases, activations, pooling and the update are not counted.
    """
    total = 0
    for number, layer in enumerate(workload.chain()):
        if layer["kind"] in ("conv", "depthwise"):
            channels = layer["in"][-1] if layer["kind"] == "conv" else 1
            forward = 2 * prod(layer["out"]) * channels * layer["size"] ** 2
        elif layer["kind"] == "dense":
            forward = 2 * layer["in"][0] * layer["units"]
        else:
            continue
        passes = 1 if mode == "predict" else 3 if number else 2
        total += workload.batch * forward * passes
    return total


# The network of the slides, with one filter and its actual sizes.
SEED = (
    conv(1, activation=None, bias=False),
    POOL,
    FLATTEN,
    dense(100, "relu", bias=False),
    dense(2, "sigmoid", bias=False),
)
MNIST = (conv(32), POOL, conv(64), POOL, FLATTEN, dense(10, "softmax"))
VGG = (
    *(layer for filters in (64, 128, 256) for layer in (conv(filters, "same"), conv(filters, "same"), POOL)),
    FLATTEN,
    dense(128, "relu"),
    dense(10, "softmax"),
)


def normal(filters: int, size: int = 3, strides: int = 1) -> tuple[Layer, Layer]:
    """Describe a convolution that keeps the size of images at stride 1, and the normalisation behind it."""
    return conv(filters, size // 2 or "valid", None, bias=False, size=size, strides=strides), NORM


def block(channels: int, filters: int, strides: int) -> tuple[Layer, ...]:
    """Describe a residual block of two convolutions."""
    projection = (SHORTCUT, *normal(filters, 1, strides)) if (channels, strides) != (filters, 1) else ()
    return FORK, *normal(filters, 3, strides), RELU, *normal(filters), *projection, ADD, RELU


def separable(filters: int, strides: int) -> tuple[Layer, ...]:
    """Describe a block of MobileNet: a depthwise convolution, then a pointwise one."""
    depthwise: Layer = {"kind": "depthwise", "size": 3, "strides": strides, "padding": 1}
    return depthwise, NORM, RELU, *normal(filters, 1), RELU


# Those of gwucnn.models.
RESNET18 = (
    *normal(64),
    RELU,
    *(
        layer
        for before, filters in ((64, 64), (64, 128), (128, 256), (256, 512))
        for layer in (*block(before, filters, filters // before), *block(filters, filters, 1))
    ),
    MEAN,
    dense(10, "softmax"),
)
MOBILENET = (
    *normal(32),
    RELU,
    *(
        layer
        for filters, strides in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
        for layer in separable(filters, strides)
    ),
    MEAN,
    dense(10, "softmax"),
)

# The rates are small because the same batch is learnt repeatedly: once a softmax is certain, its other outputs become
# subnormal numbers, which slow some libraries down tenfold and others, which flush them to zero, not at all.
WORKLOADS = (
    Workload("seed-b1", 1, (28, 28, 1), SEED, "log_loss", 1e-3),
    Workload("seed-b32", 32, (28, 28, 1), SEED, "log_loss", 1e-3),
    Workload("mnist-b1", 1, (28, 28, 1), MNIST, "cross_entropy", 1e-4),
    Workload("mnist-b128", 128, (28, 28, 1), MNIST, "cross_entropy", 1e-4),
    Workload("vgg-b1", 1, (32, 32, 3), VGG, "cross_entropy", 3e-5),
    Workload("vgg-b64", 64, (32, 32, 3), VGG, "cross_entropy", 3e-5),
    Workload("resnet18-b1", 1, (32, 32, 3), RESNET18, "cross_entropy", 1e-4),
    Workload("resnet18-b32", 32, (32, 32, 3), RESNET18, "cross_entropy", 3e-4),
    Workload("mobilenet-b1", 1, (32, 32, 3), MOBILENET, "cross_entropy", 1e-3),
    Workload("mobilenet-b32", 32, (32, 32, 3), MOBILENET, "cross_entropy", 3e-3),
)
