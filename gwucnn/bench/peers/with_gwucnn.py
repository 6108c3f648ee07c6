"""gwucnn, by its public interface: ``train_on_batch`` and ``predict``."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import gwucnn
from gwucnn import (
    RELU,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling2D,
    GWUNetwork,
    MaxPooling2D,
    Residual,
    ops,
)

# Rows and columns of the matrices whose product shows what the machine can do: large enough to be all
# arithmetic.
SIDE = 1536


def set_threads(threads: int) -> None:
    """Let the library use so many threads; called before it computes anything."""
    gwucnn.set_num_threads(threads)


def version() -> str:
    """Return the version of the library that is timed."""
    return gwucnn.__version__


def layer(told: dict[str, Any]) -> gwucnn.Layer:
    """Make the layer that a description means."""
    common = {"activation": told.get("activation"), "add_bias": told.get("bias", False)}
    match told["kind"]:
        case "conv":
            return Conv2D(told["filters"], told["size"], told["strides"], told["padding"], **common)
        case "depthwise":
            return DepthwiseConv2D(told["size"], told["strides"], told["padding"])
        case "norm":
            return BatchNormalization()
        case "relu":
            return RELU()
        case "mean":
            return GlobalAveragePooling2D()
        case "pool":
            return MaxPooling2D(told["size"])
        case "flatten":
            return Flatten()
    return Dense(told["units"], **common)


def layers(chain: list[dict[str, Any]]) -> list[gwucnn.Layer]:
    """Make all layers; what is remembered and added becomes a block."""
    open_blocks: list[list[list[gwucnn.Layer]]] = [[[]]]
    for told in chain:
        match told["kind"]:
            case "fork":
                open_blocks.append([[]])
            case "shortcut":
                open_blocks[-1].append([])
            case "add":
                rows = open_blocks.pop()
                open_blocks[-1][-1].append(Residual(*rows))
            case _:
                open_blocks[-1][-1].append(layer(told))
    return open_blocks[0][0]


class Network:
    """The network as a user would write it.

    The form 'reference' is the same in float64 and with every layer run as it is written: the answer that
    all are held against.
    """

    def __init__(self, case: dict[str, Any], arrays: dict[str, Any], form: str) -> None:
        exact: dict[str, Any] = (
            {"precision": "float64", "fuse": False, "winograd": False} if form == "reference" else {}
        )
        self._x, self._y = arrays.pop("x"), arrays.pop("y")
        self._weights = [arrays[f"w{number}"] for number in range(len(arrays))]
        self._batch = case["batch"]
        self._network = GWUNetwork(layers(case["layers"]), seed=0, **exact)
        self._network.compile(case["loss"], lr=case["lr"], metrics=())
        self._network.build(case["layers"][0]["in"])
        self.reset()

    def reset(self) -> None:
        self._network.set_weights(self._weights)

    def train(self) -> float:
        return self._network.train_on_batch(self._x, self._y)

    def predict(self) -> Any:
        return self._network.predict(self._x, self._batch)

    def finish(self) -> None:
        """Nothing is ever queued."""

    @staticmethod
    def to_numpy(result: Any) -> Any:
        return np.asarray(result)


@functools.cache
def products() -> dict[str, Callable[[], Any]]:
    """Return the same large product, checked, by gwucnn and by numpy."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIDE, SIDE), np.float32) for _ in range(2))
    out = np.empty_like(a)
    ours = ops.dense.bind(a, b)
    np.testing.assert_allclose(ours()[:8], a[:8] @ b, rtol=0, atol=1e-3)
    # numpy's threads go on spinning for a while, in the way of gwucnn's.
    time.sleep(0.2)
    return {"gwucnn": ours, "numpy": lambda: np.matmul(a, b, out=out)}


def peak(fastest: Callable[..., float], seconds: float) -> dict[str, float]:
    """Measure the float32 rate of a large matrix product, in operations a second: gwucnn's and numpy's."""
    return {name: 2 * SIDE**3 / fastest(product, seconds) for name, product in products().items()}
