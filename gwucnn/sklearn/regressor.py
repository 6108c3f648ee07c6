"""A convolutional network as a scikit-learn regressor."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin

from gwucnn.common import ShapeError
from gwucnn.gwu_network import GWUNetwork
from gwucnn.sklearn.base import CNNBase
from gwucnn.sklearn.undoing import unless_refused

__all__ = ["CNNRegressor"]


class CNNRegressor(RegressorMixin, CNNBase):
    """A convolutional network as a regressor.

    Parameters
    ----------
    model : str, list of layers, or function
        As for `CNNClassifier`, but ending in `Dense(K)`, one unit per target, usually without an
        activation.
    loss : str, LossFunction class or object, or function, optional
        The mean squared error, 'mse', by default; 'mae', 'huber', or one of your own, as for `GWUNetwork.compile`.
    width, image_shape, augmentation, epochs, batch_size, lr, optimizer, metrics, callbacks, early_stopping,
    validation_fraction, n_iter_no_change, warm_start, random_state, verbose, precision
        As for `CNNClassifier`. Metrics must be functions of your own, as those with names are for classes.

    Attributes
    ----------
    network_, history_, n_iter_, callbacks_, image_shape_, n_features_in_, feature_names_in_
        As for `CNNClassifier`.
    n_outputs_ : int
        K, the number of targets.

    Notes
    -----
    y should be of the order of 1, as X should be: scikit-learn's TransformedTargetRegressor scales it.

    Examples
    --------
    >>> import numpy as np
    >>> from gwucnn.sklearn import CNNRegressor
    >>> x = np.random.default_rng(0).random((500, 8, 8))
    >>> y = x[:, :4].mean(axis=(1, 2))  # mean brightness of the upper half
    >>> regressor = CNNRegressor(epochs=20, batch_size=32, random_state=0).fit(x[:400], y[:400])
    >>> regressor.score(x[400:], y[400:]) > 0.8
    True
    """

    _targets: ClassVar[dict[str, bool]] = {"multi_output": True, "y_numeric": True}
    n_outputs_: int

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @unless_refused
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Continue training for one epoch. Parameters as for `fit`; returns self."""
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Any:
        """Return the predicted targets: shape (N,), or (N, K) if y had that shape in fit."""
        outputs = self._predicted(X)
        return outputs[:, 0] if self._flat else outputs

    @property
    def _outputs(self) -> int:
        return self.n_outputs_

    @property
    def _activation(self) -> None:
        return None

    def _encoded(self, y: Any, reset: bool) -> Any:
        flat = y.ndim == 1
        y = np.asarray(y, np.float64).reshape(len(y), -1)
        if reset:
            self._flat, self.n_outputs_ = flat, y.shape[1]
        if y.shape[1] != self.n_outputs_:
            raise ShapeError(
                f"{self._caller}: expected {self.n_outputs_} quantities for each sample, as before, got "
                f"{y.shape[1]}; call fit without warm_start"
            )
        return y

    def _loss(self, network: GWUNetwork) -> Any:
        loss = self._given_loss()
        if loss is not None and loss.partner is not None:
            raise ValueError(
                f"{self._caller}: expected a loss of quantities, such as 'mse' or 'huber', got {self.loss!r}, which is "
                "for classes; leave it out, or take CNNClassifier"
            )
        shape = network.layers[-1].out_shape
        if shape != (self.n_outputs_,):
            raise ShapeError(
                f"{self._caller}: expected a model with {self.n_outputs_} outputs, as many as y has columns, "
                f"got outputs of shape {shape}; end it with Dense({self.n_outputs_})"
            )
        return loss or "mse"
