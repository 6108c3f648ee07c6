"""The layers of a network that was made from its inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gwucnn.common import set_inside
from gwucnn.layers import Layer
from gwucnn.layers.graphs.graph import Graph, GraphBuilder
from gwucnn.layers.graphs.tensor import Tensor
from gwucnn.network.layer_row import LayerRow

__all__ = ["LayerGraph", "is_tensors"]


def is_tensors(given: Any) -> bool:
    """Whether this is a Tensor, or a list of them."""
    several = given if isinstance(given, (list, tuple)) else [given]
    return bool(several) and all(isinstance(tensor, Tensor) for tensor in several)


def graph_of(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[Graph, list[Tensor]]:
    """Return the graph that computes the outputs from the inputs, and the tensor that each node computes.

    Nodes are in the order of the calls.

    Raises ValueError if the outputs need other inputs, or do not need all of these.
    """
    needed: dict[int, Tensor] = {}
    waiting = list(outputs)
    while waiting:
        tensor = waiting.pop()
        if tensor.number not in needed:
            needed[tensor.number] = tensor
            if not any(tensor is given for given in inputs):
                waiting += tensor.sources
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
        if len(self.inputs) > 1 or len(self.outputs) > 1:
            raise ValueError(
                f"GWUNetwork: expected one input and one output, got {len(self.inputs)} and {len(self.outputs)}; "
                "concatenate the arrays, or make a network for each output: they may share layers"
            )
        if self.inputs[0].channels_first != channels_first:
            wanted = "channels_first" if self.inputs[0].channels_first else "channels_last"
            raise ValueError(
                f"GWUNetwork: expected the data_format of its inputs, got another; write data_format={wanted!r}"
            )
        self._graph, self._tensors = graph_of(*several)
        self.layers = list({id(layer): layer for layer in self._graph.steps}.values())
        if not self.layers:
            raise ValueError("GWUNetwork: expected outputs of layers, got its inputs; call a layer on them")
        for number, layer in enumerate(self.layers):
            if "." not in layer.label:  # one that belongs to another network too keeps its label
                set_inside(layer, label=f"{number}.{type(layer).__name__}")
        self.shapes = [layer.out_shape for layer in self.layers]
        self.in_shape = self.inputs[0].sample_shape

    @property
    def graph(self) -> Graph:
        return self._graph

    @property
    def last(self) -> Layer:
        return self._graph.nodes[self._graph.outputs[0] - self._graph.inputs].layer

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

    def ends(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        if start:
            raise ValueError(
                "network[...]: expected a part from the input on, of a network that was made of inputs and outputs, "
                f"got one from layer {start} on; write network[:{stop}]"
            )
        layer = self.layers[stop - 1]
        return self.inputs[0], next(tensor for tensor in reversed(self._tensors) if tensor.layer is layer)

    def pop(self) -> Layer:
        raise ValueError("pop: expected a network that is a row of layers, got connected ones; write network[:-1]")

    def add(self, layer: Layer) -> None:
        raise ValueError(
            f"add: expected a network that is a row of layers, got one made of inputs and outputs; call {layer!r} on "
            "its output, and make a network of that"
        )
