"""Activation functions by name, as layers use them, with the class methods of `gwu_nn`.

Each class names the op that computes it and the op that computes its gradient from the output.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gwucnn import ops
from gwucnn.suggestions import look_up

__all__ = [
    "ACTIVATIONS",
    "ActivationFunction",
    "RELUActivation",
    "SigmoidActivation",
    "SoftmaxActivation",
    "activation_function",
]


def _floating(x: Any) -> Any:
    """Return x as float32 or float64, so that a list of integers is not cut to integers."""
    x = np.asarray(x)
    return x if x.dtype.char in "fd" else x.astype(np.float64)


class ActivationFunction:
    """A function of each number (softmax: of each row) between two layers.

    `op` computes y from x, `backward_op` computes dx from (dy, y).
    """

    name: ClassVar[str]
    op: ClassVar[ops.Op]
    backward_op: ClassVar[ops.Op]

    @classmethod
    def activation(cls, x: Any) -> Any:
        """Return the function's values; x is an array or anything that numpy makes one of."""
        return cls.op(_floating(x))

    @classmethod
    def activation_partial_derivative(cls, x: Any) -> Any:
        """Return the derivative at each number of x, in an array of x's shape."""
        y = cls.activation(x)
        return cls.backward_op(np.ones_like(y), y)


class SigmoidActivation(ActivationFunction):
    """y = 1 / (1 + exp(-x)): a probability for each output by itself."""

    name = "sigmoid"
    op = ops.sigmoid
    backward_op = ops.sigmoid_backward


class RELUActivation(ActivationFunction):
    """y = max(x, 0): the rectified linear unit. Its derivative at 0 is taken as 0."""

    name = "relu"
    op = ops.relu
    backward_op = ops.relu_backward


class SoftmaxActivation(ActivationFunction):
    """y[k] = exp(x[k]) / sum over l of exp(x[l]) in each row: probabilities that exclude each other."""

    name = "softmax"
    op = ops.softmax
    backward_op = ops.softmax_backward

    @classmethod
    def activation_partial_derivative(cls, x: Any) -> Any:
        """Return the Jacobian of each row, dy[k] / dx[l] = y[k] * ((k == l) - y[l]), in shape (..., K, K)."""
        y = cls.activation(x)
        return y[..., :, None] * (np.eye(y.shape[-1], dtype=y.dtype) - y[..., None, :])


ACTIVATIONS: dict[str, type[ActivationFunction]] = {
    cls.name: cls for cls in (RELUActivation, SigmoidActivation, SoftmaxActivation)
}


def activation_function(who: str, name: object) -> type[ActivationFunction] | None:
    """Return the activation called `name`; None and 'linear' are none."""
    if name is None or name == "linear":
        return None
    if isinstance(name, type) and issubclass(name, ActivationFunction):
        return name
    return look_up(who, "activation", name, ACTIVATIONS)
