"""The base of `GWUNetwork`: layers, their weights, and what can be computed without training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gwucnn.common import (
    ChecksArguments,
    NotBuiltError,
    check_flag,
    check_size,
    checks_arguments,
    did_you_mean,
    each,
    look_up,
)
from gwucnn.data import Batches, as_images, inputs_of, is_stream, sample_shape
from gwucnn.engine import Engine, TrainingConfig, layer_outputs, score_gradients
from gwucnn.layers import Layer
from gwucnn.layers.inserting import Layers
from gwucnn.memory import Parameter, Randomness, Space, assign
from gwucnn.network.joint_data import joint_inputs
from gwucnn.network.layer_graph import LayerGraph, is_tensors
from gwucnn.network.layer_row import LayerRow
from gwucnn.network.range_check import RangeCheck
from gwucnn.network.summary import summary, summary_html

__all__ = ["NetworkBase"]


# Options that change the meaning of sizes or the dtype of weights, with the defaults that repr leaves out.
SHOWN_OPTIONS = {"data_format": "channels_last", "precision": "float32"}

# Those that a network of the same layers has too.
SHARED_OPTIONS = ("data_format", "precision", "seed", "fuse", "winograd")


class NetworkBase(ChecksArguments):
    """Layers that are built as soon as their shapes are known, for inference. `GWUNetwork` adds the training."""

    _assignable = ("trainable",)

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        *,
        data_format: str = "channels_last",
        precision: str = "float32",
        seed: int | None = None,
        fuse: bool = True,
        winograd: bool = True,
        inputs: Any = None,
        outputs: Any = None,
    ) -> None:
        formats = {"channels_last": False, "channels_first": True}
        self._channels_first = look_up("GWUNetwork", "data_format", data_format, formats)
        self.data_format = data_format
        self._dtype = look_up("GWUNetwork", "precision", precision, {"float32": np.float32, "float64": np.float64})
        self.precision = precision
        self.seed = None if seed is None else check_size("GWUNetwork", "seed", seed, 0)
        self.fuse = check_flag("GWUNetwork", "fuse", fuse)
        self.winograd = check_flag("GWUNetwork", "winograd", winograd)
        if is_tensors(layers):
            raise TypeError("GWUNetwork: expected a list of layers, got Tensors; write inputs=..., outputs=...")
        if inputs is None and outputs is None:
            self._layer_row = LayerRow(self._channels_first)
        else:
            self._layer_row = LayerGraph(inputs, outputs, self._channels_first)
        self._engine: Engine | None = None
        self._compiled: TrainingConfig | None = None
        self._generator: Any = None
        self._randomness = Randomness(self._key)
        self._range = RangeCheck()  # of the inputs of training, with which later ones are compared
        self._warned: set[str] = set()  # kinds of warnings that were given: each is given once
        if isinstance(layers, (str, dict)) or not isinstance(layers, Iterable):
            raise TypeError(f"GWUNetwork: expected a list of layers, got {layers!r}; write GWUNetwork([...])")
        for layer in layers:
            self.add(layer)

    # ---------------------------------------------------------------- building

    @property
    def layers(self) -> Layers:
        """The layers in the order in which they were added. A tuple: use `add` to append to it."""
        return Layers(self._layer_row.layers)

    @checks_arguments
    def add(self, layer: Layer) -> None:
        """Append a layer; or a network, which is a row of layers, as a whole. It shares its layers with this one.

        Raises TypeError for anything but a layer, ValueError for a layer that already belongs to a network, ShapeError
        if the shape of its input is known and does not fit.
        """
        if isinstance(layer, NetworkBase):
            for name in ("data_format", "precision"):
                if getattr(layer, name) != getattr(self, name):
                    raise ValueError(
                        f"add: expected a network of {name} {getattr(self, name)!r}, got {getattr(layer, name)!r}; "
                        "networks that share layers have them in common"
                    )
            self._layer_row.include(layer._layer_row)
        else:
            self._layer_row.add(layer)
        self._engine = None

    @checks_arguments
    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Create the weights for inputs of shape (H, W), (H, W, C) or D, with or without a leading None.

        `fit` and `predict` call it if necessary. Raises ShapeError if the layers do not fit such inputs.
        """
        self._build(self._layer_row.from_user(input_shape))

    def _build(self, shape: tuple[int, ...]) -> Engine:
        """Return the engine for samples of this shape (channels last); create it if there is none."""
        row = self._layer_row
        row.start(shape)
        if self._engine is None:
            if self._compiled is not None:
                row.check_loss(self._compiled.loss)
            for parameter in self.parameters:
                if parameter.constant is not None and parameter.constant.dtype != self._dtype:
                    raise ValueError(
                        f"GWUNetwork: expected layers of precision {self.precision!r}, got {parameter.constant.dtype} "
                        f"in {parameter.name}; networks that share layers have their precision in common"
                    )
                if parameter.constant is None:
                    # Filled before it is assigned, so that Ctrl-C in between cannot leave uninitialized weights behind.
                    value = np.empty(parameter.shape, self._dtype)
                    parameter.initializer(value, self._rng)
                    parameter.value = value
            engine = Engine(
                self.layers,
                row.graph,
                row.out_shape,
                self._dtype,
                fuse=self.fuse,
                winograd=self.winograd,
                randomness=self._randomness,
            )
            if self._compiled is not None:
                engine.compile(self._compiled)
            self._engine = engine
        return self._engine

    def _build_with(self, caller: str, shape: Any, weights: Sequence[Any]) -> None:
        """Build a new network for inputs of this shape, in the user's order, with these weights: none are drawn."""
        shape = self._layer_row.from_user(shape)
        self._layer_row.start(shape)
        assign(caller, self.parameters, weights, self._dtype)
        self._build(shape)

    @property
    def _rng(self) -> Any:
        if self._generator is None:
            seed = np.random.randint(2**32, size=4, dtype=np.uint32) if self.seed is None else self.seed
            self._generator = np.random.default_rng(seed)
        return self._generator

    def _key(self) -> int:
        """Return the key of the layers' random numbers: derived from the seed, without drawing from the generator."""
        seed = self._rng.bit_generator.seed_seq
        child = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 1))
        return int(child.generate_state(1, np.uint64)[0])

    # ---------------------------------------------------------------- inference

    @checks_arguments
    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """Return the outputs for images (N, H, W) or (N, H, W, C), or features (N, D), in a new array.

        x may also be an object that returns batches, as for `fit`. With several inputs it is a list of arrays, or a
        dict by name, as is each batch; with several outputs a list of arrays is returned, in their order. Several
        threads may predict with one network at the same time. NaN in an image makes only the outputs for that image
        NaN.
        It warns, once, if the range of x is not that of the data trained on, such as 0..255 instead of 0..1.
        """
        batch_size = check_size("predict", "batch_size", batch_size)
        if is_stream(x) and not isinstance(x, list):  # a list of tuples holds samples, one tuple of features each
            parts = [self.predict(part, batch_size) for part in inputs_of(x, "predict")]
            if len(self._layer_row.output_names) > 1:
                return [np.concatenate(output) for output in zip(*parts, strict=True)]
            return np.concatenate(parts)
        if self._layer_row.joint:
            return self._predict_joint(x, batch_size)
        x = as_images("predict", x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        self._range.check("predict", x)
        return self._in_user_order(engine.predict(Batches(x, data_format=self.data_format), batch_size))

    def _predict_joint(self, x: Any, batch_size: int) -> Any:
        """Return the output, or the list of outputs, of a network with several inputs or outputs."""
        samples = joint_inputs("predict", self._layer_row, x, self.data_format)
        outputs = self._build(self._layer_row.in_shape or ()).predict(samples, batch_size)
        several = [self._in_user_order(output) for output in each(outputs)]
        return several if len(several) > 1 else several[0]

    @checks_arguments
    def activations(self, x: Any, layers: Any = None) -> Any:
        """Return the output of each layer for x, as in `predict`: a list of arrays, channels in the network's order.

        Connected layers that are called several times have one for each call.

        Parameters
        ----------
        x : images (N, H, W) or (N, H, W, C), or features (N, D); several as for `fit`
        layers : int, str, Layer or list of these, optional
            For which layers, by number, by name or label as for `get_layer`, or the layers themselves; of a layer that
            is called several times the last call. For one layer the result is one array. What the others compute takes
            no memory beyond the next layers that read it.

        Raises
        ------
        ValueError
            If there is no such layer in the network.
        """
        x, graph = self._inputs("activations", x), self._layer_row.graph
        if layers is None:
            return [self._in_user_order(a) for a in layer_outputs(graph, x)]
        several = isinstance(layers, (list, tuple))
        numbers = [self._node_of(layer) for layer in (layers if several else [layers])]
        outputs = [self._in_user_order(a) for a in layer_outputs(graph, x, numbers)]
        return outputs if several else outputs[0]

    def _node_of(self, which: Any) -> int:
        """Return the number of the node that calls this layer last."""
        layers = self.layers
        if isinstance(which, int) and not isinstance(which, bool) and -len(layers) <= which < len(layers):
            layer: Any = layers[which]
        else:
            layer = next((one for one in layers if one is which or which in (one.name, one.label)), None)
        steps = self._layer_row.graph.steps
        for number in reversed(range(len(steps))):
            if steps[number] is layer:
                return number
        names = [name for one in layers for name in (one.name, one.label) if name]
        raise ValueError(
            f"activations: expected layers of this network, by number from 0 to {len(layers) - 1}, by name or label, "
            f"got {which!r}{did_you_mean(str(which), names)}"
        )

    @checks_arguments
    def gradients(self, x: Any, labels: Any = None) -> tuple[list[Any], list[Any]]:
        """Return x and the output of each layer, and the gradients of class scores with respect to all of them.

        The basis of saliency maps and Grad-CAM; see `gwucnn.plotting`. It overwrites the `grad` of the parameters, so
        do not call it while another thread trains the network.

        Parameters
        ----------
        x : images (N, H, W) or (N, H, W, C), or features (N, D)
            For several inputs a list of arrays, or a dict by name; `values` then begins with all of them.
        labels : int or int array of shape (N,), optional
            The class of each sample whose score is differentiated; by default the class with the largest score. Of
            several outputs, the first one has the scores. The
            score is the input of the final activation, which would flatten the gradient. A single output stands for
            two classes.

        Returns
        -------
        values : list of array
            x in the network's dtype, then the output of each layer, channels in the network's order.
        gradients : list of array
            The gradient of the score with respect to each of these arrays, of the same shapes, in inference mode.

        Raises
        ------
        ValueError
            For labels without an output in the network.
        """
        x = self._inputs("gradients", x)
        values, gradients = score_gradients(self._layer_row.graph, x, labels)
        return [self._in_user_order(a) for a in values], [self._in_user_order(a) for a in gradients]

    def _inputs(self, caller: str, x: Any) -> Any:
        """Return x checked, channels last, in the network's dtype and in memory of its own; build if need be.

        A tuple of arrays for several inputs.
        """
        if self._layer_row.joint:
            samples = joint_inputs(caller, self._layer_row, x, self.data_format)
            return samples.inputs(slice(None), Space(self._build(self._layer_row.in_shape or ()).dtype))
        x = as_images(caller, x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        return Batches(x, data_format=self.data_format).inputs(slice(None), Space(engine.dtype))

    def _in_user_order(self, outputs: Any) -> Any:
        """Return the outputs of a layer with the axes in the network's order."""
        images = self._channels_first and outputs.ndim == 4
        return np.ascontiguousarray(outputs.transpose(0, 3, 1, 2)) if images else outputs

    # ---------------------------------------------------------------- weights

    @property
    def trainable(self) -> bool:
        """Whether training updates any layer; setting it sets all layers. It takes effect at the next step."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = check_flag("GWUNetwork", "trainable", value)
        for layer in self.layers:
            layer.trainable = value

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
        """Set all weights from a list as `get_weights`, also Keras' own, returns it; none if one does not fit.

        Running statistics among them count as averages over many batches: see BatchNormalization.
        """
        assign("set_weights", self._require_weights("set_weights"), weights)

    def count_params(self) -> int:
        """Return the total number of weights."""
        return sum(parameter.size for parameter in self._require_weights("count_params"))

    @checks_arguments
    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table of the layers: output shape, number of weights, work and memory for one image.

        Work is counted in multiply-adds. Memory assumes that each layer keeps its output, which fused layers do not;
        training needs more, for the gradients.
        """
        print_fn(summary(*self._for_summary()))

    def _repr_html_(self) -> str:
        """Return the summary as a table, for notebooks."""
        return summary_html(*self._for_summary())

    def _for_summary(self) -> tuple[Sequence[Layer], int, int, bool, list[str] | None]:
        row = self._layer_row
        return self.layers, len(row.shapes), np.dtype(self._dtype).itemsize, self._channels_first, row.reads()

    def __repr__(self) -> str:
        inside = "".join(f"\n    {layer!r}," for layer in self.layers)
        options = "".join(
            f", {name}={getattr(self, name)!r}" for name, usual in SHOWN_OPTIONS.items() if getattr(self, name) != usual
        )
        return f"GWUNetwork([{inside}{bool(inside) * chr(10)}]{options})"
