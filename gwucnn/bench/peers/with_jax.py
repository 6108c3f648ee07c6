"""JAX, both steps compiled by jit, weights updated in place by donating them."""

# What is imported here exists in the peer's interpreter and beside this file.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp


def set_threads(threads: int) -> None:
    """Leave the number to XLA's flags and the processors that it is allowed (contestants.py, base.pin)."""
    # One thread would otherwise prepare the next call while another computes this one.
    jax.config.update("jax_cpu_enable_async_dispatch", threads > 1)


def version() -> str:
    """Return the version of the library that is timed."""
    return jax.__version__


def normalised(x: Any, weights: list[Any], training: bool) -> tuple[Any, list[Any]]:
    """Normalise a batch; return it, and the running mean and variance after it."""
    gamma, beta, mean, variance = weights
    kept = [mean, variance]
    if training:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        new = (lax.stop_gradient(mean), lax.stop_gradient(variance))
        kept = [0.99 * old + 0.01 * now for old, now in zip(kept, new, strict=True)]
    return (x - mean) * (gamma * lax.rsqrt(variance + 1e-3)) + beta, kept


def padding(told: dict[str, Any]) -> Any:
    """Return the padding as jax has it."""
    pad = told["padding"]
    return pad.upper() if isinstance(pad, str) else [(pad, pad)] * 2


def sums(layers: list[dict[str, Any]], weights: list[Any], x: Any, training: bool) -> tuple[Any, list[Any]]:
    """Compute the network up to its last sum; return it, and the running means and variances after it."""
    rest = iter(weights)
    remembered: list[Any] = []
    statistics: list[Any] = []
    for told in layers:
        match told["kind"]:
            case "conv" | "depthwise":
                kernel, groups = next(rest), 1
                if told["kind"] == "depthwise":
                    groups = told["in"][-1]
                    kernel = kernel.swapaxes(2, 3)
                x = lax.conv_general_dilated(
                    x,
                    kernel,
                    (told["strides"],) * 2,
                    padding(told),
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                    feature_group_count=groups,
                )
            case "norm":
                x, kept = normalised(x, [next(rest) for _ in range(4)], training)
                statistics += kept
            case "mean":
                x = x.mean((1, 2))
            case "fork":
                remembered.append(x)
            case "shortcut":
                x, remembered[-1] = remembered[-1], x
            case "add":
                x = x + remembered.pop()
            case "pool":
                window = (1, told["size"], told["size"], 1)
                x = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
            case "flatten":
                x = x.reshape(len(x), -1)
            case "dense":
                x = x @ next(rest)
        if told.get("bias"):
            x = x + next(rest)
        if told.get("activation") == "relu":
            x = jax.nn.relu(x)
    return x, statistics


def running(layers: list[dict[str, Any]]) -> list[bool]:
    """Tell which weights are running means and variances."""
    marks: list[bool] = []
    for told in layers:
        marks += [False] * (told["kind"] in ("conv", "depthwise", "dense"))
        marks += [False, False, True, True] * (told["kind"] == "norm")
        marks += [False] * bool(told.get("bias"))
    return marks


class Network:
    """Two compiled functions of the weights and the batch."""

    def __init__(self, case: dict[str, Any], arrays: dict[str, Any], form: str) -> None:
        self._x, self._y = (jnp.asarray(arrays.pop(name)) for name in "xy")
        self._first = [arrays[f"w{number}"] for number in range(len(arrays))]
        self._last: Any = None
        layers, lr, log_loss = case["layers"], case["lr"], case["loss"] == "log_loss"

        marks = running(layers)

        def loss(weights: list[Any], x: Any, y: Any) -> tuple[Any, list[Any]]:
            z, statistics = sums(layers, weights, x, training=True)
            if log_loss:
                value = jnp.sum(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))) / len(z)
            else:
                value = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))
            return value, statistics

        @partial(jax.jit, donate_argnums=0)
        def train(weights: list[Any], x: Any, y: Any) -> tuple[Any, list[Any]]:
            (value, statistics), gradients = jax.value_and_grad(loss, has_aux=True)(weights, x, y)
            new = iter(statistics)
            return value, [
                next(new) if mark else weight - lr * gradient
                for mark, weight, gradient in zip(marks, weights, gradients, strict=True)
            ]

        @jax.jit
        def predict(weights: list[Any], x: Any) -> Any:
            z, _ = sums(layers, weights, x, training=False)
            return jax.nn.sigmoid(z) if log_loss else jax.nn.softmax(z)

        self._train, self._predict = train, predict
        self.reset()

    def reset(self) -> None:
        self._weights = [jnp.array(weight) for weight in self._first]

    def train(self) -> Any:
        self._last, self._weights = self._train(self._weights, self._x, self._y)
        return self._last

    def predict(self) -> Any:
        self._last = self._predict(self._weights, self._x)
        return self._last

    def finish(self) -> None:
        jax.block_until_ready((self._last, self._weights))

    @staticmethod
    def to_numpy(result: Any) -> np.ndarray:
        return np.asarray(result)
