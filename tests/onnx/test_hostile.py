"""Malicious ONNX files raise a ValueError that says what is wrong, before any allocation or file access."""

import os
import tracemalloc

import numpy as np
import pytest

from gwucnn import FormatError

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from gwucnn.onnx import backend, folding, import_onnx  # noqa: E402

SIZES = (4, 9, 10)
MEGABYTES = 20


def proto(nodes, constants=(), opset=17):
    """Return a model of NodeProtos from x (N, 4, 9, 10) to y, as it is, whatever it says."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", *SIZES))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", "a", "b", "c"))
    tensors = [c if isinstance(c, TensorProto) else numpy_helper.from_array(c[1], c[0]) for c in constants]
    graph = helper.make_graph(nodes, "hostile", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def lying(name, sizes, kind=TensorProto.FLOAT, data=b"\0" * 4):
    """Return a tensor that promises more numbers than it has."""
    return TensorProto(name=name, data_type=kind, dims=sizes, raw_data=data)


def node(kind, inputs, output="y", **attributes):
    return helper.make_node(kind, inputs.split(" ") if inputs else [], [output], f"a {kind}", **attributes)


def complaint(path, model, kind=ValueError):
    """Import a model; return what the error says, and check that it cost little memory."""
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    tracemalloc.start()
    try:
        with pytest.raises(kind) as caught:
            import_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 2**20
    finally:
        tracemalloc.stop()
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


# --------------------------------------------------------------------------------------- sizes that are lies

CONV = [node("Conv", "x w")]
HUGE = np.array([10**6, 10**6])


@pytest.mark.parametrize("sizes", [(10**9, 4, 3, 3), (2**62, 4), (-1, 4, 3, 3), (2, 4, 3, 3)], ids=str)
@pytest.mark.parametrize("data", [b"", b"\0" * 4, b"\0" * 5], ids=len)
def test_tensors_that_promise_more_than_they_have(path, sizes, data):
    said = complaint(path, proto(CONV, [lying("w", sizes, data=data)]), FormatError)
    assert said.startswith("import_onnx: expected ") and "'w'" in said


LIES = {
    "at most 268435456 numbers computed from constants, got 1000000000000 in ConstantOfShape node 'a ConstantOfShape'":
        ([node("ConstantOfShape", "s", "c"), node("Add", "x c")], {"s": HUGE}),
    "numbers computed from constants, got .* in Pad node 'a Pad'": ([node("Pad", "w p", "c"), node("Add", "x c")], {"w": np.ones((1, 1), "float32"), "p": np.array([0, 10**9, 0, 10**9])}),
    "numbers computed from constants, got .* in Add node 'a Add'":
        ([node("Add", "a b", "c"), node("Mul", "x c")], {"a": np.ones((10**5, 1), "float32"), "b": np.ones((1, 10**5), "float32")}),
    "numbers computed from constants, got .* in MatMul node":
        ([node("MatMul", "a b", "c"), node("Mul", "x c")], {"a": np.ones((10**5, 1), "float32"), "b": np.ones((1, 10**5), "float32")}),
    "a weight of four axes and kernel_shape=.100000, 100000., got .2, 4, 3, 3. in Conv node 'a Conv'":
        ([node("Conv", "x w", kernel_shape=[10**5, 10**5])], {"w": np.ones((2, 4, 3, 3), "float32")}),
    "a weight for 4 channels in group=3, got .6, 4, 3, 3. in Conv node": ([node("Conv", "x w", group=3)], {"w": np.ones((6, 4, 3, 3), "float32")}),
    "a weight for 4 channels, got .5, 4, 3, 3. in ConvTranspose node": ([node("ConvTranspose", "x w")], {"w": np.ones((5, 4, 3, 3), "float32")}),
    "a matrix of 2880 rows as second factor, got .360, 2. in MatMul node":
        ([node("Pad", "x p", "h"), node("Flatten", "h", "f"), node("MatMul", "f w")],
         {"p": np.array([0, 0, 9, 0, 0, 0, 0, 30]), "w": np.ones((360, 2), "float32")}),
    "mean of shape .4,., got .3,. in BatchNormalization node":
        ([node("BatchNormalization", "x a a b a")], {"a": np.ones(4, "float32"), "b": np.ones(3, "float32")}),
    "a bias of shape .2,., got .5,. in Conv node": ([node("Conv", "x w b")], {"w": np.ones((2, 4, 3, 3), "float32"), "b": np.ones(5, "float32")}),
    "expected group of 1 or more in Conv node": ([node("Conv", "x w", group=0)], {"w": np.ones((6, 4, 3, 3), "float32")}),
    "expected strides of 1 or more in MaxPool node 'a MaxPool', got .0, 1.": ([node("MaxPool", "x", kernel_shape=[2, 2], strides=[0, 1])], {}),
}  # fmt: skip


@pytest.mark.parametrize("text", LIES)
def test_sizes_that_do_not_fit(path, text):
    nodes, constants = LIES[text]
    path.write_bytes(proto(nodes, constants.items()).SerializeToString())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=text):
            import_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 2**20
    finally:
        tracemalloc.stop()


def test_constants_that_double_and_double(path, monkeypatch):
    monkeypatch.setattr(folding, "MOST", 10**6)
    nodes = [node("Concat", "c c", "c0", axis=0)]
    nodes += [node("Concat", f"c{k} c{k}", f"c{k + 1}", axis=0) for k in range(60)]
    said = complaint(path, proto([*nodes, node("Add", "x c60")], [("c", np.ones(1000, "float32"))]))
    assert "at most 1000000 numbers computed from constants, got" in said and "in Concat node" in said


def test_sums_in_sums_without_end(path):
    """Python's own stack must not be used up."""
    nodes = [node("Relu", "x", "h0")]
    for k in range(3000):
        nodes += [node("Add", f"h{k} x", f"a{k}"), node("Relu", f"a{k}", f"h{k + 1}")]
    path.write_bytes(proto([*nodes, node("Relu", "h3000")]).SerializeToString())
    assert len(import_onnx(path).layers) == 6002


