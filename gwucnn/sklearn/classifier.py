"""A convolutional network as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import column_or_1d

from gwucnn.activation_functions import SigmoidActivation
from gwucnn.common import ShapeError
from gwucnn.gwu_network import GWUNetwork
from gwucnn.sklearn.base import CNNBase
from gwucnn.sklearn.losses import check_loss
from gwucnn.sklearn.targets import answers, class_indices, is_multi_label
from gwucnn.sklearn.undoing import unless_refused

__all__ = ["CNNClassifier"]


class CNNClassifier(ClassifierMixin, CNNBase):
    """A convolutional network as a classifier.

    Parameters
    ----------
    model : str, list of layers, or function
        'auto': for images, convolutions of 3x3 and poolings until few pixels are left, and two dense layers;
        for plain rows, two dense layers. Or the name of a model in `gwucnn.models`: 'lenet5', 'vgg_small',
        'resnet18_small', 'mobilenet_small'. Or a list of all layers, which each `fit` creates anew from their
        `config()`; the last is `Dense(classes, activation='softmax')`, for two classes also
        `Dense(1, activation='sigmoid')`, and for K labels `Dense(K, activation='sigmoid')`. Or a function
        (image_shape, n_outputs) that returns such layers or a GWUNetwork, whose weights, if any, are the
        starting point.
    width : int, optional
        Number of filters of the first convolution, to which the sizes of other layers are proportional, of 'auto' (32
        by default), 'vgg_small' or 'resnet18_small' (64). An error with other models.
    image_shape : tuple of int, optional
        (H, W) or (H, W, C), the shape of the image in each row of X. By default D features are an image of 1 x D
        pixels, and X may have the shape of images.
    augmentation : list of layers, optional
        Layers in front of the network that change images randomly in training, such as RandomTranslation(0.1, 0.1).
        Each `fit` creates them anew; `predict` leaves images as they are.
    epochs : int
    batch_size : int or 'auto'
        'auto' is 32, or all samples where there are fewer.
    loss : str, LossFunction class or object, or function, optional
        As for `GWUNetwork.compile`: CrossEntropy(label_smoothing=0.1), or one of your own. By default 'cross_entropy';
        for a single sigmoid output 'log_loss', which may be stated to have one for two classes; for several labels
        'binary_crossentropy'. Each `fit` uses a copy.
    lr : float or Schedule, optional
        By default that of the optimizer.
    optimizer : str, Optimizer class or object
        As for `GWUNetwork.compile`; each `fit` starts with a new copy of an object.
    metrics : sequence of str and functions
        What `history_` holds besides the loss, as for `GWUNetwork.compile`.
    callbacks : list, optional
        See `gwucnn.callbacks`. Each `fit` is a run of its own, from epoch 0, with deep copies, which are in
        `callbacks_` (copies of functions are the functions themselves). Those that monitor 'val_loss' or another value
        of held-out samples need early_stopping=True. `partial_fit` refuses callbacks.
    early_stopping : bool
        Whether to stop when the loss on held-out samples has not decreased for `n_iter_no_change` epochs, and restore
        the best weights.
    validation_fraction : float or int
        Fraction or number of the samples that early stopping holds out, stratified by class unless there are several
        labels.
    n_iter_no_change : int
        Epochs that early stopping waits for a lower loss.
    warm_start : bool
        Whether `fit` continues training instead of starting anew. An error if the options that describe the network
        have changed.
    random_state : int, RandomState or None
    verbose : 0, 1, 2 or 'auto'
        As for `GWUNetwork.fit`.
    precision : 'auto', 'float32' or 'float64'
        dtype of the weights and of all computations, whatever the dtype of X. 'auto' is float32 for images (X of three
        or four axes, or image_shape given), and for rows unless X is float64, which is kept as in scikit-learn.
    class_weight : dict of label to float, or 'balanced', optional
        The weight of the samples of each class in the loss. An error with several labels.

    Attributes
    ----------
    classes_ : array, shape (K,)
        The labels, sorted; for y of several labels, the numbers of its columns.
    network_ : GWUNetwork
    history_ : dict of str to list of float
        One number per epoch since training began, as in `History.history`; NaN for epochs without such a value.
    n_iter_ : int
        Epochs since training began.
    callbacks_ : list
        The copies of `callbacks` that the last `fit` used, with their state, such as the `best_epoch` of EarlyStopping.
    image_shape_ : tuple of int
        (H, W, C), the network's input.
    n_features_in_, feature_names_in_
        As in scikit-learn; each pixel is a feature.

    Notes
    -----
    Several labels: y of shape (N, K) holds 0 or 1 for each of K labels, of which a sample may have any number. The
    network then ends with K sigmoid outputs, `predict_proba` returns the probability of each label (N, K), `predict`
    whether it exceeds 0.5, and `score` the share of samples all of whose answers are right.

    The default number of epochs and size of batches were chosen by cross-validation on scikit-learn's digits, iris,
    wine, breast cancer and diabetes, and 1,500 images of MNIST and CIFAR-10 each. Of a hundred samples, more epochs
    learn more; of tens of thousands, fewer may do.

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
    >>> bool(cross_val_score(classifier, x / 16, y, cv=3).mean() > 0.945)
    True
    """

    _targets: ClassVar[dict[str, bool]] = {"multi_output": True}
    _multi_label = False
    classes_: Any

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
        class_weight: Any = None,
    ) -> None:
        super().__init__(
            model,
            width=width,
            image_shape=image_shape,
            augmentation=augmentation,
            epochs=epochs,
            batch_size=batch_size,
            loss=loss,
            lr=lr,
            optimizer=optimizer,
            metrics=metrics,
            callbacks=callbacks,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
            precision=precision,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @unless_refused
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """Continue training for one epoch.

        Parameters
        ----------
        X, y, sample_weight : as for `fit`
        classes : array of labels
            All classes of all calls. Required in the first call, unless y has several labels.

        Returns
        -------
        self
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"{self._caller}: expected class_weight to be a dict or None for partial_fit, which does not "
                f"see all samples, got {self.class_weight!r}; give sample_weight"
            )
        announced = y is None or not is_multi_label(self._caller, y)
        if announced:
            _check_partial_fit_first_call(self, classes)
        elif classes is not None and len(classes) != np.shape(y)[1]:
            raise ValueError(
                f"{self._caller}: expected classes=range({np.shape(y)[1]}), the columns of y, got {classes!r}; leave "
                "them out"
            )
        return self._partial_fit(X, y, sample_weight, announced=announced)

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each sample, shape (N,), or 0 or 1 for each label, (N, K)."""
        p = self.predict_proba(X)
        return (p > 0.5).astype(np.int64) if self._multi_label else self.classes_[p.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, in the order of `classes_`: shape (N, K).

        Rows sum to 1, unless y has several labels, which are independent.
        """
        p = self._predicted(X)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    @property
    def _outputs(self) -> int:
        return 1 if self._activation == "sigmoid" and not self._multi_label else len(self.classes_)

    @property
    def _activation(self) -> str:
        """The last activation: one sigmoid output tells two classes apart, if the loss is made for that."""
        loss = self._given_loss()
        alone = len(self.classes_) == 2 and loss is not None and loss.partner is SigmoidActivation
        return "sigmoid" if self._multi_label or alone else "softmax"

    def _encoded(self, y: Any, reset: bool) -> Any:
        """Return the index of each label in `classes_`, or answers (N, K) to several labels."""
        several = is_multi_label(self._caller, y)
        columns = y.shape[1] if several else 0
        if not reset and columns != (len(self.classes_) if self._multi_label else 0):
            before = f"(N, {len(self.classes_)})" if self._multi_label else "(N,)"
            raise ShapeError(f"{self._caller}: expected y of shape {before}, as before, got {y.shape}; call fit anew")
        if several:
            classes, targets = np.arange(columns), answers(self._caller, y)
        else:
            classes, targets = class_indices(self._caller, y, None if reset else self.classes_)
        self.classes_, self._multi_label = classes, several
        return targets

    def _loss(self, network: GWUNetwork) -> Any:
        loss = self._given_loss()
        if loss is not None:
            check_loss(self._caller, loss, 0 if self._multi_label else len(self.classes_))
        activation, shape = network.layers[-1].split_activation()[1], network.layers[-1].out_shape
        is_sigmoid = activation is not None and activation.name == "sigmoid"
        if shape == (1,) and len(self.classes_) == 2 and is_sigmoid and not self._multi_label:
            return loss or "log_loss"
        if shape != (self._outputs,):
            what = "labels" if self._multi_label else "classes"
            wanted = "one output" if self._outputs == 1 else f"an output for each of the {self._outputs} {what}"
            raise ShapeError(
                f"{self._caller}: expected a model with {wanted}, got outputs of shape {shape}; end it with "
                f"Dense({self._outputs}, activation={self._activation!r})"
            )
        return loss or ("binary_crossentropy" if self._multi_label else "cross_entropy")

    def _strata(self, targets: Any) -> Any:
        return None if self._multi_label else targets

    def _weights(self, x: Any, y: Any, sample_weight: Any) -> Any:
        weights = super()._weights(x, y, sample_weight)
        if self.class_weight is None:
            return weights
        if self._multi_label:
            raise ValueError(
                f"{self._caller}: expected class_weight=None for y of several labels, got {self.class_weight!r}; give "
                "sample_weight, or a loss of your own that weights labels"
            )
        of_class = compute_sample_weight(self.class_weight, column_or_1d(y))
        return of_class if weights is None else weights * of_class
