"""ONNX operators one by one, in old and new opsets: network and backend compute what onnxruntime does.

Windows are in test_windows.py, combinations of nodes in test_import.py.
"""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402

from gwucnn.onnx import backend, import_onnx, to_model  # noqa: E402
from onnx_models import assert_same, model, run, tensor  # noqa: E402

IMAGE, ROWS = (4, 6, 5), (7,)
INDICES = np.array
SHAPED = tensor(1, 4, 1, 1)
GELU = ("none", "tanh")


def norm(*, opset, epsilon):
    """Return a case of BatchNormalization; where momentum is given it changes nothing."""
    attributes = {"epsilon": epsilon} | ({"momentum": 0.5} if epsilon > 1e-3 else {})
    constants = {"a": tensor(4), "b": tensor(4), "c": tensor(4), "d": abs(tensor(4)) + 0.1}
    return (
        f"BatchNormalization {opset} {epsilon}",
        IMAGE,
        opset,
        [("BatchNormalization", "x a b c d", "y", attributes)],
        constants,
    )


# Name, sizes of a sample, opset, nodes and constants.
CASES = [
    *(norm(opset=opset, epsilon=epsilon) for opset in (7, 9, 14, 15) for epsilon in (1e-5, 0.1)),
    *((f"Dropout {opset}", IMAGE, opset, [("Dropout", "x", "h", {"ratio": 0.3}), ("Relu", "h", "y", {})], {}) for opset in (7, 10)),
    *((f"Dropout with a mask {opset}", IMAGE, opset, [("Dropout", "x", "h m", {}), ("Relu", "h", "y", {})], {}) for opset in (7, 11, 13)),
    *((f"Dropout {opset}", IMAGE, opset, [("Dropout", "x r t", "h", {"seed": 3}), ("Relu", "h", "y", {})],
       {"r": np.float32(0.3), "t": np.array(False)}) for opset in (12, 13)),
    *((f"Gelu {word}", IMAGE, 20, [("Gelu", "x", "y", {"approximate": word})], {}) for word in GELU),
    ("Gelu", ROWS, 20, [("Gelu", "x", "y", {})], {}),
    ("LayerNormalization", ROWS, 17, [("LayerNormalization", "x a b", "y", {"epsilon": 0.1})], {"a": tensor(7), "b": tensor(7)}),
    ("LayerNormalization without B", ROWS, 17, [("LayerNormalization", "x a", "y", {"axis": 1})], {"a": tensor(7)}),
    ("LayerNormalization of images", IMAGE, 17,
     [("Transpose", "x", "h", {"perm": [0, 2, 3, 1]}), ("LayerNormalization", "h a b", "g", {"axis": 3}),
      ("Transpose", "g", "y", {"perm": [0, 3, 1, 2]})], {"a": tensor(4), "b": tensor(4)}),
    ("LRN", (7, 4, 3), 9, [("LRN", "x", "y", {"size": 5, "alpha": 0.5, "beta": 0.6, "bias": 2.0})], {}),
    ("LRN of few channels", IMAGE, 13, [("LRN", "x", "y", {"size": 7})], {}),
    *((f"{kind} {opset} of rows", ROWS, opset, [(kind, "x", "y", {"axis": axis})], {})
      for kind in ("Softmax", "LogSoftmax") for opset, axis in ((9, 1), (11, -1), (13, 1), (13, -1))),
    *((f"{kind} {opset}", ROWS, opset, [(kind, "x", "y", {})], {}) for kind in ("Softmax", "LogSoftmax") for opset in (9, 13)),
    *((f"{kind} of images", IMAGE, 13, [(kind, "x", "y", {"axis": axis})], {})
      for kind in ("Softmax", "LogSoftmax") for axis in (1, -3)),
    *((f"{kind} {opset} of images, turned", IMAGE, opset,
       [("Transpose", "x", "h", {"perm": [0, 2, 3, 1]}), (kind, "h", "g", {"axis": 3}), ("Transpose", "g", "y", {"perm": [0, 3, 1, 2]})], {})
      for kind in ("Softmax", "LogSoftmax") for opset in (11, 13)),
    *((f"{kind} of pixels", IMAGE, opset, [("GlobalMaxPool", "x", "p", {}), (kind, "p", "y", {"axis": 1})], {})
      for kind in ("Softmax", "LogSoftmax") for opset in (11, 13)),
    *((f"{kind} of {shape}", shape, 15, [(kind, "x", "y", attributes)], {}) for shape in (IMAGE, ROWS)
      for kind, attributes in (("Relu", {}), ("LeakyRelu", {}), ("LeakyRelu", {"alpha": 0.4}), ("Elu", {}), ("Elu", {"alpha": 2.0}),
                               ("Sigmoid", {}), ("Tanh", {}), ("Softplus", {}), ("Identity", {}))),
    *((f"{kind} of {shape}", shape, opset, [(kind, "x", "y", attributes)], {}) for shape in (IMAGE, ROWS)
      for kind, opset, attributes in (("HardSigmoid", 15, {"alpha": 1 / 6}), ("HardSwish", 15, {}), ("Mish", 18, {}), ("Selu", 15, {}))),
    ("Clip to 6", IMAGE, 11, [("Clip", "x a b", "y", {})], {"a": np.float32(0), "b": np.float32(6)}),
    ("Clip 6", IMAGE, 6, [("Clip", "x", "y", {"min": -0.5, "max": 0.25})], {}),
    ("Clip 6 from below", IMAGE, 6, [("Clip", "x", "y", {"min": -0.5})], {}),
    ("Clip 6 of nothing", IMAGE, 6, [("Clip", "x", "y", {})], {}),
    ("Clip 11", IMAGE, 11, [("Clip", "x a b", "y", {})], {"a": np.float32(-0.5), "b": np.float32(0.25)}),
    ("Clip 13 from above", IMAGE, 13, [("Clip", "x  b", "y", {})], {"b": np.float32(0.25)}),
    ("Clip 13 of nothing", IMAGE, 13, [("Clip", "x", "y", {})], {}),
    ("Clip 13 at infinity", IMAGE, 13, [("Clip", "x a b", "y", {})], {"a": np.float32(-np.inf), "b": np.float32(3.4e38)}),
    ("Sum of one", IMAGE, 13, [("Sum", "x", "h", {}), ("Relu", "h", "y", {})], {}),
    ("Sum of two", IMAGE, 8, [("Relu", "x", "a", {}), ("Sum", "a x", "y", {})], {}),
    ("Sum of four", IMAGE, 13, [("Relu", "x", "a", {}), ("Tanh", "x", "b", {}), ("Elu", "x", "c", {}), ("Sum", "a b x c", "y", {})], {}),
    ("Sum with a constant", IMAGE, 13, [("Sum", "x c", "y", {})], {"c": tensor(4, 1, 1)}),
    ("Sum with a constant in front", ROWS, 13, [("Sum", "c x", "y", {})], {"c": tensor(7)}),
    *((f"{kind} by {place} of {shape}", IMAGE, 13, [(kind, "c x" if place == "front" else "x c", "y", {})], {"c": np.float32(tensor(*shape) + 2)})
      for kind in ("Mul", "Add", "Sub") for place in ("front", "end") for shape in ((), (1,), (4, 1, 1), (1, 4, 1, 1))),
    *((f"Div by {shape}", IMAGE, 14, [("Div", "x c", "y", {})], {"c": np.float32(tensor(*shape) + 2)}) for shape in ((), (4, 1, 1))),
    *((f"{kind} of rows", ROWS, 13, [(kind, "x c", "y", {})], {"c": tensor(1, 7) + 2}) for kind in ("Mul", "Add", "Sub", "Div")),
    ("Mul of pixels", IMAGE, 13, [("GlobalAveragePool", "x", "p", {}), ("Mul", "p c", "y", {})], {"c": tensor(4, 1, 1)}),
    ("Mul of images, turned", IMAGE, 13,
     [("Transpose", "x", "h", {"perm": [0, 2, 3, 1]}), ("Mul", "h c", "g", {}), ("Flatten", "g", "y", {})], {"c": tensor(4)}),
    ("Pad 2", IMAGE, 2, [("Pad", "x", "y", {"pads": [0, 0, 1, 2, 0, 0, 3, 0]})], {}),
    ("Pad 11", IMAGE, 11, [("Pad", "x p", "y", {"mode": "constant"})], {"p": INDICES([0, 0, 1, 2, 0, 0, 3, 0])}),
    ("Pad 13, zero", IMAGE, 13, [("Pad", "x p z", "y", {})], {"p": INDICES([0, 0, 1, 2, 0, 0, 3, 0]), "z": np.float32(0)}),
    ("Pad 18 on axes", IMAGE, 18, [("Pad", "x p  a", "y", {})], {"p": INDICES([1, 2, 3, 0]), "a": INDICES([-1, 2])}),
    ("Pad, turned", IMAGE, 13, [("Transpose", "x", "h", {"perm": [0, 2, 3, 1]}), ("Pad", "h p", "g", {}), ("Flatten", "g", "y", {})],
     {"p": INDICES([0, 2, 1, 0, 0, 0, 3, 0])}),
    ("Flatten 9 from behind", IMAGE, 11, [("Flatten", "x", "y", {"axis": -3})], {}),
    ("Reshape 5", IMAGE, 5, [("Reshape", "x s", "y", {})], {"s": INDICES([0, -1])}),
    ("Reshape to other images", IMAGE, 13, [("Reshape", "x s", "y", {})], {"s": INDICES([-1, 2, 4, 15])}),
    ("Reshape to rows of two axes", IMAGE, 13, [("Reshape", "x s", "y", {})], {"s": INDICES([-1, 6, 20])}),
    ("Reshape rows to images", (12,), 13, [("Reshape", "x s", "h", {}), ("Flatten", "h", "y", {})], {"s": INDICES([-1, 2, 3, 2])}),
    ("Images out of rows", ROWS, 13,
     [("Gemm", "x w", "h", {}), ("Reshape", "h s", "g", {}), ("ConvTranspose", "g u", "y", {"strides": [2, 2]})],
     {"w": tensor(7, 24), "s": INDICES([-1, 4, 3, 2]), "u": tensor(4, 3, 2, 2)}),
    ("Transpose of nothing", IMAGE, 13, [("Transpose", "x", "h", {"perm": [0, 1, 2, 3]}), ("Relu", "h", "y", {})], {}),
    ("Transpose of pixels", IMAGE, 13,
     [("GlobalMaxPool", "x", "p", {}), ("Transpose", "p", "h", {"perm": [0, 2, 3, 1]}), ("Flatten", "h", "y", {})], {}),
    *((f"Squeeze {opset} of {axes}", IMAGE, opset, [("GlobalMaxPool", "x", "p", {}), ("Squeeze", "p", "y", {"axes": axes})], {})
      for opset, axes in ((1, [2, 3]), (11, [-1, -2]))),
    ("Squeeze 13", IMAGE, 13, [("GlobalMaxPool", "x", "p", {}), ("Squeeze", "p a", "y", {})], {"a": INDICES([3, 2])}),
    ("Squeeze of images of a pixel", IMAGE, 13, [("Conv", "x w", "p", {}), ("Squeeze", "p a", "y", {})],
     {"w": tensor(3, 4, 6, 5), "a": INDICES([2, 3])}),
    ("Unsqueeze 11", ROWS, 11, [("Unsqueeze", "x", "h", {"axes": [2, 3]}), ("Conv", "h w", "y", {})], {"w": tensor(3, 7, 1, 1)}),
    ("Unsqueeze 13", ROWS, 13, [("Unsqueeze", "x a", "h", {}), ("Relu", "h", "y", {})], {"a": INDICES([-2, -1])}),
    ("ConstantOfShape, zeros", IMAGE, 13, [("ConstantOfShape", "s", "c", {}), ("Add", "x c", "y", {})], {"s": INDICES([4, 1, 1])}),
    ("ConstantOfShape", IMAGE, 9,
     [("ConstantOfShape", "s", "c", {"value": numpy_helper.from_array(np.array([3], "float32"))}), ("Mul", "x c", "y", {})],
     {"s": INDICES([4, 1, 1])}),
    *((f"Constant of {name}", IMAGE, 13, [("Constant", "", "c", {name: value}), ("Mul", "x c", "y", {})], {})
      for name, value in (("value_float", 2.0), ("value", numpy_helper.from_array(tensor(4, 1, 1))))),
    ("Constant of floats", ROWS, 13, [("Constant", "", "c", {"value_floats": [1.0, 2, 3, 4, 5, 6, 7]}), ("Mul", "x c", "y", {})], {}),
    ("Constant of ints", IMAGE, 13, [("Constant", "", "s", {"value_ints": [0, -1]}), ("Reshape", "x s", "y", {})], {}),
    *((f"Gemm {attributes} {given}", ROWS, 13, [("Gemm", given, "y", attributes)],
       {"w": tensor(3, 7) if attributes.get("transB") else tensor(7, 3)} | ({"b": tensor(*shape)} if "b" in given else {}))
      for attributes in ({}, {"transB": 1}, {"alpha": 0.5, "beta": -2.0}) for given, shape in (("x w", ()), ("x w b", (3,)), ("x w b", (1, 3)), ("x w b", ()))),
    ("MatMul", ROWS, 13, [("MatMul", "x w", "y", {})], {"w": tensor(7, 3)}),
    *((f"Concat {axis}", IMAGE, 13, [("Relu", "x", "a", {}), ("Tanh", "x", "b", {}), ("Concat", "a x b", "y", {"axis": axis})], {}) for axis in (1, -3)),
    ("Concat of one", IMAGE, 13, [("Concat", "x", "h", {"axis": 1}), ("Relu", "h", "y", {})], {}),
    ("Concat of rows", ROWS, 13, [("Relu", "x", "a", {}), ("Concat", "a x", "y", {"axis": 1})], {}),
    *((f"{kind} {opset}", IMAGE, opset, [(kind, "x", "y", {})], {}) for kind in ("GlobalAveragePool", "GlobalMaxPool") for opset in (7, 22)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("in_shape", "opset", "nodes", "constants"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_as_onnxruntime_does(in_shape, opset, nodes, constants, tmp_path):
    file = model(tmp_path, in_shape, nodes, opset=opset, **constants)
    proto, x = onnx.load(file), np.random.default_rng(1).standard_normal((3, *in_shape)).astype("float32")
    network, want = import_onnx(file), run(proto, x)
    assert_same(network.predict(x), want)
    assert_same(run(to_model(network), x), want)
    assert_same(backend.run_model(proto, [x])[0], want)
