"""ONNX's own test suite for runtimes, for all operators that the backend supports."""

import contextlib
import re
import unittest
import warnings
from pathlib import Path

import numpy as np
import pytest

from gwucnn import Conv2D, GWUNetwork

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from gwucnn.common import FormatError  # noqa: E402
from gwucnn.onnx import backend, import_onnx, to_model  # noqa: E402
from gwucnn.onnx.operators import OPERATORS  # noqa: E402

# What image classifiers are made of: every test that ONNX has of them is to pass.
CORE = {
    "Add", "AveragePool", "BatchNormalization", "Concat", "Conv", "ConvTranspose", "Dropout", "Elu", "Flatten", "Gelu",
    "Gemm", "GlobalAveragePool", "GlobalMaxPool", "LRN", "LayerNormalization", "LeakyRelu", "LogSoftmax", "MatMul",
    "MaxPool", "Relu", "Reshape", "Sigmoid", "Softmax", "Softplus", "Tanh",
}  # fmt: skip

# Tests of operators that the backend knows, which it does not pass, with the reason.
REST = {
    "test_identity_sequence": "values that are no tensors",
    "test_identity_opt": "values that are no tensors",
}


@pytest.fixture(scope="module")
def cases():
    """ONNX's tests, of every suite that needs no download."""
    from onnx.backend.test.loader import load_model_tests

    with quiet():
        suites = ("node", "pytorch-converted", "pytorch-operator")
        return [case for kind in suites for case in load_model_tests(kind=kind)]


