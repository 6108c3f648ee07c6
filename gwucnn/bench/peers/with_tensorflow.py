"""TensorFlow, both steps compiled by tf.function: as a graph, or by XLA."""

# What is imported here exists in the peer's interpreter and beside this file.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def set_threads(threads: int) -> None:
    """Let the library use so many threads; called before it computes anything."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def version() -> str:
    """Return the version of the library that is timed."""
    return tf.__version__


def sums(layers: list[dict[str, Any]], weights: list[Any], x: Any) -> Any:
    """Compute the network up to its last sum."""
    rest = iter(weights)
    for told in layers:
        match told["kind"]:
            case "conv":
                x = tf.nn.conv2d(x, next(rest), 1, told["padding"].upper())
            case "pool":
                x = tf.nn.max_pool2d(x, told["size"], told["size"], "VALID")
            case "flatten":
                x = tf.reshape(x, (-1, *told["out"]))
            case "dense":
                x = tf.matmul(x, next(rest))
        if told.get("bias"):
            x = tf.nn.bias_add(x, next(rest))
        if told.get("activation") == "relu":
            x = tf.nn.relu(x)
    return x


class Network:
    """Two compiled functions over variables; the form is 'graph' or 'xla'."""

    def __init__(self, case: dict[str, Any], arrays: dict[str, Any], form: str) -> None:
        self._x, self._y = (tf.constant(arrays.pop(name)) for name in "xy")
        self._first = [arrays[f"w{number}"] for number in range(len(arrays))]
        weights = self._weights = [tf.Variable(weight) for weight in self._first]
        layers, lr, log_loss = case["layers"], case["lr"], case["loss"] == "log_loss"
        compiled = tf.function(jit_compile=form == "xla", autograph=False)

        @compiled
        def train(x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                z = sums(layers, weights, x)
                if log_loss:
                    each = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z), 1)
                else:
                    each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=z)
                loss = tf.reduce_mean(each)
            for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
                weight.assign_sub(lr * gradient)
            return loss

        @compiled
        def predict(x: Any) -> Any:
            z = sums(layers, weights, x)
            return tf.nn.sigmoid(z) if log_loss else tf.nn.softmax(z)

        # The concrete function of these shapes is called without a look-up by type.
        self._train: Any = None
        if case["mode"] == "train":
            self._train = train.get_concrete_function(self._x, self._y)
        self._predict = predict.get_concrete_function(self._x)

    def reset(self) -> None:
        for weight, first in zip(self._weights, self._first, strict=True):
            weight.assign(first)

    def train(self) -> Any:
        return self._train(self._x, self._y)

    def predict(self) -> Any:
        return self._predict(self._x)

    def finish(self) -> None:
        """Nothing is queued on a CPU."""

    @staticmethod
    def to_numpy(result: Any) -> np.ndarray:
        return result.numpy()
