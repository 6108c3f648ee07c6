"""A network as a thing: its layers, their weights, what it makes of images and says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gwucnn.common import NotBuiltError, check_flag, check_size, checks_arguments, look_up
from gwucnn.data import Batches, as_images, inputs_of, is_stream, sample_shape
from gwucnn.engine import Engine, TrainingConfig, score_gradients
from gwucnn.layers import Layer
from gwucnn.layers.inserting import Layers
from gwucnn.memory import Parameter, Randomness, Space, assign
from gwucnn.network.layer_row import LayerRow
from gwucnn.network.summary import summary

__all__ = ["NetworkBase"]


# Options that decide what stated sizes and weights are, and their defaults; repr leaves these out.
SHOWN = {"data_format": "channels_last", "precision": "float32"}


class NetworkBase:
    """Layers that are built as soon as their shapes are known, and used. `GWUNetwork` adds the training."""

    @checks_arguments
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
        self._dtype = look_up("GWUNetwork", "precision", precision, {"float32": np.float32, "float64": np.float64})
        self.precision = precision
        self.seed = None if seed is None else check_size("GWUNetwork", "seed", seed, 0)
        self.fuse = check_flag("GWUNetwork", "fuse", fuse)
        self.winograd = check_flag("GWUNetwork", "winograd", winograd)
        self._layer_row = LayerRow(self._channels_first)
        self._engine: Engine | None = None
        self._compiled: TrainingConfig | None = None
        self._generator: Any = None
        self._randomness = Randomness(self._key)
        self._warned: set[str] = set()  # of what one warning is enough
        if isinstance(layers, (str, dict)) or not isinstance(layers, Iterable):
            raise TypeError(f"GWUNetwork: expected a list of layers, got {layers!r}; write GWUNetwork([...])")
        for layer in layers:
            self.add(layer)

    # ---------------------------------------------------------------- building

    @property
    def layers(self) -> Layers:
        """The layers as they were added, from the bottom up: a tuple, which `add` alone makes longer."""
        return Layers(self._layer_row.layers)

    @checks_arguments
    def add(self, layer: Layer) -> None:
        """Put a layer on top.

        Raises TypeError for anything but a layer, ValueError for one that is in a network already, ShapeError
        if its input is known by now and does not fit.
        """
        self._layer_row.add(layer)
        self._engine = None

    @checks_arguments
    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Make the weights for inputs of this shape: (H, W), (H, W, C) or D, with or without a leading None.

        Called by `fit` and `predict` if need be. Raises ShapeError if the layers do not fit on such inputs.
        """
        self._build(self._layer_row.from_user(input_shape))

    def _build(self, shape: tuple[int, ...]) -> Engine:
        """Return the engine for samples of this shape (channels last), made now if there is none."""
        stack = self._layer_row
        stack.start(shape)
        if self._engine is None:
            if self._compiled is not None:
                self._layer_row.check_loss(self._compiled[0])
            for parameter in self.parameters:
                if parameter.constant is None:
                    # Filled before it is kept: Ctrl-C in between must not leave weights that nobody drew.
                    value = np.empty(parameter.shape, self._dtype)
                    parameter.initializer(value, self._rng)
                    parameter.value = value
            engine = Engine(
                self.layers,
                stack.shapes[-1],
                self._dtype,
                fuse=self.fuse,
                winograd=self.winograd,
                randomness=self._randomness,
            )
            if self._compiled is not None:
                engine.compile(self._compiled)
            self._engine = engine
        return self._engine

    @property
    def _rng(self) -> Any:
        if self._generator is None:
            seed = np.random.randint(2**32, size=4, dtype=np.uint32) if self.seed is None else self.seed
            self._generator = np.random.default_rng(seed)
        return self._generator

    def _key(self) -> int:
        """Return a key for the layers' random numbers: of the seed, so that asking moves no generator."""
        seed = self._rng.bit_generator.seed_seq
        child = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 1))
        return int(child.generate_state(1, np.uint64)[0])

    # ---------------------------------------------------------------- using

    @checks_arguments
    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """Return the outputs for images (N, H, W) or (N, H, W, C), or features (N, D), in fresh memory.

        x may also be an object that gives batches, as for `fit`. Threads may predict with one network at the
        same time. A NaN in an image makes that image's outputs NaN.
        """
        batch_size = check_size("predict", "batch_size", batch_size)
        if is_stream(x) and not isinstance(x, list):  # a list of tuples is samples of so many features
            return np.concatenate([self.predict(part, batch_size) for part in inputs_of(x, "predict")])
        x = as_images("predict", x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        return self._as_shown(engine.predict(Batches(x, data_format=self.data_format), batch_size))

    @checks_arguments
    def activations(self, x: Any) -> list[Any]:
        """Return what each layer makes of x: a list of arrays, channels in the network's order."""
        x = as_images("activations", x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        return [self._as_shown(a) for a in engine.activations(Batches(x, data_format=self.data_format))]

    @checks_arguments
    def gradients(self, x: Any, labels: Any = None) -> tuple[list[Any], list[Any]]:
        """Return x and what each layer makes of it, and the gradients of class scores by all of that.

        What saliency maps and Grad-CAM are made of; see `gwucnn.plotting`. Overwrites the parameters' `grad`,
        so not while another thread trains the network.

        Parameters
        ----------
        x : images (N, H, W) or (N, H, W, C), or features (N, D)
        labels : int or int array of shape (N,), optional
            The class whose score each sample is asked about; by default the one with the largest. The score
            is the output before the last activation, which would flatten it. One output stands for two
            classes.

        Returns
        -------
        values : list of array
            x as the network computes with it, then each layer's output, channels in the network's order.
        slopes : list of array
            By how much the score grows with each of these numbers, in use (not in training), of their shapes.

        Raises
        ------
        ValueError
            For labels that the network has no output for.
        """
        x = as_images("gradients", x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        images = Batches(x, data_format=self.data_format).inputs(slice(None), Space(engine.dtype))
        values, slopes = score_gradients(self.layers, images, labels)
        return [self._as_shown(a) for a in values], [self._as_shown(a) for a in slopes]

    def _as_shown(self, outputs: Any) -> Any:
        """Return a layer's outputs with their channels where the network has them."""
        images = self._channels_first and outputs.ndim == 4
        return np.ascontiguousarray(outputs.transpose(0, 3, 1, 2)) if images else outputs

    # ---------------------------------------------------------------- weights

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, layer by layer."""
        return [parameter for layer in self.layers for parameter in layer.parameters]

    def _require_weights(self, caller: str) -> list[Parameter]:
        if self._engine is None:
            if self._layer_row.in_shape is None or not self.layers:
                raise NotBuiltError(f"{caller}: expected a built network; give input_size, or call build(input_shape)")
            self._build(self._layer_row.in_shape)
        return self.parameters

    def get_weights(self) -> list[Any]:
        """Return copies of all weights, in Keras' order and layout."""
        return [np.array(parameter.constant) for parameter in self._require_weights("get_weights")]

    @checks_arguments
    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy weights in, as `get_weights` or Keras' own returns them; all or, if one does not fit, none.

        Running statistics among them are taken as settled: see BatchNormalization.
        """
        assign("set_weights", self._require_weights("set_weights"), weights)

    def count_params(self) -> int:
        """Return how many numbers the weights are."""
        return sum(parameter.size for parameter in self._require_weights("count_params"))

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers with their output shapes, numbers of weights, work and memory for one image.

        Work is counted in multiplications with an addition; memory as if each layer kept what it makes, which
        fused layers do not. Training needs more, for gradients.
        """
        stack, itemsize = self._layer_row, np.dtype(self._dtype).itemsize
        print_fn(summary(self.layers, len(stack.shapes), itemsize, self._channels_first))

    def __repr__(self) -> str:
        inside = "".join(f"\n    {layer!r}," for layer in self.layers)
        options = "".join(
            f", {name}={getattr(self, name)!r}" for name, usual in SHOWN.items() if getattr(self, name) != usual
        )
        return f"GWUNetwork([{inside}{bool(inside) * chr(10)}]{options})"
