"""An ONNX model as a network of this package's layers, to be fine-tuned, inspected and served."""

from __future__ import annotations

from typing import Any

from gwucnn.activation_layers import Activation
from gwucnn.common import ShapeError, set_inside
from gwucnn.gwu_network import GWUNetwork
from gwucnn.layers import Conv2D, Dense, Layer, Reshape
from gwucnn.layers.base import leaves
from gwucnn.onnx.attributes import Node, Unsupported, naming
from gwucnn.onnx.blocks import Step, in_a_row
from gwucnn.onnx.import_functions import READERS
from gwucnn.onnx.imported_tensor import ImportedTensor, NodeLayers, broadcast
from gwucnn.onnx.reading import Graph, read

__all__ = ["import_onnx"]

# Operators of ONNX; READERS also has patterns that stand for several of them.
KNOWN = {*READERS, "Concat"} - {"ChannelShuffle", "SiLU"}

# Operators that accept constants as any of their inputs.
ANY_PLACE = frozenset({"Add", "Concat", "Div", "Mul", "Sub", "Sum"})


def import_onnx(path: Any) -> GWUNetwork:
    """Return the network that an ONNX file describes, built, with its weights.

    Parameters
    ----------
    path : path
        Of a file that contains all its weights; external files that it names are never opened.

    Returns
    -------
    GWUNetwork
        With data_format='channels_first' if the input is (N, C, H, W), as most libraries write it, or is reshaped
        to that; 'channels_last' if the graph begins by transposing the channels. Sums become Residual layers,
        concatenations Concatenate layers. Multiplication by a constant, or addition of one, becomes a frozen
        BatchNormalization.

    Raises
    ------
    FormatError
        For a file that is damaged or no ONNX file.
    ValueError
        For what is not supported, naming the operator, the attribute and the node.

    Notes
    -----
    Supported are the operators of image classifiers, with images of a fixed size. Branches may be nested, but not
    cross.

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
    graph = read(path)
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
        self.concats: dict[tuple[str, ...], str] = {}
        sizes = graph.sizes.get(graph.entrance, ())[1:]
        if len(sizes) not in (1, 3) or None in sizes:
            raise Unsupported(
                "import_onnx: expected an input (N, C, H, W) or (N, D) of a fixed size, got "
                f"{graph.sizes.get(graph.entrance)}"
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
        row = in_a_row(self.steps, self.graph.entrance, out.value)
        if out.layout == "pixel" and (self.first or len(out.sizes) == 2):
            row.append(Reshape(out.sizes))
        elif out.layout == "pixel":
            raise Unsupported(f"import_onnx: expected an output of rows or images, got {out.sizes}")
        elif out.layout in ("first", "last") and (out.layout == "first") != self.first:
            raise Unsupported("import_onnx: expected images to go out in the order in which they go in")
        return self._built(row or [Activation(None)])

    def _built(self, row: list[Layer]) -> GWUNetwork:
        network = GWUNetwork(row, data_format=self.data_format, precision=str(self.graph.dtype))
        inner = [leaf for layer in row for leaf in leaves(layer)]
        weights = [array for layer in inner for array in self.weights.get(id(layer), [])]
        try:
            network._build_with("set_weights", self.in_shape, weights)
        except ShapeError as error:
            raise Unsupported(f"import_onnx: expected layers that fit each other, got others: {error}") from None
        network._range.trained = self.graph.trained_on
        return network

    def _take(self, node: Node) -> None:
        """Add the layers of a node."""
        given, constants = self._inputs(node)
        if node.kind in ("Concat", "Sum") and len(node.inputs) == 1:
            self.tensors[node.outputs[0]] = given[0]
        elif node.kind == "Concat" or (node.kind in ("Add", "Sum") and len(given) > 1):
            self._join(node, given, bool(constants))
        elif len(given) > 1:
            raise node.refuse("one tensor that is computed and constants, got two,")
        elif node.kind == "Sum" and len(node.inputs) > 2:
            raise node.refuse("a sum of two, got one of more with constants,")
        elif not self._as_bias(node, given[0], constants):
            with naming(node):
                made = READERS[node.kind](node, given[0], constants, self.graph.sizes.get(node.outputs[0]))
            self._put(node, given[0], made)

    def _inputs(self, node: Node) -> tuple[list[ImportedTensor], dict[int, Any]]:
        """Return a node's inputs, computed tensors and constants; raise an error if it is not supported."""
        if node.kind not in READERS and node.kind not in KNOWN:
            raise Unsupported(
                f"import_onnx: expected a supported operator, got {node.kind} in node {node.name!r}; supported are "
                f"{', '.join(sorted(KNOWN))}"
            )
        numbers, seen = self.graph.constants, self.tensors
        unknown = [name for name in node.inputs if name and name not in seen and name not in numbers]
        given = [seen[name] for name in node.inputs if name in seen]
        if unknown or not given:
            raise node.refuse(f"inputs that are first outputs of nodes before it, got {unknown or 'none'}")
        if node.kind not in ANY_PLACE and node.inputs[0] not in seen:
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

    def _put(self, node: Node, x: ImportedTensor, made: NodeLayers) -> None:
        value, name = x.value, node.outputs[0]
        if made.layers:
            value = name
            self.steps[value] = Step([x.value], made.layers, "", node.name)
            for layer, arrays in zip(made.layers, made.weights, strict=False):
                self.weights[id(layer)] = arrays
        self.tensors[name] = ImportedTensor(value, made.layout, self._sizes(node, x, made), self.first)

    def _sizes(self, node: Node, x: ImportedTensor, made: NodeLayers) -> tuple[int, ...]:
        sizes = self.graph.sizes.get(node.outputs[0])
        if sizes is None or None in sizes[1:]:
            raise node.refuse("an output of a size that is known beforehand, got another")
        return sizes[1:]

    def _join(self, node: Node, given: list[ImportedTensor], with_constants: bool) -> None:
        layouts = {x.layout for x in given}
        if with_constants or len(layouts) > 1:
            raise node.refuse("tensors of one layout and no constants, got others,")
        (layout,) = layouts
        axes = len(given[0].sizes) + 1
        if node.kind == "Concat":
            wanted = axes - 1 if layout in ("last", "rows") else 1
            if node.get("axis", 1) % axes != wanted:
                raise node.refuse(f"axis={wanted}, that of the channels, got {node.get('axis')}")
        elif len({x.sizes for x in given}) > 1:
            raise node.refuse(f"tensors of one shape, got {' and '.join(str(x.sizes) for x in given)},")
        values = [x.value for x in given]
        value = self._concat(node, values) if node.kind == "Concat" else self._sum(node, values)
        made = NodeLayers([], layout)
        self.tensors[node.outputs[0]] = ImportedTensor(value, layout, self._sizes(node, given[0], made), self.first)

    def _sum(self, node: Node, values: list[str]) -> str:
        """Add any number of values, one Add for each two."""
        total = values[0]
        for number, value in enumerate(values[1:], 2):
            name = node.outputs[0] if number == len(values) else f"{node.outputs[0]} of {number}"
            self.steps[name] = Step([total, value], [], "Add", node.name)
            total = name
        return total

    def _concat(self, node: Node, values: list[str]) -> str:
        """Concatenate values; earlier concatenations, as in a DenseNet, are kept as one value."""
        for length in range(len(values) - 1, 1, -1):
            before = self.concats.get(tuple(values[:length]))
            if before is not None:
                self.steps[node.outputs[0]] = Step([before, *values[length:]], [], "Concat", node.name)
                break
        else:
            self.steps[node.outputs[0]] = Step(values, [], "Concat", node.name)
        self.concats[tuple(values)] = node.outputs[0]
        return node.outputs[0]
