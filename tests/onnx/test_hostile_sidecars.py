"""Files of weights beside a model that is not trusted."""

import pytest

from gwucnn import FormatError

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from gwucnn.onnx import import_onnx  # noqa: E402


def model(*entries):
    """Return a model of a convolution for each dictionary of external data, all of the size 4 x 4 x 1 x 1."""
    weights = []
    for number, given in enumerate(entries):
        weight = TensorProto(name=f"w{number}", data_type=TensorProto.FLOAT, dims=(4, 4, 1, 1))
        weight.data_location = TensorProto.EXTERNAL
        for key, value in given.items():
            weight.external_data.add(key=key, value=str(value))
        weights.append(weight)
    names = ["x", *(f"h{number}" for number in range(len(entries)))]
    nodes = [helper.make_node("Conv", [names[k], f"w{k}"], [names[k + 1]]) for k in range(len(entries))]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4, 5, 5]) for name in ("x", names[-1]))
    graph = helper.make_graph(nodes, "hostile", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_sound_ones(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "data").write_bytes(b"\0\0\x80\x3f" * 32)
    whole = model({"location": "sub/data"}, {"location": "sub/data", "offset": 64, "length": 64})
    (tmp_path / "model").write_bytes(whole.SerializeToString())
    assert all((weight == 1).all() for weight in import_onnx(tmp_path / "model").get_weights())


@pytest.mark.parametrize(
    "given",
    [
        {"location": "data", "offset": -4},
        {"location": "data", "offset": 68},
        {"location": "data", "offset": "four"},
        {"location": "data", "length": 60},
        {"location": "data", "length": 2**40},
        {"location": "data", "offset": 2**70},
        {"location": "../data"},
        {"location": "sub/../../data"},
        {"location": "..\\data"},
        {"location": "C:data"},
        {"location": "."},
        {"location": "sub"},
        {"location": "linked/data"},
        {"location": "link"},
        {"location": "data\0"},
    ],
    ids=lambda given: " ".join(map(repr, given.values())),
)
def test_ways_out(given, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder, folder / "sub"):
        (place / "data").write_bytes(b"\0" * 128)
    (folder / "link").symlink_to(tmp_path / "data")
    (folder / "linked").symlink_to(folder / "sub")
    (folder / "model").write_bytes(model(given).SerializeToString())
    with pytest.raises(FormatError, match="import_onnx: expected"):
        import_onnx(folder / "model")


def test_a_small_file_is_not_multiplied(tmp_path):
    (tmp_path / "data").write_bytes(b"\0" * 64)
    (tmp_path / "model").write_bytes(model({"location": "data"}, {"location": "data"}).SerializeToString())
    with pytest.raises(FormatError, match="expected 64 bytes of tensor 'w1' inside of a file of 64"):
        import_onnx(tmp_path / "model")
