"""ONNX models for tests, built from lists of nodes and run by another runtime."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

FORMATS = ("channels_last", "channels_first")

# Arguments of each of gwucnn.models, small, and the shape of its images.
MODELS = {
    "lenet5": ({}, (28, 28, 1)),
    "vgg_small": ({"width": 4}, (32, 32, 3)),
    "resnet18_small": ({"width": 4}, (32, 32, 3)),
    "mobilenet_small": ({"blocks": [(8, 1), (12, 2)]}, (16, 12, 3)),
}

IMAGE = (4, 9, 10)

RNG = np.random.default_rng(7)


def tensor(*shape):
    return (RNG.standard_normal(shape) / 2).astype("float32")


def model(path, in_shape, nodes, opset=17, **constants):
    """Write a model of (kind, inputs, output, attributes) from x to y and return its path.

    Two spaces between inputs leave one out.
    """
    made = [
        helper.make_node(kind, given.split(" ") if given else [], out.split(), f"{kind}-{out}", **attributes)
        for kind, given, out, attributes in nodes
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", *in_shape))
    y = helper.make_empty_tensor_value_info("y")
    y.type.tensor_type.elem_type = TensorProto.FLOAT
    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(made, "made", [x], [y], arrays)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(proto)
    file = path / "model.onnx"
    file.write_bytes(inferred.SerializeToString())
    return file


def run(model, x):
    """Return what onnxruntime makes of x, or where it is missing ONNX's own evaluator."""
    try:
        import onnxruntime
    except ImportError:
        return ReferenceEvaluator(model).run(None, {"x": x})[0]
    sizes = [a.i for node in model.graph.node if node.op_type == "LRN" for a in node.attribute if a.name == "size"]
    if any(size % 2 == 0 for size in sizes):
        # onnxruntime takes odd sizes alone; the evaluator of 1.23 wants as many images as channels, here 5.
        return ReferenceEvaluator(model).run(None, {"x": np.resize(x, (5, *x.shape[1:]))})[0][: len(x)]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it raises is enough
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def with_weights(network, in_shape, seed=3):
    """Build a network for inputs (H, W, C) or (D,), with weights and statistics that are not the first ones."""
    first = network.data_format == "channels_first" and len(in_shape) == 3
    network.build((in_shape[2], *in_shape[:2]) if first else in_shape)
    rng = np.random.default_rng(seed)
    for parameter in network.parameters:
        size = parameter.shape[-1] if parameter.name == "kernel" else 1
        numbers = rng.standard_normal(parameter.shape) / np.sqrt(size)
        positive = parameter.name in ("gamma", "moving_variance", "variance")
        parameter.value = np.abs(numbers) + 0.5 if positive else numbers
    return network


def inputs(network, in_shape, N=3):
    x = np.random.default_rng(5).standard_normal((N, *in_shape)).astype("float32")
    first = network.data_format == "channels_first" and len(in_shape) == 3
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if first else x


def assert_same(got, want):
    assert got.dtype == want.dtype and got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-5 * max(1, np.abs(want).max())
