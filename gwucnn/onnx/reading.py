"""An ONNX file, checked and taken apart: nodes, numbers, and the sizes of what lies between."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gwucnn.errors import FormatError
from gwucnn.onnx.attributes import Node, Unsupported, node_of
from gwucnn.onnx.base import library
from gwucnn.onnx.operators import OPERATORS
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
        with open(os.fspath(path), "rb") as file:
            model = onnx.load_model_from_string(file.read())
    except OSError:
        raise
    except Exception as error:  # protobuf's errors have no base of their own
        raise FormatError(f"import_onnx: expected an ONNX file, got {path}: {error}") from None
    # Numbers in other files are never looked for: a model could name any file.
    tensors = [*model.graph.initializer, *(a.t for n in model.graph.node for a in n.attribute)]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise Unsupported(f"import_onnx: expected all numbers inside of {path}, got some in other files")
    try:
        onnx.checker.check_model(model)
        model = _of_one_sample(onnx, model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FormatError(f"import_onnx: expected a valid ONNX model, got {path}: {error}") from None
    return _taken_apart(onnx, model)


def _of_one_sample(onnx: Any, model: Any) -> Any:
    """Return the model with all sizes that follow from its input's, for one sample if the batch is free."""
    given = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name not in given and sizes and not sizes[0].dim_value:
            sizes[0].dim_value = 1
    # Before version 4 of the format constants were inputs as well, and others are not seen.
    model.ir_version = max(model.ir_version, 4)
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _taken_apart(onnx: Any, model: Any) -> Graph:
    graph = model.graph
    own = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    opset = max(own, default=1)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise Unsupported(
            f"import_onnx: expected one input and one output, got {len(inputs)} and {len(graph.output)}"
        )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type)
    if dtype.char not in "fd":
        raise Unsupported(f"import_onnx: expected an input of float32 or float64, got {dtype}")
    nodes = _without_constants(onnx, model, constants, opset)
    graph = model.graph  # another one since
    sizes = {
        value.name: tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
        for value in [*graph.input, *graph.value_info, *graph.output]
        if value.type.tensor_type.HasField("shape")
    }
    exit_ = graph.output[0].name
    nodes = with_patterns(_needed(_with_known_shapes(nodes, constants, sizes), exit_), sizes, exit_)
    return Graph(nodes, constants, sizes, inputs[0].name, exit_, np.dtype(dtype))


def _without_constants(onnx: Any, model: Any, constants: dict[str, Any], opset: int) -> list[Node]:
    """Return the nodes that depend on the input; what others compute goes into `constants` and the sizes."""
    nodes, kept = [], []
    for proto in model.graph.node:
        node = node_of(onnx, proto, opset)
        if not _folded(node, constants):
            nodes.append(node)
            kept.append(proto)
        else:
            made = [onnx.numpy_helper.from_array(np.asarray(constants[n]), n) for n in node.outputs if n]
            model.graph.initializer.extend(made)
    if len(kept) < len(model.graph.node):
        kept = [onnx.NodeProto.FromString(proto.SerializeToString()) for proto in kept]
        del model.graph.node[:]
        model.graph.node.extend(kept)
        model.CopyFrom(_of_one_sample(onnx, model))
    return nodes


def _with_known_shapes(nodes: list[Node], constants: dict[str, Any], sizes: Any) -> list[Node]:
    """Return the nodes with shapes that are computed from the input's as constants, where they are fixed."""
    made = []
    for node in nodes:
        known = sizes.get(node.outputs[0], (None, None))[1:]
        if node.kind == "Reshape" and node.inputs[-1] not in constants and None not in known:
            shape = f"{node.name}: shape"
            constants[shape] = np.array((0, *known), np.int64)
            node = node._replace(inputs=[node.inputs[0], shape])
        made.append(node)
    return made


def _needed(nodes: list[Node], target: str) -> list[Node]:
    """Return the nodes on which a value depends."""
    needed, kept = {target}, []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _folded(node: Node, constants: dict[str, Any]) -> bool:
    """Return whether a node takes nothing but constants, and compute it if it does."""
    if node.kind not in OPERATORS or not all(name in constants or not name for name in node.inputs):
        return False
    made = OPERATORS[node.kind](node, *(constants[name] if name else None for name in node.inputs))
    constants.update(zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=False))
    return True
