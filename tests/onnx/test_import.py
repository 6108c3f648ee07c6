"""Imported ONNX models predict what another runtime computes."""

import numpy as np
import pytest

from gwucnn import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    FormatError,
    GWUNetwork,
    SiLU,
    models,
)
from gwucnn.layers import imported
from layer_cases import CASES

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from gwucnn.onnx import backend, export_onnx, import_onnx  # noqa: E402
from onnx_models import FORMATS, IMAGE, MODELS, assert_same, inputs, model, run, tensor, with_weights  # noqa: E402


def check(file, in_shape):
    """Import a model, compare it with a runtime, train it for a step and return it."""
    network = import_onnx(file)
    x = np.random.default_rng(1).standard_normal((3, *in_shape)).astype("float32")
    assert_same(network.predict(x), run(onnx.load(file), x))
    loss = network.gradients(x[:1], 0) if len(network.layers[-1].out_shape) == 1 else None
    assert loss is None or np.isfinite(loss[1][0]).all()
    return network


# -------------------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.layer.__name__}: {case.why}")
def test_every_layer_comes_back(case, data_format, tmp_path):
    network = with_weights(GWUNetwork([case.layer(**case.options)], data_format=data_format), case.in_shape)
    export_onnx(network, tmp_path / "model.onnx")
    again, x = import_onnx(tmp_path / "model.onnx"), inputs(network, case.in_shape)
    assert_same(again.predict(x), network.predict(x))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_models_come_back(name, data_format, tmp_path):
    options, in_shape = MODELS[name]
    network = with_weights(getattr(models, name)(**options, data_format=data_format), in_shape)
    export_onnx(network, tmp_path / "model.onnx")
    again, x = import_onnx(tmp_path / "model.onnx"), inputs(network, in_shape)
    assert again.data_format == data_format and again.count_params() == network.count_params()
    assert_same(again.predict(x), network.predict(x))


def test_float64(tmp_path):
    network = with_weights(GWUNetwork([Conv2D(3), Dense(2)][:1], precision="float64"), (6, 5, 2))
    export_onnx(network, tmp_path / "model.onnx", precision="float64")
    again = import_onnx(tmp_path / "model.onnx")
    x = inputs(network, (6, 5, 2)).astype("float64")
    assert again.precision == "float64"
    np.testing.assert_array_equal(again.predict(x), network.predict(x))


