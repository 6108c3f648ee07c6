"""An ONNX file, checked and split into nodes, constants, and the sizes of all tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gwucnn.common import FormatError, ShapeError, check_size
from gwucnn.data import InputStatistics
from gwucnn.onnx.attributes import Node, Unsupported, node_of, opset_of
from gwucnn.onnx.base import TRAINED_ON, library
from gwucnn.onnx.folding import Folding
from gwucnn.onnx.half import widened
from gwucnn.onnx.loading import checked, declare, load, named, take_numbers
from gwucnn.onnx.patterns import with_patterns

__all__ = ["Graph", "read"]


class Graph(NamedTuple):
    """The graph of a model: nodes, constants, one input and one output."""

    nodes: list[Node]
    constants: Mapping[str, Any]
    sizes: Mapping[str, tuple[Any, ...]]  # of the tensors; None where a size is unknown
    entrance: str
    exit: str
    dtype: Any
    trained_on: InputStatistics | None = None  # what a file of gwucnn says of the inputs of training


def read(path: Any, shape: Any = None) -> Graph:
    """Return the graph of a file, or a ModelProto, with inputs of this shape where it is open.

    Raises FormatError if it is damaged, ValueError if it is not supported.
    """
    onnx = library("import_onnx")
    try:
        return _read(onnx, path, shape)
    except (FormatError, ShapeError, Unsupported):
        raise
    # Errors of ONNX's checker; ValueError also for names, which protobuf allows to be any bytes.
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise FormatError(f"import_onnx: expected a valid ONNX model, got {named(path)}: {error}") from None


def _read(onnx: Any, path: Any, shape: Any) -> Graph:
    model, constants = take_numbers(onnx, widened(onnx, load(onnx, path)))
    inputs = [value.name for value in model.graph.input if value.name not in constants]
    model = checked(onnx, model)
    _for_one_sample(model, constants, shape)
    model = _with_sizes(onnx, model)
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise Unsupported(
            f"import_onnx: expected one input and one output, got {len(inputs)} and {len(model.graph.output)}"
        )
    return _taken_apart(onnx, model, constants, inputs[0])


def _for_one_sample(model: Any, constants: Mapping[str, Any], shape: Any) -> None:
    """Set a dynamic batch size to one and other open sizes to `shape`; discard those that the file states elsewhere."""
    for value in model.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name not in constants and sizes and not sizes[0].dim_value:
            sizes[0].dim_value = 1
        if value.name not in constants and shape is not None:
            _set_sizes(sizes[1:], shape)
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _set_sizes(sizes: Any, shape: Any) -> None:
    """Set the sizes of an input's sample where they are open."""
    lengths = shape if isinstance(shape, Sequence) else [shape]
    given = [check_size("import_onnx", "input_shape", each) for each in lengths]
    stated = [size.dim_value or None for size in sizes]
    if len(given) != len(stated) or any(old not in (None, new) for old, new in zip(stated, given, strict=True)):
        shown = ", ".join("any" if old is None else str(old) for old in stated)
        raise ShapeError(f"import_onnx: expected input_shape as the model has it, ({shown}), got {tuple(given)}")
    for size, length in zip(sizes, given, strict=True):
        size.dim_value = length


def _with_sizes(onnx: Any, model: Any) -> Any:
    """Return the model with all sizes inferred from the input's."""
    return onnx.shape_inference.infer_shapes(model, check_type=True)


def _sizes(model: Any) -> dict[str, tuple[Any, ...]]:
    """Return the sizes of the tensors, None for each axis that is unknown."""
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
    nodes = with_patterns(_needed(nodes, exit_), constants, sizes, exit_)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    return Graph(nodes, constants, sizes, entrance, exit_, dtype, _trained_on(model))


def _trained_on(model: Any) -> InputStatistics | None:
    """Return the statistics in the model's metadata, None if there are none. Raises ValueError for invalid ones."""
    texts = [entry.value for entry in model.metadata_props if entry.key == TRAINED_ON]
    return InputStatistics.from_document(json.loads(texts[0])) if texts else None


def _without_constants(onnx: Any, model: Any, constants: dict[str, Any]) -> tuple[list[Node], Any]:
    """Fold constants; return the nodes that depend on the input, and the model with the sizes inferred."""
    opset = opset_of(onnx, model)
    nodes = [node_of(onnx, proto, opset) for proto in model.graph.node]
    folding = Folding(constants)
    while True:
        before = set(constants)
        nodes = folding.fold(nodes, _sizes(model))
        new = {name: array for name, array in constants.items() if name not in before}
        if not new:
            return nodes, model
        # Folded constants determine more sizes, and those more shapes.
        model = _with_sizes(onnx, _of_nodes(onnx, model, nodes, new))


def _of_nodes(onnx: Any, model: Any, nodes: list[Node], constants: Mapping[str, Any]) -> Any:
    """Return a model of a subset of the nodes, with their inputs and additional constants."""
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
    """Return the nodes that a value depends on."""
    needed, kept = {target}, []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]
