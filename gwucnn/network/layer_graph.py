"""The layers of a network that was made from its inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gwucnn.common import ShapeError, only, set_inside
from gwucnn.layers import Layer
from gwucnn.layers.graphs.graph import Graph, GraphBuilder
from gwucnn.layers.graphs.tensor import Tensor
from gwucnn.loss_functions import JointLoss
from gwucnn.network.ends import by_order, input_names, output_names
from gwucnn.network.layer_row import LayerRow

__all__ = ["LayerGraph", "is_tensors"]


def is_tensors(given: Any) -> bool:
    """Whether this is a Tensor, or a list of them."""
    several = given if isinstance(given, (list, tuple)) else [given]
    return bool(several) and all(isinstance(tensor, Tensor) for tensor in several)


def _needed_for(outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> dict[int, Tensor]:
    """Return the tensors that the outputs follow from, as far as the inputs, by their numbers."""
    needed: dict[int, Tensor] = {}
    waiting = list(outputs)
    while waiting:
        tensor = waiting.pop()
        if tensor.number not in needed:
            needed[tensor.number] = tensor
            if not any(tensor is given for given in inputs):
                waiting += tensor.sources
    return needed


def graph_of(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[Graph, list[Tensor]]:
    """Return the graph that computes the outputs from the inputs, and the tensor that each node computes.

    Nodes are in the order of the calls.

    Raises ValueError if the outputs need other inputs, or do not need all of these.
    """
    needed = _needed_for(outputs, inputs)
    places = {tensor.number: place for place, tensor in enumerate(inputs)}
    builder = GraphBuilder(len(inputs))
    computed = [needed[number] for number in sorted(needed.keys() - places.keys())]
    for tensor in computed:
        if tensor.layer is None:
            raise ValueError(
                f"GWUNetwork: expected outputs that follow from the inputs, got one that needs {tensor!r} too; give it "
                "among the inputs"
            )
        places[tensor.number] = builder.add(tensor.layer, [places[source.number] for source in tensor.sources])
    for tensor in inputs:
        if tensor.number not in needed:
            raise ValueError(f"GWUNetwork: expected inputs that the outputs need, got {tensor!r} besides; leave it out")
    return builder.graph([places[tensor.number] for tensor in outputs]), computed


class LayerGraph(LayerRow):
    """Layers connected by the user, all of them built."""

    def __init__(self, inputs: Any, outputs: Any, channels_first: bool) -> None:
        super().__init__(channels_first)
        if not is_tensors(inputs) or not is_tensors(outputs):
            raise TypeError(
                f"GWUNetwork: expected inputs from Input(shape) and outputs of layers, got {inputs!r} and {outputs!r}; "
                "write x = Input((28, 28)), y = Flatten()(x), GWUNetwork(inputs=x, outputs=y)"
            )
        several = [list(given) if isinstance(given, (list, tuple)) else [given] for given in (inputs, outputs)]
        self.inputs, self.outputs = several
        self.joint = len(self.inputs) > 1 or len(self.outputs) > 1
        if self.inputs[0].channels_first != channels_first:
            wanted = "channels_first" if self.inputs[0].channels_first else "channels_last"
            raise ValueError(
                f"GWUNetwork: expected the data_format of its inputs, got another; write data_format={wanted!r}"
            )
        self._graph, self._tensors = graph_of(*several)
        self.layers = list({id(layer): layer for layer in self._graph.steps}.values())
        if not all(tensor.layer for tensor in self.outputs):
            raise ValueError("GWUNetwork: expected outputs of layers, got its inputs; call a layer on them")
        for number, layer in enumerate(self.layers):
            if "." not in layer.label:  # one that belongs to another network too keeps its label
                set_inside(layer, label=f"{number}.{type(layer).__name__}")
        self.shapes = [layer.out_shape for layer in self.layers]
        self.in_shapes, self.out_shapes = ([tensor.sample_shape for tensor in ends] for ends in several)
        self.in_shape: Any = only(self.in_shapes)
        self._input_names = input_names(self.inputs)
        self._output_names = output_names(self.outputs, self.layers)

    @property
    def graph(self) -> Graph:
        return self._graph

    @property
    def last(self) -> Layer:
        return self._layer_of(self._graph.outputs[0])

    def _layer_of(self, output: int) -> Layer:
        return self._graph.nodes[output - self._graph.inputs].layer

    @property
    def input_names(self) -> list[str]:
        return self._input_names

    @property
    def output_names(self) -> list[str]:
        return self._output_names

    @property
    def out_shape(self) -> Any:
        """The shape of one output, or the tuple of the shapes of several."""
        return only(self.out_shapes)

    def start(self, shape: Any) -> None:
        if len(self.inputs) == 1:
            super().start(shape)
        elif shape != self.in_shape:
            raise ShapeError(f"GWUNetwork: expected inputs of the shapes {self.in_shape}, got {shape}; give such")

    def from_user(self, input_shape: Any) -> Any:
        if len(self.inputs) == 1:
            return super().from_user(input_shape)
        given = by_order("build", "input_shape", "input", input_shape, self.input_names)
        shapes = tuple(LayerRow.from_user(self, shape) for shape in given)
        if shapes != self.in_shape:
            known = [self.in_user_order(shape) for shape in self.in_shapes]
            raise ShapeError(f"build: expected the shapes of the inputs, {known}, got {input_shape}; leave build out")
        return shapes

    def check_loss(self, loss: Any) -> None:
        losses = loss.losses if isinstance(loss, JointLoss) else [loss]
        for one, output, shape in zip(losses, self._graph.outputs, self.out_shapes, strict=True):
            self._check_loss(one, replace(self._graph, outputs=(output,)), self._layer_of(output), shape)

    def reads(self) -> list[str]:
        """Return the numbers of the layers whose outputs each layer reads; '; ' separates its calls if it is shared."""
        numbers = {id(layer): number for number, layer in enumerate(self.layers)}
        made_by = ["input"] * self._graph.inputs + [str(numbers[id(layer)]) for layer in self._graph.steps]
        calls: list[list[str]] = [[] for _ in self.layers]
        for layer, sources in self._graph.nodes:
            calls[numbers[id(layer)]].append(", ".join(made_by[source] for source in sources))
        return ["; ".join(each) for each in calls]

    def description(self) -> dict[str, Any]:
        numbers = {id(layer): number for number, layer in enumerate(self.layers)}
        return {
            "inputs": [{"shape": list(tensor.sample_shape), "name": tensor.name} for tensor in self.inputs],
            "nodes": [[numbers[id(node.layer)], list(node.sources)] for node in self._graph.nodes],
            "outputs": list(self._graph.outputs),
        }

    def ends(self, start: int, stop: int) -> tuple[list[Tensor], Tensor]:
        if start:
            raise ValueError(
                "network[...]: expected a part from the input on, of a network that was made of inputs and outputs, "
                f"got one from layer {start} on; write network[:{stop}]"
            )
        layer = self.layers[stop - 1]
        output = next(tensor for tensor in reversed(self._tensors) if tensor.layer is layer)
        needed = _needed_for([output], self.inputs)
        return [tensor for tensor in self.inputs if tensor.number in needed], output

    def pop(self) -> Layer:
        raise ValueError("pop: expected a network that is a row of layers, got connected ones; write network[:-1]")

    def add(self, layer: Layer) -> None:
        raise ValueError(
            f"add: expected a network that is a row of layers, got one made of inputs and outputs; call {layer!r} on "
            "its output, and make a network of that"
        )
