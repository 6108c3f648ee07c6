"""Models that `import_onnx` rejects: each error names the operator, the unsupported attribute, and the node."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from gwucnn.onnx import backend, import_onnx  # noqa: E402
from onnx_models import IMAGE, model, tensor  # noqa: E402

FLAT = ("Flatten", "x", "f", {})
NORM = {name: abs(tensor(4)) for name in "abcd"}
TURNED = ("Transpose", "x", "h", {"perm": [0, 2, 3, 1]})

# By what the error says; with the opset if it can only be said there.
OUTSIDE = {
    "got Sinh in node 'Sinh-y'": ([("Sinh", "x", "y", {})], {}),
    "dilations of 1, got .2, 2. in MaxPool node 'MaxPool-y'":
        ([("MaxPool", "x", "y", {"kernel_shape": [2, 2], "dilations": [2, 2]})], {}),
    "axis=1, that of the channels, got 2 in Softmax node": ([("Softmax", "x", "y", {"axis": 2})], {}),
    "axis=1, that of the channels, got 3 in Concat node": ([("Concat", "x x", "y", {"axis": 3})], {}),
    "a constant of one number, or one a channel, got .10,. in Mul node": ([("Mul", "x a", "y", {})], {"a": tensor(10)}),
    "mode='constant' and zeros, got 'edge'":
        ([("Pad", "x p", "y", {"mode": "edge"})], {"p": np.array([0, 0, 1, 2, 0, 0, 3, 0])}),
    "the last axis, with the channels": ([("LayerNormalization", "x a", "y", {"axis": -1})], {"a": tensor(10)}),
    "a perm that moves the channels": ([("Transpose", "x", "y", {"perm": [0, 1, 3, 2]})], {}),
    "rows .N, D., got .4, 9, 10. in MatMul node": ([("MatMul", "x a", "y", {})], {"a": tensor(10, 2)}),
    "spatial=1, got 0 in BatchNormalization node": ([("BatchNormalization", "x a b c d", "y", {"spatial": 0})], NORM, 8),
    "is_test=1, got 0 in BatchNormalization node": ([("BatchNormalization", "x a b c d", "y", {})], NORM, 6),
    "training_mode=0 and one output, got .* in BatchNormalization node":
        ([("BatchNormalization", "x a b c d", "y m v", {"training_mode": 1})], NORM),
    "training_mode=0 and one output, .* in BatchNormalization node": ([("BatchNormalization", "x a b c d", "y m v s t", {})], NORM, 9),
    "channels on axis 1 .* in BatchNormalization node": ([TURNED, ("BatchNormalization", "h e e e e", "y", {})], {"e": abs(tensor(9))}),
    "training_mode=False, got True in Dropout node": ([("Dropout", "x r t", "y", {})], {"r": np.float32(0.5), "t": np.array(True)}),
    "inputs that are first outputs of nodes before it, got .'m'. in Concat node":
        ([TURNED, ("LayerNormalization", "h a", "n m", {}), ("Concat", "n m", "y", {"axis": 3})], {"a": tensor(4)}),
    "one output, got two in MaxPool node": ([("MaxPool", "x", "y i", {"kernel_shape": [2, 2]})], {}),
    "axis=1, that of the channels, got 3 in LogSoftmax node": ([("LogSoftmax", "x", "y", {})], {}),
    "rows, or images of opset 13 or newer, got .4, 9, 10. of opset 11 in Softmax node": ([("Softmax", "x", "y", {"axis": 1})], {}, 11),
    "one tensor that is computed and constants, got two, in Conv node": ([("Conv", "x x", "y", {})], {}),
    "a first input that is computed, got a constant in Conv node": ([("Conv", "w x", "y", {})], {"w": tensor(2, 4, 3, 3)}),
    "a first input that is computed, got a constant in Clip node": ([("Clip", "w x", "y", {})], {"w": tensor(2, 4)}),
    "one tensor that is computed and constants, got two, in Clip node": ([("Clip", "x x", "y", {})], {}),
    "images .N, C, H, W., got .9, 10, 4. in MaxPool node": ([TURNED, ("MaxPool", "h", "y", {"kernel_shape": [2, 2]})], {}),
    "images .N, C, H, W., got .360,. in LRN node": ([FLAT, ("LRN", "f", "y", {"size": 3})], {}),
    "pads smaller than kernel_shape=.2, 2., got .* in AveragePool node":
        ([("AveragePool", "x", "y", {"kernel_shape": [2, 2], "pads": [0, 2, 0, 0]})], {}),
    "dilations of 1, got .2, 1. in AveragePool node": ([("AveragePool", "x", "y", {"kernel_shape": [2, 2], "dilations": [2, 1]})], {}, 19),
    "pads that cut off, .* in ConvTranspose node":
        ([("ConvTranspose", "x w", "y", {"output_shape": [30, 30]})], {"w": tensor(4, 2, 3, 3)}),
    "transA=0, got 1 in Gemm node": ([FLAT, ("Gemm", "f w", "y", {"transA": 1})], {"w": tensor(1, 3)}),
    "one tensor that is computed and constants, got two, in Gemm node": ([FLAT, ("Gemm", "f f", "y", {"transB": 1})], {}),
    "C of shape .3,., got .5,. in Gemm node": ([FLAT, ("Gemm", "f w b", "y", {})], {"w": tensor(360, 3), "b": tensor(5)}),
    "a constant to divide by that is nowhere 0, got another, in Div node": ([("Div", "x a", "y", {})], {"a": np.float32([[[1]], [[0]], [[1]], [[1]]])}),
    "a constant to divide by .* in Div node": ([("Div", "a x", "y", {})], {"a": np.float32(1)}),
    "a constant of one number, or one a channel, got .360,. in Mul node": ([FLAT, ("Unsqueeze", "f i", "h", {}), ("Mul", "h a", "y", {})],
                                                                          {"i": np.array([2, 3]), "a": tensor(360)}),
    "a sum of two, got one of more with constants, in Sum node": ([("Sum", "x a a", "y", {})], {"a": np.float32(1)}),
    "tensors that are computed, got constants, in Concat node": ([("Concat", "x a", "y", {"axis": 1})], {"a": tensor(1, 1, 9, 10)}),
    "tensors of one shape, got .4, 1, 10. and .4, 9, 10., in Mean node":
        ([("MaxPool", "x", "h", {"kernel_shape": [9, 1]}), ("Mean", "h x", "y", {})], {}),
    "tensors of one layout, got first, last, in Add node":
        ([TURNED, ("MaxPool", "x", "p", {"kernel_shape": [9, 10]}), ("Add", "h p", "y", {})], {}),
    "tensors that are computed, got constants among them, in Concat node":
        ([("Relu", "x", "h", {}), ("Concat", "x h a", "y", {"axis": 1})], {"a": tensor(1, 1, 9, 10)}),
    "axis=1, that of the channels, got 2 in Split node": ([("Split", "x", "y z", {"axis": 2, "num_outputs": 2})], {}, 18),
    "a list of channels, got .2,. along axis=2 in Gather node": ([("Gather", "x i", "y", {"axis": 2})], {"i": np.array([0, 1])}),
    "an exponent of one number, got .4, 1, 1. in Pow node": ([("Pow", "x a", "y", {})], {"a": tensor(4, 1, 1)}),
    "mode='constant' and zeros, got 'constant' and 1.0 in Pad node": ([("Pad", "x p v", "y", {})], {"p": np.array([0, 0, 1, 2, 0, 0, 3, 0]), "v": np.float32(1)}),
    "pads of pixels only, got .* in Pad node": ([("Pad", "x p", "y", {})], {"p": np.array([0, 1, 1, 2, 0, 0, 3, 0])}),
    "pads of 0 or more for images, got .* in Pad node": ([("Pad", "x p", "y", {})], {"p": np.array([0, 0, -1, 2, 0, 0, 3, 0])}),
    "mode nearest or linear and places half_pixel, .*, got .*cubic.* in Resize node":
        ([("Resize", "x  s", "y", {"mode": "cubic"})], {"s": np.float32([1, 1, 2, 2])}),
    "steps of 1 along rows and columns, got steps=.2. and axes=.2. in Slice node":
        ([("Slice", "x s e a t", "y", {})], {"s": np.array([0]), "e": np.array([9]), "a": np.array([2]), "t": np.array([2])}),
    "scale and B of 4 or 4 numbers, got 3 and 4 in InstanceNormalization node":
        ([("InstanceNormalization", "x a b", "y", {})], {"a": tensor(3), "b": tensor(4)}),
    "axis=1, got 2 in Flatten node": ([("Flatten", "x", "y", {"axis": 2})], {}),
    "a shape of 360 numbers a sample, got .* in Reshape node": ([("Reshape", "x s", "y", {})], {"s": np.array([4, -1])}),
    "axes of one pixel, got .* in Squeeze node": ([("AveragePool", "x", "h", {"kernel_shape": [9, 1]}), ("Squeeze", "h i", "y", {})], {"i": np.array([2])}),
    "axes that make a pixel of rows, got .1. of .360,. in Unsqueeze node": ([FLAT, ("Unsqueeze", "f i", "y", {})], {"i": np.array([1])}),
    "a perm that moves the channels, got .0, 2, 1, 3, 4. of .2, 2, 9, 10. in Transpose node":
        ([("Reshape", "x s", "h", {}), ("Transpose", "h", "y", {"perm": [0, 2, 1, 3, 4]})], {"s": np.array([0, 2, 2, 9, 10])}),
    "the pixels to be reduced, axes=.2, 3. of images, got axes=.1. of .4, 9, 10. in ReduceMean node": ([("ReduceMean", "x", "y", {"axes": [1]})], {}),
    "the last axis, with the channels, to be normalised, got axis=1 .* in LayerNormalization node":
        ([("LayerNormalization", "x a", "y", {"axis": 1})], {"a": tensor(4, 9, 10)}),
    "B of shape .4,., got .1,. in LayerNormalization node":
        ([TURNED, ("LayerNormalization", "h a b", "y", {})], {"a": tensor(4), "b": tensor(1)}),
    "expected images to go out in the order in which they go in": ([("Transpose", "x", "y", TURNED[3])], {}),
    "expected an output that depends on the input, got a constant": ([("Identity", "a", "y", {})], {"a": tensor(4)}),
}  # fmt: skip


@pytest.mark.parametrize("text", OUTSIDE)
def test_what_is_outside_is_named(text, tmp_path):
    nodes, constants, *opset = OUTSIDE[text]
    with pytest.raises(ValueError, match=text):
        import_onnx(model(tmp_path, IMAGE, nodes, *opset or [17], **constants))


@pytest.mark.parametrize(("opset", "attributes"), [(6, {}), (8, {"spatial": 0})])
def test_the_backend_normalises_in_use_alone(opset, attributes):
    node = onnx.helper.make_node("BatchNormalization", list("xabcd"), ["y"], "norm", **attributes)
    x = np.ones((1, 4, 2, 2), "float32")
    with pytest.raises(ValueError, match=r"expected (is_test=1|spatial=1), got 0 in BatchNormalization node 'norm'"):
        backend.run_node(node, [x, *NORM.values()], opset_version=opset)
