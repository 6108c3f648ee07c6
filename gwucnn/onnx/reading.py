"""An ONNX file, checked and taken apart: nodes, numbers, and the sizes of what lies between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gwucnn.common import FormatError
from gwucnn.onnx.attributes import Node, Unsupported, node_of
from gwucnn.onnx.base import library
from gwucnn.onnx.folding import Folding
from gwucnn.onnx.loading import declare, load, take_numbers
from gwucnn.onnx.patterns import with_patterns

__all__ = ["Graph", "read"]


class Graph(NamedTuple):
    """What a model computes: nodes that take other nodes' values, constants, and one input and output."""

    nodes: list[Node]
    constants: Mapping[str, Any]
    sizes: Mapping[str, tuple[Any, ...]]  # of the tensors that are known, unknown ones None
    entrance: str
    exit: str
    dtype: Any


def read(path: Any) -> Graph:
    """Return the graph of a file. Raises FormatError if it is damaged, ValueError if it is outside."""
    onnx = library("import_onnx")
    try:
        return _read(onnx, path)
    except (FormatError, Unsupported):
        raise
    # Of ONNX's own checks; ValueError also for names, as protobuf lets any bytes be one.
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise FormatError(f"import_onnx: expected a valid ONNX model, got {path}: {error}") from None


def _read(onnx: Any, path: Any) -> Graph:
    model, constants = take_numbers(onnx, load(onnx, path))
    inputs = [value.name for value in model.graph.input if value.name not in constants]
    onnx.checker.check_model(model)
    _for_one_sample(model, constants)
    model = _with_sizes(onnx, model)
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise Unsupported(
            f"import_onnx: expected one input and one output, got {len(inputs)} and {len(model.graph.output)}"
        )
    return _taken_apart(onnx, model, constants, inputs[0])


def _for_one_sample(model: Any, constants: Mapping[str, Any]) -> None:
    """State a batch of one where the batch is free, and forget what the file says of other tensors' sizes."""
    for value in model.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name not in constants and sizes and not sizes[0].dim_value:
            sizes[0].dim_value = 1
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _with_sizes(onnx: Any, model: Any) -> Any:
    """Return the model with all sizes that follow from its input's."""
    return onnx.shape_inference.infer_shapes(model, check_type=True)


def _sizes(model: Any) -> dict[str, tuple[Any, ...]]:
    """Return the sizes of the tensors that are known, None in the place of those that are not."""
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    kinds = {value.name: value.type.tensor_type for value in values}
    return {
        name: tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)
        for name, kind in kinds.items()
        if kind.HasField("shape")
    }


def _taken_apart(onnx: Any, model: Any, constants: dict[str, Any], entrance: str) -> Graph:
    kind = next(value.type.tensor_type.elem_type for value in model.graph.input if value.name == entrance)
    if kind not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        name = onnx.TensorProto.DataType.Name(kind)
        raise Unsupported(f"import_onnx: expected an input of float32 or float64, got {name.lower()}")
    nodes, model = _without_constants(onnx, model, constants)
    sizes, exit_ = _sizes(model), model.graph.output[0].name
    nodes = with_patterns(_needed(nodes, exit_), sizes, exit_)
    return Graph(nodes, constants, sizes, entrance, exit_, onnx.helper.tensor_dtype_to_np_dtype(kind))


def _without_constants(onnx: Any, model: Any, constants: dict[str, Any]) -> tuple[list[Node], Any]:
    """Return the nodes that depend on the input, and the model with the sizes that follow from constants."""
    own = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    nodes = [node_of(onnx, proto, max(own, default=1)) for proto in model.graph.node]
    folding = Folding(constants)
    while True:
        before = set(constants)
        nodes = folding.fold(nodes, _sizes(model))
        new = {name: array for name, array in constants.items() if name not in before}
        if not new:
            return nodes, model
        # More sizes are known with them, and more shapes may follow from those.
        model = _with_sizes(onnx, _of_nodes(onnx, model, nodes, new))


def _of_nodes(onnx: Any, model: Any, nodes: list[Node], constants: Mapping[str, Any]) -> Any:
    """Return a model of some of its nodes, with their inputs, and more constants."""
    inputs = {tuple(node.outputs): node.inputs for node in nodes}
    slim = onnx.ModelProto()
    slim.CopyFrom(model)
    del slim.graph.node[:], slim.graph.value_info[:]
    for proto in model.graph.node:
        if tuple(proto.output) in inputs:
            made = slim.graph.node.add()
            made.CopyFrom(proto)
            made.input[:] = inputs[tuple(proto.output)]
    for name, array in constants.items():
        declare(onnx, slim, name, array)
    return slim


def _needed(nodes: list[Node], target: str) -> list[Node]:
    """Return the nodes on which a value depends."""
    needed, kept = {target}, []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]
