"""A convolutional network as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets
from sklearn.utils.validation import column_or_1d

from gwucnn.common import ShapeError
from gwucnn.gwu_network import GWUNetwork
from gwucnn.sklearn.base import CNNBase

__all__ = ["CNNClassifier"]


class CNNClassifier(ClassifierMixin, CNNBase):
    """A convolutional network as a classifier.

    Parameters
    ----------
    model : str, list of layers, or function
        'auto': for images, convolutions of 3x3 and poolings until few pixels are left, and two dense layers;
        for plain rows, two dense layers. Or the name of a model in `gwucnn.models`: 'lenet5', 'vgg_small',
        'resnet18_small', 'mobilenet_small'. Or a list of all layers, which each `fit` creates anew from their
        `config()`; the last is `Dense(classes, activation='softmax')`, or for two classes
        `Dense(1, activation='sigmoid')`. Or a function (image_shape, n_outputs) that returns such layers or a
        GWUNetwork, whose weights, if any, are the starting point.
    image_shape : tuple of int, optional
        (H, W) or (H, W, C), the shape of the image in each row of X. By default D features are an image of 1 x D
        pixels, and X may have the shape of images.
    epochs : int
    batch_size : int or 'auto'
        'auto' is 200, or all samples where there are fewer.
    lr : float or Schedule, optional
        By default that of the optimizer.
    optimizer : str, Optimizer class or object
        As for `GWUNetwork.compile`; each `fit` starts with a new copy of an object.
    early_stopping : bool
        Whether to stop when the loss on held-out samples has not decreased for five epochs, and restore the best
        weights.
    validation_fraction : float or int
        Fraction or number of the samples that early stopping holds out, stratified by class.
    warm_start : bool
        Whether `fit` continues training instead of starting anew.
    random_state : int, RandomState or None
    verbose : 0, 1, 2 or 'auto'
        As for `GWUNetwork.fit`.
    precision : 'auto', 'float32' or 'float64'
        dtype of the weights and of all computations, whatever the dtype of X. 'auto' is float32 for images (X of three
        or four axes, or image_shape given), and for rows unless X is float64, which is kept as in scikit-learn.
    class_weight : dict of label to float, or 'balanced', optional
        The weight of the samples of each class in the loss.

    Attributes
    ----------
    classes_ : array, shape (K,)
        The labels, sorted.
    network_ : GWUNetwork
    history_ : dict of str to list of float
        One number per epoch since training began, as in `History.history`.
    n_iter_ : int
        Epochs since training began.
    image_shape_ : tuple of int
        (H, W, C), the network's input.
    n_features_in_, feature_names_in_
        As in scikit-learn; each pixel is a feature.

    Notes
    -----
    Images are computed in float32, which takes half the time of float64. Features should be of the order of 1: divide
    pixels by 255, or use a StandardScaler. Workers of joblib share the processors: each uses the number of threads
    that joblib allows it, one if there are as many workers as processors.

    Examples
    --------
    >>> from gwucnn.sklearn import CNNClassifier
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> x, y = load_digits(return_X_y=True)
    >>> classifier = CNNClassifier(image_shape=(8, 8), random_state=0)
    >>> bool(cross_val_score(classifier, x / 16, y, cv=3).mean() > 0.85)
    True
    """

    _activation = "softmax"
    classes_: Any

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
        class_weight: Any = None,
    ) -> None:
        super().__init__(
            model,
            image_shape=image_shape,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            optimizer=optimizer,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
            precision=precision,
        )
        self.class_weight = class_weight

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """Continue training for one epoch.

        Parameters
        ----------
        X, y, sample_weight : as for `fit`
        classes : array of labels
            All classes of all calls. Required in the first call.

        Returns
        -------
        self
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"{self._caller}: expected class_weight to be a dict or None for partial_fit, which does not "
                f"see all samples, got {self.class_weight!r}; give sample_weight"
            )
        _check_partial_fit_first_call(self, classes)
        return self._partial_fit(X, y, sample_weight, announced=True)

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each sample: labels of shape (N,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, in the order of `classes_`: shape (N, K), rows sum to 1."""
        p = self._predicted(X)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    @property
    def _outputs(self) -> int:
        return len(self.classes_)

    def _encoded(self, y: Any, reset: bool) -> Any:
        """Return the index of each label in `classes_`."""
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        found = np.unique(y)
        if len(found if reset else self.classes_) < 2:
            raise ValueError(
                f"{self._caller}: expected y of at least two classes, got one class, {found.tolist()[0]!r}; "
                "give samples of another"
            )
        if reset:
            self.classes_ = found
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise ValueError(
                f"{self._caller}: expected y of the classes {self.classes_.tolist()}, got "
                f"{unknown.tolist()[0]!r}; give the first partial_fit all classes, or call fit without "
                "warm_start"
            )
        return np.searchsorted(self.classes_, y)

    def _loss(self, network: GWUNetwork) -> str:
        activation, shape = network.layers[-1].split_activation()[1], network.layers[-1].out_shape
        if shape == (1,) and self._outputs == 2 and activation is not None and activation.name == "sigmoid":
            return "log_loss"
        if shape != (self._outputs,):
            raise ShapeError(
                f"{self._caller}: expected a model with an output for each of the {self._outputs} classes, got "
                f"outputs of shape {shape}; end it with Dense({self._outputs}, activation='softmax')"
            )
        return "cross_entropy"

    def _strata(self, targets: Any) -> Any:
        return targets

    def _weights(self, x: Any, y: Any, sample_weight: Any) -> Any:
        weights = super()._weights(x, y, sample_weight)
        if self.class_weight is None:
            return weights
        of_class = compute_sample_weight(self.class_weight, column_or_1d(y))
        return of_class if weights is None else weights * of_class
