"""The network: layers in a row, trained by gradient descent. What it is before training is its base's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gwucnn.callbacks.history import History
from gwucnn.common import check_flag, check_positive, check_size, checks_arguments
from gwucnn.data import Batches, batch_weights, is_stream, refuse_beside_stream, sample_weights, split_off
from gwucnn.engine import Team, Totals, TrainingConfig, check_metrics, team_of
from gwucnn.loss_functions import loss_function
from gwucnn.network import Savable, refuse_misplaced
from gwucnn.optimizers import optimizer as make_optimizer
from gwucnn.training import (
    LearningRates,
    evaluate,
    make_progress,
    rates,
    sweep,
    train,
    train_some,
    train_step,
)

__all__ = ["GWUNetwork"]


class GWUNetwork(Savable):
    """A network of layers in a row.

    Parameters
    ----------
    layers : iterable of Layer
        Or add them one by one.
    data_format : 'channels_last' or 'channels_first'
        Order of images that go in, (N, H, W, C) or (N, C, H, W), and of the sizes that are stated or shown.
    precision : 'float32' or 'float64'
        Of weights and of all computing.
    seed : int, optional
        Of the network's own random numbers: first weights, shuffling. By default drawn from numpy's global
        state, so that `np.random.seed` before building repeats a run.
    fuse : bool
        Compute runs of layers such as convolution, relu and pooling in one step. False computes layer by
        layer: the same but for rounding, and slower.
    winograd : bool
        Let 3x3 convolutions of many channels take Winograd's algorithm: twice as fast, with a larger rounding
        error in float32 (see `gwucnn.ops.base.winograd_pays`).

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
        metrics: Sequence[str] = ("accuracy",),
        global_clipnorm: float | None = None,
    ) -> None:
        """Say what training shall make small, and how.

        May be called again, to change that, or after a layer's `trainable` was changed.

        Parameters
        ----------
        loss : str, LossFunction class or object
            'log_loss', 'binary_crossentropy', 'cross_entropy', 'mse', 'mae' or 'huber'. A class or an object
            can have options, such as CrossEntropy(label_smoothing=0.1).
        lr : float or Schedule, optional
            Learning rate of an optimizer given by name; by default that optimizer's own. See
            `gwucnn.schedules` for rates that change.
        optimizer : str, Optimizer class or object
            'sgd', 'adam', 'adamw', 'rmsprop' or 'adagrad'.
        metrics : sequence of str
            'accuracy' (left out for losses of quantities), 'top_k_accuracy' (k = 5; 'top_3_accuracy' for
            another k), 'precision', 'recall', 'f1': see `gwucnn.metrics`. Of each epoch and of validation,
            each sample with its weight.
        global_clipnorm : float, optional
            Largest norm of the gradient of all trainable weights together; a longer one is scaled down.

        Raises
        ------
        ValueError
            For unknown names, lr beside an optimizer object, or a loss that does not fit the last layer.
        """
        if global_clipnorm is not None:
            global_clipnorm = check_positive("compile", "global_clipnorm", global_clipnorm)
        refuse_misplaced(loss=loss, lr=lr)
        checked = loss_function(loss)
        metrics = check_metrics(metrics, checked)
        if self._layer_row.complete:
            self._layer_row.check_loss(checked)
            check_metrics(metrics, checked, self._layer_row.shapes[-1][0])
        chosen = make_optimizer(optimizer, lr)
        chosen.claim(self)
        self._compiled = TrainingConfig(checked, chosen, metrics, global_clipnorm)
        if self._engine is not None and self._engine.arena.is_current:
            self._engine.compile(self._compiled)
        elif self._engine is not None and self._layer_row.in_shape is not None:
            self._engine = None  # layers were frozen or freed since: weights that are trained lie first
            self._build(self._layer_row.in_shape)

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
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        verbose: int | str = "auto",
        distributed: Team | None = None,
    ) -> History:
        """Train on all samples, `epochs` times.

        Parameters
        ----------
        x : array of numbers, shape (N, H, W), (N, H, W, C) or (N, D)
            An array that is mapped from a file stays there: no more of it is read at a time than some MB and
            a batch. Or, without y, any object whose `x[i]` is batch number i, a pair (x, y), for i less than
            `len(x)`; then the batches are shuffled, not the samples.
        y : shape (N,), (N, 1) or (N, outputs)
            Labels, one-hot rows or quantities, as the loss wants.
        epochs : int
            Number of the last epoch, counted from 1.
        batch_size : int, optional
            Samples between two updates of the weights; by default one, as on the slides. Not beside batches
            that come as they are.
        validation_split : float from 0 to less than 1
            This last part of x and y is not trained on but evaluated after each epoch.
        validation_data : (x, y), (x, y, sample_weight) or an object that gives batches (x, y), optional
            Evaluated after each epoch, instead.
        shuffle : bool
            Take the samples in a new random order in each epoch.
        callbacks : iterable
            See `gwucnn.callbacks`: functions of an epoch's record, a true answer stops.
        class_weight : dict of label to float, optional
            How much each class counts; 1 where not named.
        sample_weight : array, shape (N,), optional
            How much each sample counts.
        initial_epoch : int
            Number of epochs done before, to go on counting: of a run, in a file or not, that stopped there.
            `network.history` keeps them, those that are done again excepted.
        verbose : 0, 1, 2 or 'auto'
            Nothing, a progress bar, a line an epoch; 'auto' is a bar on a terminal or in a notebook.
        distributed : DataParallel, optional
            Other processes to share each batch with; see `gwucnn.distributed`.

        Returns
        -------
        History
            Of these epochs; `network.history` is that of all the run.

        Raises
        ------
        FloatingPointError
            If the loss or a gradient is not finite: names epoch, batch and layer; the weights are those
            before that batch.
        ShapeError, TypeError, ValueError, NotBuiltError
            For data and options that do not fit, before anything chosen.
        RuntimeError
            If `fit` ended with an error on another rank.
        """
        team = team_of("fit", distributed)
        with team.collective():
            streamed = y is None and is_stream(x)
            if streamed:
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

            def admit(where: str, x: Any, y: Any) -> Batches:
                data = self._data(where, x, y)
                self._check_pixels(where, data.x)
                weigh = batch_weights if streamed else sample_weights
                data.weights = weigh(data.targets, self._classes, class_weight, sample_weight)
                return data

            engine, data = self._feed("fit", x, y, admit)
            held_out = None
            if validation_data is not None:
                held_out = self._validation(validation_data)
            elif isinstance(data, Batches):
                data, held_out = split_off(data, validation_split)
                self._warn_missing(data, held_out)
            bar = make_progress("fit", verbose, shown=team.rank == 0)
            watchers = self._watch(callbacks, initial_epoch, writes=team.rank == 0)
            history, run = self._begin_histories(initial_epoch)
            train(
                self._train,
                engine,
                data,
                held_out,
                epochs=range(initial_epoch, epochs),
                batch_size=batch_size,
                rng=self._rng if shuffle else None,
                callbacks=watchers,
                bar=bar,
                histories=(history,) if run is history else (history, run),
                team=team,
            )
        return history

    # Some batches. Stands here so that a watcher may take its place.
    _train = staticmethod(train_some)

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
        """Try learning rates from small to large, a batch each, and suggest one.

        Afterwards weights, optimizer and random numbers are as they were. The sweep ends early when the loss
        has become far too large.

        Parameters
        ----------
        x, y : as for `fit`
        batch_size : int, optional
            The one to train with later, on which a good learning rate depends; by default 32.
        min_lr, max_lr : float
        steps : int
            Number of batches.
        verbose : 0, 1, 2 or 'auto'
            As for `fit`.

        Returns
        -------
        LearningRates
            With `suggestion`, and `lrs` and `losses` to look at.

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

        def admit(where: str, x: Any, y: Any) -> Batches:
            data = self._data(where, x, y)
            self._check_pixels(where, data.x)
            return data

        engine, data = self._feed("lr_find", x, y, admit)
        return sweep(engine, data, lrs, batch_size=batch_size, rng=self._rng, bar=bar)

    @checks_arguments
    def train_on_batch(self, x: Any, y: Any) -> float:
        """Move the weights once by the mean gradient of these samples; return their loss before."""
        engine, data = self._feed("train_on_batch", x, y, self._data)
        return train_step("train_on_batch", engine, data, slice(None), Totals())  # type: ignore[arg-type]

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
        """Return the mean loss of these samples, or with return_dict a dict with the loss and all metrics.

        x, y : as for `fit`, also an object that gives batches. sample_weight : as for `fit`. The network's
        weights stay as they are.
        """
        batch_size = check_size("evaluate", "batch_size", batch_size)
        return_dict = check_flag("evaluate", "return_dict", return_dict)
        if sample_weight is not None and y is None:
            raise ValueError("evaluate: expected sample_weight beside arrays only, got it without y; give y")

        def admit(where: str, x: Any, y: Any) -> Batches:
            data = self._data(where, x, y)
            data.weights = sample_weights(data.targets, 0, None, sample_weight, where)
            return data

        engine, data = self._feed("evaluate", x, y, admit)
        record = evaluate("evaluate", engine, data, batch_size).record()
        return record if return_dict else record["loss"]
