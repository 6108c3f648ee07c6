"""Graphs of layers: which layer reads whose outputs, and the passes forward and backward through them.

Values are numbered: first the inputs of the graph, then the output of each node, in the order in which nodes run. A row
of layers is the graph in which each node reads the value before it:

    value 0 (input) -> node 0: Conv2D -> value 1 -> node 1: Flatten -> value 2 -> node 2: Dense -> value 3 (output)

Graphs do not change. Whatever rewrites one, such as the fusion of steps, makes another with `GraphBuilder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from gwucnn import ops
from gwucnn.layers.base import Array, Layer, Space
from gwucnn.layers.inserting import check_output
from gwucnn.memory import Pool

__all__ = ["OUTPUT", "Graph", "GraphBuilder", "Node"]

OUTPUT = -1  # among the readers of a value: the graph itself, which returns it


class Node(NamedTuple):
    """A layer and the values it reads. A layer that several nodes have in common is shared: so are its weights."""

    layer: Layer
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each reads only values before it.

    Attributes
    ----------
    inputs : int
        The number of inputs.
    nodes : tuple of Node
    outputs : tuple of int
        The values that the graph returns.
    """

    inputs: int
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    @classmethod
    def row(cls, layers: Sequence[Layer]) -> Graph:
        """Return the graph in which each layer reads the output of the layer before it."""
        return cls(1, tuple(Node(layer, (number,)) for number, layer in enumerate(layers)), (len(layers),))

    @property
    def steps(self) -> list[Layer]:
        """The layer of each node."""
        return [node.layer for node in self.nodes]

    def readers(self) -> list[list[int]]:
        """Return, for each value, the numbers of the nodes that read it, with OUTPUT for an output of the graph."""
        readers: list[list[int]] = [[] for _ in range(self.inputs + len(self.nodes))]
        for number, node in enumerate(self.nodes):
            for source in node.sources:
                readers[source].append(number)
        for output in self.outputs:
            readers[output].append(OUTPUT)
        return readers

    def chains(self, longest: int) -> Iterator[list[int]]:
        """Yield, for each node, it and those that follow it one by one: each is the only reader of the one before."""
        readers = self.readers()
        for start in range(len(self.nodes)):
            chain = [start]
            while len(chain) < longest:
                following = readers[self.inputs + chain[-1]]
                if len(following) != 1 or following[0] == OUTPUT or len(self.nodes[following[0]].sources) != 1:
                    break
                chain.append(following[0])
            yield chain

    def needs_gradient(self, *, inputs: bool = False) -> list[bool]:
        """Return, for each value, whether backward needs its gradient: those that depend on trainable weights.

        inputs : whether the gradients of the inputs are wanted, and therefore those of all values.
        """
        needs = [inputs] * self.inputs
        for layer, sources in self.nodes:
            needs.append(any(p.trainable for p in layer.parameters) or any(needs[source] for source in sources))
        return needs

    def accumulates(self) -> list[bool]:
        """Return, for each node, whether it has to add to gradients that start at zero, rather than overwrite them.

        Nodes that share weights do, as the gradient is the sum over all of them.
        """
        uses = Counter(id(parameter) for node in self.nodes for parameter in node.layer.parameters)
        return [
            not layer.overwrites_grads or any(uses[id(parameter)] > 1 for parameter in layer.parameters)
            for layer, _ in self.nodes
        ]

    def needs_dx(self, needs: Sequence[bool]) -> list[bool]:
        """Return, for each node, whether backward needs a gradient of what it reads; `needs` is by value."""
        return [any(needs[source] for source in node.sources) for node in self.nodes]

    def forward(self, inputs: Sequence[Array], spaces: Sequence[Space], pool: Pool | None = None) -> list[Array]:
        """Return all values, given the inputs.

        spaces : one for each node. pool : from which the spaces take memory; then only the outputs are valid afterwards
        in spaces without a backward pass.
        """
        pool = _Unpooled() if pool is None else pool
        pool.begin()
        values = list(inputs)
        unread = [len(readers) for readers in self._readers]
        for (layer, sources), space in zip(self.nodes, spaces, strict=True):
            x = values[sources[0]] if len(sources) == 1 else [values[source] for source in sources]
            y = layer.forward(x, space)
            if not layer.replayable:
                check_output(layer, y, space.dtype)
            values.append(y)
            pool.hold(y)
            pool.settle()
            for source in sources:
                unread[source] -= 1
                if not unread[source] and source >= self.inputs:
                    pool.drop(values[source])
        return values

    def backward(
        self,
        gradients: Sequence[Array],
        spaces: Sequence[Space],
        needs: Sequence[bool],
        pool: Pool | None = None,
    ) -> list[Array | None]:
        """Return the gradients of all values, None where they are not needed, given those of the outputs.

        A value with several readers has the sum of their gradients. spaces : those that `forward` just ran with.
        needs : from `needs_gradient`. pool : as for `forward`; then only the gradients of the inputs are valid
        afterwards.
        """
        pool = _Unpooled() if pool is None else pool
        pool.begin()
        found: list[Any] = [None] * (self.inputs + len(self.nodes))
        for place, (output, gradient) in enumerate(zip(self.outputs, gradients, strict=True)):
            if needs[output] and output < self.inputs:  # of a graph without nodes
                found[output] = gradient
            elif needs[output]:
                _accumulate(found, output, gradient, spaces[output - self.inputs], f"output {place}", pool)
        for number in reversed(range(len(self.nodes))):
            value = self.inputs + number
            if found[value] is None:
                continue
            (layer, sources), space = self.nodes[number], spaces[number]
            dx: Any = layer.backward(found[value], space)
            for place, source in enumerate(sources):
                if needs[source]:
                    _accumulate(found, source, dx if len(sources) == 1 else dx[place], space, f"reader {place}", pool)
            pool.drop(found[value])
            pool.settle()
        return found

    @cached_property
    def _readers(self) -> list[list[int]]:
        return self.readers()


def _accumulate(found: list[Any], value: int, gradient: Array, space: Space, name: str, pool: Pool) -> None:
    """Add to the gradient of a value. The sum has a buffer of its own: readers may have returned the same array."""
    before, total = found[value], gradient
    if before is not None:
        total = space.run(f"sum {name}", ops.add, before, gradient, out=space.array(f"dx sum {name}", gradient.shape))
    found[value] = total
    pool.hold(total)
    if before is not None:
        pool.drop(before)


class _Unpooled(Pool):
    """In place of a pool: nothing is taken from it."""

    def hold(self, array: Any) -> None:
        pass

    drop = hold


class GraphBuilder:
    """Appends nodes to a new graph."""

    def __init__(self, inputs: int = 1) -> None:
        self._inputs = inputs
        self._nodes: list[Node] = []

    def add(self, layer: Layer, sources: Sequence[int]) -> int:
        """Append a node; return the number of the value it computes."""
        self._nodes.append(Node(layer, tuple(sources)))
        return self._inputs + len(self._nodes) - 1

    def include(self, graph: Graph, sources: Sequence[int]) -> list[int]:
        """Append the nodes of a graph, which reads `sources`; return the numbers of its outputs here."""
        places = list(sources)
        for layer, read in graph.nodes:
            places.append(self.add(layer, [places[value] for value in read]))
        return [places[output] for output in graph.outputs]

    def graph(self, outputs: Sequence[int]) -> Graph:
        """Return the graph with these outputs."""
        return Graph(self._inputs, tuple(self._nodes), tuple(outputs))
