"""The network: layers in a row, trained by gradient descent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gwucnn.batches import (
    Batches,
    as_images,
    check_finite,
    sample_shape,
    sample_weights,
    split_off,
    warn_missing,
    warn_unscaled,
)
from gwucnn.callbacks import Callbacks
from gwucnn.engine import Engine, Totals
from gwucnn.errors import NotBuiltError, ShapeError
from gwucnn.history import History
from gwucnn.layers import Layer
from gwucnn.loss_functions import LossFunction, loss_function
from gwucnn.optimizers import optimizer as make_optimizer
from gwucnn.parameters import Parameter
from gwucnn.progress import progress
from gwucnn.shapes import check_flag, check_size
from gwucnn.stack import Stack
from gwucnn.suggestions import keywords_checked, look_up
from gwucnn.summary import summary

__all__ = ["GWUNetwork"]


class GWUNetwork:
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

    @keywords_checked
    def __init__(
        self,
        layers: Iterable[Layer] = (),
        *,
        data_format: str = "channels_last",
        precision: str = "float32",
        seed: int | None = None,
        fuse: bool = True,
        winograd: bool = True,
    ) -> None:
        formats = {"channels_last": False, "channels_first": True}
        self._channels_first = look_up("GWUNetwork", "data_format", data_format, formats)
        self.data_format = data_format
        self._dtype = look_up(
            "GWUNetwork", "precision", precision, {"float32": np.float32, "float64": np.float64}
        )
        self.precision = precision
        self.seed = None if seed is None else check_size("GWUNetwork", "seed", seed, 0)
        self.fuse = check_flag("GWUNetwork", "fuse", fuse)
        self.winograd = check_flag("GWUNetwork", "winograd", winograd)
        self._stack = Stack(self._channels_first)
        self._engine: Engine | None = None
        self._compiled: tuple[Any, Any, bool] | None = None
        self._generator: Any = None
        self._warned: set[str] = set()  # of what one warning is enough
        if not isinstance(layers, Iterable):
            raise TypeError(f"GWUNetwork: expected a list of layers, got {layers!r}; write GWUNetwork([...])")
        for layer in layers:
            self.add(layer)

    # ---------------------------------------------------------------- building

    @property
    def layers(self) -> list[Layer]:
        """The layers as they were added, from the bottom up."""
        return self._stack.layers

    def add(self, layer: Layer) -> None:
        """Put a layer on top.

        Raises TypeError for anything but a layer, ValueError for one that is in a network already, ShapeError
        if its input is known by now and does not fit.
        """
        self._stack.add(layer)
        self._engine = None

    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Make the weights for inputs of this shape: (H, W), (H, W, C) or D, with or without a leading None.

        Called by `fit` and `predict` if need be. Raises ShapeError if the layers do not fit on such inputs.
        """
        self._build(self._stack.from_user(input_shape))

    def _build(self, shape: tuple[int, ...]) -> Engine:
        """Return the engine for samples of this shape (channels last), made now if there is none."""
        stack = self._stack
        stack.start(shape)
        if self._engine is None:
            if self._compiled is not None:
                self._check_loss(self._compiled[0])
            for parameter in self.parameters:
                if parameter.value is None:
                    # Filled before it is kept: Ctrl-C in between must not leave weights that nobody drew.
                    value = np.empty(parameter.shape, self._dtype)
                    parameter.initializer(value, self._rng)
                    parameter.value = value
            engine = Engine(
                self.layers, stack.shapes[-1], self._dtype, fuse=self.fuse, winograd=self.winograd
            )
            if self._compiled is not None:
                loss, optimizer, reports_accuracy = self._compiled
                engine.compile(loss, optimizer, reports_accuracy=reports_accuracy)
            self._engine = engine
        return self._engine

    @property
    def _rng(self) -> Any:
        if self._generator is None:
            seed = np.random.randint(2**32, size=4, dtype=np.uint32) if self.seed is None else self.seed
            self._generator = np.random.default_rng(seed)
        return self._generator

    # ---------------------------------------------------------------- training

    @keywords_checked
    def compile(
        self,
        loss: Any,
        lr: float | None = None,
        optimizer: Any = "sgd",
        *,
        metrics: Sequence[str] = ("accuracy",),
    ) -> None:
        """Say what training shall make small, and how.

        May be called again, to change that, or after a layer's `trainable` was changed.

        Parameters
        ----------
        loss : str, LossFunction class or object
            'log_loss', 'binary_crossentropy', 'cross_entropy' or 'mse'.
        lr : float, optional
            Learning rate of an optimizer given by name; by default that optimizer's own.
        optimizer : str, Optimizer class or object
            'sgd' or 'adam'.
        metrics : sequence of str
            'accuracy', left out for losses of quantities.

        Raises
        ------
        ValueError
            For unknown names, lr beside an optimizer object, or a loss that does not fit the last layer.
        """
        metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics or ())
        for metric in metrics:
            look_up("compile", "metrics", metric, {"accuracy": None})
        checked = loss_function(loss)
        if self._stack.complete:
            self._check_loss(checked)
        moves = make_optimizer(optimizer, lr)
        moves.claim(self)
        self._compiled = checked, moves, "accuracy" in metrics
        if self._engine is not None and self._engine.arena.fits:
            self._engine.compile(*self._compiled[:2], reports_accuracy=self._compiled[2])
        elif self._engine is not None and self._stack.in_shape is not None:
            self._engine = None  # layers were frozen or freed since: weights that are trained lie first
            self._build(self._stack.in_shape)

    def _check_loss(self, loss: LossFunction) -> None:
        """Raise an error if a network that ends so cannot be trained with this loss."""
        rest, activation = self.layers[-1].split_activation()
        loss.check_outputs(activation, self._stack.shapes[-1])
        if rest is None and activation is not None and len(self.layers) > 1:
            before = self.layers[-2]
            if activation is loss.partner is before.split_activation()[1]:
                raise ValueError(
                    f"{loss.name}: expected one {activation.name} at the end, got two, in {before.label} and "
                    f"{self.layers[-1].label}; leave one out"
                )

    def _data(self, who: str, x: Any, y: Any) -> tuple[Engine, Batches]:
        """Check inputs and targets against the network and each other."""
        if self._compiled is None:
            raise NotBuiltError(f"{who}: expected a compiled network; call compile(loss=...) first")
        x = as_images(who, x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        targets = self._compiled[0].targets(y, self._stack.shown(engine.out_shape))
        if len(targets) != len(x):
            raise ShapeError(f"{who}: expected as many y as x, got {len(targets)} and {len(x)}")
        if not len(x):
            raise ValueError(f"{who}: expected at least one sample, got none")
        if self._channels_first and targets.ndim == 4:
            targets = targets.transpose(0, 2, 3, 1)
        return engine, Batches(x, targets, data_format=self.data_format)

    @keywords_checked
    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int = 1,
        batch_size: int | None = None,
        *,
        validation_split: float = 0.0,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        callbacks: Iterable[Any] = (),
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        verbose: int | str = "auto",
    ) -> History:
        """Train on all samples, `epochs` times.

        Parameters
        ----------
        x : array of numbers, shape (N, H, W), (N, H, W, C) or (N, D)
        y : shape (N,), (N, 1) or (N, outputs)
            Labels, one-hot rows or quantities, as the loss wants.
        epochs : int
            Number of the last epoch, counted from 1.
        batch_size : int, optional
            Samples between two updates of the weights; by default one, as on the slides.
        validation_split : float from 0 to less than 1
            This last part of x and y is not trained on but evaluated after each epoch.
        validation_data : (x, y), optional
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
            Number of epochs done before, to go on counting.
        verbose : 0, 1, 2 or 'auto'
            Nothing, a progress bar, a line an epoch; 'auto' is a bar on a terminal or in a notebook.

        Returns
        -------
        History

        Raises
        ------
        FloatingPointError
            If the loss or a gradient is not finite: names epoch, batch and layer; the weights are those
            before that batch.
        ShapeError, TypeError, ValueError, NotBuiltError
            For data and options that do not fit, before anything moves.
        """
        batch_size = 1 if batch_size is None else check_size("fit", "batch_size", batch_size)
        epochs = check_size("fit", "epochs", epochs, 0)
        initial_epoch = check_size("fit", "initial_epoch", initial_epoch, 0)
        shuffle = check_flag("fit", "shuffle", shuffle)
        engine, data = self._data("fit", x, y)
        check_finite("fit", data.x)
        loss, moves, _ = self._compiled  # type: ignore[misc]
        classes = max(engine.out_shape[0], 2) if loss.classifies else 0
        data.weights = sample_weights(data.targets, classes, class_weight, sample_weight)
        data, held_out = self._hold_out(data, validation_split, validation_data)
        history, watchers = History(), Callbacks(callbacks, self)
        bar = progress(verbose, epochs, len(data))
        if "pixels" not in self._warned and warn_unscaled("fit", data.x):
            self._warned.add("pixels")
        watchers.begin()
        try:
            for epoch in range(initial_epoch, epochs):
                start = time.perf_counter()
                bar.begin(epoch)
                order = self._rng.permutation(len(data)) if shuffle else None
                totals = engine.totals()
                for number, indices in enumerate(data.split(batch_size, order)):
                    self._train(f"fit: epoch {epoch + 1}, batch {number + 1}", engine, data, indices, totals)
                    bar.advance(min(batch_size, len(data) - number * batch_size), totals)
                record = {"epoch": epoch, **totals.record()}
                if held_out is not None:
                    record |= engine.evaluate(held_out, max(batch_size, 256)).record("val_")
                record |= {"lr": moves.lr, "seconds": time.perf_counter() - start}
                history.append(record)
                bar.end(record)
                if watchers.end_epoch(record):
                    break
        finally:
            bar.close()
        watchers.end()
        return history

    def _train(self, where: str, engine: Engine, data: Batches, indices: Any, totals: Totals) -> float:
        try:
            return engine.train_step(data, indices, totals)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"{where}: expected finite numbers, but {error}; lower lr or scale the images to 0..1 (the "
                "weights are as they were before that batch)"
            ) from None

    def _hold_out(self, data: Batches, split: float, given: Any) -> tuple[Batches, Batches | None]:
        """Return what to train on and what to validate on."""
        if given is not None:
            if not isinstance(given, (tuple, list)) or len(given) != 2:
                raise ValueError(
                    f"fit: expected validation_data to be a pair (x, y), got {type(given).__name__}"
                )
            held_out = self._data("fit: validation_data", *given)[1]
            check_finite("fit: validation_data", held_out.x)
            return data, held_out
        trained, rest = split_off(data, split)
        classes = self._compiled is not None and self._compiled[0].classifies
        unwarned = rest is not None and classes and "classes" not in self._warned
        if unwarned and warn_missing(trained.targets, rest.targets):  # type: ignore[union-attr]
            self._warned.add("classes")
        return trained, rest

    def train_on_batch(self, x: Any, y: Any) -> float:
        """Move the weights once by the mean gradient of these samples; return their loss before."""
        engine, data = self._data("train_on_batch", x, y)
        return self._train("train_on_batch", engine, data, slice(None), Totals(None))

    # ---------------------------------------------------------------- using

    @keywords_checked
    def evaluate(self, x: Any, y: Any, batch_size: int = 256, *, return_dict: bool = False) -> Any:
        """Return the mean loss of these samples, or with return_dict a dict with loss and accuracy."""
        batch_size = check_size("evaluate", "batch_size", batch_size)
        engine, data = self._data("evaluate", x, y)
        record = engine.evaluate(data, batch_size).record()
        return record if return_dict else record["loss"]

    @keywords_checked
    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """Return the outputs for images (N, H, W) or (N, H, W, C), or features (N, D), in fresh memory.

        Threads may predict with one network at the same time. A NaN in an image makes that image's outputs
        NaN.
        """
        batch_size = check_size("predict", "batch_size", batch_size)
        x = as_images("predict", x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        return self._as_shown(engine.predict(Batches(x, data_format=self.data_format), batch_size))

    def activations(self, x: Any) -> list[Any]:
        """Return what each layer makes of x: a list of arrays, channels in the network's order."""
        x = as_images("activations", x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        return [self._as_shown(a) for a in engine.activations(Batches(x, data_format=self.data_format))]

    def _as_shown(self, outputs: Any) -> Any:
        """Return a layer's outputs with their channels where the network has them."""
        images = self._channels_first and outputs.ndim == 4
        return np.ascontiguousarray(outputs.transpose(0, 3, 1, 2)) if images else outputs

    # ---------------------------------------------------------------- weights

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, layer by layer."""
        return [parameter for layer in self.layers for parameter in layer.parameters]

    def _need_weights(self, who: str) -> list[Parameter]:
        if self._engine is None:
            if self._stack.in_shape is None or not self.layers:
                raise NotBuiltError(
                    f"{who}: expected a built network; give input_size, or call build(input_shape)"
                )
            self._build(self._stack.in_shape)
        return self.parameters

    def get_weights(self) -> list[Any]:
        """Return copies of all weights, in Keras' order and layout."""
        return [np.array(parameter.value) for parameter in self._need_weights("get_weights")]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy weights in, as `get_weights` or Keras' own returns them; all or, if one does not fit, none."""
        parameters = self._need_weights("set_weights")
        arrays = [np.asarray(weight) for weight in weights]
        if len(arrays) != len(parameters):
            raise ShapeError(f"set_weights: expected {len(parameters)} arrays, got {len(arrays)}")
        for number, (parameter, array) in enumerate(zip(parameters, arrays, strict=True)):
            who = f"set_weights: expected array {number} ({parameter.name})"
            if array.shape != parameter.shape:
                raise ShapeError(f"{who} of shape {parameter.shape}, got {array.shape}")
            if array.dtype.kind not in "biuf":
                raise TypeError(f"{who} to be numbers, got {array.dtype}")
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.value[...] = array

    def count_params(self) -> int:
        """Return how many numbers the weights are."""
        return sum(parameter.size for parameter in self._need_weights("count_params"))

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers with their output shapes and numbers of weights."""
        known = [self._stack.shown(shape) for shape in self._stack.shapes]
        print_fn(summary(self.layers, [*known, *[None] * (len(self.layers) - len(known))]))

    def __repr__(self) -> str:
        inside = "".join(f"\n    {layer!r}," for layer in self.layers)
        return f"GWUNetwork([{inside}\n])" if inside else "GWUNetwork([])"
