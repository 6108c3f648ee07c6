"""Losses for classification: independent yes-or-no outputs, and mutually exclusive classes."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import numpy as np

from gwucnn import ops
from gwucnn.activation_functions import ActivationFunction, SigmoidActivation, SoftmaxActivation
from gwucnn.common import ShapeError, check_fraction
from gwucnn.loss_functions.base import LossFunction, as_labels, as_numbers, as_rows, class_or_object, pair
from gwucnn.memory import Space

__all__ = ["BinaryCrossentropy", "CrossEntropy", "LogLoss"]

# Probabilities are clipped to this distance from 0 and 1 before taking a logarithm, as in Keras.
CLIP = 1e-7


def _check_probabilities(caller: str, p: Any) -> None:
    if p.min() < 0 or p.max() > 1:
        raise ValueError(
            f"{caller}: expected y_pred to be probabilities from 0 to 1, got values from {p.min():g} to {p.max():g}; "
            "apply the sigmoid or softmax first"
        )


class Smoothed(LossFunction):
    """A loss with label smoothing: C. Szegedy et al., arXiv:1512.00567, section 7."""

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = check_fraction(type(self).__name__, "label_smoothing", label_smoothing)

    def _smooth(self, t: Any, outcomes: int) -> Any:
        return t * (1 - self.label_smoothing) + self.label_smoothing / outcomes


class LogLoss(Smoothed):
    """Log loss of independent yes-or-no outputs, summed over outputs and averaged over the batch.

    -(1/N) * sum over n, k of t*log(p) + (1 - t)*log(1 - p)

    Parameters
    ----------
    label_smoothing : float from 0 to less than 1
        s replaces targets t by t * (1 - s) + s / 2, so that no target is certain.
    """

    name = "log_loss"
    replayable = True
    partner = SigmoidActivation
    dimensions: ClassVar[tuple[int, ...]] = (1,)  # of the outputs of a sample

    @classmethod
    def _scale(cls, K: int) -> float:
        return 1.0

    def _prepared(self, y_true: Any, y_pred: Any) -> tuple[Any, Any, float]:
        """Return smoothed targets, clipped probabilities, and the divisor of the mean."""
        t, p = pair(y_true, y_pred, self.name)
        self._check_range(t.min(), t.max())
        _check_probabilities(self.name, p)
        K = t[0].size if t.size and t.ndim > 1 else 1
        return self._smooth(t, 2), np.clip(p, CLIP, 1 - CLIP), max(len(t), 1) / self._scale(K)

    @class_or_object
    def loss(self, y_true: Any, y_pred: Any) -> float:
        t, p, divisor = self._prepared(y_true, y_pred)
        return float(-(t * np.log(p) + (1 - t) * np.log(1 - p)).sum() / divisor)

    @class_or_object
    def loss_partial_derivative(self, y_true: Any, y_pred: Any) -> Any:
        t, p, divisor = self._prepared(y_true, y_pred)
        return (p - t) / (p * (1 - p)) / divisor

    def check_outputs(self, activation: type[ActivationFunction] | None, out_shape: tuple[int, ...]) -> None:
        if len(out_shape) not in self.dimensions:
            raise ShapeError(
                f"{self.name}: expected a network with outputs (N, K), got {out_shape}; add Flatten(), or for answers "
                "for each pixel use loss='binary_crossentropy'"
            )
        self._check_partner(activation)

    def _check_range(self, low: float, high: float) -> None:
        if low < 0 or high > 1:
            hint = "for more than two classes use one softmax output for each and loss='cross_entropy'"
            raise ValueError(
                f"{self.name}: expected y from 0 to 1, got values from {low:g} to {high:g}; "
                f"{hint if high > 1 else 'write 0 and 1'}"
            )

    def step(self, space: Space, z: Any, target: Any, share: Any, p: Any, gradient: Any) -> float:
        scale, smoothing = self._scale(z.shape[1]), self.label_smoothing
        return space.run(
            "loss",
            ops.sigmoid_log_loss,
            z,
            target,
            share,
            probability=p,
            gradient=gradient,
            scale=scale,
            label_smoothing=smoothing,
        )


class BinaryCrossentropy(LogLoss):
    """The log loss of Keras, averaged over outputs and batch.

    Several outputs are independent yes-or-no answers: metrics compare each with 0.5, and 'accuracy' is the share of all
    answers that are right. (With `LogLoss`, as on gwu_nn's slides, the largest output is the predicted class.)

    Outputs may be images (N, H, W, C), with an answer for each pixel; targets are such images too, or (N, H, W) for one
    channel.
    """

    name = "binary_crossentropy"
    multi_label = True
    dimensions = (1, 3)

    @classmethod
    def _scale(cls, K: int) -> float:
        return 1.0 / K


class CrossEntropy(Smoothed):
    """Cross-entropy of mutually exclusive classes, averaged over the batch.

    -(1/N) * sum over n, k of t*log(p). Targets are one-hot rows or integer labels, distinguished by their shape.

    Outputs may be images (N, H, W, C), with a class for each pixel, such as those of a network for segmentation. The
    loss is then averaged over all pixels. Targets are labels (N, H, W) or one-hot (N, H, W, C); a sample weight is that
    of an image.

    Parameters
    ----------
    label_smoothing : float from 0 to less than 1
        s replaces targets t by t * (1 - s) + s / K, so that no target is certain.
    """

    name = "cross_entropy"
    replayable = True
    partner = SoftmaxActivation
    pixelwise = True

    def _prepared(self, y_true: Any, y_pred: Any) -> tuple[Any, Any, int]:
        """Return smoothed one-hot targets, clipped probabilities, and the divisor of the mean."""
        y_pred = as_numbers(self.name, "y_pred", y_pred)
        rows, K = y_pred.shape[:-1], y_pred.shape[-1] if y_pred.ndim else 1
        if y_pred.ndim in (2, 4):
            y_true = as_rows(self.name, y_true)
            if y_true.shape in {rows, (*rows, 1)} and y_true.shape != y_pred.shape:
                y_true = np.eye(K)[as_labels(self.name, y_true, K).reshape(rows)]
        t, p = pair(y_true, y_pred, self.name)
        if t.min() < 0 or t.max() > 1:
            raise ValueError(f"{self.name}: expected y_true from 0 to 1, got values from {t.min():g} to {t.max():g}")
        _check_probabilities(self.name, p)
        return self._smooth(t, max(K, 1)), np.clip(p, CLIP, 1), max(len(t) if t.ndim < 3 else prod(rows), 1)

    @class_or_object
    def loss(self, y_true: Any, y_pred: Any) -> float:
        t, p, divisor = self._prepared(y_true, y_pred)
        return float(-(t * np.log(p)).sum() / divisor)

    @class_or_object
    def loss_partial_derivative(self, y_true: Any, y_pred: Any) -> Any:
        t, p, divisor = self._prepared(y_true, y_pred)
        return -t / p / divisor

    def check_outputs(self, activation: type[ActivationFunction] | None, out_shape: tuple[int, ...]) -> None:
        if out_shape[-1] < 2:
            loss = "log_loss" if out_shape == (1,) else "binary_crossentropy"
            raise ShapeError(
                f"{self.name}: expected a network with one output for each class, at least two, got "
                f"{out_shape}; for one yes-or-no output use activation='sigmoid' and loss={loss!r}"
            )
        self._check_partner(activation)

    def targets(self, y: Any, out_shape: tuple[int, ...]) -> Any:
        y = as_rows(self.name, y)
        if len(out_shape) == 3 and y.ndim < 3:
            H, W = out_shape[:2]
            raise ShapeError(
                f"{self.name}: expected y of shape (N, {H}, {W}), a class for each pixel of the outputs {out_shape}, "
                f"got {y.shape}; for one class an image add Flatten() and Dense(classes, activation='softmax')"
            )
        y = super().targets(y, out_shape)
        if y.ndim == len(out_shape):
            return y  # labels
        if y.size and (y.min() < 0 or abs(y.sum(axis=-1) - 1).max() > 1e-3):
            rows = y.reshape(-1, out_shape[-1])
            wrong = rows[np.argmax((rows.min(axis=1) < 0) | (abs(rows.sum(axis=1) - 1) > 1e-3))]
            raise ValueError(
                f"{self.name}: expected rows of y that are one-hot or sum to 1, got {wrong.tolist()}; use "
                "to_categorical(labels)"
            )
        return y

    def step(self, space: Space, z: Any, target: Any, share: Any, p: Any, gradient: Any) -> float:
        return space.run(
            "loss",
            ops.softmax_cross_entropy,
            z,
            target,
            share,
            probability=p,
            gradient=gradient,
            label_smoothing=self.label_smoothing,
        )