# ------------------------------------------------------------------------------------------------ other files


def external(name, location):
    tensor = lying(name, (2, 4, 3, 3), data=b"")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def subgraph(tensor):
    y = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "inside", [], [y], [tensor])


@pytest.mark.parametrize("location", ["weights", "../weights", "/etc/passwd", ""], ids=repr)
@pytest.mark.parametrize("place", ["constant", "attribute", "subgraph", "default"])
def test_numbers_in_other_files(path, tmp_path, location, place, monkeypatch):
    (tmp_path / "weights").write_bytes(b"\0" * 288)
    monkeypatch.chdir(tmp_path)
    tensor = external("w", location)
    model = {
        "constant": lambda: proto(CONV, [tensor]),
        "attribute": lambda: proto([node("Constant", "", "w", value=tensor), *CONV]),
        "subgraph": lambda: proto([helper.make_node("If", ["c"], ["w"], then_branch=subgraph(tensor), else_branch=subgraph(tensor)), *CONV],
                                  [("c", np.array(True))]),
        "default": lambda: proto([helper.make_node("If", ["c"], ["w"], then_branch=subgraph(tensor), else_branch=subgraph(tensor)), *CONV]),
    }[place]()  # fmt: skip
    text = "expected all numbers inside of the model, got tensor 'w' in another file"
    beside = "expected the numbers of tensor 'w' in a file of the model's own folder, without links, got "
    if place != "constant":
        assert text in complaint(path, model)
    elif location != "weights":
        assert beside + repr(location) in complaint(path, model)
    with pytest.raises(ValueError, match=text):
        backend.prepare(model)
    with pytest.raises(ValueError, match=text):
        backend.run_node(node("Constant", "", "w", value=tensor), [])


def test_invalid_file(tmp_path, path):
    with pytest.raises(FormatError, match="expected a file, got a folder"):
        import_onnx(tmp_path)
    with pytest.raises(FileNotFoundError):
        import_onnx(path)
    if os.path.exists("/dev/zero"):
        path.symlink_to("/dev/zero")
        with pytest.raises(FormatError, match="expected a file, got a device or a pipe"):
            import_onnx(path)
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FormatError, match="expected a file, got a device or a pipe"):
            import_onnx(tmp_path / "pipe")


# ----------------------------------------------------------------------------------- what is written otherwise


def test_sparse_constants_and_functions(path):
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0]), helper.make_tensor("i", TensorProto.INT64, [1], [0]), [4, 4]
    )  # fmt: skip
    model = proto(CONV)
    model.graph.sparse_initializer.append(sparse)
    assert "expected dense constants, got a sparse one" in complaint(path, model)
    with pytest.raises(ValueError, match="expected dense constants, got a sparse one"):
        backend.prepare(model)
    model = proto([node("Relu", "x")])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(
        helper.make_function("", "Relu", ["a"], ["b"], [helper.make_node("Tanh", ["a"], ["b"])], opsets)
    )
    assert "expected operators of ONNX itself, got the function 'Relu'; inline it" in complaint(path, model)


def test_one_name_for_two_tensors(path):
    w = ("w", np.ones((2, 4, 3, 3), "float32"))
    assert "expected one tensor 'w', got two" in complaint(path, proto(CONV, [w, w]), FormatError)


# ------------------------------------------------------------------------------------------------------ damage


def test_damaged_bytes(path):
    """Three hundred files, a byte of each changed or all cut off from there on, none a surprise."""
    rng = np.random.default_rng(5)
    nodes = [
        node("Conv", "x w b", "a", pads=[1, 1, 1, 1]), node("BatchNormalization", "a s s b s", "n"), node("Relu", "n", "r"),
        node("Add", "r a", "d"), node("MaxPool", "d", "m", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        node("Reshape", "m t", "f"), node("Gemm", "f g", "l", transB=1), node("Softmax", "l", axis=-1),
    ]  # fmt: skip
    arrays = {"w": (3, 4, 3, 3), "b": (3,), "s": (3,), "g": (2, 60)}
    constants = [(name, rng.uniform(0.5, 1, shape).astype("float32")) for name, shape in arrays.items()]
    sound = proto(nodes, [*constants, ("t", np.array([0, -1]))])
    sound.graph.output[0].type.tensor_type.shape.dim.pop()
    sound.graph.output[0].type.tensor_type.shape.dim.pop()
    data = sound.SerializeToString()
    path.write_bytes(data)
    assert len(import_onnx(path).layers) == 8
    told = 0
    for trial in range(300):
        place = int(rng.integers(len(data)))
        changed = bytearray(data)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed[:place] if trial % 10 == 0 else changed)
        try:
            import_onnx(path)
        except ValueError as error:
            assert str(error).startswith(("import_onnx", "onnx: ")), (place, error)
            told += 1
    assert told > 100
