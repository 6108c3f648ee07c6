"""The ONNX nodes of each activation function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwucnn.onnx.base import GraphBuilder, Value

__all__ = ["activation"]

Draw = Callable[[GraphBuilder, Any, Value], str]


def activation(graph: GraphBuilder, function: Any, x: Value) -> str:
    """Add the nodes of an activation function, none for None, and return their output."""
    if function is None:
        return x.name
    if function.name not in ACTIVATIONS:
        raise ValueError(
            f"export_onnx: expected activations {', '.join(ACTIVATIONS)}, got {function.name!r} in {graph.caller}"
        )
    return ACTIVATIONS[function.name](graph, function.options, x)


def _plain(kind: str) -> Draw:
    return lambda graph, options, x: graph.node(kind, x.name)


def _leaky_relu(graph: GraphBuilder, options: Any, x: Value) -> str:
    return graph.node("LeakyRelu", x.name, alpha=options.get("negative_slope", 0.3))


def _elu(graph: GraphBuilder, options: Any, x: Value) -> str:
    return graph.node("Elu", x.name, alpha=options.get("alpha", 1.0))


def _gelu(graph: GraphBuilder, options: Any, x: Value) -> str:
    return graph.node("Gelu", x.name, approximate="tanh" if options.get("approximate") else "none")


def _silu(graph: GraphBuilder, options: Any, x: Value) -> str:
    return graph.node("Mul", x.name, graph.node("Sigmoid", x.name))


def _relu6(graph: GraphBuilder, options: Any, x: Value) -> str:
    return graph.node("Clip", x.name, graph.constant("low", 0), graph.constant("high", 6))


def _hard_sigmoid(graph: GraphBuilder, options: Any, x: Value) -> str:
    return graph.node("HardSigmoid", x.name, alpha=1 / 6, beta=0.5)


def _softmax(graph: GraphBuilder, options: Any, x: Value) -> str:
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
    "relu6": _relu6,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _plain("HardSwish"),
    "mish": _plain("Mish"),
    "selu": _plain("Selu"),
}
