"""ONNX's interface for runtimes: `gwucnn.ops` computes a graph node by node.

It covers the operators of image networks, in float32 and float64. `import_onnx` turns a graph into a network, which is
faster and can be trained.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np

from gwucnn.common import FormatError
from gwucnn.onnx.attributes import Node, Unsupported, naming, node_of, opset_of
from gwucnn.onnx.base import library
from gwucnn.onnx.loading import checked, need_whole
from gwucnn.onnx.operators import OPERATORS

__all__ = [
    "Prepared",
    "is_compatible",
    "is_opset_supported",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]


def supports_device(device: str) -> bool:
    """Return whether a device can be used: 'CPU' and nothing else."""
    return device.partition(":")[0] == "CPU"


def is_compatible(model: Any, device: str = "CPU", **options: Any) -> bool:
    """Return whether `prepare` takes a model."""
    try:
        prepare(model)
    except ValueError:
        return False
    return supports_device(device)


def is_opset_supported(model: Any) -> tuple[bool, str]:
    """Return whether all operator sets of a model are ONNX's own and known, and the first one that is not."""
    strange = [entry.domain for entry in model.opset_import if entry.domain not in ("", "ai.onnx")]
    if strange:
        return False, f"operators of {strange[0]!r}"
    try:
        opset_of(library("onnx.backend"), model)
    except Unsupported as error:
        return False, str(error)
    return True, ""


def prepare(model: Any, device: str = "CPU", **options: Any) -> Prepared:
    """Check a ModelProto and return it as an object that can be run repeatedly.

    Raises ValueError for a device other than the CPU, for a model that is not valid, and for an unsupported operator,
    naming node and operator.
    """
    if not supports_device(device):
        raise ValueError(f"onnx: expected device 'CPU', got {device!r}")
    onnx = library("onnx.backend")
    need_whole("onnx.backend", onnx, model)
    try:
        checked(onnx, model)
    except onnx.checker.ValidationError as error:
        raise FormatError(f"onnx: expected a valid model, got another: {error}") from None
    return Prepared(onnx, model)


def run_model(model: Any, inputs: Any, device: str = "CPU", **options: Any) -> tuple[Any, ...]:
    """Return the outputs of a model for inputs in its order, or by their names."""
    return prepare(model, device).run(inputs)


def run_node(node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **options: Any) -> tuple[Any, ...]:
    """Return the outputs of one NodeProto, of the newest opset unless `opset_version` is given."""
    onnx = library("onnx.backend")
    need_whole("onnx.backend", onnx, node)
    opset = options.get("opset_version") or onnx.defs.onnx_opset_version()
    read = _known(node_of(onnx, node, opset))
    given = [inputs[name] for name in node.input] if isinstance(inputs, dict) else list(inputs)
    values = {name: np.asarray(array) for name, array in zip(node.input, given, strict=True) if name}
    _run(read, values)
    return _named([name for name in node.output if name], values)


def _known(node: Node) -> Node:
    if node.kind not in OPERATORS:
        raise Unsupported(
            f"onnx: expected a supported operator, got {node.kind} in node {node.name!r}; supported are "
            f"{', '.join(sorted(OPERATORS))}"
        )
    return node


def _run(node: Node, values: dict[str, Any]) -> None:
    """Compute a node's outputs and add them to `values`."""
    inputs = [values[name] if name else None for name in node.inputs]
    with naming(node):
        made = OPERATORS[node.kind](node, *inputs)
    made = made if isinstance(made, tuple) else (made,)
    wanted = [name for name in node.outputs if name]
    if len(made) < len(wanted):
        raise node.refuse(f"{len(made)} outputs, got {len(wanted)}")
    values.update(zip(node.outputs, made, strict=False))


def _named(names: Sequence[str], values: dict[str, Any]) -> tuple[Any, ...]:
    return namedtuple("Outputs", names, rename=True)(*(values[name] for name in names))


class Prepared:
    """A model that can be run; `prepare` makes it."""

    def __init__(self, onnx: Any, model: Any) -> None:
        opset = opset_of(onnx, model)
        graph = model.graph
        self._nodes = [_known(node_of(onnx, node, opset)) for node in graph.node]
        self._constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._inputs = [value.name for value in graph.input if value.name not in self._constants]
        self._outputs = [value.name for value in graph.output]

    def run(self, inputs: Any, **options: Any) -> tuple[Any, ...]:
        """Return the model's outputs for arrays in the order of its inputs, or by their names."""
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        if not isinstance(inputs, dict):
            if len(inputs) > len(self._inputs):
                # Constants of the graph may be overridden.
                raise ValueError(f"onnx: expected {len(self._inputs)} inputs, got {len(inputs)}")
            inputs = dict(zip(self._inputs, inputs, strict=False))
        missing = [name for name in self._inputs if name not in inputs]
        if missing:
            raise ValueError(f"onnx: expected the inputs {', '.join(self._inputs)}, got no {missing[0]!r}")
        values = self._constants | {name: np.asarray(array) for name, array in inputs.items()}
        for node in self._nodes:
            _run(node, values)
        return _named(self._outputs, values)
