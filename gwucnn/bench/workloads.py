"""What is timed beside the peers: three networks, each with a small and a large batch.

A network is described by plain values, which travel to any interpreter as JSON. Weights are drawn here,
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


def conv(filters: int, padding: str = "valid", activation: str | None = "relu", bias: bool = True) -> Layer:
    """Describe a convolution with filters of 3 x 3, stride 1."""
    return {
        "kind": "conv",
        "filters": filters,
        "size": 3,
        "padding": padding,
        "activation": activation,
        "bias": bias,
    }


def dense(units: int, activation: str, bias: bool = True) -> Layer:
    """Describe a dense layer."""
    return {"kind": "dense", "units": units, "activation": activation, "bias": bias}


POOL: Layer = {"kind": "pool", "size": 2}
FLATTEN: Layer = {"kind": "flatten"}


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
        for layer in self.layers:
            after = _output(layer, shape)
            chain.append(layer | {"in": list(shape), "out": list(after)})
            shape = after
        return chain

    def arrays(self) -> dict[str, Any]:
        """Draw the batch, 'x' and 'y' (labels, or one-hot rows for log_loss), and the weights 'w0', 'w1', ...

        Always the same numbers. Pixels are normal and hold no structure, so relu shuts half of what it
        sees, as it does in a new network; images with an empty background would flatter whoever skips
        zeros. Biases are not zero, for a bias that is lost on the way to a library shall be noticed.
        """
        rng = np.random.default_rng(0)
        chain = self.chain()
        classes = chain[-1]["out"][0]
        labels = rng.integers(0, classes, self.batch)
        y = np.eye(classes, dtype=np.float32)[labels] if self.loss == "log_loss" else labels
        arrays = {"x": rng.standard_normal((self.batch, *self.image), np.float32), "y": y}
        for number, shape in enumerate(_weight_shapes(chain)):
            # He's uniform distribution keeps the size of numbers through relu (arXiv:1502.01852, equation
            # 10).
            limit = sqrt(6 / prod(shape[:-1])) if len(shape) > 1 else 0.05
            arrays[f"w{number}"] = rng.uniform(-limit, limit, shape).astype(np.float32)
        return arrays

    def case(self, mode: str) -> dict[str, Any]:
        """Return all that a library must know besides the arrays, ready for JSON."""
        return {"mode": mode, "batch": self.batch, "layers": self.chain(), "loss": self.loss, "lr": self.lr}


def _output(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the output shape of one sample."""
    match layer["kind"]:
        case "conv":
            lost = layer["size"] - 1 if layer["padding"] == "valid" else 0
            return shape[0] - lost, shape[1] - lost, layer["filters"]
        case "pool":
            return shape[0] // layer["size"], shape[1] // layer["size"], shape[2]
        case "flatten":
            return (prod(shape),)
    return (layer["units"],)


def _weight_shapes(chain: list[Layer]) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of the weights in Keras' order: kernel, then bias, layer by layer."""
    for layer in chain:
        if layer["kind"] == "conv":
            yield layer["size"], layer["size"], layer["in"][-1], layer["filters"]
        elif layer["kind"] == "dense":
            yield layer["in"][0], layer["units"]
        if layer.get("bias"):
            yield (layer["out"][-1],)


def operations(workload: Workload, mode: str) -> int:
    """Count the multiplications and additions of a step by direct convolution, whatever is really done.

    Training takes the forward pass and two gradients as dear, without the gradient by the images, which
    nobody wants. Biases, activations, pooling and the update are not counted.
    """
    total = 0
    for number, layer in enumerate(workload.chain()):
        if layer["kind"] == "conv":
            forward = 2 * prod(layer["out"]) * layer["in"][-1] * layer["size"] ** 2
        elif layer["kind"] == "dense":
            forward = 2 * layer["in"][0] * layer["units"]
        else:
            continue
        passes = 1 if mode == "predict" else 3 if number else 2
        total += workload.batch * forward * passes
    return total


# The network of the slides, with one filter and the sizes that it really has.
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

# The rates are small because one batch is learnt again and again: once a softmax is sure of it, its other
# outputs become subnormal numbers, which slow some libraries down ten times and others, that flush them
# to zero, not at all.
WORKLOADS = (
    Workload("seed-b1", 1, (28, 28, 1), SEED, "log_loss", 1e-3),
    Workload("seed-b32", 32, (28, 28, 1), SEED, "log_loss", 1e-3),
    Workload("mnist-b1", 1, (28, 28, 1), MNIST, "cross_entropy", 1e-4),
    Workload("mnist-b128", 128, (28, 28, 1), MNIST, "cross_entropy", 1e-4),
    Workload("vgg-b1", 1, (32, 32, 3), VGG, "cross_entropy", 3e-5),
    Workload("vgg-b64", 64, (32, 32, 3), VGG, "cross_entropy", 3e-5),
)
