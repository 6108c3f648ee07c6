"""What training makes small, and how it is paired with the network's last activation.

A loss takes the network's outputs. Where the last activation is the one that belongs to the loss (sigmoid to
log loss, softmax to cross-entropy), the two are computed together from the numbers before the activation:
then no logarithm of a rounded probability is taken and the gradient is the plain difference p - t. See
`LossHead`.
"""

from __future__ import annotations

from math import isfinite, prod
from typing import Any, ClassVar

import numpy as np

from gwucnn import ops
from gwucnn.activation_functions import ActivationFunction, SigmoidActivation, SoftmaxActivation
from gwucnn.chunks import extremes
from gwucnn.errors import NotBuiltError, ShapeError
from gwucnn.suggestions import look_up
from gwucnn.workspace import Space

__all__ = [
    "LOSSES",
    "MSE",
    "BinaryCrossentropy",
    "CrossEntropy",
    "LogLoss",
    "LossFunction",
    "LossHead",
    "loss_function",
]

# Probabilities are kept this far from 0 and 1 before a logarithm is taken of them, as in Keras.
CLIP = 1e-7


def _pair(y_true: Any, y_pred: Any, who: str) -> tuple[Any, Any]:
    """Return both as float64 of one shape; (N,) fits (N, 1). Anything else is an error, never a broadcast."""
    y_true, y_pred = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    if (
        y_true.shape != y_pred.shape
        and y_true.size == y_pred.size
        and y_true.squeeze().shape == y_pred.squeeze().shape
    ):
        y_true = y_true.reshape(y_pred.shape)
    if y_true.shape != y_pred.shape:
        raise ShapeError(f"{who}: expected y_true of the shape of y_pred, {y_pred.shape}, got {y_true.shape}")
    return y_true, y_pred


def _as_array(who: str, y: Any) -> Any:
    """Return y as an array with a batch axis."""
    try:
        y = np.asarray(y)
    except ValueError as error:
        raise ShapeError(f"{who}: expected rows of y of one length, got several ({error})") from None
    if y.ndim == 0:
        raise ShapeError(f"{who}: expected y of shape (N, ...), a row for each sample, got a single value")
    return y


def _labels(who: str, y: Any, K: int) -> Any:
    """Return y of shape (N,) or (N, 1) as integer labels from 0 to K - 1."""
    labels = y.reshape(-1)
    whole = labels.astype(np.int64) if labels.dtype.kind in "biuf" and np.isfinite(labels).all() else None
    if whole is None or (whole != labels).any():
        raise ValueError(f"{who}: expected integer labels, got {y.dtype} values such as {labels[:3]}")
    if whole.size and not (whole.min() >= 0 and whole.max() < K):
        wrong = whole.min() if whole.min() < 0 else whole.max()
        raise ValueError(
            f"{who}: expected labels from 0 to {K - 1} for {K} outputs, got {wrong}; give the last layer as "
            "many outputs as there are classes"
        )
    return whole


class LossFunction:
    """A number for how wrong the outputs of a batch are.

    The class methods `loss` and `loss_partial_derivative` are `gwu_nn`'s and take outputs as the network
    gives them.
    """

    name: ClassVar[str]
    # The activation that is computed together with this loss.
    partner: ClassVar[type[ActivationFunction] | None] = None
    # Whether `step` does nothing but call an op through space.run("loss", ...), so that it can be replayed.
    replays: ClassVar[bool] = False
    # Whether to report accuracy: the targets are classes, not quantities.
    classifies: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # A step of one's own may do anything, whatever the class that it derives from says.
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__ and "replays" not in cls.__dict__:
            cls.replays = False

    @classmethod
    def loss(cls, y_true: Any, y_pred: Any) -> float:
        """Return the loss of predictions, averaged over the batch."""
        raise NotImplementedError

    @classmethod
    def loss_partial_derivative(cls, y_true: Any, y_pred: Any) -> Any:
        """Return the derivative of `loss` by each prediction, in an array of their shape."""
        raise NotImplementedError

    def check_outputs(self, activation: type[ActivationFunction] | None, out_shape: tuple[int, ...]) -> None:
        """Raise an error if a network that ends so cannot be trained with this loss."""

    def _check_partner(self, activation: type[ActivationFunction] | None) -> None:
        if self.partner is not None and activation is not self.partner:
            got = f"activation {activation.name!r}" if activation else "no activation"
            raise ValueError(
                f"{self.name}: expected a network that ends with {self.partner.name}, got a last layer with "
                f"{got}; give the last layer activation={self.partner.name!r}"
            )

    def targets(self, y: Any, out_shape: tuple[int, ...]) -> Any:
        """Return y checked, as integer labels (N,) or an array (N, *out_shape)."""
        who, y = self.name, _as_array(self.name, y)
        if y.shape[1:] != out_shape and not (y.ndim == 1 and out_shape == (1,)):
            shape = ", ".join(map(str, ("N", *out_shape)))
            raise ShapeError(
                f"{who}: expected y of shape ({shape}), got {y.shape}; the last layer makes "
                f"{prod(out_shape)} number{'s' if prod(out_shape) > 1 else ''} a sample, y must have as many"
            )
        if y.dtype.kind not in "biuf":
            raise TypeError(f"{who}: expected y to be numbers, got {y.dtype}")
        if y.dtype.kind == "f" and not all(map(isfinite, extremes(y))):
            raise ValueError(f"{who}: expected finite y, got NaN or infinity")
        return y.reshape(-1, *out_shape)

    def step(self, space: Space, z: Any, target: Any, share: Any, p: Any, gradient: Any) -> float:
        """Return the loss of a batch (N, K) and fill the gradient by z, with `space.run("loss", op, ...)`.

        With a `partner`, z comes before that activation, and p is filled with the activation's values.
        """
        raise NotImplementedError


