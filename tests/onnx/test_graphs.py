"""Networks of connected layers as ONNX models."""

import numpy as np
import pytest

import graphs
from gwucnn.onnx import export_onnx

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("fold", [False, True], ids=["as written", "folded"])
@pytest.mark.parametrize("part", graphs.PARTS, ids=lambda part: part.__name__)
def test_exported(part, fold, tmp_path, rng):
    network = graphs.network(part)
    network.compile("cross_entropy", lr=0.1)
    x = rng.standard_normal((4, *graphs.SHAPE)).astype(np.float32)
    network.fit(x, [0, 1, 2, 0], epochs=3, batch_size=2, verbose=0)
    export_onnx(network, tmp_path / "model.onnx", fold=fold)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"x": x})
    np.testing.assert_allclose(theirs, network.predict(x), atol=1e-5)
