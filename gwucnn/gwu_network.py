"""`GWUNetwork`: a network of layers, trained by gradient descent. Everything except training is in its base classes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from gwucnn.callbacks.history import History
from gwucnn.common import check_flag, check_positive, check_size, checks_arguments
from gwucnn.data import (
    Batches,
    IterableStream,
    MixedData,
    Mixer,
    check_mixer,
    check_steps,
    is_stream,
    refuse_beside_stream,
    sample_weights,
)
from gwucnn.engine import Team, Totals, TrainingConfig, team_of
from gwucnn.network import Savable, objective, refuse_optimizer_names
from gwucnn.optimizers import optimizer as make_optimizer
from gwucnn.training import (
    LearningRates,
    evaluate,
    make_progress,
    rates,
    search,
    train,
    train_next_batches,
    train_step,
)

__all__ = ["GWUNetwork"]


class GWUNetwork(Savable):
    """A network of layers: a row, in which each takes the output of the one before, or connected ones.

    Parameters
    ----------
    layers : iterable of Layer
        They can also be added one by one.
    inputs, outputs : Tensor or list of Tensor
        Instead of layers: what `Input` returned, and what layers returned that were called on it. With several inputs
        or outputs, data are given as lists of arrays in this order, or as dicts by name: of `Input(shape, name=...)`,
        by default 'input_0' and so on, and of the layer that computes an output, by default such as '3.Dense'.
    data_format : 'channels_last' or 'channels_first'
        Order of the axes of images, (N, H, W, C) or (N, C, H, W), and of all sizes that are stated or shown.
    precision : 'float32' or 'float64'
        dtype of the weights and of all computations.
    seed : int, optional
        Seed of the network's own random numbers, for initial weights, shuffling, dropout and augmentation. By default
        it is drawn from numpy's global state, so that `np.random.seed` before building makes a run repeatable.
    fuse : bool
        Compute sequences of layers such as convolution, relu and pooling in one step. False computes layer by layer,
        which is slower and differs only by rounding.
    winograd : bool
        Allow Winograd's algorithm for 3x3 convolutions of many channels: twice as fast, with a larger rounding error in
        float32 (see `gwucnn.ops.conv_algorithm.use_winograd`).
    inputs, outputs : Tensor, optional
        In place of layers: an `Input`, and the output of layers that were called on it or on outputs of others.

    Examples
    --------
    >>> from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, datasets
    >>> (x, y), (x_test, y_test) = datasets.load_sample()
    >>> network = GWUNetwork([Conv2D(8, activation='relu'), MaxPooling2D(), Flatten()])
    >>> network.add(Dense(10, activation='softmax'))
    >>> network.compile(loss='cross_entropy', optimizer='adam')
    >>> history = network.fit(x / 255, y, epochs=2, batch_size=32)
    >>> network.predict(x_test / 255).shape
    (500, 10)
    """

    @checks_arguments
    def compile(
        self,
        loss: Any,
        lr: Any = None,
        optimizer: Any = "sgd",
        *,
        metrics: Any = ("accuracy",),
        loss_weights: Any = None,
        global_clipnorm: float | None = None,
    ) -> None:
        """Choose the loss, the optimizer and the metrics.

        Call it again to change them. An optimizer object that is passed again goes on where it was.

        Parameters
        ----------
        loss : str, LossFunction class or object, or function
            'log_loss', 'binary_crossentropy', 'cross_entropy', 'mse', 'mae' or 'huber'. An object may have options,
            such as CrossEntropy(label_smoothing=0.1). A function (y_true, y_pred) -> (loss, gradient) is a loss of your
            own: the mean over the samples, and its derivative with respect to each number of y_pred. For one with
            options, or that is saved with the network, see `LossFunction`. With several outputs: one for all, a list
            with one for each, or a dict by the names of the outputs.
        lr : float or Schedule, optional
            Learning rate for an optimizer given by name; by default that optimizer's own. See `gwucnn.schedules` for
            learning rates that change during training.
        optimizer : str, Optimizer class or object
            'sgd', 'adam', 'adamw', 'rmsprop' or 'adagrad'.
        metrics : sequence of str and functions
            'accuracy' (ignored with regression losses), 'top_k_accuracy' (k = 5; 'top_3_accuracy' for another k),
            'precision', 'recall', 'f1', 'auc': see `gwucnn.metrics`. Reported for each epoch and for validation,
            weighted by sample. With 'binary_crossentropy', several outputs are independent yes-or-no answers, each
            compared with 0.5; otherwise the largest output is the predicted class. A function (y_true, y_pred) ->
            number is called for each batch, with arrays of the shape of the outputs (labels as one-hot rows), and
            averaged over the batches by their sizes; if it takes sample_weight too, by their weights. With several
            outputs they are for all of them, those of classes not for quantities; a dict by name, or a list of lists,
            gives each output its own.
        loss_weights : list of float, or dict by name, optional
            With several outputs, the factor of each loss in their sum; by default 1.
        global_clipnorm : float, optional
            Largest norm of the gradient of all trainable weights together; a gradient with a larger norm is scaled
            down.

        Raises
        ------
        ValueError
            For unknown names, for lr together with an optimizer object, for a loss that does not fit the last layer.
        """
        if global_clipnorm is not None:
            global_clipnorm = check_positive("compile", "global_clipnorm", global_clipnorm)
        refuse_optimizer_names(loss=loss, lr=lr)
        checked, metrics = objective(self._layer_row, loss, loss_weights, metrics)
        chosen = make_optimizer(optimizer, lr)
        chosen.claim(self)
        self._compiled = TrainingConfig(checked, chosen, metrics, global_clipnorm)
        if self._engine is not None:
            self._engine.compile(self._compiled)

    @checks_arguments
    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int | None = None,
        *,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        callbacks: Iterable[Any] = (),
        class_weight: dict[int, float] | str | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        mix: Mixer | None = None,
        verbose: int | str = "auto",
        distributed: Team | None = None,
    ) -> History:
        """Train on all samples for a number of epochs.

        Parameters
        ----------
        x : array of numbers, shape (N, H, W), (N, H, W, C) or (N, D)
            For several epochs, float64 is rounded once to a copy in the network's float32, of half its size (above 1 GB
            batch by batch). A memory-mapped array is never loaded as a whole: at most a few MB and a batch are read at
            a time. Or,
            without y, batches (x, y) or (x, y, sample_weight): any object with a length whose `x[i]` is batch number i
            (the order of the batches is then shuffled, not that of the samples), or anything that can be iterated over,
            such as a generator or PyTorch's DataLoader (taken in its order, and read ahead in a thread). With several
            inputs, x is a list of arrays in their order, or a dict by name; so is that of each batch.
        y : shape (N,), (N, 1) or (N, outputs)
            Labels, one-hot rows or real values, depending on the loss. If the outputs are images (N, H, W, C): labels
            of pixels (N, H, W), or images like the outputs. With several outputs, a list of such arrays, or a dict by
            name.
        epochs : int
            Number of the last epoch, counting from 1.
        batch_size : int, optional
            Samples per update of the weights; by default 1, as on the slides. Not allowed with an object that returns
            batches.
        validation_split : float from 0 to less than 1
            This last part of x and y is left out of training and evaluated after each epoch.
        validation_data : (x, y), (x, y, sample_weight) or an object that returns batches (x, y), optional
            Evaluated after each epoch, instead of validation_split.
        shuffle : bool
            Visit the samples in a new random order in each epoch.
        callbacks : iterable
            See `gwucnn.callbacks`. The simplest one is a function of an epoch's record that returns True to stop.
        class_weight : dict of label to float, or 'balanced', optional
            Weight of the samples of each class; 1 for classes that are not listed. 'balanced' gives all classes in y
            the same influence: as in scikit-learn, by the weights N / (classes * samples of the class). Not with
            several outputs.
        sample_weight : array, shape (N,), optional
            Weight of each sample, in the loss of every output.
        initial_epoch : int
            Number of epochs already done, to continue a run. `network.history` keeps the records of those epochs.
        steps_per_epoch : int, optional
            Number of batches in an epoch, for iterables without an end, and for generators, which cannot start again.
        mix : MixUp or CutMix, optional
            Mixes the samples of each batch, inputs and targets, anew in each epoch. Needs batches of at least 2. Loss
            and metrics of the epoch are then those of mixed samples, for which accuracy counts the class with the
            larger share as the right one; validation data are not mixed. Weights by class and sample are those of the
            samples that are mixed.
        verbose : 0, 1, 2 or 'auto'
            Nothing, a progress bar, or a line per epoch; 'auto' shows a bar on a terminal and in a notebook.
        distributed : DataParallel, optional
            Shares each batch among several processes; see `gwucnn.distributed`.

        Returns
        -------
        History
            The records of these epochs; `network.history` has those of the whole run.

        Raises
        ------
        FloatingPointError
            If the loss or a gradient is not finite. The message names epoch, batch and layer, and the weights are as
            they were before that batch.
        ShapeError, TypeError, ValueError, NotBuiltError
            For data and options that do not fit, before anything is changed.
        RuntimeError
            If `fit` failed on another rank.
        """
        team = team_of("fit", distributed)
        with team.collective():
            if y is None and is_stream(x):
                refuse_beside_stream(
                    "fit",
                    batch_size=batch_size is not None,
                    validation_split=validation_split != 0,
                    sample_weight=sample_weight is not None,
                )
            batch_size = 1 if batch_size is None else check_size("fit", "batch_size", batch_size)
            epochs = check_size("fit", "epochs", epochs, 0)
            initial_epoch = check_size("fit", "initial_epoch", initial_epoch, 0)
            shuffle = check_flag("fit", "shuffle", shuffle)
            steps = check_steps("fit", steps_per_epoch, x, y)
            check_mixer("fit", mix, None if y is None and is_stream(x) else batch_size)
            engine, data = self._training_data(x, y, class_weight, sample_weight, steps)
            if isinstance(data, IterableStream):
                data.require_epochs("fit", epochs - initial_epoch)
            data, validation = self._with_validation(data, validation_data, validation_split)
            shapes = self._layer_row.in_shape, engine.out_shape
            mixed = None if mix is None else MixedData(data, mix, self._rng, *shapes, engine.dtype)
            bar = make_progress("fit", verbose, shown=team.rank == 0)
            checked_callbacks = self._watch(callbacks, initial_epoch, writes=team.rank == 0)
            history, run = self._begin_histories(initial_epoch)
            self._begin_training(data, validation, rounds=epochs - initial_epoch > 1)
            train(
                self._train,
                engine,
                data if mixed is None else mixed,
                validation,
                epochs=range(initial_epoch, epochs),
                batch_size=batch_size,
                shuffle=shuffle,
                rng=self._rng if shuffle or mix is not None else None,
                callbacks=checked_callbacks,
                bar=bar,
                histories=(history,) if run is history else (history, run),
                team=team,
            )
        self._warn_if_shut(data, history.history.get("loss", []))
        return history

    def _instead(self, name: str) -> str:
        for method in (self.compile, self.fit):
            if name in inspect.signature(method).parameters:
                return f"; call {method.__name__}({name}=...)"
        return super()._instead(name)

    # How `fit` trains on the next batches. An attribute, so that it can be replaced by a wrapper on one network.
    _train = staticmethod(train_next_batches)

    @checks_arguments
    def lr_find(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int | None = None,
        min_lr: float = 1e-7,
        max_lr: float = 10.0,
        steps: int = 100,
        verbose: int | str = "auto",
    ) -> LearningRates:
        """Try learning rates and suggest one, for a new network or one that has been trained.

        First, a ramp trains on one batch with each rate, from small to large, until the loss has become far too large.
        Then trials at constant rates, three for each factor of ten from `max_lr` down, train from the same weights for
        eight passes over the same 16 batches; they stop where rates are clearly too low. The suggestion is a little
        below the middle of the rates that lower the loss most.

        Weights, optimizer, running statistics and random numbers are restored afterwards, also after an interrupt. It
        costs about as much as training on 1,000 to 2,000 batches.

        Parameters
        ----------
        x, y : as for `fit`
            Of iterables, at most the first 16 batches are used, and a few more may be read.
        batch_size : int, optional
            The batch size to be used for training, on which a good learning rate depends; by default 32.
        min_lr, max_lr : float
            The smallest and the largest rate that may be tried.
        steps : int
            Number of batches of the ramp.
        verbose : 0, 1, 2 or 'auto'
            As for `fit`.

        Returns
        -------
        LearningRates
            Has the `suggestion`, and what it is based on: `lrs` and `losses` of the ramp, and the `trials`. Where no
            rate lowers the loss, reading the suggestion raises a ValueError. `plot` draws it all.

        Examples
        --------
        >>> from gwucnn import Dense, Flatten, GWUNetwork, datasets
        >>> (x, y), _ = datasets.load_sample()
        >>> network = GWUNetwork([Flatten(), Dense(10, activation='softmax')], seed=0)
        >>> network.compile('cross_entropy', optimizer='adam')
        >>> found = network.lr_find(x / 255, y)
        >>> network.compile('cross_entropy', lr=found.suggestion, optimizer='adam')
        """
        if y is None and is_stream(x):
            refuse_beside_stream("lr_find", batch_size=batch_size is not None)
        batch_size = 32 if batch_size is None else check_size("lr_find", "batch_size", batch_size)
        lrs, bar = rates(min_lr, max_lr, steps), make_progress("lr_find", verbose, "batches")
        engine, data = self._feed("lr_find", x, y, self._finite_data)
        return search(engine, data, lrs, batch_size=batch_size, rng=self._rng, bar=bar)

    @checks_arguments
    def train_on_batch(self, x: Any, y: Any) -> float:
        """Update the weights once, by the mean gradient of these samples; return their loss before the update."""
        if y is None and is_stream(x):
            raise TypeError(
                f"train_on_batch: expected x and y of one batch, got a {type(x).__name__} in place of them; give both, "
                "or call fit"
            )
        engine, data = self._feed("train_on_batch", x, y, self._data)
        loss = train_step("train_on_batch", engine, data, slice(None), Totals())  # type: ignore[arg-type]
        self._range.learn_batch(data)  # type: ignore[arg-type]
        return loss

    @checks_arguments
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 256,
        *,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the mean loss of these samples, or with return_dict=True a dict of the loss and all metrics.

        x, y : as for `fit`, including objects that return batches. sample_weight : as for `fit`. The weights of the
        network do not change.
        """
        batch_size = check_size("evaluate", "batch_size", batch_size)
        return_dict = check_flag("evaluate", "return_dict", return_dict)
        if sample_weight is not None and y is None:
            raise ValueError("evaluate: expected y with sample_weight, got none; give arrays x and y")

        def admit(where: str, x: Any, y: Any) -> Batches:
            data = self._data(where, x, y)
            data.weights = sample_weights(data.targets, 0, None, sample_weight, where)
            if not self._layer_row.joint:
                self._range.check("evaluate", data.x)
            return data

        engine, data = self._feed("evaluate", x, y, admit)
        record = evaluate("evaluate", engine, data, batch_size).record()
        return record if return_dict else record["loss"]
