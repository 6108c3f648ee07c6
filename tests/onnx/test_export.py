"""Exported networks give the same predictions in another runtime."""

import numpy as np
import pytest

from gwucnn import (
    Activation,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    GWUNetwork,
    Layer,
    MaxPooling2D,
    NotBuiltError,
    Reshape,
    Residual,
    models,
)
from layer_cases import CASES

onnx = pytest.importorskip("onnx")

from onnx import TensorProto  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from gwucnn.onnx import export_onnx, to_model  # noqa: E402
from onnx_models import FORMATS, MODELS, assert_same, inputs, run, with_weights  # noqa: E402


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.layer.__name__}: {case.why}")
def test_every_layer(case, data_format):
    network = GWUNetwork([case.layer(**case.options)], data_format=data_format)
    x = inputs(with_weights(network, case.in_shape), case.in_shape)
    assert_same(run(to_model(network), x), network.predict(x))


@pytest.mark.parametrize("fold", [False, True], ids=["kept", "folded"])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_models(name, data_format, fold, tmp_path):
    options, in_shape = MODELS[name]
    network = with_weights(getattr(models, name)(**options, data_format=data_format), in_shape)
    export_onnx(network, tmp_path / "model.onnx", fold=fold)
    model = onnx.load(tmp_path / "model.onnx")
    assert ("BatchNormalization" in {node.op_type for node in model.graph.node}) == (
        not fold and "net" in name and name != "lenet5"
    )
    x = inputs(network, in_shape)
    assert_same(run(model, x), network.predict(x))


def test_every_model_is_among_them():
    assert MODELS.keys() == set(models.__all__)


@pytest.mark.parametrize("fold", [False, True], ids=["kept", "folded"])
@pytest.mark.parametrize("name", MODELS)
def test_models_of_full_size(name, fold, tmp_path):
    """With the weights that they begin with, and statistics near to those, so that no softmax is saturated."""
    network, in_shape = getattr(models, name)(seed=1), MODELS[name][1]
    network.build(in_shape)
    rng = np.random.default_rng(3)
    for parameter in network.parameters:
        if parameter.name in ("gamma", "moving_variance"):  # sums of residual blocks grow
            low = 0.5 if parameter.name == "gamma" else 1.0
            parameter.value = rng.uniform(low, low + 0.4, parameter.shape)
        elif parameter.name in ("beta", "moving_mean"):
            parameter.value = rng.uniform(-0.1, 0.1, parameter.shape)
    export_onnx(network, tmp_path / "model.onnx", fold=fold)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    for N in (1, 3):
        x = inputs(network, in_shape, N)
        want = network.predict(x)
        assert want.std() > 1e-3 and want.max() < 0.99
        np.testing.assert_allclose(run(model, x), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("data_format", FORMATS)
def test_shapes_between_images_and_rows(data_format):
    layers = [Conv2D(4), Reshape((6, 20)), BatchNormalization(), Activation("softmax"), Reshape((3, 5, 8)),
              Conv2DTranspose(2, 3, 2), MaxPooling2D(), Flatten(), Dense(3, True, "softmax")]  # fmt: skip
    network = GWUNetwork(layers, data_format=data_format)
    x = inputs(with_weights(network, (7, 8, 3)), (7, 8, 3))
    assert_same(run(to_model(network), x), network.predict(x))


def test_batch_is_free_and_the_model_says_who_made_it():
    network = with_weights(models.lenet5(), (28, 28, 1))
    model = to_model(network)
    assert model.producer_name == "gwucnn"
    sizes = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["N", 28, 28, 1]
    for N in (1, 5):
        x = inputs(network, (28, 28, 1), N)
        assert_same(run(model, x), network.predict(x))


def test_float64():
    network = GWUNetwork([Conv2D(3, add_bias=True), BatchNormalization(), Flatten(), Dense(2)], precision="float64")
    x = inputs(with_weights(network, (6, 5, 2)), (6, 5, 2)).astype("float64")
    model = to_model(network, precision="float64")
    assert {constant.data_type for constant in model.graph.initializer} == {TensorProto.DOUBLE}
    got = ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, network.predict(x), rtol=1e-9)  # epsilon is a float32 in ONNX


def test_normalisation_is_folded_into_what_can_take_it_alone():
    layers = [Conv2D(3), BatchNormalization(), Residual([Conv2D(3, 1, activation="relu"), BatchNormalization()]),
              Conv2DTranspose(2, 3), BatchNormalization()]  # fmt: skip
    network = with_weights(GWUNetwork(layers), (6, 6, 2))
    model = to_model(network, fold=True)
    assert [node.op_type for node in model.graph.node].count("BatchNormalization") == 2
    x = inputs(network, (6, 6, 2))
    assert_same(run(model, x), network.predict(x))


class Halve(Layer):
    def forward(self, x, space):
        return x / 2

    def backward(self, dy, space):
        return dy / 2


def test_what_onnx_cannot_say_is_named(tmp_path):
    network = GWUNetwork([Conv2D(input_size=5), Halve()])
    with pytest.raises(
        ValueError, match="export_onnx: expected layers that ONNX has operators for, got .* as 1.Halve;"
    ):
        export_onnx(network, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_errors(tmp_path):
    with pytest.raises(NotBuiltError, match="export_onnx: expected a built network"):
        export_onnx(GWUNetwork([Conv2D()]), tmp_path / "model.onnx")
    network = GWUNetwork([Conv2D(input_size=5)])
    with pytest.raises(ValueError, match="export_onnx: expected fold to be True or False, got 'yes'"):
        to_model(network, fold="yes")
    with pytest.raises(
        ValueError,
        match="export_onnx: expected precision to be one of .* got 'double'; did you mean 'float64'",
    ):
        to_model(network, precision="double")
