"""Checks on a network's final activation: softmax or sigmoid must be applied exactly once.

Softmax of softmax is nearly the same for every class. A network with two of them trains badly, without any error.
"""

from __future__ import annotations

from typing import Any

from gwucnn.activation_functions import ActivationFunction
from gwucnn.layers.base import Layer
from gwucnn.layers.graphs.graph import Graph

__all__ = ["require_applied_once", "require_at_end", "require_several_outputs"]

Function = type[ActivationFunction]


def require_applied_once(caller: str, graph: Graph, function: Function) -> None:
    """Raise ValueError if a layer, at any depth, applies this function to its own result."""
    _sources(caller, graph, function, [])


def require_several_outputs(last: Layer, function: Function, outputs: int) -> None:
    """Raise ValueError if this function, whose outputs sum to 1, ends a network with a single output."""
    if outputs == 1 and last.split_activation()[1] is function:
        raise ValueError(
            f"{last.label}: expected {function.name} over at least two outputs, got one, which is always 1; "
            "give it activation='sigmoid', or none for a quantity"
        )


def require_at_end(caller: str, graph: Graph, last: Layer, function: Function) -> None:
    """Raise ValueError if a network applies this function shortly before its end but not at the end, in layer `last`.

    Also if its last layer cannot have it as an activation. If it can, the loss raises a more specific error.
    """
    if last.split_activation()[1] is function:
        return
    sources, end = _sources(caller, graph, function, []), f"Activation({function.name!r}) at the end"
    if sources:
        got, fix = (
            f"it in {sources[0].label}, before the end of {last.label}",
            f"leave it out there and add {end}",
        )
    elif not hasattr(last, "activation"):
        got, fix = f"{last.label} at the end, without it", f"add {end}"
    else:
        return
    raise ValueError(f"{caller}: expected a network that ends with {function.name}, got {got}; {fix}")


def _sources(caller: str, graph: Graph, function: Function, before: list[Layer]) -> list[Layer]:
    """Return the layers whose `function` produced the outputs, given those whose `function` produced the inputs."""
    found: list[list[Layer]] = [before] * graph.inputs
    for layer, read in graph.nodes:
        sources = [source for value in read for source in found[value]]
        if layer.children:
            inside: Any = layer
            found.append(_sources(caller, inside.graph, function, sources))
            continue
        rest, applied = layer.split_activation()
        if rest is None and applied is function and sources:
            raise ValueError(
                f"{caller}: expected {function.name} once, got it applied to its own output, in "
                f"{sources[0].label} and {layer.label}; leave one out"
            )
        if applied is function:
            sources = [layer]
        elif not layer.passes_values_on and not (rest is None and applied is None):
            sources = []
        found.append(sources)
    return [source for output in graph.outputs for source in found[output]]
