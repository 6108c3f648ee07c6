"""Well-known networks from ONNX's tests: imported, and in the backend, they compute what onnxruntime does.

As distributed, their weights are all equal and every output is 1/1000. Here the weights are drawn at random.
"""

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper  # noqa: E402

from gwucnn.layers import imported  # noqa: E402
from gwucnn.layers.base import leaves  # noqa: E402
from gwucnn.onnx import backend, import_onnx  # noqa: E402

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# Those with a hundred million weights take more than a gigabyte.
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("bvlc_alexnet", "vgg19", "zfnet512")]
NAMES = ["densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", *LARGE]

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="this onnx comes without its networks")


def image():
    return np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype("float32")


def entrance(proto):
    constants = {tensor.name for tensor in proto.graph.initializer}
    (name,) = [value.name for value in proto.graph.input if value.name not in constants]
    return name


def with_random_weights(proto):
    """Put numbers drawn by chance in the place of the constants, so that all activations are of the order of 1.

    For that the network is run once, a node at a time, and the weights of each divided by what they make.
    """
    rng = np.random.default_rng(3)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    weights = {name: drawn(rng, array.shape) for name, array in values.items() if array.dtype == "float32"}
    for node in proto.graph.node:
        if node.op_type == "ConstantOfShape":
            weights[node.output[0]] = drawn(rng, values[node.input[0]])
    values |= weights
    values[entrance(proto)] = image()
    for node in (node for node in proto.graph.node if node.output[0] not in weights):
        given = [values[name] for name in node.input]
        if node.op_type == "BatchNormalization":
            mean, variance = given[0].mean(axis=(0, 2, 3)), given[0].var(axis=(0, 2, 3)) + np.float32(0.1)
            given[3][...], given[4][...] = mean + given[3] / 4, variance * abs(given[4])
        y, *_ = backend.run_node(node, given, opset_version=9)
        if node.op_type in ("Conv", "Gemm"):
            scale = 1 / y.std()
            for array in given[1:]:
                array *= scale
            y = y * scale
        assert abs(y).max() < 100
        values[node.output[0]] = y
    return with_constants(proto, weights)


def drawn(rng, shape):
    """Return numbers around 0 for a matrix or filters, around 1 for one a channel."""
    array = rng.standard_normal(shape, "float32")
    return array if array.ndim > 1 else array / 4 + 1


def with_constants(proto, constants):
    """Return the network with constants in the place of its own and of the nodes that make them."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    kept = [tensor for tensor in proto.graph.initializer if tensor.name not in constants]
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(node for node in proto.graph.node if node.output[0] not in constants)
    made.graph.initializer.extend(kept)
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    made.ir_version = 8
    return made


def by_onnxruntime(file, name, x):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of each constant that is no input as well
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: x})[0]


@pytest.mark.parametrize("name", NAMES)
def test_random_weights(name, tmp_path):
    proto = with_random_weights(onnx.load(FOLDER / f"light_{name}.onnx"))
    file, x = tmp_path / "model.onnx", image()
    file.write_bytes(proto.SerializeToString())
    want = by_onnxruntime(file, entrance(proto), x)
    assert want.size == 1000 and 1e-4 < want.std() < 2
    tolerance = 1e-4 * abs(want).max()
    np.testing.assert_allclose(backend.run_model(proto, [x])[0], want, rtol=0, atol=tolerance)
    del proto
    network = import_onnx(file)
    assert network.data_format == "channels_first"
    np.testing.assert_allclose(network.predict(x), want, rtol=0, atol=tolerance)
    # Several images at once, though the file speaks of one.
    both = network.predict(np.concatenate([x, x[:, :, ::-1]]))
    np.testing.assert_allclose(both[:1], want, rtol=0, atol=tolerance)
    assert np.abs(both[1] - both[0]).max() > 10 * tolerance


@pytest.mark.parametrize("name", NAMES)
def test_as_they_come(name):
    network = import_onnx(FOLDER / f"light_{name}.onnx")
    want = numpy_helper.to_array(onnx.load_tensor(FOLDER / f"light_{name}_output_0.pb"))
    np.testing.assert_allclose(network.predict(image()).reshape(want.shape), want, rtol=1e-3)


def test_the_shuffles_of_a_shuffle_net_are_layers():
    network = import_onnx(FOLDER / "light_shufflenet.onnx")
    inner = [leaf for layer in network.layers for leaf in leaves(layer)]
    assert [layer.groups for layer in inner if isinstance(layer, imported.ChannelShuffle)] == [4] * 16