class LogLoss(LossFunction):
    """Log loss of independent yes-or-no outputs, summed over outputs and averaged over the batch.

    -(1/N) * sum over n, k of t*log(p) + (1 - t)*log(1 - p)
    """

    name = "log_loss"
    replays = True
    partner = SigmoidActivation

    @classmethod
    def _scale(cls, K: int) -> float:
        return 1.0

    @classmethod
    def loss(cls, y_true: Any, y_pred: Any) -> float:
        t, p = _pair(y_true, y_pred, cls.name)
        p = np.clip(p, CLIP, 1 - CLIP)
        K = t[0].size if t.size and t.ndim > 1 else 1
        return float(-(t * np.log(p) + (1 - t) * np.log(1 - p)).sum() / max(len(t), 1) * cls._scale(K))

    @classmethod
    def loss_partial_derivative(cls, y_true: Any, y_pred: Any) -> Any:
        t, p = _pair(y_true, y_pred, cls.name)
        p = np.clip(p, CLIP, 1 - CLIP)
        K = t[0].size if t.size and t.ndim > 1 else 1
        return (p - t) / (p * (1 - p)) / max(len(t), 1) * cls._scale(K)

    def check_outputs(self, activation: type[ActivationFunction] | None, out_shape: tuple[int, ...]) -> None:
        if len(out_shape) != 1:
            raise ShapeError(
                f"{self.name}: expected a network with outputs (N, K), got {out_shape}; add Flatten()"
            )
        self._check_partner(activation)

    def targets(self, y: Any, out_shape: tuple[int, ...]) -> Any:
        y, K = _as_array(self.name, y), out_shape[0]
        if K > 1 and y.shape in {(len(y),), (len(y), 1)}:
            return _labels(self.name, y, K)
        y = super().targets(y, out_shape)
        if y.size and (y.min() < 0 or y.max() > 1):
            raise ValueError(f"{self.name}: expected y from 0 to 1, got values from {y.min()} to {y.max()}")
        return y

    def step(self, space: Space, z: Any, target: Any, share: Any, p: Any, gradient: Any) -> float:
        scale = self._scale(z.shape[1])
        op = ops.sigmoid_log_loss
        return space.run("loss", op, z, target, share, probability=p, gradient=gradient, scale=scale)


class BinaryCrossentropy(LogLoss):
    """Keras' version of the log loss: averaged over outputs and batch."""

    name = "binary_crossentropy"

    @classmethod
    def _scale(cls, K: int) -> float:
        return 1.0 / K