# ------------------------------------------------------------------------------------------ single operators
W = tensor(6, 2, 3, 2)
SINGLE = {
    "conv": ([("Conv", "x w b", "y", {"group": 2, "pads": [0, 1, 2, 3], "strides": [2, 1], "dilations": [1, 2]})],
             {"w": W, "b": tensor(6)}),
    "conv, same upper": ([("Conv", "x w", "y", {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]})], {"w": W}),
    "conv, same lower": ([("Conv", "x w", "y", {"group": 2, "auto_pad": "SAME_LOWER"})], {"w": W}),
    "conv, valid": ([("Conv", "x w", "y", {"group": 2, "auto_pad": "VALID"})], {"w": W}),
    "transposed": ([("ConvTranspose", "x w b", "y", {"strides": [2, 3], "pads": [1, 0, 0, 2], "output_padding": [1, 0]})],
                   {"w": tensor(4, 3, 3, 3), "b": tensor(3)}),
    "transposed, groups": ([("ConvTranspose", "x w", "y", {"group": 2, "dilations": [2, 1]})], {"w": tensor(4, 3, 2, 3)}),
    "transposed, shape": ([("ConvTranspose", "x w", "y", {"strides": [2, 2], "output_shape": [18, 20]})],
                          {"w": tensor(4, 3, 3, 3)}),
    "max": ([("MaxPool", "x", "y", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 2, 1]})], {}),
    "max, ceil": ([("MaxPool", "x", "y", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})], {}),
    "max, same": ([("MaxPool", "x", "y", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"})], {}),
    "mean": ([("AveragePool", "x", "y", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})], {}),
    "mean, padding": ([("AveragePool", "x", "y", {"kernel_shape": [3, 3], "pads": [1, 1, 0, 2], "count_include_pad": 1})], {}),
    "mean, ceil": ([("AveragePool", "x", "y", {"kernel_shape": [2, 3], "strides": [2, 3], "ceil_mode": 1})], {}),
    "pixel": ([("GlobalAveragePool", "x", "y", {})], {}),
    "pixel, on": ([("GlobalMaxPool", "x", "p", {}), ("Conv", "p w", "y", {})], {"w": tensor(5, 4, 1, 1)}),
    "squeezed": ([("GlobalMaxPool", "x", "p", {}), ("Squeeze", "p a", "y", {})], {"a": np.array([2, 3])}),
    "means": ([("ReduceMean", "x", "y", {"axes": [2, 3], "keepdims": 0})], {}),
    "norm": ([("BatchNormalization", "x a b c d", "y", {"epsilon": 0.01})],
             {"a": tensor(4), "b": tensor(4), "c": tensor(4), "d": abs(tensor(4))}),
    "instance norm": ([("InstanceNormalization", "x a b", "y", {})], {"a": tensor(4), "b": tensor(4)}),
    "group norm": ([("Reshape", "x s", "h", {}), ("InstanceNormalization", "h a b", "g", {}), ("Reshape", "g t", "f", {}),
                    ("Mul", "f c", "e", {}), ("Add", "e d", "y", {})],
                   {"s": np.array([0, 2, -1]), "t": np.array([0, 4, 9, 10]), "a": tensor(2), "b": tensor(2),
                    "c": tensor(4, 1, 1), "d": tensor(4, 1, 1)}),
    "prelu": ([("PRelu", "x a", "y", {})], {"a": tensor(4, 1, 1)}),
    "prelu, one slope": ([("PRelu", "x a", "y", {})], {"a": tensor(1)}),
    "prelu, all": ([("PRelu", "x a", "y", {})], {"a": tensor(1, 4, 9, 10)}),
    "prelu of a pixel": ([("GlobalMaxPool", "x", "h", {}), ("PRelu", "h a", "y", {})], {"a": tensor(4, 1, 1)}),
    "lrn": ([("LRN", "x", "y", {"size": 3, "alpha": 0.5, "bias": 2.0})], {}),
    "clip": ([("Clip", "x a b", "y", {})], {"a": np.float32(-0.5), "b": np.float32(0.7)}),
    "relu by clip": ([("Clip", "x a", "y", {})], {"a": np.float32(0)}),
    "elu": ([("Elu", "x", "y", {"alpha": 0.5})], {}),
    "leaky": ([("LeakyRelu", "x", "y", {})], {}),
    "softplus": ([("Softplus", "x", "y", {})], {}),
    "swish": ([("Sigmoid", "x", "s", {}), ("Mul", "s x", "y", {})], {}),
    "log softmax": ([("LogSoftmax", "x", "y", {"axis": 1})], {}),
    "pad": ([("Pad", "x p", "y", {})], {"p": np.array([0, 0, 1, 2, 0, 0, 3, 0])}),
    "slice": ([("Slice", "x s e a", "y", {})],
              {"s": np.array([1, -7]), "e": np.array([9, -1]), "a": np.array([2, -1])}),
    "resize, linear": ([("Resize", "x  s", "y", {"mode": "linear"})], {"s": np.float32([1, 1, 2, 1.5])}),
    "resize, sizes": ([("Resize", "x   s", "y", {"mode": "linear"})], {"s": np.array([3, 4, 7, 11])}),
    "resize, nearest": ([("Resize", "x  s", "y", {"nearest_mode": "round_prefer_ceil"})], {"s": np.float32([1, 1, 2, 1.5])}),
    "scale": ([("Mul", "x a", "h", {}), ("Add", "b h", "g", {}), ("Sub", "a g", "f", {}), ("Div", "f b", "y", {})],
              {"a": tensor(1, 4, 1, 1), "b": np.float32(3)}),
    "bias": ([("Conv", "x w", "h", {}), ("Add", "h b", "y", {})], {"w": tensor(3, 4, 2, 2), "b": tensor(3, 1, 1)}),
    "flat": ([("Flatten", "x", "h", {}), ("MatMul", "h w", "g", {}), ("Add", "g b", "y", {})],
             {"w": tensor(360, 3), "b": tensor(3)}),
    "flat, turned": ([("Transpose", "x", "h", {"perm": [0, 2, 3, 1]}), ("Reshape", "h s", "g", {}), ("MatMul", "g w", "y", {})],
                     {"s": np.array([-1, 360]), "w": tensor(360, 3)}),
    "gemm": ([("Flatten", "x", "h", {}), ("Gemm", "h w b", "y", {"alpha": 0.5, "beta": 2.0})],
             {"w": tensor(360, 3), "b": tensor(1, 3)}),
    "dropout": ([("Dropout", "x", "h", {}), ("Relu", "h", "y", {})], {}),
    "constant": ([("Constant", "", "c", {"value_float": 2.0}), ("Identity", "x", "h", {}), ("Mul", "h c", "y", {})], {}),
    "shape computed": ([("ConstantOfShape", "n", "o", {"value": numpy_helper.from_array(np.array([-1]))}),
                        ("Concat", "z o", "s", {"axis": 0}), ("Reshape", "x s", "y", {})],
                       {"n": np.array([1]), "z": np.array([0])}),
    "shape of the batch": ([("Shape", "x", "s", {}), ("Gather", "s i", "n", {"axis": 0}), ("Unsqueeze", "n i0", "m", {}),
                            ("Concat", "m o", "t", {"axis": 0}), ("Reshape", "x t", "h", {}), ("MatMul", "h w", "y", {})],
                           {"i": np.array(0), "i0": np.array([0]), "o": np.array([-1]), "w": tensor(360, 2)}),
    "sum": ([("Relu", "x", "a", {}), ("Tanh", "x", "b", {}), ("Sum", "a x b", "y", {})], {}),
    "sum, twice one": ([("Add", "x x", "a", {}), ("Sum", "a a a", "y", {})], {}),
    "shuffle": ([("Reshape", "x s", "a", {}), ("Transpose", "a", "b", {"perm": [0, 2, 1, 3, 4]}), ("Reshape", "b t", "y", {})],
                {"s": np.array([-1, 2, 2, 9, 10]), "t": np.array([0, 4, 9, 10])}),
    "unsqueezed": ([("GlobalMaxPool", "x", "p", {}), ("Flatten", "p", "f", {}), ("Unsqueeze", "f a", "h", {}),
                    ("Conv", "h w", "y", {})], {"a": np.array([2, 3]), "w": tensor(5, 4, 1, 1)}),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_operators(name, tmp_path):
    nodes, constants = SINGLE[name]
    check(model(tmp_path, IMAGE, nodes, **constants), IMAGE)


def test_biases_are_trained_with_their_layers(tmp_path):
    for name, layer in (("bias", Conv2D), ("flat", Dense)):
        nodes, constants = SINGLE[name]
        network = check(model(tmp_path, IMAGE, nodes, **constants), IMAGE)
        assert isinstance(network.layers[-1], layer) and network.layers[-1].add_bias


def test_swish_is_a_layer_and_constants_are_frozen(tmp_path):
    nodes, constants = SINGLE["swish"]
    assert isinstance(import_onnx(model(tmp_path, IMAGE, nodes)).layers[0], SiLU)
    nodes, constants = SINGLE["scale"]
    made = import_onnx(model(tmp_path, IMAGE, nodes, **constants)).layers
    assert all(isinstance(layer, BatchNormalization) and not layer.trainable for layer in made)
    nodes, constants = SINGLE["flat, turned"]
    assert isinstance(import_onnx(model(tmp_path, IMAGE, nodes, **constants)).layers[0], imported.OrderedFlatten)


# ----------------------------------------------------------------------------------------------- branches


def conv(given, out, weight="w"):
    return ("Conv", f"{given} {weight}", out, {"pads": [1, 1, 1, 1]})


def test_blocks_in_blocks(tmp_path):
    nodes = [
        conv("x", "a"), ("Relu", "a", "b", {}), conv("b", "c"), ("Add", "c a", "d", {}),
        ("MaxPool", "d", "e", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}), ("Add", "x d", "f", {}),
        ("Concat", "f e x", "g", {"axis": 1}), ("GlobalAveragePool", "g", "h", {}), ("Flatten", "h", "i", {}),
        ("Softmax", "i", "y", {}),
    ]  # fmt: skip
    nodes[5] = ("Add", "x e", "f", {})
    nodes[6] = ("Concat", "f x", "g", {"axis": 1})
    network = check(model(tmp_path, IMAGE, nodes, w=tensor(4, 4, 3, 3)), IMAGE)
    assert sum(isinstance(layer, Add) for layer in network.layers) == 2


def test_dense_net(tmp_path):
    nodes = [
        conv("x", "a", "w1"), ("Concat", "x a", "xa", {"axis": 1}), conv("xa", "b", "w2"),
        ("Concat", "x a b", "xab", {"axis": 1}), conv("xab", "c", "w3"), ("Concat", "x a b c", "y", {"axis": 1}),
    ]  # fmt: skip
    weights = {"w1": tensor(2, 4, 3, 3), "w2": tensor(2, 6, 3, 3), "w3": tensor(2, 8, 3, 3)}
    check(model(tmp_path, IMAGE, nodes, **weights), IMAGE)


def test_u_net(tmp_path):
    nodes = [
        conv("x", "a"), ("MaxPool", "a", "b", {"kernel_shape": [3, 2], "strides": [3, 2]}), conv("b", "c"),
        ("ConvTranspose", "c u", "d", {"strides": [3, 2]}), ("Concat", "a d", "e", {"axis": 1}), ("Relu", "e", "y", {}),
    ]  # fmt: skip
    check(model(tmp_path, IMAGE, nodes, w=tensor(4, 4, 3, 3), u=tensor(4, 4, 3, 2)), IMAGE)


def test_branches_may_cross(tmp_path):
    nodes = [
        ("Relu", "x", "a", {}), ("Tanh", "x", "b", {}), ("Add", "a b", "c", {}), ("Sigmoid", "a", "d", {}),
        ("Concat", "c d b", "y", {"axis": 1}),
    ]  # fmt: skip
    check(model(tmp_path, IMAGE, nodes), IMAGE)


SHUFFLED = SINGLE["shuffle"][0]


def test_a_shuffle_of_channels_is_a_layer(tmp_path):
    network = import_onnx(model(tmp_path, IMAGE, SHUFFLED, **SINGLE["shuffle"][1]))
    assert [(type(layer), layer.groups) for layer in network.layers] == [(imported.ChannelShuffle, 2)]
    export_onnx(network, tmp_path / "again.onnx")
    network.save(tmp_path / "network")
    x = inputs(network, (9, 10, 4))
    for again in (import_onnx(tmp_path / "again.onnx"), GWUNetwork.load(tmp_path / "network")):
        assert [type(layer) for layer in again.layers] == [imported.ChannelShuffle]
        np.testing.assert_array_equal(again.predict(x), network.predict(x))
    # Groups of two channels, dealt out: 0 and 2 come first.
    np.testing.assert_array_equal(network.predict(x), x[:, [0, 2, 1, 3]])


def test_what_only_looks_like_a_shuffle_is_refused(tmp_path):
    constants = SINGLE["shuffle"][1]
    others = {
        "the inner images are used too": [*SHUFFLED[:2], ("Reshape", "b t", "c", {}), ("Reshape", "b t", "d", {}), ("Add", "c d", "y", {})],
        "other axes": [SHUFFLED[0], ("Transpose", "a", "b", {"perm": [0, 1, 2, 4, 3]}), SHUFFLED[2]],
    }  # fmt: skip
    for nodes in others.values():
        with pytest.raises(ValueError, match="a perm that moves the channels, got .* in Transpose node"):
            import_onnx(model(tmp_path, IMAGE, nodes, **constants))


@pytest.mark.parametrize(("kind", "shape", "axis"), [("Add", (4,), 1), ("Mul", (4,), -3), ("Div", (4, 1), 1)])
def test_constants_on_some_axes_as_before_opset_7(kind, shape, axis, tmp_path):
    """onnxruntime begins with opset 7."""
    c = abs(tensor(*shape)) + 1
    file = model(tmp_path, IMAGE, [(kind, "x c", "y", {"axis": axis, "broadcast": 1})], opset=6, c=c)
    x = np.random.default_rng(1).standard_normal((2, *IMAGE)).astype("float32")
    function = {"Add": np.add, "Mul": np.multiply, "Div": np.divide}[kind]
    assert_same(import_onnx(file).predict(x), function(x, c.reshape(4, 1, 1)))


# -------------------------------------------------------------------------------------------------- files


def test_damaged_files(tmp_path):
    file = model(tmp_path, IMAGE, SINGLE["conv"][0], **SINGLE["conv"][1])
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="import_onnx: expected an ONNX file, got"):
        import_onnx(file)
    file.write_bytes(b"")
    with pytest.raises(FormatError, match="import_onnx: expected a valid ONNX model, got"):
        import_onnx(file)
    with pytest.raises(FileNotFoundError):
        import_onnx(tmp_path / "none.onnx")


