"""The base class of both estimators: scikit-learn's conventions around one network."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gwucnn.callbacks import EarlyStopping
from gwucnn.common import ShapeError, check_flag, check_size, look_up
from gwucnn.gwu_network import GWUNetwork
from gwucnn.optimizers import Optimizer
from gwucnn.sklearn.networks import is_automatic, make_network

__all__ = ["CNNBase"]

# The value of batch_size='auto', if there are as many samples: as in MLPClassifier.
BATCH = 200

# The dtypes that `precision` may name; None is chosen here.
PRECISIONS = {"auto": None, "float32": "float32", "float64": "float64"}

# Epochs without a lower validation loss after which early stopping ends training.
PATIENCE = 5


class CNNBase(BaseEstimator):
    """Trains a network and predicts with it. A derived class defines the targets.

    It defines `_encoded(y, reset) -> targets`, which on reset records the possible values of y; `_outputs`, how many
    outputs it needs; `_activation` of the last layer, by name, where it is chosen here; `_loss(network)`;
    `_strata(targets)`, the classes for a stratified split, or None; `_targets`, the
    options of `validate_data` for y.
    """

    _activation: str | None = None
    _targets: ClassVar[dict[str, bool]] = {}
    network_: GWUNetwork

    def __init__(
        self,
        model: Any = "auto",
        *,
        image_shape: Any = None,
        epochs: int = 10,
        batch_size: Any = "auto",
        lr: Any = None,
        optimizer: Any = "adam",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: Any = 0,
        precision: str = "auto",
    ) -> None:
        self.model = model
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.precision = precision

    @property
    def _outputs(self) -> int:
        raise NotImplementedError

    def _encoded(self, y: Any, reset: bool) -> Any:
        raise NotImplementedError

    def _loss(self, network: GWUNetwork) -> str:
        raise NotImplementedError

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
        x, targets, weights = self._prepared(X, y, sample_weight, reset=not go_on)
        held_out, callbacks = None, []
        if stops:
            (x, targets, weights), held_out = self._split(x, targets, weights)
            callbacks = [EarlyStopping(patience=PATIENCE)]
        return self._train(x, targets, weights, epochs, validation_data=held_out, callbacks=callbacks)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, *, announced: bool = False) -> Any:
        """Continue training for one epoch. announced : whether the possible values of y are known already."""
        if check_flag(self._caller, "early_stopping", self.early_stopping):
            raise ValueError(
                f"{self._caller}: expected early_stopping=False for partial_fit, which holds out no samples, "
                "got True; call fit, or leave it out"
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
                precision=self._precision,
                seed=int(self._rng.randint(2**31 - 1)),
            )
            self._compile(network)
            self.network_, self.n_iter_ = network, 0
            self.history_: dict[str, list[float]] = {}
        elif self._moved_by != self._wanted():
            self._compile(self.network_)
        return x, targets, weights

    def _wanted(self) -> str:
        """Return the options of the optimizer, to detect a change between two calls."""
        return f"{self.optimizer!r}, lr={self.lr!r}"

    def _compile(self, network: GWUNetwork) -> None:
        """Give the network its loss and an optimizer of its own."""
        optimizer = self.optimizer
        if isinstance(optimizer, Optimizer):
            optimizer = type(optimizer)(**optimizer.arguments())
        network.compile(self._loss(network), self.lr, optimizer)
        self._moved_by = self._wanted()

    def _weights(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """Return the weight of each sample, or None if all are equal."""
        return None if sample_weight is None else _check_sample_weight(sample_weight, x, dtype=np.float64)

    def _split(self, x: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        """Return the training and the validation part, each (x, targets, weights)."""
        rows = train_test_split(
            np.arange(len(x)),
            test_size=self.validation_fraction,
            random_state=self._rng,
            stratify=self._strata(targets),
        )
        kept, held_out = ((x[r], targets[r], None if weights is None else weights[r]) for r in rows)
        return kept, held_out

    def _train(self, x: Any, targets: Any, weights: Any, epochs: int, **options: Any) -> Any:
        size = self.batch_size
        automatic = isinstance(size, str) and size == "auto"
        size = min(BATCH, len(x)) if automatic else check_size(self._caller, "batch_size", size)
        history = self.network_.fit(x, targets, epochs, size, sample_weight=weights, verbose=self.verbose, **options)
        for name, values in history.history.items():
            self.history_.setdefault(name, []).extend(values)
        self.n_iter_ += len(history.epoch)
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
