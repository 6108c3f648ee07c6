"""The base class of losses, and the checks of targets against outputs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import isfinite, prod
from typing import Any, ClassVar

import numpy as np

from gwucnn.activation_functions import ActivationFunction
from gwucnn.common import Configurable, ShapeError, is_batch_source, is_ours, min_and_max
from gwucnn.memory import Space
from gwucnn.metrics import no_labels

__all__ = ["LossFunction", "as_labels", "as_numbers", "as_rows", "class_labels", "class_or_object", "pair"]

# The methods of which a loss of a user's own defines some.
METHODS = frozenset({"loss", "loss_partial_derivative", "loss_and_derivative"})


class class_or_object:
    """A method that can also be called on the class, as in gwu_nn: it then uses an object with all defaults."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        functools.update_wrapper(self, function)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any) -> Callable[..., Any]:
        return functools.partial(self._function, owner() if instance is None else instance)


def pair(y_true: Any, y_pred: Any, caller: str) -> tuple[Any, Any]:
    """Return both as float64 arrays of the same shape. Nothing is broadcast: other shapes raise an error.

    Only the last axis may be missing in one of them where it has length 1: (N,) fits (N, 1), and (N, H, W) pixels of
    one channel.
    """
    y_true, y_pred = as_numbers(caller, "y_true", y_true), as_numbers(caller, "y_pred", y_pred)
    short, long = sorted((y_true.shape, y_pred.shape), key=len)
    if len(short) in (1, 3) and long == (*short, 1):
        y_true = y_true.reshape(y_pred.shape)
    if y_true.shape != y_pred.shape:
        raise ShapeError(f"{caller}: expected y_true of the shape of y_pred, {y_pred.shape}, got {y_true.shape}")
    if not y_pred.size:
        raise ValueError(f"{caller}: expected at least one row, got none; check how y_pred was made")
    return y_true, y_pred


def as_numbers(caller: str, name: str, y: Any) -> Any:
    """Return y as a float64 array with a batch axis."""
    try:
        array = np.asarray(y)
    except ValueError:
        raise ShapeError(f"{caller}: expected rows of {name} of one length, got several") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{caller}: expected {name} to be real numbers, got {array.dtype}; convert them to floats")
    return array.astype(np.float64)


def as_rows(caller: str, y: Any) -> Any:
    """Return y as an array with a batch axis."""
    if is_batch_source(y):
        raise TypeError(f"{caller}: expected y to be an array, got {type(y).__name__}; make an array of its items")
    try:
        y = np.asarray(y)
    except ValueError:
        raise ShapeError(
            f"{caller}: expected rows of y of one length, got several; give as many numbers for each sample"
        ) from None
    if y.ndim == 0:
        is_number = y.dtype.kind in "biufc"
        got, fix = ("a single number", "write [y]") if is_number else (_kind(y), "give an array or a list")
        raise ShapeError(f"{caller}: expected y of shape (N, ...), a row for each sample, got {got}; {fix}")
    return y


def _kind(y: Any) -> str:
    inside = y.item()
    return f"the text {inside!r}" if isinstance(inside, (str, bytes)) else type(inside).__name__


def as_labels(caller: str, y: Any, K: int) -> Any:
    """Return y of shape (N,) or (N, 1) as integer labels from 0 to K - 1."""
    labels = y.reshape(-1)
    whole = labels.astype(np.int64) if labels.dtype.kind in "biuf" and np.isfinite(labels).all() else None
    if whole is None or (whole != labels).any():
        raise ValueError(f"{caller}: expected integer labels, got {no_labels(labels)}")
    if whole.size and not (whole.min() >= 0 and whole.max() < K):
        low, high = int(whole.min()), int(whole.max())
        hint = "give the last layer as many outputs as there are classes"
        if high - low < K:
            hint = f"number the classes from 0: y {'-' if low > 0 else '+'} {abs(low)}"
        got = low if low < 0 else high
        raise ValueError(f"{caller}: expected labels from 0 to {K - 1} for {K} outputs, got {got}; {hint}")
    return whole


def class_labels(caller: str, y: Any, out_shape: tuple[int, ...]) -> Any:
    """Return y as integer labels, (N,) or for each pixel of images (N, H, W); None if it has another shape.

    Its last axis may have the length 1 besides.
    """
    if y.shape[1:] == out_shape:
        return None
    K, samples = out_shape[-1], out_shape[:-1]
    if y.shape[1:] not in (samples, (*samples, 1)):
        return None
    return as_pixel_labels(caller, y, K) if samples else as_labels(caller, y, K)


def as_pixel_labels(caller: str, y: Any, K: int) -> Any:
    """Return y of shape (N, H, W) or (N, H, W, 1) as integer labels (N, H, W); integers stay of their dtype."""
    labels = y.reshape(y.shape[:3])
    low, high = min_and_max(labels) if labels.size else (0, 0)
    if labels.dtype.kind in "iu" and low >= 0 and high < K:
        return labels
    return as_labels(caller, labels, K).reshape(labels.shape)


