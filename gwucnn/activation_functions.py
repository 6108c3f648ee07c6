"""Activation functions by name, as layers use them, with the class methods of `gwu_nn`.

Each class names the op that computes it, and the op that computes its gradient from the output or the input.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from gwucnn import ops
from gwucnn.common import look_up
from gwucnn.memory import Space
from gwucnn.ops.numpy_activation import SELU_ALPHA, SELU_SCALE

__all__ = [
    "ACTIVATIONS",
    "ActivationFunction",
    "ELUActivation",
    "GELUActivation",
    "HardSigmoidActivation",
    "HardSwishActivation",
    "LeakyReLUActivation",
    "MishActivation",
    "RELUActivation",
    "ReLU6Activation",
    "SELUActivation",
    "SiLUActivation",
    "SigmoidActivation",
    "SoftmaxActivation",
    "SoftplusActivation",
    "TanhActivation",
    "activation_function",
]


def _floating(x: Any) -> Any:
    """Return x as float32 or float64, so that results for integers are not truncated."""
    x = np.asarray(x)
    return x if x.dtype.char in "fd" else x.astype(np.float64)


# Users' own activations by name, which the config of a layer may name too.
OWN: dict[str, type[ActivationFunction]] = {}


class ActivationFunction:
    """A function applied to each element (softmax: to each row) of the output of a layer.

    `op` computes y from x; `backward_op` computes dx from (dy, y), or from (dy, x) if `of_input` is set. Both take
    `options` as keywords.
    """

    name: ClassVar[str]
    op: ClassVar[ops.Op]
    backward_op: ClassVar[ops.Op]
    of_input: ClassVar[bool] = False
    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls) and cls.__module__.partition(".")[0] != __name__.partition(".")[0]:
            OWN[cls.name] = cls

    @classmethod
    @functools.cache
    def with_options(cls, **options: Any) -> type[ActivationFunction]:
        """Return this function with other options; the same class for the same options."""
        return type(cls.__name__, (cls,), {"options": MappingProxyType(options)})

    @classmethod
    def forward(cls, x: Any, y: Any, space: Space) -> Any:
        """Fill y, a buffer of `space` like x, and return it."""
        return space.run("activation", cls.op, x, out=y, **cls.options)

    @classmethod
    def backward(cls, dy: Any, x: Any, y: Any, dx: Any, space: Space) -> Any:
        """Fill dx, a buffer of `space` like dy, and return it. Uses x if `of_input` is set, otherwise y."""
        operand = x if cls.of_input else y
        return space.run("activation_backward", cls.backward_op, dy, operand, out=dx, **cls.options)

    @classmethod
    def activation(cls, x: Any) -> Any:
        """Return the values of the function for x, an array or anything that converts to one."""
        return cls.op(_floating(x), **cls.options)

    @classmethod
    def activation_partial_derivative(cls, x: Any) -> Any:
        """Return the derivative at each element of x, in an array of the same shape."""
        x = _floating(x)
        operand = x if cls.of_input else cls.activation(x)
        return cls.backward_op(np.ones_like(operand), operand, **cls.options)


class SigmoidActivation(ActivationFunction):
    """y = 1 / (1 + exp(-x)): an independent probability for each output."""

    name = "sigmoid"
    op = ops.sigmoid
    backward_op = ops.sigmoid_backward


class RELUActivation(ActivationFunction):
    """y = max(x, 0): the rectified linear unit. Its derivative at 0 is taken as 0."""

    name = "relu"
    op = ops.relu
    backward_op = ops.relu_backward


class TanhActivation(ActivationFunction):
    """y = (exp(2*x) - 1) / (exp(2*x) + 1): the hyperbolic tangent, from -1 to 1."""

    name = "tanh"
    op = ops.tanh
    backward_op = ops.tanh_backward


class LeakyReLUActivation(ActivationFunction):
    """y = x where x > 0, else 0.3 * x, as in the layer (Keras: 0.2 by name). The derivative at 0 is 0.3."""

    name = "leaky_relu"
    op = ops.leaky_relu
    backward_op = ops.leaky_relu_backward
    of_input = True


class ELUActivation(ActivationFunction):
    """y = x where x > 0, else exp(x) - 1: the exponential linear unit."""

    name = "elu"
    op = ops.elu
    backward_op = ops.elu_backward
    of_input = True


class GELUActivation(ActivationFunction):
    """y = x * (1 + erf(x / sqrt(2))) / 2: the Gaussian error linear unit."""

    name = "gelu"
    op = ops.gelu
    backward_op = ops.gelu_backward
    of_input = True


class SiLUActivation(ActivationFunction):
    """y = x / (1 + exp(-x)): the sigmoid linear unit, also called swish."""

    name = "silu"
    op = ops.silu
    backward_op = ops.silu_backward
    of_input = True


class SoftplusActivation(ActivationFunction):
    """y = log(1 + exp(x)): a smooth version of relu."""

    name = "softplus"
    op = ops.softplus
    backward_op = ops.softplus_backward
    of_input = True


class ReLU6Activation(ActivationFunction):
    """y = min(max(x, 0), 6): relu with an upper limit, as in MobileNets."""

    name = "relu6"
    op = ops.relu6
    backward_op = ops.relu6_backward


class HardSigmoidActivation(ActivationFunction):
    """y = min(max(x + 3, 0), 6) / 6: sigmoid by straight lines."""

    name = "hard_sigmoid"
    op = ops.hard_sigmoid
    backward_op = ops.hard_sigmoid_backward


class HardSwishActivation(ActivationFunction):
    """y = x * min(max(x + 3, 0), 6) / 6: silu with the hard sigmoid."""

    name = "hard_swish"
    op = ops.hard_swish
    backward_op = ops.hard_swish_backward
    of_input = True


class MishActivation(ActivationFunction):
    """y = x * tanh(log(1 + exp(x)))."""

    name = "mish"
    op = ops.mish
    backward_op = ops.mish_backward
    of_input = True


class SELUActivation(ActivationFunction):
    """y = 1.0507 * (x where x > 0, else 1.6733 * (exp(x) - 1)): elu, scaled to keep mean 0 and variance 1."""

    name = "selu"
    op = ops.selu
    backward_op = ops.selu_backward
    of_input = True

    # In two ops, each of which can be recorded.
    @classmethod
    def forward(cls, x: Any, y: Any, space: Space) -> Any:
        space.run("activation", ops.elu, x, SELU_ALPHA, out=y)
        return space.run("activation scale", ops.rescale, y, SELU_SCALE, out=y)

    @classmethod
    def backward(cls, dy: Any, x: Any, y: Any, dx: Any, space: Space) -> Any:
        space.run("activation_backward", ops.elu_backward, dy, x, SELU_ALPHA, out=dx)
        return space.run("activation_backward scale", ops.rescale, dx, SELU_SCALE, out=dx)


class SoftmaxActivation(ActivationFunction):
    """y[k] = exp(x[k]) / sum over l of exp(x[l]) in each row: the probabilities of mutually exclusive classes."""

    name = "softmax"
    op = ops.softmax
    backward_op = ops.softmax_backward

    @classmethod
    def activation_partial_derivative(cls, x: Any) -> Any:
        """Return the Jacobian of each row, dy[k] / dx[l] = y[k] * ((k == l) - y[l]), in shape (..., K, K)."""
        y = cls.activation(x)
        return y[..., :, None] * (np.eye(y.shape[-1], dtype=y.dtype) - y[..., None, :])


ACTIVATIONS: dict[str, type[ActivationFunction]] = {
    cls.name: cls
    for cls in (
        RELUActivation,
        SigmoidActivation,
        SoftmaxActivation,
        TanhActivation,
        LeakyReLUActivation,
        ELUActivation,
        GELUActivation,
        SiLUActivation,
        SoftplusActivation,
        ReLU6Activation,
        HardSigmoidActivation,
        HardSwishActivation,
        MishActivation,
        SELUActivation,
    )
}


def activation_function(caller: str, name: object) -> type[ActivationFunction] | None:
    """Return the activation called `name`; None for None and 'linear'."""
    if name is None or name == "linear":
        return None
    if isinstance(name, type) and issubclass(name, ActivationFunction):
        return name
    if isinstance(name, str) and name not in ACTIVATIONS and name in OWN:
        return OWN[name]
    return look_up(caller, "activation", name, ACTIVATIONS)
