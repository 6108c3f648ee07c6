"""Losses of a batch with their gradients.

Each op returns the loss as a float and fills `gradient`, and `probability` where it has one. A row's part of
the loss and of the gradient is multiplied by `share[n]` (1/N for a plain mean) and by `scale`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn import kernels
from gwucnn.ops.base import Array, Op, as_arrays, as_output, check_shape

__all__ = ["sigmoid_log_loss", "softmax_cross_entropy", "squared_error"]


def _checked(who: str, target: Array, share: Array, gradient: Array, **given: Array) -> list[Array]:
    """Return the network's outputs (given as z= or y=), target, share and gradient, checked."""
    ((name, z),) = given.items()
    z, target, share = as_arrays(who, **given, target=target, share=share)
    check_shape(who, name, z, (None, None), "(N, K)")
    check_shape(who, "target", target, z.shape, "(N, K)")
    check_shape(who, "share", share, z.shape[:1], "(N,)")
    return [z, target, share, as_output(who, gradient, z.shape, [z, target, share], name="gradient")]


def _with_probability(
    who: str,
    kernel: Any,
    z: Array,
    target: Array,
    share: Array,
    probability: Array,
    gradient: Array,
    scale: float,
) -> Callable[[], float]:
    z, target, share, gradient = _checked(who, target, share, gradient, z=z)
    probability = as_output(who, probability, z.shape, [z, target, share, gradient], name="probability")
    return kernel(z, target, share, probability, gradient, scale)


@Op
def sigmoid_log_loss(
    z: Array, target: Array, share: Array, *, probability: Array, gradient: Array, scale: float = 1.0
) -> Callable[[], float]:
    """Compute p = sigmoid(z), the log loss -sum over k of t*log(p) + (1 - t)*log(1 - p), and its gradient.

    z, target : float32 or float64, shape (N, K), targets from 0 to 1. share : shape (N,).
    probability, gradient : shape (N, K), overwritten with p and (p - t) * share * scale.
    Returns the loss, a float. Computed from z, so that it stays finite where p rounds to 0 or 1.
    """
    kernel = kernels.active.SigmoidLogLoss
    return _with_probability("sigmoid_log_loss", kernel, z, target, share, probability, gradient, scale)


@Op
def softmax_cross_entropy(
    z: Array, target: Array, share: Array, *, probability: Array, gradient: Array, scale: float = 1.0
) -> Callable[[], float]:
    """Compute p = softmax(z) and the cross-entropy, -sum over k of t*log(p), with its gradient by z.

    z, target : float32 or float64, shape (N, K), targets summing to 1. share : shape (N,).
    probability, gradient : shape (N, K), overwritten with p and (p - t) * share * scale.
    Returns the loss, a float. Computed from z, so that it stays finite where p rounds to 0.
    """
    kernel = kernels.active.SoftmaxCrossEntropy
    return _with_probability("softmax_cross_entropy", kernel, z, target, share, probability, gradient, scale)


@Op
def squared_error(
    y: Array, target: Array, share: Array, *, gradient: Array, scale: float = 1.0
) -> Callable[[], float]:
    """Compute the sum of squared errors, sum over k of (y - t)**2, with its gradient by y.

    y, target : float32 or float64, shape (N, K). share : shape (N,).
    gradient : shape (N, K), overwritten with 2 * (y - t) * share * scale. Returns the loss, a float.
    """
    y, target, share, gradient = _checked("squared_error", target, share, gradient, y=y)
    return kernels.active.SquaredError(y, target, share, None, gradient, scale)
