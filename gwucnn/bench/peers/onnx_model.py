"""The network as an ONNX model, for libraries that only predict."""

# What is imported here exists in the peer's interpreter and beside this file.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

from typing import Any

import channels_first
from onnx import TensorProto, checker, helper, numpy_helper

# Old enough for any runtime of these years, new enough for all that is used here.
OPSET, IR_VERSION = 13, 8


def model(case: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    """Return the serialized model, whose input is (N, C, H, W); `arrays` holds the weights alone."""
    nodes: list[Any] = []
    constants: list[Any] = []
    at = "x"
    remembered: list[str] = []

    def add(kind: str, *inputs: str, **attributes: Any) -> None:
        nonlocal at
        out = f"{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, [at, *inputs], [out], **attributes))
        at = out

    for number, (told, weights) in enumerate(channels_first.layers(case, arrays)):
        names = [f"{number}.{place}" for place in range(len(weights))]
        constants += [numpy_helper.from_array(array, name) for name, array in zip(names, weights, strict=True)]
        match told["kind"]:
            case "conv" | "depthwise":
                same, strides = told["size"] // 2, [told["strides"]] * 2
                pad = {"valid": 0, "same": same}.get(told["padding"], told["padding"])
                groups = told["in"][-1] if told["kind"] == "depthwise" else 1
                size = [told["size"]] * 2
                add("Conv", *names, kernel_shape=size, pads=[pad] * 4, strides=strides, group=groups)
            case "pool":
                add("MaxPool", kernel_shape=[told["size"]] * 2, strides=[told["size"]] * 2)
            case "norm":
                add("BatchNormalization", *names, epsilon=1e-3)
            case "mean":
                add("GlobalAveragePool")
                add("Flatten")
            case "fork":
                remembered.append(at)
            case "shortcut":
                remembered[-1], at = at, remembered[-1]
            case "add":
                add("Add", remembered.pop())
            case "flatten":
                add("Flatten")
            case "dense":
                add("Gemm", *names, transB=1)
        if told.get("activation"):
            add({"relu": "Relu", "sigmoid": "Sigmoid", "softmax": "Softmax"}[told["activation"]])

    H, W, C = case["layers"][0]["in"]
    shapes = {"x": (case["batch"], C, H, W), at: (case["batch"], *case["layers"][-1]["out"])}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph(nodes, "network", [x], [y], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(made)
    return made.SerializeToString()