def test_models_without_a_file(tmp_path):
    file = model(tmp_path, IMAGE, SINGLE["conv"][0], **SINGLE["conv"][1])
    proto = onnx.load(file)
    before = proto.SerializeToString()
    weights = import_onnx(file).get_weights()
    for given in (proto, before):
        for one, other in zip(import_onnx(given).get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert proto.SerializeToString() == before
    with pytest.raises(FormatError, match="import_onnx: expected an ONNX file, got bytes"):
        import_onnx(before[:-20])


def test_weights_in_a_file_beside_the_model(tmp_path):
    file = model(tmp_path, IMAGE, SINGLE["conv"][0], **SINGLE["conv"][1])
    weights = import_onnx(file).get_weights()
    proto = onnx.load(file)
    onnx.save(proto, file, save_as_external_data=True, location="model.data", size_threshold=0)
    for one, other in zip(import_onnx(file).get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="expected all numbers inside of the model, got tensor .* in another file"):
        import_onnx(file.read_bytes())
    data = (tmp_path / "model.data").read_bytes()
    (tmp_path / "model.data").write_bytes(data[:-1])
    with pytest.raises(FormatError, match="bytes of tensor .* inside of a file of"):
        import_onnx(file)
    (tmp_path / "model.data").unlink()
    with pytest.raises(FormatError, match=r"expected the file 'model\.data' of weights beside the model"):
        import_onnx(file)
    (tmp_path / "elsewhere").write_bytes(data)
    (tmp_path / "model.data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="in a file of the model's own folder, without links"):
        import_onnx(file)


def test_open_sizes_need_an_input_shape(tmp_path):
    proto = onnx.load(model(tmp_path, IMAGE, SINGLE["conv"][0], **SINGLE["conv"][1]))
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size {axis}"
    with pytest.raises(ValueError, match="give input_shape for sizes that are open"):
        import_onnx(proto)
    with pytest.raises(
        ValueError, match=r"expected input_shape as the model has it, \(4, any, any\), got \(3, 9, 10\)"
    ):
        import_onnx(proto, input_shape=(3, 9, 10))
    x = np.ones((2, 4, 8, 11), np.float32)
    assert_same(import_onnx(proto, input_shape=(4, 8, 11)).predict(x), run(proto, x))


def test_half_precision_becomes_single(tmp_path):
    weight = tensor(3, 4, 2, 2).astype(np.float16)
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT16, ["N", *s]) for n, s in (("x", IMAGE), ("y", (3, 8, 9)))
    )
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])], "half", [x], [y], [numpy_helper.from_array(weight, "w")]
    )
    network = import_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert network.precision == "float32"
    np.testing.assert_array_equal(network.get_weights()[0], weight.astype(np.float32).transpose(2, 3, 1, 0))


