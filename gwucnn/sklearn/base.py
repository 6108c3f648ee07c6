"""The base class of both estimators: scikit-learn's conventions around one network."""

from __future__ import annotations

import copy
from math import nan, prod
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gwucnn.callbacks import EarlyStopping
from gwucnn.common import ShapeError, check_flag, check_size, look_up
from gwucnn.gwu_network import GWUNetwork
from gwucnn.loss_functions import LossFunction, loss_function
from gwucnn.optimizers import Optimizer
from gwucnn.sklearn.networks import is_automatic, make_network
from gwucnn.sklearn.options import batch_size, copied_callbacks, held_out_size, is_same
from gwucnn.sklearn.undoing import unless_refused

__all__ = ["CNNBase"]

# The options that describe the network, which cannot change while training goes on.
ARCHITECTURE = ("model", "width", "image_shape", "augmentation", "precision")

# The dtypes that `precision` may name; None is chosen here.
PRECISIONS = {"auto": None, "float32": "float32", "float64": "float64"}


class CNNBase(BaseEstimator):
    """Trains a network and predicts with it. A derived class defines the targets.

    It defines `_encoded(y, reset) -> targets`, which on reset records the possible values of y; `_outputs`, how many
    outputs it needs; `_activation` of the last layer, by name, where it is chosen here; `_loss(network)`, a name or
    the user's own from `_given_loss`; `_strata(targets)`, the classes for a stratified split, or None; `_targets`, the
    options of `validate_data` for y.
    """

    _targets: ClassVar[dict[str, bool]] = {}
    network_: GWUNetwork

    def __init__(
        self,
        model: Any = "auto",
        *,
        width: Any = None,
        image_shape: Any = None,
        augmentation: Any = None,
        epochs: int = 20,
        batch_size: Any = "auto",
        loss: Any = None,
        lr: Any = None,
        optimizer: Any = "adam",
        metrics: Any = ("accuracy",),
        callbacks: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: Any = 0,
        precision: str = "auto",
    ) -> None:
        self.model = model
        self.width = width
        self.image_shape = image_shape
        self.augmentation = augmentation
        self.epochs = epochs
        self.batch_size = batch_size
        self.loss = loss
        self.lr = lr
        self.optimizer = optimizer
        self.metrics = metrics
        self.callbacks = callbacks
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.precision = precision

    @property
    def _outputs(self) -> int:
        raise NotImplementedError

    def _encoded(self, y: Any, reset: bool) -> Any:
        raise NotImplementedError

    @property
    def _activation(self) -> str | None:
        raise NotImplementedError

    def _loss(self, network: GWUNetwork) -> Any:
        raise NotImplementedError

    def _given_loss(self) -> LossFunction | None:
        """Return a copy of the user's loss, or None if the task decides."""
        return None if self.loss is None else loss_function(copy.deepcopy(self.loss))

    def _strata(self, targets: Any) -> Any:
        return None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    @property
    def _caller(self) -> str:
        return type(self).__name__

    # ---------------------------------------------------------------- training

    @unless_refused
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for `epochs` epochs.

        Parameters
        ----------
        X : numbers of shape (N, H, W), (N, H, W, C), or rows (N, D)
            Computed in float32, but float64 rows in float64, unless `precision` says otherwise.
        y : of shape (N,)
            A regressor also takes (N, K).
        sample_weight : of shape (N,), optional
            The weight of each sample in the loss.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For invalid data or options; ShapeError is a ValueError.
        """
        epochs = check_size(self._caller, "epochs", self.epochs)
        go_on = check_flag(self._caller, "warm_start", self.warm_start) and hasattr(self, "network_")
        stops = check_flag(self._caller, "early_stopping", self.early_stopping)
        stopping = [EarlyStopping(patience=check_size(self._caller, "n_iter_no_change", self.n_iter_no_change))]
        callbacks = copied_callbacks(self._caller, self.callbacks)
        x, targets, weights = self._prepared(X, y, sample_weight, reset=not go_on)
        held_out = None
        if stops:
            (x, targets, weights), held_out = self._split(x, targets, weights)
        self.callbacks_ = callbacks
        # The best weights are restored before other callbacks see the end of training.
        callbacks = [*(stopping if stops else []), *callbacks]
        return self._train(x, targets, weights, epochs, validation_data=held_out, callbacks=callbacks)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, *, announced: bool = False) -> Any:
        """Continue training for one epoch. announced : whether the possible values of y are known already."""
        if check_flag(self._caller, "early_stopping", self.early_stopping):
            raise ValueError(
                f"{self._caller}: expected early_stopping=False for partial_fit, which holds out no samples, "
                "got True; call fit, or leave it out"
            )
        if self.callbacks:
            raise ValueError(
                f"{self._caller}: expected no callbacks for partial_fit, which is one epoch of a loop of your own, got "
                f"{self.callbacks!r}; call fit, or do their work between the calls"
            )
        reset = not hasattr(self, "network_")
        return self._train(*self._prepared(X, y, sample_weight, reset=reset, announced=announced), 1)

    def _prepared(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, announced: bool = False
    ) -> tuple[Any, Any, Any]:
        """Return samples, targets and weights, checked; create the network when training starts anew."""
        x, y = self._samples(X, y, reset=reset)
        targets = self._encoded(y, reset and not announced)
        weights = self._weights(x, y, sample_weight)
        if reset:
            self._rng = check_random_state(self.random_state)
            network = make_network(
                self._caller,
                self.model,
                self._input_shape,
                self._outputs,
                self._activation,
                width=self.width,
                augmentation=self.augmentation,
                precision=self._precision,
                seed=int(self._rng.randint(2**31 - 1)),
            )
            self._compile(network)
            self.network_, self.n_iter_ = network, 0
            self._made_with = {name: getattr(self, name) for name in ARCHITECTURE}
            self.history_: dict[str, list[float]] = {}
        else:
            self._check_unchanged()
            if not all(map(is_same, self._compiled_with, self._wanted())):
                self._compile(self.network_)
        return x, targets, weights

    def _check_unchanged(self) -> None:
        """Raise ValueError if training cannot go on, since the options now describe another network."""
        for name, before in self._made_with.items():
            if not is_same(before, getattr(self, name)):
                raise ValueError(
                    f"{self._caller}: expected {name}={before!r}, as when training began, got "
                    f"{getattr(self, name)!r}; call fit with warm_start=False to begin anew"
                )

    def _wanted(self) -> tuple[Any, ...]:
        """Return the options of `compile`, to detect a change between two calls."""
        return self.optimizer, self.lr, self.loss, self.metrics

    def _compile(self, network: GWUNetwork) -> None:
        """Give the network its loss and an optimizer of its own."""
        optimizer = self.optimizer
        if isinstance(optimizer, Optimizer):
            optimizer = type(optimizer)(**optimizer.arguments())
        network.compile(self._loss(network), self.lr, optimizer, metrics=self.metrics)
        self._compiled_with = self._wanted()

    def _weights(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """Return the weight of each sample, or None if all are equal."""
        return None if sample_weight is None else _check_sample_weight(sample_weight, x, dtype=np.float64)

    def _split(self, x: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        """Return the training and the validation part, each (x, targets, weights)."""
        rows = train_test_split(
            np.arange(len(x)),
            test_size=held_out_size(self._caller, self.validation_fraction, len(x)),
            random_state=self._rng,
            stratify=self._strata(targets),
        )
        kept, held_out = ((x[r], targets[r], None if weights is None else weights[r]) for r in rows)
        return kept, held_out

    def _train(self, x: Any, targets: Any, weights: Any, epochs: int, **options: Any) -> Any:
        size = batch_size(self._caller, self.batch_size, len(x))
        history = self.network_.fit(x, targets, epochs, size, sample_weight=weights, verbose=self.verbose, **options)
        epochs = len(history.epoch)
        for name in dict.fromkeys([*self.history_, *history.history]):
            column = self.history_.setdefault(name, [nan] * self.n_iter_)
            column.extend(history.history.get(name, [nan] * epochs))
        self.n_iter_ += epochs
        return self

    # ---------------------------------------------------------------- samples

    def _samples(self, X: Any, y: Any = "no_validation", *, reset: bool) -> tuple[Any, Any]:
        """Return samples in the network's shape, and y, both validated by scikit-learn."""
        X, given = _as_rows(X)
        if isinstance(y, str):
            x = validate_data(self, X, reset=reset)
        else:
            x, y = validate_data(self, X, y, reset=reset, **self._targets)
        dtype = look_up(self._caller, "precision", self.precision, PRECISIONS)
        if reset:
            rows = given is None and self.image_shape is None
            self._precision = dtype or ("float64" if rows and x.dtype == np.float64 else "float32")
        # The network rounds float64 itself, after a check that the numbers fit.
        x = x if x.dtype == np.float64 else x.astype(self._precision, copy=False)
        if reset:
            self.image_shape_ = self._shape_of(x.shape[1], given)
            plain = given is None and self.image_shape is None and is_automatic(self.model)
            self._input_shape = (x.shape[1],) if plain else self.image_shape_
        elif given is not None and _with_channels(given) != self.image_shape_:
            raise ShapeError(
                f"{self._caller}: expected images {self.image_shape_}, as in fit, got {given}; resize them"
            )
        return x.reshape(len(x), *self._input_shape), y

    def _shape_of(self, features: int, given: Any) -> tuple[int, ...]:
        """Return the shape of the images: image_shape, that of X, or one row of pixels."""
        if self.image_shape is None:
            return (1, features, 1) if given is None else _with_channels(given)
        if not isinstance(self.image_shape, (tuple, list)) or len(self.image_shape) not in (2, 3):
            raise ValueError(
                f"{self._caller}: expected image_shape to be (H, W) or (H, W, C), got {self.image_shape!r}"
            )
        sizes = tuple(check_size(self._caller, "image_shape", size) for size in self.image_shape)
        if prod(sizes) != features or (given is not None and _with_channels(given) != _with_channels(sizes)):
            got = f"{features} features" if given is None else f"images {given}"
            raise ShapeError(
                f"{self._caller}: expected {prod(sizes)} features, image_shape={sizes}, got {got}; state the "
                "shape that the images have"
            )
        return _with_channels(sizes)

    def _predicted(self, X: Any) -> Any:
        """Return the network's outputs (N, K)."""
        check_is_fitted(self, "network_")
        return self.network_.predict(self._samples(X, reset=False)[0])


def _as_rows(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Return images as rows (N, D), with the shape of one; anything else unchanged, for validate_data."""
    try:
        ndim = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
    except ValueError:  # rows of different lengths
        ndim = 2
    if ndim not in (3, 4):
        return X, None
    X = np.asarray(X)
    return X.reshape(len(X), prod(X.shape[1:])), X.shape[1:]


def _with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1) if len(shape) == 2 else shape
