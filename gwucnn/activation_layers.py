"""Activation functions as layers."""

from __future__ import annotations

from typing import Any

from gwucnn.activation_functions import (
    ActivationFunction,
    ELUActivation,
    GELUActivation,
    HardSigmoidActivation,
    HardSwishActivation,
    LeakyReLUActivation,
    MishActivation,
    ReLU6Activation,
    RELUActivation,
    SELUActivation,
    SigmoidActivation,
    SiLUActivation,
    SoftmaxActivation,
    SoftplusActivation,
    TanhActivation,
    activation_function,
)
from gwucnn.common import check_flag, check_number
from gwucnn.layers.base import Array, Layer, Space

__all__ = [
    "ELU",
    "GELU",
    "RELU",
    "SELU",
    "Activation",
    "ActivationLayer",
    "HardSigmoid",
    "HardSwish",
    "LeakyReLU",
    "Mish",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class ActivationLayer(Layer):
    """Apply an activation function to every element (softmax: to every row of channels or features)."""

    replayable = True
    function: type[ActivationFunction] | None = None  # None: the identity

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the ops of the function."""
        return {}

    @property
    def _function(self) -> type[ActivationFunction] | None:
        options = self.options
        return self.function.with_options(**options) if self.function and options else self.function

    def forward(self, x: Array, space: Space) -> Array:
        function = self._function
        if function is None:
            return x
        space.saved["x"], y = x, space.array("y", x.shape)
        space.saved["y"] = function.forward(x, y, space)
        return y

    def backward(self, dy: Array, space: Space) -> Array:
        function = self._function
        if function is None:
            return dy
        dx = space.array("dx", dy.shape)
        return function.backward(dy, space.saved["x"], space.saved["y"], dx, space)

    def split_activation(self) -> tuple[Layer | None, type[ActivationFunction] | None]:
        return None, self._function

    def config(self) -> dict[str, Any]:
        return self.options if self.name is None else {**self.options, "name": self.name}


class Activation(ActivationLayer):
    """Apply the activation function of this name.

    Parameters
    ----------
    activation : str or None
        'relu', 'sigmoid', 'softmax', 'tanh', 'leaky_relu', 'elu', 'gelu', 'silu', 'softplus', 'relu6', 'hard_sigmoid',
        'hard_swish', 'mish' or 'selu'; None and 'linear' are the identity.
    name : str, optional
        The name of the layer.

    Raises
    ------
    ValueError
        For an unknown name.

    Example
    -------
    >>> Activation('gelu')
    Activation(activation='gelu')
    """

    def __init__(self, activation: Any, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.function = activation_function(self.label, activation)

    def config(self) -> dict[str, Any]:
        return {"activation": self.function.name if self.function else None, **super().config()}


class Sigmoid(ActivationLayer):
    """y = 1 / (1 + exp(-x)): for one or several yes-or-no outputs."""

    function = SigmoidActivation


class RELU(ActivationLayer):
    """y = max(x, 0): between layers."""

    function = RELUActivation


class Softmax(ActivationLayer):
    """y[k] = exp(x[k]) / sum over l of exp(x[l]): for one of several classes."""

    function = SoftmaxActivation


class Tanh(ActivationLayer):
    """y = (exp(2*x) - 1) / (exp(2*x) + 1): the hyperbolic tangent, from -1 to 1."""

    function = TanhActivation


class LeakyReLU(ActivationLayer):
    """y = x where x > 0, else negative_slope * x: its gradient is never 0.

    Parameters
    ----------
    negative_slope : float
        A finite number, or ValueError is raised.
    name : str, optional
    """

    function = LeakyReLUActivation

    def __init__(self, negative_slope: float = 0.3, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.negative_slope = check_number(self.label, "negative_slope", negative_slope)

    @property
    def options(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope}


class ELU(ActivationLayer):
    """y = x where x > 0, else alpha * (exp(x) - 1): approaches -alpha.

    D. Clevert, T. Unterthiner and S. Hochreiter, arXiv:1511.07289, equation 15.

    Parameters
    ----------
    alpha : float
        A finite number, or ValueError is raised.
    name : str, optional
    """

    function = ELUActivation

    def __init__(self, alpha: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.alpha = check_number(self.label, "alpha", alpha)

    @property
    def options(self) -> dict[str, Any]:
        return {"alpha": self.alpha}


class GELU(ActivationLayer):
    """y = x * (1 + erf(x / sqrt(2))) / 2: x times the probability that a standard normal variable is smaller.

    D. Hendrycks and K. Gimpel, arXiv:1606.08415, section 2.

    Parameters
    ----------
    approximate : bool
        Whether to compute x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) instead, with which some networks
        were trained.
    name : str, optional
    """

    function = GELUActivation

    def __init__(self, *, approximate: bool = False, name: str | None = None) -> None:
        super().__init__(name=name)
        self.approximate = check_flag(self.label, "approximate", approximate)

    @property
    def options(self) -> dict[str, Any]:
        return {"approximate": True} if self.approximate else {}


class SiLU(ActivationLayer):
    """y = x / (1 + exp(-x)): the sigmoid linear unit, also called swish."""

    function = SiLUActivation


class Softplus(ActivationLayer):
    """y = log(1 + exp(x)): a smooth version of relu."""

    function = SoftplusActivation


class ReLU6(ActivationLayer):
    """y = min(max(x, 0), 6): relu with an upper limit. A. Howard et al., arXiv:1704.04861."""

    function = ReLU6Activation


class HardSigmoid(ActivationLayer):
    """y = min(max(x + 3, 0), 6) / 6: sigmoid by straight lines."""

    function = HardSigmoidActivation


class HardSwish(ActivationLayer):
    """y = x * min(max(x + 3, 0), 6) / 6. A. Howard et al., arXiv:1905.02244, section 5.2."""

    function = HardSwishActivation


class Mish(ActivationLayer):
    """y = x * tanh(log(1 + exp(x))). D. Misra, arXiv:1908.08681, equation 1."""

    function = MishActivation


class SELU(ActivationLayer):
    """y = 1.0507 * (x where x > 0, else 1.6733 * (exp(x) - 1)): keeps mean 0 and variance 1.

    G. Klambauer et al., arXiv:1706.02515. Initialize kernels by 'lecun_normal'.
    """

    function = SELUActivation
