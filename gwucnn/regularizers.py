"""Penalties on large weights, which keep a network from memorizing its training images.

Pass one to a layer: ``Dense(10, kernel_regularizer='l2')`` or ``kernel_regularizer=L2(0.001)``. As long as the layer is
trainable, the penalty is part of the loss, in training and in evaluation as in Keras, and its gradient is added to that
of the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from gwucnn import ops
from gwucnn.common import Configurable, check_nonnegative, from_config, look_up

__all__ = ["L1", "L1L2", "L2", "REGULARIZERS", "Regularizer", "regularizer"]


class Regularizer(Configurable):
    """The base class of L1, L2 and L1L2: penalty(w) = l1 * sum of abs(w) + l2 * sum of w**2.

    Its gradient is l1 * sign(w) + 2 * l2 * w, with sign(0) = 0.
    """

    l1 = 0.0
    l2 = 0.0

    _wrappable = False
    _remedy = "make a new layer with kernel_regularizer={}"

    def __call__(self, weight: Any) -> float:
        """Return the penalty for weights in float32 or float64, of any shape."""
        return ops.weight_penalty(weight, l1=self.l1, l2=self.l2)


class L1(Regularizer):
    """Penalty l1 * sum of abs(w), which drives weights to zero: R. Tibshirani, 1996, section 1.

    Examples
    --------
    >>> import numpy as np
    >>> L1(0.5)(np.array([1.0, -3.0]))
    2.0
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = check_nonnegative("L1", "l1", l1)


class L2(Regularizer):
    """Penalty l2 * sum of w**2, which keeps weights small: A. Krogh and J. Hertz, NIPS 1991."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = check_nonnegative("L2", "l2", l2)


class L1L2(Regularizer):
    """Both penalties: H. Zou and T. Hastie, "... variable selection via the elastic net", 2005."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = check_nonnegative("L1L2", "l1", l1), check_nonnegative("L1L2", "l2", l2)


REGULARIZERS: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2}


def regularizer(caller: str, what: str, given: Any) -> Regularizer | None:
    """Return a regularizer given by name, as an object or as a config; None for None."""
    if given is None or isinstance(given, (L1, L2, L1L2)):
        return given
    if isinstance(given, Mapping):
        return from_config(caller, what, given, {kind.__name__: kind for kind in (L1, L2, L1L2)})
    if isinstance(given, type) and issubclass(given, Regularizer):
        raise ValueError(f"{caller}: expected {what} to be a regularizer, got its class; write {given.__name__}(...)")
    if isinstance(given, Real) and not isinstance(given, bool):
        raise ValueError(f"{caller}: expected {what} to be a regularizer, got {given!r}; write L2({given!r})")
    return look_up(caller, what, given, REGULARIZERS)()
