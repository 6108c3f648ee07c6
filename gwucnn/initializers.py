"""Initial values of weights: functions that fill an array in place from a random Generator.

fan_in is the number of terms in a sum of the layer, fan_out the number of sums that an input contributes to (for
filters, both include KH*KW):

    glorot  variance 2 / (fan_in + fan_out)   X. Glorot, Y. Bengio, AISTATS 2010, section 4.2.1
    he      variance 2 / fan_in               K. He et al., arXiv:1502.01852, section 2.2
    lecun   variance 1 / fan_in               Y. LeCun et al., "Efficient BackProp", 1998, section 4.6

Normal distributions are truncated at two standard deviations, and scaled to keep their variance, as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import numpy as np

from gwucnn.common import look_up

__all__ = ["INITIALIZERS", "Initializer", "initializer"]

Initializer = Callable[[Any, Any], None]

# The standard deviation of a standard normal distribution truncated at 2.
TRUNCATED = 0.87962566103423978


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return (fan_in, fan_out) of a weight of shape (..., inputs, outputs)."""
    if len(shape) < 2:
        return (float(prod(shape)),) * 2
    window = prod(shape[:-2])
    return float(window * shape[-2]), float(window * shape[-1])


def _variance(scale: float, mode: str, shape: tuple[int, ...]) -> float:
    fan_in, fan_out = _fans(shape)
    return scale / max(fan_in if mode == "in" else (fan_in + fan_out) / 2, 1.0)


def _uniform(scale: float, mode: str) -> Initializer:
    def fill(array: Any, rng: Any) -> None:
        limit = sqrt(3 * _variance(scale, mode, array.shape))
        array[...] = rng.uniform(-limit, limit, array.shape)

    return fill


def _normal(scale: float, mode: str) -> Initializer:
    def fill(array: Any, rng: Any) -> None:
        values = rng.standard_normal(array.shape)
        while (outside := np.abs(values) > 2).any():
            values[outside] = rng.standard_normal(np.count_nonzero(outside))
        array[...] = values * (sqrt(_variance(scale, mode, array.shape)) / TRUNCATED)

    return fill


def zeros(array: Any, rng: Any) -> None:
    """Fill with 0."""
    array.fill(0)


def ones(array: Any, rng: Any) -> None:
    """Fill with 1."""
    array.fill(1)


def random_normal(array: Any, rng: Any) -> None:
    """Draw from a normal distribution with standard deviation 0.05."""
    array[...] = rng.normal(0.0, 0.05, array.shape)


def random_uniform(array: Any, rng: Any) -> None:
    """Draw from a uniform distribution between -0.05 and 0.05."""
    array[...] = rng.uniform(-0.05, 0.05, array.shape)


def orthogonal(array: Any, rng: Any) -> None:
    """Make the columns (or, if there are fewer, the rows) of the flattened weight orthonormal.

    A. Saxe et al., arXiv:1312.6120, section 3.
    """
    rows, columns = prod(array.shape[:-1]), array.shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diagonal(r))
    array[...] = (q if rows >= columns else q.T).reshape(array.shape)


INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": _uniform(1.0, "average"),
    "glorot_normal": _normal(1.0, "average"),
    "he_uniform": _uniform(2.0, "in"),
    "he_normal": _normal(2.0, "in"),
    "lecun_uniform": _uniform(1.0, "in"),
    "lecun_normal": _normal(1.0, "in"),
    "random_normal": random_normal,
    "random_uniform": random_uniform,
    "zeros": zeros,
    "ones": ones,
    "orthogonal": orthogonal,
}


def initializer(caller: str, what: str, name: str) -> Initializer:
    """Return the initializer called `name`, or raise a ValueError that lists them."""
    return look_up(caller, what, name, INITIALIZERS)
