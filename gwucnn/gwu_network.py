"""The network: layers in a row, trained by gradient descent."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gwucnn.batches import Batches, as_images, sample_shape
from gwucnn.callbacks import Callbacks
from gwucnn.engine import Engine
from gwucnn.errors import NotBuiltError, ShapeError, SizeMismatchWarning
from gwucnn.history import History
from gwucnn.layers import Layer
from gwucnn.loss_functions import loss_function
from gwucnn.optimizers import optimizer as make_optimizer
from gwucnn.parameters import Parameter
from gwucnn.progress import progress
from gwucnn.shapes import check_size
from gwucnn.suggestions import look_up
from gwucnn.summary import summary

__all__ = ["GWUNetwork"]

# Pixels are meant to be of the order of 1; above this one forgot to divide 0..255 by 255.
UNSCALED = 20.0


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
        Of the network's own random numbers: first weights, shuffling. By default drawn from numpy's global state,
        so that `np.random.seed` before building repeats a run.

    Examples
    --------
    >>> from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, datasets
    >>> (x, y), (x_test, y_test) = datasets.load_sample()
    >>> network = GWUNetwork([Conv2D(8, activation='relu'), MaxPooling2D(), Flatten(), Dense(10, activation='softmax')])
    >>> network.compile(loss='cross_entropy', optimizer='adam')
    >>> history = network.fit(x / 255, y, epochs=2, batch_size=32)
    >>> network.predict(x_test / 255).shape
    (500, 10)
    """

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        *,
        data_format: str = "channels_last",
        precision: str = "float32",
        seed: int | None = None,
    ) -> None:
        formats = {"channels_last": False, "channels_first": True}
        self._channels_first = look_up("GWUNetwork", "data_format", data_format, formats)
        self.data_format = data_format
        self._dtype = look_up("GWUNetwork", "precision", precision, {"float32": np.float32, "float64": np.float64})
        self.precision = precision
        self.seed = None if seed is None else check_size("GWUNetwork", "seed", seed, 0)
        self.layers: list[Layer] = []
        self._shapes: list[tuple[int, ...]] = []       # outputs of the layers whose input is known
        self._in_shape: tuple[int, ...] | None = None
        self._engine: Engine | None = None
        self._compiled: tuple[Any, Any, bool] | None = None
        self._generator: Any = None
        for layer in layers:
            self.add(layer)

    # ---------------------------------------------------------------- building

    def add(self, layer: Layer) -> None:
        """Put a layer on top.

        Raises TypeError for anything but a layer, ValueError for one that is in a network already, ShapeError if its
        input is known by now and does not fit.
        """
        if not isinstance(layer, Layer):
            hint = f"; write {layer.__name__}(...)" if isinstance(layer, type) and issubclass(layer, Layer) else ""
            raise TypeError(f"add: expected a layer, got {layer!r}{hint}")
        if "." in layer.label:
            raise ValueError(f"add: expected a layer that is in no network yet, got {layer.label}; make a new one")
        name = type(layer).__name__
        layer.label = f"{len(self.layers)}.{name}"
        if self._channels_first and hasattr(layer, "channels_first"):
            layer.channels_first = True
        self.layers.append(layer)
        try:
            if len(self.layers) == 1:
                self._in_shape = self._stated(layer, 1)
            self._propagate()
        except ShapeError:
            self.layers.pop()
            layer.label = name
            raise
        self._engine = None

    def _stated(self, layer: Layer, channels: int) -> tuple[int, ...] | None:
        """Return the input shape that a layer states, channels last; `channels` where it leaves them open."""
        size: Any = layer.input_size
        if size is None:
            return None
        if not layer.takes_images:
            return (size,)
        if isinstance(size, int):
            return size, size, channels
        if len(size) == 2:
            return (*size, channels)
        return (*size[1:], size[0]) if self._channels_first else tuple(size)

    def _propagate(self) -> None:
        """Build the layers whose input shape is known by now and that are not built yet."""
        if self._in_shape is None:
            return
        for layer in self.layers[len(self._shapes) :]:
            index = len(self._shapes)
            shape = self._shapes[-1] if index else self._in_shape
            if index:
                self._check_stated(layer, shape, self.layers[index - 1])
            self._shapes.append(tuple(layer.build(shape)))

    def _check_stated(self, layer: Layer, shape: tuple[int, ...], before: Layer) -> None:
        """Warn if a later layer states another size than the layer before makes, and correct it."""
        stated = self._stated(layer, shape[-1])
        if stated is None or stated == shape or (layer.takes_images and len(shape) != 3):
            return
        was: Any = layer.input_size
        if not layer.takes_images:
            layer.input_size = shape[0] if len(shape) == 1 else was
        elif isinstance(was, int) and shape[0] == shape[1]:
            layer.input_size = shape[0]
        elif isinstance(was, int) or len(was) == 2:
            layer.input_size = shape[:2]
        else:
            layer.input_size = self._shown(shape)
        warnings.warn(
            f"{type(layer).__name__}: input_size={was} stated, {type(before).__name__} makes {before.arithmetic()}; "
            f"using {layer.input_size}",
            SizeMismatchWarning,
            stacklevel=4,
        )

    def _shown(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return a shape in the order of the network's data_format."""
        return (shape[2], *shape[:2]) if self._channels_first and len(shape) == 3 else shape

    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Make the weights for inputs of this shape: (H, W), (H, W, C) or D, with or without None for the batch.

        Called by `fit` and `predict` if need be. Raises ShapeError if the layers do not fit on such inputs.
        """
        shape: Any = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
        if shape and shape[0] is None:
            shape = shape[1:]
        shape = tuple(check_size("build", "input_shape", length) for length in shape)
        if len(shape) == 2:
            shape = (*shape, 1)
        elif len(shape) == 3 and self._channels_first:
            shape = (*shape[1:], shape[0])
        self._build(shape)

    def _build(self, shape: tuple[int, ...]) -> Engine:
        """Return the engine for samples of this shape (channels last), made now if there is none."""
        if not self.layers:
            raise NotBuiltError("GWUNetwork: expected at least one layer, got none; call add(layer) first")
        first = self.layers[0]
        if self._in_shape is not None and shape != self._in_shape:
            raise ShapeError(
                f"{first.label}: expected inputs of shape {('N', *self._shown(self._in_shape))}".replace("'", "")
                + f", got {('N', *self._shown(shape))}".replace("'", "")
                + ("; as input_size states" if first.input_size is not None else "; as the network was built")
            )
        if self._in_shape is None:
            self._in_shape = shape
            try:
                self._propagate()
            except ShapeError:
                self._in_shape, self._shapes = None, []
                raise
        if self._engine is None:
            new = [parameter for parameter in self.parameters if parameter.value is None]
            self._engine = Engine(self.layers, self._shapes[-1], self._dtype)
            for parameter in new:
                parameter.initializer(parameter.value, self._rng)
            if self._compiled is not None:
                self._compile_engine()
        return self._engine

    @property
    def _rng(self) -> Any:
        if self._generator is None:
            seed = np.random.randint(2**32, size=4, dtype=np.uint32) if self.seed is None else self.seed
            self._generator = np.random.default_rng(seed)
        return self._generator

    # ---------------------------------------------------------------- training

    def compile(
        self, loss: Any, lr: float | None = None, optimizer: Any = "sgd", *, metrics: Sequence[str] = ("accuracy",)
    ) -> None:
        """Say what training shall make small, and how.

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
        for metric in metrics:
            look_up("compile", "metrics", metric, {"accuracy": None})
        before = self._compiled
        self._compiled = loss_function(loss), make_optimizer(optimizer, lr), "accuracy" in metrics
        try:
            if self._engine is not None:
                self._compile_engine()
            elif self._shapes and len(self._shapes) == len(self.layers):
                self._compiled[0].check_outputs(self.layers[-1].split_activation()[1], self._shapes[-1])
        except ValueError:
            self._compiled = before
            raise

    def _compile_engine(self) -> None:
        assert_engine: Any = self._engine
        loss, optimizer, reports_accuracy = self._compiled or (None, None, False)
        assert_engine.compile(loss, optimizer, reports_accuracy=reports_accuracy)

    def _data(self, who: str, x: Any, y: Any, weights: Any = None) -> tuple[Engine, Batches]:
        """Check inputs, targets and weights against the network and each other."""
        if self._compiled is None:
            raise NotBuiltError(f"{who}: expected a compiled network; call compile(loss=...) first")
        x = as_images(who, x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        targets = self._compiled[0].targets(y, engine.out_shape)
        if len(targets) != len(x):
            raise ShapeError(f"{who}: expected as many y as x, got {len(targets)} and {len(x)}")
        return engine, Batches(x, targets, weights, self.data_format)

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
            If the loss or a gradient is not finite: names epoch, batch and layer; the weights are those before that
            batch.
        ShapeError, TypeError, ValueError, NotBuiltError
            For data and options that do not fit, before anything moves.
        """
        batch_size = 1 if batch_size is None else check_size("fit", "batch_size", batch_size)
        epochs = check_size("fit", "epochs", epochs, 0)
        engine, data = self._data("fit", x, y)
        data.weights = _weights(data.targets, len(data), class_weight, sample_weight)
        data, held_out = self._hold_out(data, validation_split, validation_data)
        _check_pixels("fit", data.x)
        history, watchers = History(), Callbacks(callbacks, self)
        bar = progress(verbose, epochs, len(data))
        watchers.begin()
        try:
            for epoch in range(initial_epoch, epochs):
                start = time.perf_counter()
                bar.begin(epoch)
                order = self._rng.permutation(len(data)) if shuffle else None
                totals = engine.totals()
                for number, indices in enumerate(data.split(batch_size, order)):
                    self._train(engine, data, indices, totals, epoch, number)
                    bar.advance(min(batch_size, len(data) - number * batch_size), totals.loss)
                record = {"epoch": epoch, **totals.record()}
                if held_out is not None:
                    record |= engine.evaluate(held_out, max(batch_size, 256)).record("val_")
                record |= {"lr": engine.optimizer.lr, "seconds": time.perf_counter() - start}  # type: ignore[union-attr]
                history.append(record)
                bar.end(record)
                if watchers.end_epoch(record):
                    break
        finally:
            bar.close()
        watchers.end()
        return history

    def _train(self, engine: Engine, data: Batches, indices: Any, totals: Any, epoch: int, number: int) -> float:
        try:
            return engine.train_step(data, indices, totals)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"fit: expected finite numbers, but in epoch {epoch + 1}, batch {number + 1} {error}; lower lr or scale "
                "the images to 0..1 (the weights are as they were before that batch)"
            ) from None

    def _hold_out(self, data: Batches, split: float, given: Any) -> tuple[Batches, Batches | None]:
        """Return what to train on and what to validate on."""
        if given is not None:
            if not isinstance(given, (tuple, list)) or len(given) != 2:
                raise ValueError("fit: expected validation_data to be a pair (x, y)")
            return data, self._data("fit: validation_data", *given)[1]
        if not 0 <= split < 1:
            raise ValueError(f"fit: expected validation_split from 0 to less than 1, got {split!r}")
        kept = len(data) - int(len(data) * split)
        if kept == len(data):
            return data, None
        return data.subset(slice(0, kept)), data.subset(slice(kept, None))

    def train_on_batch(self, x: Any, y: Any) -> float:
        """Move the weights once by the mean gradient of these samples; return their loss before."""
        engine, data = self._data("train_on_batch", x, y)
        return self._train(engine, data, slice(None), engine.totals(), 0, 0)

    # ---------------------------------------------------------------- using

    def evaluate(self, x: Any, y: Any, batch_size: int = 256, *, return_dict: bool = False) -> Any:
        """Return the mean loss of these samples, or with return_dict a dict with loss and accuracy."""
        batch_size = check_size("evaluate", "batch_size", batch_size)
        engine, data = self._data("evaluate", x, y)
        record = engine.evaluate(data, batch_size).record()
        return record if return_dict else record["loss"]

    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """Return the outputs for images (N, H, W) or (N, H, W, C), or features (N, D), in fresh memory.

        Threads may predict with one network at the same time. A NaN in an image makes that image's outputs NaN.
        """
        batch_size = check_size("predict", "batch_size", batch_size)
        x = as_images("predict", x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        return engine.predict(Batches(x, data_format=self.data_format), batch_size)

    def activations(self, x: Any) -> list[Any]:
        """Return what each layer makes of x: a list of arrays, channels in the network's order."""
        x = as_images("activations", x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        every = engine.activations(Batches(x, data_format=self.data_format))
        return [a.transpose(0, 3, 1, 2).copy() if self._channels_first and a.ndim == 4 else a for a in every]

    # ---------------------------------------------------------------- weights

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, layer by layer."""
        return [parameter for layer in self.layers for parameter in layer.parameters]

    def _need_weights(self, who: str) -> list[Parameter]:
        if self._engine is None:
            if self._in_shape is None or not self.layers:
                raise NotBuiltError(f"{who}: expected a built network; give input_size, or call build(input_shape)")
            self._build(self._in_shape)
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
            if array.shape != parameter.shape:
                raise ShapeError(
                    f"set_weights: expected array {number} ({parameter.name}) of shape {parameter.shape}, "
                    f"got {array.shape}"
                )
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.value[...] = array

    def count_params(self) -> int:
        """Return how many numbers the weights are."""
        return sum(parameter.size for parameter in self._need_weights("count_params"))

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers with their output shapes and numbers of weights."""
        known = [self._shown(shape) for shape in self._shapes]
        print_fn(summary(self.layers, [*known, *[None] * (len(self.layers) - len(known))]))

    def __repr__(self) -> str:
        inside = "".join(f"\n    {layer!r}," for layer in self.layers)
        return f"GWUNetwork([{inside}\n])" if inside else "GWUNetwork([])"


def _weights(targets: Any, count: int, class_weight: dict[int, float] | None, sample_weight: Any) -> Any:
    """Return how much each sample counts, or None if all count the same."""
    weights = np.ones(count)
    if sample_weight is not None:
        weights = np.array(sample_weight, np.float64)
        if weights.shape != (count,):
            raise ShapeError(f"fit: expected sample_weight of shape ({count},), got {weights.shape}")
    if class_weight is not None:
        labels = targets if targets.ndim == 1 else (targets.argmax(1) if targets.shape[1] > 1 else targets[:, 0] > 0.5)
        for label, weight in class_weight.items():
            weights[labels == label] *= weight
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("fit: expected weights of samples and classes that are finite and not negative")
    return None if sample_weight is None and class_weight is None else weights


def _check_pixels(who: str, x: Any) -> None:
    """Refuse pixels that are not finite, warn about pixels that nobody scaled."""
    if not x.size:
        return
    low, high = float(x.min()), float(x.max())
    if not np.isfinite(low + high):
        wrong = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0]
        raise ValueError(f"{who}: expected finite images, got NaN or infinity in image {wrong}; remove or repair it")
    if x.ndim == 4 and max(high, -low) > UNSCALED:
        warnings.warn(
            f"{who}: expected pixels of about 0 to 1, got values up to {max(high, -low):g}; divide by 255, or training "
            "will not get far",
            UserWarning,
            stacklevel=3,
        )
