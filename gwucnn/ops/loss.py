"""Losses of a batch with their gradients.

Each op returns the loss as a float and fills `gradient`, and `probability` where it has one. A row's part of
the loss and of the gradient is multiplied by `share[n]` (1/N for a plain mean) and by `scale`.

Impossible targets are refused where an op is called. A bound step trusts those that it finds: `LossFunction.targets`
has checked them once, for all epochs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.common import check_fraction, check_positive, min_and_max
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = ["absolute_error", "huber", "sigmoid_log_loss", "softmax_cross_entropy", "squared_error"]


class _OpOnTargets(Op):
    """An op whose targets, its second argument, are from 0 to `most`."""

    def __init__(self, bind: Callable[..., Callable[[], Any]], *, most: float) -> None:
        super().__init__(bind)
        self._most = most

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        step = self.bind(*args, **kwargs)
        low, high = min_and_max(np.asarray(kwargs["target"] if "target" in kwargs else args[1]))
        if not (low >= 0 and high <= self._most):
            wanted = "of at least 0" if self._most == inf else f"from 0 to {self._most:g}"
            raise ValueError(
                f"{self.bind.__name__}: expected target {wanted}, got values from {low:g} to {high:g}; write 0 and 1"
            )
        return step()


def _checked(caller: str, target: Array, share: Array, gradient: Array, **given: Array) -> list[Array]:
    """Return the network's outputs (given as z= or y=), target, share and gradient, checked."""
    ((name, z),) = given.items()
    z, target, share = as_arrays(caller, **given, target=target, share=share)
    check_shape(caller, name, z, (None, None), "(N, K)")
    check_shape(caller, "target", target, z.shape, "(N, K)")
    check_shape(caller, "share", share, z.shape[:1], "(N,)")
    return [z, target, share, as_output(caller, gradient, z.shape, [z, target, share], name="gradient")]


def _with_probability(
    caller: str,
    kernel: Any,
    z: Array,
    target: Array,
    share: Array,
    probability: Array,
    gradient: Array,
    scale: float,
    smoothing: float,
    outcomes: int | None,
) -> Callable[[], float]:
    """Bind a loss whose targets are smoothed: evenly over `outcomes`, by default the K of a row."""
    z, target, share, gradient = _checked(caller, target, share, gradient, z=z)
    probability = as_output(caller, probability, z.shape, [z, target, share, gradient], name="probability")
    smoothing = check_fraction(caller, "label_smoothing", smoothing)
    keep, add = 1 - smoothing, smoothing / (outcomes or max(z.shape[1], 1))
    return kernel(z, target, share, probability, gradient, scale, keep, add)


@functools.partial(_OpOnTargets, most=1.0)
def sigmoid_log_loss(
    z: Array,
    target: Array,
    share: Array,
    *,
    probability: Array,
    gradient: Array,
    scale: float = 1.0,
    label_smoothing: float = 0.0,
) -> Callable[[], float]:
    """Compute p = sigmoid(z), the log loss -sum over k of t*log(p) + (1 - t)*log(1 - p), and its gradient.

    z, target : float32 or float64, shape (N, K), targets from 0 to 1. share : shape (N,).
    probability, gradient : shape (N, K), overwritten with p and (p - t) * share * scale.
    label_smoothing : s, from 0 to less than 1; t * (1 - s) + s / 2 replaces t.
    Returns the loss, a float. Computed from z, so that it stays finite where p rounds to 0 or 1.
    """
    kernel, arrays = kernels.active.SigmoidLogLoss, (z, target, share, probability, gradient)
    return _with_probability("sigmoid_log_loss", kernel, *arrays, scale, label_smoothing, 2)


@functools.partial(_OpOnTargets, most=inf)
def softmax_cross_entropy(
    z: Array,
    target: Array,
    share: Array,
    *,
    probability: Array,
    gradient: Array,
    scale: float = 1.0,
    label_smoothing: float = 0.0,
) -> Callable[[], float]:
    """Compute p = softmax(z) and the cross-entropy, -sum over k of t*log(p), with its gradient with respect to z.

    z, target : float32 or float64, shape (N, K), targets of at least 0, summing to 1. share : shape (N,).
    probability, gradient : shape (N, K), overwritten with p and (p - t) * share * scale.
    label_smoothing : s, from 0 to less than 1; t * (1 - s) + s / K replaces t
    (C. Szegedy et al., arXiv:1512.00567, section 7).
    Returns the loss, a float. Computed from z, so that it stays finite where p rounds to 0.
    """
    kernel, arrays = kernels.active.SoftmaxCrossEntropy, (z, target, share, probability, gradient)
    return _with_probability("softmax_cross_entropy", kernel, *arrays, scale, label_smoothing, None)


@Op
def squared_error(y: Array, target: Array, share: Array, *, gradient: Array, scale: float = 1.0) -> Callable[[], float]:
    """Compute the sum of squared errors, sum over k of (y - t)**2, with its gradient with respect to y.

    y, target : float32 or float64, shape (N, K). share : shape (N,).
    gradient : shape (N, K), overwritten with 2 * (y - t) * share * scale. Returns the loss, a float.
    """
    y, target, share, gradient = _checked("squared_error", target, share, gradient, y=y)
    return kernels.active.SquaredError(y, target, share, None, gradient, scale)


@Op
def absolute_error(
    y: Array, target: Array, share: Array, *, gradient: Array, scale: float = 1.0
) -> Callable[[], float]:
    """Compute the sum of absolute errors, sum over k of abs(y - t), with its gradient with respect to y.

    y, target : float32 or float64, shape (N, K). share : shape (N,).
    gradient : shape (N, K), overwritten with sign(y - t) * share * scale, 0 where y = t. Returns a float.
    """
    y, target, share, gradient = _checked("absolute_error", target, share, gradient, y=y)
    return kernels.active.AbsoluteError(y, target, share, None, gradient, scale)


@Op
def huber(
    y: Array, target: Array, share: Array, *, gradient: Array, scale: float = 1.0, delta: float = 1.0
) -> Callable[[], float]:
    """Compute Huber's loss, quadratic for small errors and linear for large ones, with its gradient with respect to y.

    Sum over k of e**2 / 2 where abs(e) <= delta, delta * (abs(e) - delta / 2) elsewhere, with e = y - t.
    P. Huber, "Robust Estimation of a Location Parameter", 1964, section 1.

    y, target : float32 or float64, shape (N, K). share : shape (N,). delta : above 0.
    gradient : shape (N, K), overwritten with max(-delta, min(e, delta)) * share * scale. Returns a float.
    """
    y, target, share, gradient = _checked("huber", target, share, gradient, y=y)
    return kernels.active.Huber(y, target, share, gradient, scale, check_positive("huber", "delta", delta))
