"""Models in half precision as models in single precision."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["widened"]


def widened(onnx: Any, model: Any) -> Any:
    """Return the model with float32 in place of float16: its weights, inputs, outputs, constants and casts."""
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    graph = model.graph
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = single
    del graph.value_info[:]  # inferred again
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    for tensor in (*graph.initializer, *(each.t for each in attributes if each.type == onnx.AttributeProto.TENSOR)):
        if tensor.data_type == half:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == half:
                attribute.i = single
    return model
