"""Operators of graphs that branch, and elementwise functions, as ONNX Runtime computes them: there and back again."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from gwucnn import GELU, Add, GWUNetwork, HardSwish, LayerNormalization, Multiply  # noqa: E402
from gwucnn.onnx import export_onnx, import_onnx  # noqa: E402
from onnx_models import IMAGE, assert_same, model, run, tensor  # noqa: E402

F = np.float32
PAIR = [("Relu", "x", "a", {}), ("Sigmoid", "x", "b", {})]
GATE = [
    ("GlobalAveragePool", "x", "p", {}), ("Conv", "p v", "q", {}), ("Relu", "q", "r", {}), ("Conv", "r w", "s", {}),
]  # fmt: skip
SQUEEZE = {"v": tensor(2, 4, 1, 1), "w": tensor(4, 2, 1, 1)}
SIX = {"three": F(3), "zero": F(0), "six": F(6)}
ROOT, HALF = {"root": F(np.sqrt(2))}, {"half": F(0.5), "one": F(1)}
CLIPPED = [("Add", "x three", "t", {}), ("Clip", "t zero six", "c", {})]
ERF = [("Div", "x root", "d", {}), ("Erf", "d", "e", {}), ("Add", "e one", "g", {})]
LAST = ("Transpose", "x", "l", {"perm": [0, 2, 3, 1]})
FIRST = ("Transpose", "n", "y", {"perm": [0, 3, 1, 2]})


def plain(kind, **attributes):
    return [("Relu", "x", "h", {}), ("Add", "h one", "g", {}), (kind, "g", "y", attributes)], {"one": F(0.3)}


def direct(kind, opset=17, **attributes):
    return [(kind, "x", "y", attributes)], {}, opset


def pair(kind):
    return [*PAIR, (kind, "a b", "y", {})], {}


def resized(size, **attributes):
    return [("Resize", "x  s", "y", attributes)], {"s": F([1, 1, *size])}


CASES = {
    **{kind: pair(kind) for kind in ("Add", "Div", "Max", "Mean", "Min", "Mul", "Sub", "Sum")},
    "Max of three": ([*PAIR, ("Max", "a b x", "y", {})], {}),
    "Min of three": ([*PAIR, ("Min", "a b x", "y", {})], {}),
    "gate": ([*GATE, ("Sigmoid", "s", "g", {}), ("Mul", "x g", "y", {})], SQUEEZE),
    "hard gate": ([*GATE, ("HardSigmoid", "s", "g", {"alpha": 1 / 6}), ("Mul", "g x", "y", {})], SQUEEZE),
    "gate by ReduceMean": ([("ReduceMean", "x", "p", {"axes": [2, 3]}), ("Sigmoid", "p", "g", {}), ("Mul", "x g", "y", {})], {}),
    "gate for pixels": ([("Conv", "x v", "p", {}), ("Sigmoid", "p", "g", {}), ("Mul", "g x", "y", {})], {"v": tensor(1, 4, 1, 1)}),
    "pixels merged": ([*GATE, ("Add", "s p", "y", {})], SQUEEZE),
    "repeated sum": ([("GlobalMaxPool", "x", "p", {}), ("Add", "x p", "y", {})], {}),
    "repeated difference": ([("GlobalMaxPool", "x", "p", {}), ("Sub", "p x", "y", {})], {}),
    "repeated quotient": ([("Exp", "x", "e", {}), ("ReduceMax", "e", "p", {"axes": [2, 3]}), ("Div", "e p", "y", {})], {}),
    "crossing": ([*PAIR, ("Add", "a b", "c", {}), ("Mul", "c a", "d", {}), ("Concat", "d b c", "y", {"axis": 1})], {}),
    **{kind: direct(kind) for kind in ("Abs", "Celu", "Erf", "Exp", "HardSigmoid", "Neg", "Selu", "Softsign")},
    "Celu 0.5": direct("Celu", alpha=0.5),
    "HardSigmoid 0.3": direct("HardSigmoid", alpha=0.3, beta=0.4),
    "HardSwish": direct("HardSwish"),
    "Mish": direct("Mish", 18),
    "Selu 2": direct("Selu", alpha=2.0, gamma=0.7),
    "ThresholdedRelu": direct("ThresholdedRelu", alpha=0.2),
    **{kind: plain(kind) for kind in ("Log", "Reciprocal", "Sqrt")},
    "Pow": ([("Pow", "x e", "y", {})], {"e": F(3)}),
    "hard swish, over six": ([*CLIPPED, ("Div", "c six", "g", {}), ("Mul", "x g", "y", {})], SIX),
    "hard swish, then over six": ([*CLIPPED, ("Mul", "x c", "g", {}), ("Div", "g six", "y", {})], SIX),
    "hard swish by hard sigmoid": ([("HardSigmoid", "x", "g", {"alpha": 1 / 6}), ("Mul", "g x", "y", {})], {}),
    "gelu, half last": ([*ERF, ("Mul", "x g", "m", {}), ("Mul", "m half", "y", {})], ROOT | HALF),
    "gelu, half first": ([*ERF, ("Mul", "x half", "m", {}), ("Mul", "m g", "y", {})], ROOT | HALF),
    "almost gelu": ([*ERF, ("Mul", "x g", "m", {}), ("Mul", "m root", "y", {})], ROOT | HALF),
    "layer norm by parts": (
        [LAST, ("ReduceMean", "l", "m", {"axes": [-1]}), ("Sub", "l m", "c", {}), ("Pow", "c two", "q", {}),
         ("ReduceMean", "q", "v", {"axes": [-1]}), ("Add", "v eps", "w", {}), ("Sqrt", "w", "r", {}),
         ("Div", "c r", "d", {}), ("Mul", "d a", "e", {}), ("Add", "e b", "n", {}), FIRST],
        {"two": F(2), "eps": F(0.01), "a": tensor(4), "b": tensor(4)}),
    "LayerNormalization": ([LAST, ("LayerNormalization", "l a b", "n", {}), FIRST], {"a": tensor(4), "b": tensor(4)}),
    "Split": ([("Split", "x s", "a b", {"axis": 1}), ("Tanh", "a", "t", {}), ("Concat", "b t", "y", {"axis": 1})],
              {"s": np.array([1, 3])}),
    "Split in two": ([("Split", "x", "a b", {"axis": 1}), ("Mul", "a b", "y", {})], {}),
    "Slice": ([("Slice", "x s e a", "y", {})], {"s": np.array([1]), "e": np.array([9]), "a": np.array([1])}),
    "Slice by two": ([("Slice", "x s e a t", "y", {})],
                     {"s": np.array([3]), "e": np.array([-9]), "a": np.array([-3]), "t": np.array([-2])}),
    "Gather": ([("Gather", "x i", "y", {"axis": 1})], {"i": np.array([2, 0, -1, 2])}),
    "DepthToSpace": direct("DepthToSpace", blocksize=2),
    "DepthToSpace, CRD": direct("DepthToSpace", blocksize=2, mode="CRD"),
    "GlobalLpPool": direct("GlobalLpPool", p=3),
    "ReduceMax": direct("ReduceMax", axes=[2, 3], keepdims=0),
    **{f"{mode} by {places}": resized((2, 1.5), mode=mode, coordinate_transformation_mode=places)
       for mode in ("linear", "nearest") for places in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")},
    "nearest, floor": resized((0.5, 1.25), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "nearest, ceil": resized((2, 3), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="ceil"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name, tmp_path):
    nodes, constants, *opset = CASES[name]
    file = model(tmp_path, IMAGE, nodes, *opset or [17], **constants)
    network = import_onnx(file)
    x = np.random.default_rng(1).standard_normal((3, *IMAGE)).astype("float32")
    made = network.predict(x)
    assert_same(made, run(onnx.load(file), x))
    export_onnx(network, tmp_path / "again.onnx")
    assert_same(run(onnx.load(tmp_path / "again.onnx"), x), made)
    network.save(tmp_path / "network")
    for again in (import_onnx(tmp_path / "again.onnx"), GWUNetwork.load(tmp_path / "network")):
        np.testing.assert_allclose(again.predict(x), made, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradients(name, tmp_path):
    """The gradient of a mean, with respect to the image, is that of differences."""
    nodes, constants, *opset = CASES[name]
    nodes = [(kind, given, out.replace("y", "Y"), more) for kind, given, out, more in nodes]
    pooled = [] if name in ("GlobalLpPool", "ReduceMax") else [("GlobalAveragePool", "Y", "Z", {})]
    nodes += [*pooled, ("Flatten", "Z" if pooled else "Y", "y", {})]
    network = import_onnx(model(tmp_path, IMAGE, nodes, *opset or [17], **constants))
    rng = np.random.default_rng(2)
    x, way = (rng.standard_normal((1, *IMAGE)).astype("float32") for _ in range(2))
    way *= 1e-3  # few elements cross a kink
    slope = (network.predict(x + way)[0, 0] - network.predict(x - way)[0, 0]) / 2
    alone = network.predict(x).shape == (1, 1)  # which is the score of the second of two classes
    gradient = network.gradients(x, int(alone))[1][0]
    assert (gradient * way).sum() == pytest.approx(slope, rel=0.02, abs=2e-6)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("gate", Multiply), ("Add", Add), ("layer norm by parts", LayerNormalization)]
    + [(name, HardSwish) for name in CASES if name.startswith("hard swish")]
    + [(name, GELU) for name in CASES if name.startswith("gelu")],
)
def test_parts_become_layers(name, layer, tmp_path):
    nodes, constants = CASES[name]
    network = import_onnx(model(tmp_path, IMAGE, nodes, 17, **constants))
    assert [type(each) for each in network.layers].count(layer) == 1
    if name.startswith(("hard swish", "gelu")):
        assert len(network.layers) == 1
