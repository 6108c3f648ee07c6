"""Classifiers of torchvision, exported by both exporters of PyTorch, predict the same after import and export."""

import warnings

import numpy as np
import pytest

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))

from torch import nn  # noqa: E402

from gwucnn.onnx import import_onnx, to_model  # noqa: E402

SIZES = {
    "alexnet": 224, "convnext_tiny": 64, "densenet121": 64, "efficientnet_b0": 64, "efficientnet_v2_s": 64,
    "googlenet": 96, "inception_v3": 128, "mnasnet0_5": 64, "mnasnet1_0": 64, "mobilenet_v2": 64,
    "mobilenet_v3_large": 64, "mobilenet_v3_small": 64, "regnet_x_400mf": 64, "regnet_y_400mf": 64, "resnet18": 64,
    "resnet34": 64, "resnet50": 64, "resnext50_32x4d": 64, "shufflenet_v2_x0_5": 64, "shufflenet_v2_x1_0": 64,
    "squeezenet1_0": 96, "squeezenet1_1": 96, "vgg11_bn": 224, "wide_resnet50_2": 64,
}  # fmt: skip


def exported(name, size, dynamo, file):
    """Write a model with random weights and random statistics of its normalisations."""
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    made = getattr(torchvision.models, name)(weights=None, **options).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            for array in (module.running_mean, module.bias.data):
                array.normal_(0, 0.1)
            for array in (module.running_var, module.weight.data):
                array.uniform_(0.5, 1.5)
        if hasattr(module, "layer_scale"):  # which begins near zero
            module.layer_scale.data.uniform_(0.5, 1)
    if dynamo:
        pytest.importorskip("onnxscript")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters themselves
        torch.onnx.export(made, (torch.zeros(1, 3, size, size),), file, dynamo=dynamo)


def run(model, x):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


@pytest.mark.parametrize("dynamo", [False, True], ids=["script", "dynamo"])
@pytest.mark.parametrize("name", SIZES)
def test_there_and_back(name, dynamo, tmp_path):
    file = tmp_path / "model.onnx"
    exported(name, SIZES[name], dynamo, file)
    x = np.random.default_rng(0).standard_normal((1, 3, SIZES[name], SIZES[name])).astype("float32")
    theirs, network = run(file, x), import_onnx(file)
    near = 1e-4 * abs(theirs).max()
    np.testing.assert_allclose(network.predict(x), theirs, rtol=0, atol=near)
    again = to_model(network)
    np.testing.assert_allclose(run(again.SerializeToString(), x), theirs, rtol=0, atol=near)
    np.testing.assert_allclose(import_onnx(again).predict(x), theirs, rtol=0, atol=near)


@pytest.mark.parametrize(("name", "size"), [("swin_t", 64), ("vit_b_16", 224)])
def test_transformers_are_refused(name, size, tmp_path):
    exported(name, size, False, tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="onnx: expected .* node "):
        import_onnx(tmp_path / "model.onnx")
