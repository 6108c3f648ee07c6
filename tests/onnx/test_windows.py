"""ONNX windows with randomly drawn attributes: network and backend compute what onnxruntime does."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from gwucnn.onnx import backend, import_onnx, to_model  # noqa: E402
from onnx_models import assert_same, model, run  # noqa: E402

WORDS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@st.composite
def windows(draw, dilated=True):
    """Return sizes of an image and the attributes of a window that slides over it."""
    two = st.integers(1, 3)
    size = [draw(two), draw(two)]
    window = {"kernel_shape": size, "strides": [draw(two), draw(two)]}
    if dilated:
        window["dilations"] = [draw(st.integers(1, 2)), draw(st.integers(1, 2))]
    words = draw(st.sampled_from(WORDS))
    if words.startswith("SAME"):
        # Windows that leave gaps would need less padding than none, which onnxruntime takes to be an error or
        # does not do, by the operator.
        dilations = window.get("dilations", (1, 1))
        reach = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
        window["strides"] = [min(s, r) for s, r in zip(window["strides"], reach, strict=True)]
    if words != "NOTSET":
        window["auto_pad"] = words
    elif draw(st.booleans()):
        window["pads"] = [draw(st.integers(0, k - 1)) for k in (*size, *size)]
    image = (draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    return image, window


def check(folder, channels, image, node, **constants):
    """Compare a model of one node as a network, as a network written again, and in the backend."""
    in_shape = (channels, *image)
    file = model(folder, in_shape, [node], opset=constants.pop("opset", 17), **constants)
    proto, x = onnx.load(file), np.random.default_rng(1).standard_normal((2, *in_shape)).astype("float32")
    network, want = import_onnx(file), run(proto, x)
    assert_same(network.predict(x), want)
    assert_same(run(to_model(network), x), want)
    assert_same(backend.run_model(proto, [x])[0], want)


@settings(max_examples=80, deadline=None)
@given(windows(), st.sampled_from([(1, 3, 2), (2, 2, 3), (4, 1, 2), (1, 1, 1)]), st.booleans())
def test_conv(folder, window, sizes, bias):
    (image, attributes), (groups, each, filters) = window, sizes
    # onnxruntime's convolutions do not have the two together.
    assume(attributes["dilations"] == [1, 1] or not attributes.get("auto_pad", "").startswith("SAME"))
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((filters * groups, each, *attributes["kernel_shape"])).astype("float32")
    constants = {"w": weight} | ({"b": rng.standard_normal(filters * groups).astype("float32")} if bias else {})
    node = ("Conv", " ".join(["x", *constants]), "y", attributes | {"group": groups})
    check(folder, groups * each, image, node, **constants)


@settings(max_examples=80, deadline=None)
@given(windows(), st.sampled_from([(1, 3, 2), (2, 2, 3), (4, 1, 2)]), st.booleans(), st.booleans())
def test_conv_transpose(folder, window, sizes, bias, longer):
    (image, attributes), (groups, each, filters) = window, sizes
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((each * groups, filters, *attributes["kernel_shape"])).astype("float32")
    constants = {"w": weight} | ({"b": rng.standard_normal(filters * groups).astype("float32")} if bias else {})
    if longer and "auto_pad" not in attributes:
        attributes = attributes | {"output_padding": [s - 1 for s in attributes["strides"]]}
    node = ("ConvTranspose", " ".join(["x", *constants]), "y", attributes | {"group": groups})
    check(folder, groups * each, image, node, **constants)


@settings(max_examples=80, deadline=None)
@given(windows(dilated=False), st.integers(0, 1))
def test_max_pool(folder, window, ceil):
    image, attributes = window
    check(folder, 3, image, ("MaxPool", "x", "y", attributes | {"ceil_mode": ceil}))


@settings(max_examples=80, deadline=None)
@given(windows(dilated=False), st.integers(0, 1), st.integers(0, 1), st.sampled_from([11, 19]))
def test_average_pool(folder, window, ceil, counted, opset):
    image, attributes = window
    more = {"ceil_mode": ceil, "count_include_pad": counted}
    check(folder, 3, image, ("AveragePool", "x", "y", attributes | more), opset=opset)