def _accepted_shapes(out_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes that the target of a sample may have: a trailing axis of length 1 may be left out."""
    shapes = [out_shape]
    if out_shape == (1,) or (len(out_shape) == 3 and out_shape[-1] == 1):
        shapes.append(out_shape[:-1])
    if len(out_shape) == 3 and out_shape[0] == 1:
        shapes.append(out_shape[1:])
    return shapes


class LossFunction(Configurable):
    """The base class of losses, which measure how wrong the outputs of a batch are.

    `loss` and `loss_partial_derivative` are the methods of `gwu_nn`. They take the outputs of the network; those of the
    package's losses can also be called on the class.

    To write a loss of your own, derive from this class and define these two methods, in numpy. Both get y_true and
    y_pred of the same shape, (N, outputs) or (N, H, W, C); integer labels come as one-hot rows. Samples of different
    weights are passed one by one, so that neither method needs to know of weights. `gwucnn.testing.check_gradients`
    compares the two. A class is saved with the network by its name, together with arguments of the constructor that it
    keeps in attributes of the same names. A plain function is shorter, see `GWUNetwork.compile`.

    Class attributes that a derived class may set:

    - `name`: begins error messages; by default the name of the class.
    - `classifies`: False if the targets are quantities, for which accuracy means nothing.
    - `partner`: the final activation that the network must have, such as SoftmaxActivation.

    Example
    -------
    >>> class Cubic(LossFunction):
    ...     classifies = False
    ...     def loss(self, y_true, y_pred):
    ...         return np.mean(np.abs(y_pred - y_true) ** 3)
    ...     def loss_partial_derivative(self, y_true, y_pred):
    ...         error = y_pred - y_true
    ...         return 3 * error * np.abs(error) / error.size
    >>> float(Cubic().loss(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])))
    4.0
    """

    name: ClassVar[str]
    # The final activation that is computed together with this loss.
    partner: ClassVar[type[ActivationFunction] | None] = None
    # Whether `step` only calls an op through space.run("loss", ...), so that it can be replayed.
    replayable: ClassVar[bool] = False
    # Whether the targets are classes, so that accuracy can be reported.
    classifies: ClassVar[bool] = True
    # Whether several outputs are independent yes-or-no answers, rather than classes of which one is right.
    multi_label: ClassVar[bool] = False
    # Whether `step` gets each pixel of outputs (N, H, W, C) as a row (C,), rather than each image as a row (H*W*C,).
    pixelwise: ClassVar[bool] = False

    _wrappable = False  # replayed without calling methods
    _remedy = "call compile again with loss={}"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # An overridden `step` may do anything, whatever its base class declares.
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if not hasattr(cls, "name"):
            cls.name = cls.__name__
        if not is_ours(cls) and not METHODS.isdisjoint(own) and "step" not in own:
            # Its base class may have a step, but that computes another loss.
            cls.step = LossFunction.step  # type: ignore[method-assign]
        if "step" in vars(cls) and "replayable" not in own:
            cls.replayable = False

    @class_or_object
    def loss(self, y_true: Any, y_pred: Any) -> float:
        """Return the loss of predictions, averaged over the batch."""
        raise NotImplementedError(f"{self.name}: expected a loss that defines loss(y_true, y_pred)")

    @class_or_object
    def loss_partial_derivative(self, y_true: Any, y_pred: Any) -> Any:
        """Return the derivative of `loss` with respect to each prediction, in an array of the same shape."""
        raise NotImplementedError(f"{self.name}: expected a loss that defines loss_partial_derivative(y_true, y_pred)")

    def loss_and_derivative(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Return what `loss` and `loss_partial_derivative` return. Override it if they have work in common."""
        return self.loss(y_true, y_pred), self.loss_partial_derivative(y_true, y_pred)

    @property
    def has_step(self) -> bool:
        """Whether `step` computes the loss of a batch, which is faster than the two methods above."""
        return type(self).step is not LossFunction.step

    def check_outputs(self, activation: type[ActivationFunction] | None, out_shape: tuple[int, ...]) -> None:
        """Raise an error if a network with this final activation and output shape cannot be trained with this loss."""
        self._check_partner(activation)

    def _check_partner(self, activation: type[ActivationFunction] | None) -> None:
        if self.partner is not None and activation is not self.partner:
            got = f"activation {activation.name!r}" if activation else "no activation"
            raise ValueError(
                f"{self.name}: expected a network that ends with {self.partner.name}, got a last layer with "
                f"{got}; give the last layer activation={self.partner.name!r}"
            )

    def targets(self, y: Any, out_shape: tuple[int, ...]) -> Any:
        """Check y and return it as integer labels (N,) or (N, H, W), or as an array (N, *out_shape)."""
        caller, y = self.name, as_rows(self.name, y)
        if self.classifies and out_shape[-1] > 1:
            labels = class_labels(caller, y, out_shape)
            if labels is not None:
                return labels
        if y.shape[1:] not in _accepted_shapes(out_shape):
            shape = ", ".join(map(str, ("N", *out_shape)))
            raise ShapeError(
                f"{caller}: expected y of shape ({shape}), got {y.shape}; the last layer makes "
                f"{prod(out_shape)} number{'s' if prod(out_shape) > 1 else ''} a sample, y must have as many"
            )
        if y.dtype.kind not in "biuf":
            raise TypeError(f"{caller}: expected y to be numbers, got {no_labels(y.reshape(-1))}")
        low, high = min_and_max(y)
        if not (isfinite(low) and isfinite(high)):
            raise ValueError(f"{caller}: expected finite y, got NaN or infinity; remove or repair those rows")
        self._check_range(low, high)
        return y.reshape(-1, *out_shape)

    def _check_range(self, low: float, high: float) -> None:
        """Raise ValueError if targets from `low` to `high` are impossible for this loss."""

    def step(self, space: Space, z: Any, target: Any, share: Any, p: Any, gradient: Any) -> float:
        """Return the loss of a batch (N, K) and fill its gradient with respect to z, by `space.run("loss", op, ...)`.

        With a `partner`, z is the input of that activation, and its values are written to p. Without a `step` of its
        own a loss is computed by `loss` and `loss_partial_derivative`, in numpy (see `own.py`).
        """
        raise NotImplementedError