class CrossEntropy(LossFunction):
    """Cross-entropy of classes that exclude each other, averaged over the batch.

    -(1/N) * sum over n, k of t*log(p). Targets are one-hot rows or integer labels, told apart by shape.
    """

    name = "cross_entropy"
    replays = True
    partner = SoftmaxActivation

    @classmethod
    def _one_hot(cls, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
        if y_pred.ndim == 2 and y_true.shape in {(len(y_pred),), (len(y_pred), 1)}:
            y_true = np.eye(y_pred.shape[1])[_labels(cls.name, y_true, y_pred.shape[1])]
        return _pair(y_true, y_pred, cls.name)

    @classmethod
    def loss(cls, y_true: Any, y_pred: Any) -> float:
        t, p = cls._one_hot(y_true, y_pred)
        return float(-(t * np.log(np.clip(p, CLIP, 1))).sum() / max(len(t), 1))

    @classmethod
    def loss_partial_derivative(cls, y_true: Any, y_pred: Any) -> Any:
        t, p = cls._one_hot(y_true, y_pred)
        return -t / np.clip(p, CLIP, 1) / max(len(t), 1)

    def check_outputs(self, activation: type[ActivationFunction] | None, out_shape: tuple[int, ...]) -> None:
        if len(out_shape) != 1 or out_shape[0] < 2:
            raise ShapeError(
                f"{self.name}: expected a network with one output for each class, at least two, got "
                f"{out_shape}; for one yes-or-no output use activation='sigmoid' and loss='log_loss'"
            )
        self._check_partner(activation)

    def targets(self, y: Any, out_shape: tuple[int, ...]) -> Any:
        y = _as_array(self.name, y)
        if y.shape in {(len(y),), (len(y), 1)}:
            return _labels(self.name, y, out_shape[0])
        y = super().targets(y, out_shape)
        if y.size and (y.min() < 0 or abs(y.sum(axis=1) - 1).max() > 1e-3):
            raise ValueError(
                f"{self.name}: expected rows of y that are one-hot or sum to 1; use to_categorical(labels)"
            )
        return y

    def step(self, space: Space, z: Any, target: Any, share: Any, p: Any, gradient: Any) -> float:
        return space.run(
            "loss", ops.softmax_cross_entropy, z, target, share, probability=p, gradient=gradient
        )


class MSE(LossFunction):
    """Mean squared error, averaged over outputs and batch: (1/(N*K)) * sum of (y - t)**2."""

    name = "mse"
    replays = True
    classifies = False

    @classmethod
    def loss(cls, y_true: Any, y_pred: Any) -> float:
        t, y = _pair(y_true, y_pred, cls.name)
        return float(((y - t) ** 2).sum() / max(t.size, 1))

    @classmethod
    def loss_partial_derivative(cls, y_true: Any, y_pred: Any) -> Any:
        t, y = _pair(y_true, y_pred, cls.name)
        return 2 * (y - t) / max(t.size, 1)

    def step(self, space: Space, z: Any, target: Any, share: Any, p: Any, gradient: Any) -> float:
        return space.run(
            "loss", ops.squared_error, z, target, share, gradient=gradient, scale=1.0 / z.shape[1]
        )


LOSSES: dict[str, type[LossFunction]] = {
    "log_loss": LogLoss,
    "binary_crossentropy": BinaryCrossentropy,
    "cross_entropy": CrossEntropy,
    "categorical_crossentropy": CrossEntropy,
    "sparse_categorical_crossentropy": CrossEntropy,
    "mse": MSE,
}


def loss_function(loss: Any) -> LossFunction:
    """Return a loss given by name, as a class or as an object."""
    if isinstance(loss, LossFunction):
        return loss
    if isinstance(loss, type) and issubclass(loss, LossFunction):
        return loss()
    return look_up("compile", "loss", loss, LOSSES)()


class LossHead:
    """The end of a network: its last activation, and the loss once it is compiled.

    The plan before it makes z. If the activation is the loss's partner, the two run as one; otherwise the
    activation runs, then the loss, and backward comes through the activation's own gradient.
    """

    def __init__(self, activation: type[ActivationFunction] | None, loss: LossFunction | None) -> None:
        self.activation = activation
        self.loss_function = loss
        self._paired = loss is not None and activation is not None and loss.partner is activation

    @property
    def replays(self) -> bool:
        """Whether a batch's loss comes from a step that can be called again by itself."""
        return self.loss_function is not None and self.loss_function.replays

    def outputs(self, z: Any, space: Space) -> Any:
        """Return the network's outputs, a buffer of `space`."""
        if self.activation is None:
            return z
        return space.run("activation", self.activation.op, z, out=space.array("outputs", z.shape))

    def loss(self, z: Any, target: Any, share: Any, space: Space) -> tuple[float, Any, Any]:
        """Return the loss of a batch, its gradient by z, and the outputs. All arrays are buffers of `space`.

        target : shape of z. share : shape (N,), each row's part of the batch, summing to 1.
        """
        if self.loss_function is None:
            raise NotBuiltError(
                "loss: expected a network with a loss, got none; call compile(loss=...) first"
            )
        gradient = space.array("gradient", z.shape)
        y = space.array("outputs", z.shape) if self._paired else self.outputs(z, space)
        rows = (z.shape[0], prod(z.shape[1:]))
        value = self.loss_function.step(
            space,
            space.view("z rows", z if self._paired else y, rows),
            space.view("target rows", target, rows),
            share,
            y,
            space.view("gradient rows", gradient, rows),
        )
        if self.activation is not None and not self._paired:
            back = space.array("dz", gradient.shape)
            gradient = space.run("activation_backward", self.activation.backward_op, gradient, y, out=back)
        return value, gradient, y
