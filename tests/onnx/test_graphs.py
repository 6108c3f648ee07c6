"""Networks of connected layers as ONNX models."""

import numpy as np
import pytest

import graphs
from gwucnn import BatchNormalization, Conv2D, Dense, Flatten, GWUNetwork, Input
from gwucnn.onnx import export_onnx, import_onnx

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


def test_an_imported_network_draws_no_weights(tmp_path):
    network = GWUNetwork([Conv2D(4, 3, input_size=8), BatchNormalization(), Flatten(), Dense(3)], seed=0)
    export_onnx(network, tmp_path / "model.onnx")
    again = import_onnx(tmp_path / "model.onnx")
    assert again._generator is None
    x = np.ones((1, 8, 8), np.float32)
    np.testing.assert_allclose(again.predict(x), network.predict(x), rtol=1e-5)


def test_several_inputs_or_outputs_are_refused(tmp_path):
    a, b = Input(3), Input(3)
    ends = [([a, b], Dense(2)(a) + Dense(2)(b)), (a, [Dense(2)(a), Dense(3)(a)])]
    for inputs, outputs in ends:
        with pytest.raises(ValueError, match="export_onnx: expected a network with one input and one output, got"):
            export_onnx(GWUNetwork(inputs=inputs, outputs=outputs), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
