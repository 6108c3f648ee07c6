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


def normalised(x: Any, weights: list[Any], training: bool) -> Any:
    """Normalise a batch by TensorFlow's fused kernel; in training keep the running mean and variance."""
    gamma, beta, mean, variance = weights
    if not training:
        return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, mean, variance, 1e-3, is_training=False)[0]
    y, *now = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3)
    for kept, new in zip((mean, variance), now, strict=True):
        kept.assign_add(0.01 * (new - kept))
    return y


def padding(told: dict[str, Any]) -> Any:
    """Return the padding as TensorFlow has it."""
    pad = told["padding"]
    return pad.upper() if isinstance(pad, str) else [[0, 0], [pad, pad], [pad, pad], [0, 0]]


def sums(layers: list[dict[str, Any]], weights: list[Any], x: Any, training: bool) -> Any:
    """Compute the network up to its last sum."""
    rest = iter(weights)
    remembered: list[Any] = []
    for told in layers:
        match told["kind"]:
            case "conv":
                x = tf.nn.conv2d(x, next(rest), told["strides"], padding(told))
            case "depthwise":
                x = tf.nn.depthwise_conv2d(x, next(rest), [1, *[told["strides"]] * 2, 1], padding(told))
            case "norm":
                x = normalised(x, [next(rest) for _ in range(4)], training)
            case "mean":
                x = tf.reduce_mean(x, (1, 2))
            case "fork":
                remembered.append(x)
            case "shortcut":
                x, remembered[-1] = remembered[-1], x
            case "add":
                x = x + remembered.pop()
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
                z = sums(layers, weights, x, training=True)
                if log_loss:
                    each = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z), 1)
                else:
                    each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=z)
                loss = tf.reduce_mean(each)
            for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
                if gradient is not None:  # as for a running mean
                    weight.assign_sub(lr * gradient)
            return loss

        @compiled
        def predict(x: Any) -> Any:
            z = sums(layers, weights, x, training=False)
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
