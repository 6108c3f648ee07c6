"""An ONNX model as a network of this package's layers, to be fine-tuned, inspected and served."""

from __future__ import annotations

from typing import Any

from gwucnn.common import ShapeError, set_inside
from gwucnn.gwu_network import GWUNetwork
from gwucnn.layers import Conv2D, Dense, Reshape
from gwucnn.layers.base import leaves
from gwucnn.onnx.assembly import Step, assembled
from gwucnn.onnx.attributes import Node, Unsupported, naming
from gwucnn.onnx.import_functions import READERS
from gwucnn.onnx.import_merges import MERGES, merged, split
from gwucnn.onnx.imported_tensor import ImportedTensor, NodeLayers, broadcast, image_layers
from gwucnn.onnx.reading import Graph, read

__all__ = ["KNOWN", "import_onnx"]

# Operators of ONNX; READERS also has patterns that stand for several of them.
KNOWN = {*READERS, *MERGES, "Split"} - {"ChannelShuffle", "SiLU"}


def import_onnx(model: Any, *, input_shape: Any = None) -> GWUNetwork:
    """Return the network that an ONNX model describes, built, with its weights.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Weights in other files are read from the folder of the model's file, and from nowhere else.
    input_shape : (C, H, W), (H, W, C) or (D,), optional
        Of one sample, in the model's order: the sizes that the model leaves open.

    Returns
    -------
    GWUNetwork
        With data_format='channels_first' if the input is (N, C, H, W), as most libraries write it, or is reshaped
        to that; 'channels_last' if the graph begins by transposing the channels. A row of layers if the model is one,
        otherwise connected layers, as `Input` makes them. Multiplication by a constant, or addition of one, becomes a
        frozen BatchNormalization. Weights in half precision become float32.

    Raises
    ------
    FormatError
        For a file that is damaged or no ONNX file, and for other files of weights that are missing, too short, links
        or outside of the model's folder.
    ValueError
        For what is not supported, naming the operator, the attribute and the node.

    Notes
    -----
    Supported are the operators of image classifiers; `python -m gwucnn.onnx MODEL` lists those of a file.

    Examples
    --------
    >>> import tempfile
    >>> from gwucnn import models
    >>> from gwucnn.onnx import export_onnx
    >>> network = models.lenet5(seed=0)
    >>> network.build((28, 28))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(network, f'{folder}/lenet.onnx')
    ...     again = import_onnx(f'{folder}/lenet.onnx')
    >>> again.count_params()
    61706
    """
    graph = read(model, input_shape)
    try:
        return _Import(graph).network()
    except Unsupported:
        if len(graph.sizes.get(graph.entrance, ())) != 2:
            raise
    # For an input of rows it is not known yet in which order the images are that they are reshaped to.
    return _Import(graph, first=True).network()