@pytest.mark.parametrize(("version", "typed"), [(8, True), (8, False), (3, True)])
def test_what_runtimes_do_not_need(version, typed, tmp_path, rng):
    """An output without a shape or without a type; constants that a model of version 3 does not list as inputs."""
    weight = rng.random((3, 2, 2, 2)).astype("float32")
    big = rng.random((27, 5)).astype("float32")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("MatMul", ["f", "d"], ["y"]),
    ]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None) if typed else onnx.ValueInfoProto(name="y")
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(big, "d")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 4, 4])
    graph = helper.make_graph(nodes, "graph", [x], [y], constants)
    opset = 8 if version == 3 else 13
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version)
    (tmp_path / "model").write_bytes(model.SerializeToString())
    images = rng.random((2, 2, 4, 4)).astype("float32")
    made = import_onnx(tmp_path / "model").predict(images)
    assert made.shape == (2, 5)
    np.testing.assert_allclose(backend.run_model(model, [images])[0], made, rtol=1e-5)


def test_an_operator_that_is_not_supported_is_named_first(tmp_path):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Sinh", ["x"], ["y"], "odd")], "graph", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "model").write_bytes(model.SerializeToString())
    with pytest.raises(
        ValueError, match="^import_onnx: expected a supported operator, got Sinh in node 'odd'; gwucnn.onnx.backend"
    ):
        import_onnx(tmp_path / "model")
