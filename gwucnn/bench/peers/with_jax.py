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


def sums(layers: list[dict[str, Any]], weights: list[Any], x: Any) -> Any:
    """Compute the network up to its last sum."""
    rest = iter(weights)
    for told in layers:
        match told["kind"]:
            case "conv":
                x = lax.conv_general_dilated(
                    x, next(rest), (1, 1), told["padding"].upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
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
    return x


class Network:
    """Two compiled functions of the weights and the batch."""

    def __init__(self, case: dict[str, Any], arrays: dict[str, Any], form: str) -> None:
        self._x, self._y = (jnp.asarray(arrays.pop(name)) for name in "xy")
        self._first = [arrays[f"w{number}"] for number in range(len(arrays))]
        self._last: Any = None
        layers, lr, log_loss = case["layers"], case["lr"], case["loss"] == "log_loss"

        def loss(weights: list[Any], x: Any, y: Any) -> Any:
            z = sums(layers, weights, x)
            if log_loss:
                return jnp.sum(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))) / len(z)
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))

        @partial(jax.jit, donate_argnums=0)
        def train(weights: list[Any], x: Any, y: Any) -> tuple[Any, list[Any]]:
            value, gradients = jax.value_and_grad(loss)(weights, x, y)
            return value, [
                weight - lr * gradient for weight, gradient in zip(weights, gradients, strict=True)
            ]

        @jax.jit
        def predict(weights: list[Any], x: Any) -> Any:
            z = sums(layers, weights, x)
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