class _Import:
    """Traverses a graph from its input and maps each tensor to the network's."""

    def __init__(self, graph: Graph, first: bool = False) -> None:
        self.graph = graph
        self.steps: dict[str, Step] = {}
        self.weights: dict[int, list[Any]] = {}
        sizes = graph.sizes.get(graph.entrance, ())[1:]
        if len(sizes) not in (1, 3) or None in sizes:
            raise Unsupported(
                "import_onnx: expected an input (N, C, H, W) or (N, D) of a fixed size, got "
                f"{graph.sizes.get(graph.entrance)}; give input_shape for sizes that are open"
            )
        self.first = first or (len(sizes) == 3 and not self._begins_last())
        self.data_format = "channels_first" if self.first else "channels_last"
        layout = "rows" if len(sizes) == 1 else "first" if self.first else "last"
        self.tensors = {graph.entrance: ImportedTensor(graph.entrance, layout, sizes, self.first)}
        self.in_shape = sizes
        self._taken = [name for node in graph.nodes for name in node.inputs] + [graph.exit]

    def _begins_last(self) -> bool:
        """Return whether every node that takes the input moves the channels from the last axis."""
        takers = [node for node in self.graph.nodes if self.graph.entrance in node.inputs]
        return bool(takers) and all(
            node.kind == "Transpose" and tuple(node.get("perm", ())) == (0, 3, 1, 2) for node in takers
        )

    def network(self) -> GWUNetwork:
        """Return the network."""
        for node in self.graph.nodes:
            self._take(node)
        if self.graph.exit not in self.tensors:
            raise Unsupported("import_onnx: expected an output that depends on the input, got a constant")
        out = self.tensors[self.graph.exit]
        if out.layout == "pixel" and (self.first or len(out.sizes) == 2):
            # No name of a tensor: ONNX's are not empty.
            self._put("", out, NodeLayers([Reshape(out.sizes)], "first"), out.sizes)
            out = self.tensors[""]
        elif out.layout == "pixel":
            raise Unsupported(f"import_onnx: expected an output of rows or images, got {out.sizes}")
        elif out.layout in ("first", "last") and (out.layout == "first") != self.first:
            raise Unsupported("import_onnx: expected images to go out in the order in which they go in")
        return self._built(out.value)

    def _built(self, target: str) -> GWUNetwork:
        options = {"data_format": self.data_format, "precision": str(self.graph.dtype)}
        try:
            network = assembled(self.steps, self.graph.entrance, target, self.in_shape, options)
            inner = [leaf for layer in network.layers for leaf in leaves(layer)]
            weights = [array for layer in inner for array in self.weights.get(id(layer), [])]
            network._build_with("set_weights", self.in_shape, weights)
        except ShapeError as error:
            raise Unsupported(f"import_onnx: expected layers that fit each other, got others: {error}") from None
        network._range.trained = self.graph.trained_on
        return network

    def _take(self, node: Node) -> None:
        """Add the layers of a node."""
        given, constants = self._inputs(node)
        if node.kind in MERGES and len(node.inputs) == 1:
            self.tensors[node.outputs[0]] = given[0]
        elif node.kind in MERGES and len(given) > 1:
            self._merge(node, given, constants)
        elif node.kind == "Split":
            for name, made in zip(node.outputs, split(node, given[0], constants, self.graph.sizes), strict=False):
                self._put(name, given[0], made, self._sizes(node, name))
        elif len(given) > 1:
            raise node.refuse("one tensor that is computed and constants, got two,")
        elif node.kind == "Concat":
            raise node.refuse("tensors that are computed, got constants,")
        elif node.kind == "Sum" and len(node.inputs) > 2:
            raise node.refuse("a sum of two, got one of more with constants,")
        elif not self._as_bias(node, given[0], constants):
            with naming(node):
                made = READERS[node.kind](node, given[0], constants, self.graph.sizes.get(node.outputs[0]))
            self._put(node.outputs[0], given[0], made, self._sizes(node, node.outputs[0]))

    def _inputs(self, node: Node) -> tuple[list[ImportedTensor], dict[int, Any]]:
        """Return a node's inputs, computed tensors and constants; raise an error if it is not supported."""
        if node.kind not in READERS and node.kind not in KNOWN:
            raise Unsupported(
                f"import_onnx: expected a supported operator, got {node.kind} in node {node.name!r}; gwucnn.onnx."
                "backend may run the model, and python -m gwucnn.onnx lists its operators"
            )
        numbers, seen = self.graph.constants, self.tensors
        unknown = [name for name in node.inputs if name and name not in seen and name not in numbers]
        given = [seen[name] for name in node.inputs if name in seen]
        if unknown or not given:
            raise node.refuse(f"inputs that are first outputs of nodes before it, got {unknown or 'none'}")
        if node.kind not in MERGES and node.inputs[0] not in seen:
            raise node.refuse("a first input that is computed, got a constant")
        return given, {place: numbers[name] for place, name in enumerate(node.inputs) if name in numbers}

    def _as_bias(self, node: Node, x: ImportedTensor, constants: dict[int, Any]) -> bool:
        """Make an added constant the bias of the layer before it, and return whether that is possible."""
        step = self.steps.get(x.value)
        layer = step.layers[-1] if step is not None and step.layers else None
        fits = node.kind == "Add" and isinstance(layer, (Conv2D, Dense)) and not layer.add_bias
        fits = fits and sum(n in self.tensors and self.tensors[n].value == x.value for n in self._taken) == 1
        if fits:
            set_inside(layer, add_bias=True)
            self.weights[id(layer)].append(broadcast(node, x, *constants.values()))
            self.tensors[node.outputs[0]] = x
        return fits

    def _put(self, name: str, x: ImportedTensor, made: NodeLayers, sizes: tuple[int, ...]) -> None:
        value = x.value
        if made.layers:
            value = name
            self.steps[value] = Step([x.value], made.layers)
            for layer, arrays in zip(made.layers, made.weights, strict=False):
                self.weights[id(layer)] = arrays
        self.tensors[name] = ImportedTensor(value, made.layout, sizes, self.first)

    def _sizes(self, node: Node, name: str) -> tuple[int, ...]:
        sizes = self.graph.sizes.get(name)
        if sizes is None or None in sizes[1:]:
            raise node.refuse("an output of a size that is known beforehand, got another")
        return sizes[1:]

    def _merge(self, node: Node, given: list[ImportedTensor], constants: dict[int, Any]) -> None:
        if constants:
            raise node.refuse("tensors that are computed, got constants among them,")
        if len({x.layout for x in given}) > 1:
            given = [self._as_image(node, x, number) for number, x in enumerate(given)]
        layers, layout = merged(node, given)
        name, sizes = node.outputs[0], self._sizes(node, node.outputs[0])
        value = given[0].value
        if len(layers) == 1:
            self.steps[name] = Step([x.value for x in given], layers)
        else:  # one layer for each two
            for number, (layer, x) in enumerate(zip(layers, given[1:], strict=True), 2):
                result = name if number == len(given) else f"{name} of {number}"
                self.steps[result] = Step([value, x.value], [layer])
                value = result
        self.tensors[name] = ImportedTensor(name, layout, sizes, self.first)

    def _as_image(self, node: Node, x: ImportedTensor, place: int) -> ImportedTensor:
        """Return a pixel (N, C, 1, 1), stored as rows, as an image; other tensors as they are."""
        if x.layout != "pixel":
            return x
        name = f"{node.outputs[0]} input {place}"
        self._put(name, x, NodeLayers(image_layers(node, x), "first"), x.sizes)
        return self.tensors[name]
