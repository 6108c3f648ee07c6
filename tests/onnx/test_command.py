"""python -m gwucnn.onnx."""

import pytest

pytest.importorskip("onnx")

from gwucnn.onnx.__main__ import main
from onnx_models import IMAGE, model


def test_a_model_that_can_be_imported(tmp_path, capsys):
    assert main([str(model(tmp_path, IMAGE, [("Relu", "x", "h", {}), ("Abs", "h", "y", {})]))]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:3] == [["Abs", "1", "yes", "no"], ["Relu", "1", "yes", "yes"]]
    assert lines[-1] == ["imported:", "2", "layers,", "0", "parameters"]


def test_a_model_that_cannot(tmp_path, capsys):
    assert main([str(model(tmp_path, IMAGE, [("Relu", "x", "h", {}), ("Sinh", "h", "y", {})]))]) == 1
    said = capsys.readouterr().out
    assert "not imported: import_onnx: expected a supported operator, got Sinh in node 'Sinh-y'" in said
    assert ["Sinh", "1", "no", "no"] in [line.split() for line in said.splitlines()]


def test_no_model(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "none")])
    assert ended.value.code == 1 and "none" in capsys.readouterr().err
