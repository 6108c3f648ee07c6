"""Elementwise functions, and arithmetic of arrays that broadcast, in networks imported by `import_onnx`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gwucnn import ops
from gwucnn.common import Shape, ShapeError, check_number, look_up
from gwucnn.layers.base import Array, Layer, Space
from gwucnn.layers.graphs.merge import Merge, require_several

__all__ = ["FUNCTIONS", "Arithmetic", "Function"]


class _Rule(NamedTuple):
    """A function of x, its derivative given x and y, and the defaults of its numbers."""

    value: Callable[..., Array]
    slope: Callable[..., Array]
    numbers: dict[str, float] = {}  # noqa: RUF012


def _erf(x: Array) -> Array:
    """Return the error function, by gelu(z) = z * (1 + erf(z / sqrt(2))) / 2; near zero by its series."""
    z = np.ascontiguousarray(x * math.sqrt(2), x.dtype)
    near = np.abs(x) < 1e-2
    far = 2 * ops.gelu(z, False) / np.where(near, 1, z) - 1
    return np.where(near, 2 / math.sqrt(math.pi) * (x - x**3 / 3 + x**5 / 10), far)


# By the name of ONNX's operator, and of its attributes.
FUNCTIONS: dict[str, _Rule] = {
    "Abs": _Rule(np.abs, lambda x, y: np.sign(x)),
    "Celu": _Rule(
        lambda x, alpha: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha),
        lambda x, y, alpha: np.exp(np.minimum(x, 0) / alpha),
        {"alpha": 1.0},
    ),
    "Erf": _Rule(_erf, lambda x, y: 2 / math.sqrt(math.pi) * np.exp(-x * x)),
    "Exp": _Rule(np.exp, lambda x, y: y),
    "HardSigmoid": _Rule(
        lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
        lambda x, y, alpha, beta: alpha * ((y > 0) & (y < 1)),
        {"alpha": 0.2, "beta": 0.5},
    ),
    "Log": _Rule(np.log, lambda x, y: 1 / x),
    "Neg": _Rule(np.negative, lambda x, y: -np.ones_like(x)),
    "Pow": _Rule(lambda x, exponent: x**exponent, lambda x, y, exponent: exponent * x ** (exponent - 1),
                 {"exponent": 2.0}),
    "Reciprocal": _Rule(np.reciprocal, lambda x, y: -y * y),
    "Selu": _Rule(
        lambda x, alpha, gamma: gamma * (np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))),
        lambda x, y, alpha, gamma: gamma * np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
        {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
    ),
    "Softsign": _Rule(lambda x: x / (1 + np.abs(x)), lambda x, y: (1 + np.abs(x)) ** -2),
    "Sqrt": _Rule(np.sqrt, lambda x, y: 0.5 / y),
    "ThresholdedRelu": _Rule(
        lambda x, alpha: np.where(x > alpha, x, 0), lambda x, y, alpha: x > alpha, {"alpha": 1.0}
    ),
}  # fmt: skip


class Function(Layer):
    """Apply an operator of ONNX to each element, such as Function('Celu', alpha=2).

    Backward multiplies dy by its derivative; where there is none, as of Abs at 0, by one between those on both sides.

    Parameters
    ----------
    kind : str
        Abs, Celu, Erf, Exp, HardSigmoid, Log, Neg, Pow, Reciprocal, Selu, Softsign, Sqrt or ThresholdedRelu.
    name : str, optional
    numbers : float
        The operator's attributes alpha, beta and gamma; for Pow the exponent.
    """

    def __init__(self, kind: str, *, name: str | None = None, **numbers: float) -> None:
        self._rule = look_up(self.label, "kind", kind, FUNCTIONS)
        for given in numbers:
            look_up(self.label, "number", given, self._rule.numbers)
        merged = self._rule.numbers | numbers
        self.kind, self.name = kind, name
        self.numbers = {each: check_number(self.label, each, number) for each, number in merged.items()}

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", x.shape)
        space.saved["x"], space.saved["y"] = x, y
        with np.errstate(all="ignore"):  # infinities and NaN are results, as in other activations
            y[...] = self._rule.value(x, **self.numbers)
        return y

    def backward(self, dy: Array, space: Space) -> Array:
        dx = space.array("dx", dy.shape)
        with np.errstate(all="ignore"):
            dx[...] = dy * self._rule.slope(space.saved["x"], space.saved["y"], **self.numbers)
        return dx

    def config(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.numbers} | ({} if self.name is None else {"name": self.name})


# The function, and its gradients with respect to both inputs.
ARITHMETIC: dict[str, tuple[Any, Any]] = {
    "Add": (np.add, lambda dy, a, b: (dy, dy)),
    "Div": (np.divide, lambda dy, a, b: (dy / b, -dy * a / (b * b))),
    "Max": (np.maximum, lambda dy, a, b: (dy * _larger(a, b), dy * _larger(b, a))),
    "Min": (np.minimum, lambda dy, a, b: (dy * _larger(b, a), dy * _larger(a, b))),
    "Mul": (np.multiply, lambda dy, a, b: (dy * b, dy * a)),
    "Sub": (np.subtract, lambda dy, a, b: (dy, -dy)),
}


def _larger(a: Array, b: Array) -> Array:
    return np.where(a == b, 0.5, a > b)


class Arithmetic(Merge):
    """Combine two inputs element by element, of which either may have an axis of one element that is repeated.

    Parameters
    ----------
    kind : 'Add', 'Div', 'Max', 'Min', 'Mul' or 'Sub'
        The operator of ONNX.
    name : str, optional
    """

    def __init__(self, kind: str, *, name: str | None = None) -> None:
        self._function, self._gradients = look_up(self.label, "kind", kind, ARITHMETIC)
        self.kind, self.name = kind, name

    def build(self, in_shape: Any) -> Shape:
        a, *others = require_several(self, in_shape)
        fits = len(others) == 1 and len(a) == len(others[0])
        if not fits or any(m != n and 1 not in (m, n) for m, n in zip(a, others[0], strict=True)):
            raise ShapeError(f"{self.label}: expected two inputs of shapes that broadcast, got {in_shape}")
        self.in_shape, self.out_shape = in_shape, tuple(np.broadcast_shapes(a, others[0]))
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        space.saved["x"] = x
        with np.errstate(all="ignore"):
            return self._function(*x, out=space.array("y", (len(x[0]), *self.out_shape)))

    def backward(self, dy: Array, space: Space) -> Any:
        x = space.saved["x"]
        found = []
        with np.errstate(all="ignore"):
            gradients = self._gradients(dy, *x)
        for number, (gradient, given) in enumerate(zip(gradients, x, strict=True)):
            axes = tuple(axis for axis in range(1, dy.ndim) if given.shape[axis] < dy.shape[axis])
            dx = space.array(f"dx {number}", given.shape)
            dx[...] = gradient.sum(axis=axes, keepdims=True) if axes else gradient
            found.append(dx)
        return found

    def config(self) -> dict[str, Any]:
        return {"kind": self.kind} | ({} if self.name is None else {"name": self.name})