@contextlib.contextmanager
def quiet():
    """Let the tests themselves overflow."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def kinds(case):
    model = onnx.load(Path(case.model_dir) / "model.onnx") if case.model is None else case.model
    return {node.op_type for node in model.graph.node}


class Counting(unittest.TestResult):
    """Counts tests that pass: whether `testsRun` includes those that are skipped depends on the version of Python."""

    passed = 0

    def addSuccess(self, test):
        self.passed += 1


def test_onnx_own_tests(cases):
    from onnx.backend.test import BackendTest

    known = [case.name for case in cases if kinds(case) <= OPERATORS.keys() and case.name not in REST]
    result = Counting()
    with quiet():
        runner = BackendTest(backend, __name__).include(f"^({'|'.join(map(re.escape, known))})_cpu$")
        runner.test_suite.run(result)
    assert [str(test) for test, _ in result.failures + result.errors] == []
    assert result.passed == len(known) > 340


def test_all_tests_of_the_core_operators_are_among_them(cases):
    """Tests of such an operator alone; what it is 'expanded' to in other operators is not asked for."""
    single = [case for case in cases if len(kinds(case)) == 1 and kinds(case) <= CORE]
    assert len(single) > 235
    assert not {case.name for case in single} & REST.keys()


def node(kind, *shapes, **attributes):
    rng = np.random.default_rng(0)
    names = [f"x{number}" for number in range(len(shapes))]
    xs = [rng.standard_normal(shape).astype("float32") for shape in shapes]
    return helper.make_node(kind, names, ["y"], kind.lower(), **attributes), xs


def test_run_node_takes_arrays_in_order_or_by_name():
    add, (a, b) = node("Add", (2, 3), (3,))
    np.testing.assert_array_equal(backend.run_node(add, [a, b])[0], a + b)
    np.testing.assert_array_equal(backend.run_node(add, {"x1": b, "x0": a}).y, a + b)


def test_run_model_and_batches_of_any_size():
    network = GWUNetwork([Conv2D(3, activation="relu", input_size=(6, 5, 2))])
    x = np.random.default_rng(0).standard_normal((3, 6, 5, 2)).astype("float32")
    (y,) = backend.run_model(to_model(network), [x])
    np.testing.assert_allclose(y, network.predict(x), rtol=1e-5, atol=1e-6)
    assert backend.prepare(to_model(network)).run({"x": x[:1]})[0].shape == (1, 4, 3, 3)
    with pytest.raises(ValueError, match="onnx: expected the inputs x, got no 'x'"):
        backend.prepare(to_model(network)).run({})
    with pytest.raises(ValueError, match="onnx: expected 1 inputs, got 2"):
        backend.prepare(to_model(network)).run([x, x])


def test_devices():
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA:1")
    network = GWUNetwork([Conv2D(input_size=5)])
    with pytest.raises(ValueError, match="onnx: expected device 'CPU', got 'CUDA'"):
        backend.prepare(to_model(network), "CUDA")
    assert backend.is_compatible(to_model(network)) and not backend.is_compatible(to_model(network), "CUDA")


def graph(*nodes, constants=(), opset=17, domain=""):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "D"]) for name in "xy")
    made = helper.make_graph(list(nodes), "graph", [x], [y], list(constants))
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(made, opset_imports=imports, ir_version=8)


def test_an_opset_of_the_future_is_refused(tmp_path):
    model = graph(helper.make_node("Relu", ["x"], ["y"], "relu"), opset=999)
    (tmp_path / "future.onnx").write_bytes(model.SerializeToString())
    newest = onnx.defs.onnx_opset_version()
    says = f"expected an opset up to {newest}, got 999; install a newer version of onnx"
    supported, why = backend.is_opset_supported(model)
    assert not supported and why == f"onnx: {says}"
    assert not backend.is_compatible(model)
    for call in (lambda: backend.prepare(model), lambda: import_onnx(tmp_path / "future.onnx")):
        with pytest.raises(ValueError, match="expected a valid model|expected a valid ONNX model|" + says):
            call()


def test_a_model_that_is_not_valid_is_not_compatible():
    model = graph(helper.make_node("Relu", ["missing"], ["y"], "relu"))
    assert not backend.is_compatible(model)
    with pytest.raises(FormatError, match="onnx: expected a valid model, got another"):
        backend.prepare(model)


@pytest.mark.parametrize("kind", ["MaxPool", "Conv", "ConvTranspose"])
def test_an_unknown_auto_pad_is_refused(kind):
    inputs = ["x"] if kind == "MaxPool" else ["x", "w"]
    made = helper.make_node(kind, inputs, ["y"], "window", auto_pad="SAME", kernel_shape=[1, 1])
    arrays = [np.ones((1, 1, 4, 4), "float32"), np.ones((1, 1, 1, 1), "float32")][: len(inputs)]
    with pytest.raises(
        ValueError, match=f"NOTSET, SAME_UPPER, SAME_LOWER or VALID, got 'SAME' in {kind} node 'window'"
    ):
        backend.run_node(made, arrays)


def test_what_is_outside_is_named():
    model = graph(helper.make_node("Einsum", ["x"], ["y"], "sum", equation="ij->ji"))
    with pytest.raises(
        ValueError, match="onnx: expected a supported operator, got Einsum in node 'sum'; supported are Add, "
    ):
        backend.prepare(model)
    assert not backend.is_compatible(model)
    model = graph(helper.make_node("Relu", ["x"], ["y"], "own", domain="mine"), domain="mine")
    with pytest.raises(ValueError, match="expected operators of ONNX itself, got Relu of 'mine' in node 'own'"):
        backend.prepare(model)
    assert backend.is_opset_supported(model) == (False, "operators of 'mine'")
    model = graph(helper.make_node("Pad", ["x", "pads"], ["y"], "edge", mode="odd"),
                  constants=[numpy_helper.from_array(np.array([0, 0, 1, 1]), "pads")])  # fmt: skip
    with pytest.raises(ValueError, match="expected mode constant, reflect, edge or wrap, got 'odd' in Pad node 'edge'"):
        backend.run_model(model, [np.zeros((2, 2), "float32")])
    dilated, xs = node("MaxPool", (1, 1, 5, 5), kernel_shape=[2, 2], dilations=[2, 2])
    dilated.output.append("indices")
    with pytest.raises(ValueError, match="expected no indices of windows .* in MaxPool node 'maxpool'"):
        backend.run_node(dilated, xs)
    pool, _ = node("MaxPool", (2, 3), kernel_shape=[2])
    with pytest.raises(ValueError, match="expected a tensor of 3 to 5 axes, got one of 2, in MaxPool node"):
        backend.run_node(pool, [np.zeros((2, 3), "float32")])


def test_numbers_outside_of_the_model_are_refused():
    constant = numpy_helper.from_array(np.ones(3, "float32"), "c")
    constant.data_location = TensorProto.EXTERNAL
    entry = constant.external_data.add()
    entry.key, entry.value = "location", "../secret"
    constant.ClearField("raw_data")
    model = graph(helper.make_node("Add", ["x", "c"], ["y"]), constants=[constant])
    with pytest.raises(
        (ValueError, onnx.checker.ValidationError), match="expected all numbers inside|outside the directory"
    ):
        backend.prepare(model)
