"""How each activation function is written as nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn.onnx.base import Drawing, Value

__all__ = ["activation"]

Draw = Callable[[Drawing, Any, Value], str]


def activation(graph: Drawing, function: Any, x: Value) -> str:
    """Add the nodes of an activation function, None for nothing, and return what comes out."""
    if function is None:
        return x.name
    if function.name not in ACTIVATIONS:
        raise ValueError(
            f"export_onnx: expected activations {', '.join(ACTIVATIONS)}, got {function.name!r} in {graph.caller}"
        )
    return ACTIVATIONS[function.name](graph, function.options, x)


def _plain(kind: str) -> Draw:
    return lambda graph, options, x: graph.node(kind, x.name)


def _leaky_relu(graph: Drawing, options: Any, x: Value) -> str:
    return graph.node("LeakyRelu", x.name, alpha=options.get("negative_slope", 0.3))


def _elu(graph: Drawing, options: Any, x: Value) -> str:
    return graph.node("Elu", x.name, alpha=options.get("alpha", 1.0))


def _gelu(graph: Drawing, options: Any, x: Value) -> str:
    return graph.node("Gelu", x.name, approximate="tanh" if options.get("approximate") else "none")


def _silu(graph: Drawing, options: Any, x: Value) -> str:
    return graph.node("Mul", x.name, graph.node("Sigmoid", x.name))


def _softmax(graph: Drawing, options: Any, x: Value) -> str:
    return graph.node("Softmax", x.name, axis=1 if x.is_image else -1)


ACTIVATIONS: dict[str, Draw] = {
    "relu": _plain("Relu"),
    "sigmoid": _plain("Sigmoid"),
    "softmax": _softmax,
    "tanh": _plain("Tanh"),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "gelu": _gelu,
    "silu": _silu,
    "softplus": _plain("Softplus"),
}
