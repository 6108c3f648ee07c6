"""Models exported by PyTorch predict the same after import."""

import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from gwucnn.onnx import backend, import_onnx  # noqa: E402


def settled(model):
    """Give normalisations statistics that are not the first ones, and put the model to use."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            for array in (module.running_mean, module.bias.data):
                array.normal_()
            for array in (module.running_var, module.weight.data):
                array.uniform_(0.5, 1.5)
    return model.eval()


def exported(model, in_shape, file, opset):
    """Write a model as an ONNX file with a free batch, by the exporter that needs no other package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter itself
        torch.onnx.export(
            settled(model), torch.zeros(2, *in_shape), file, opset_version=opset, dynamo=False,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
        )  # fmt: skip


class Block(nn.Module):
    """A residual block, its shortcut a projection where channels or strides change."""

    def __init__(self, channels, filters, strides):
        super().__init__()
        self.row = nn.Sequential(
            nn.Conv2d(channels, filters, 3, strides, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(),
            nn.Conv2d(filters, filters, 3, 1, 1, bias=False), nn.BatchNorm2d(filters),
        )  # fmt: skip
        same = channels == filters and strides == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, filters, 1, strides, bias=False)

    def forward(self, x):
        return F.relu(self.row(x) + self.shortcut(x))


class Dense(nn.Module):
    """Two layers of a DenseNet, which take all that was made before."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 4, 3, padding=1)

    def forward(self, x):
        a = torch.cat([x, F.elu(self.first(x), 0.5)], 1)
        return torch.cat([a, torch.tanh(self.second(a))], 1)


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = (
            nn.Conv2d(3, 4, 1),
            nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 5, 5, padding=2)),
        )

    def forward(self, x):
        pooled = F.avg_pool2d(x, 3, 1, 1)
        return torch.cat([self.one(x), F.leaky_relu(self.two(x), 0.2), pooled, F.max_pool2d(x, 3, 1, 1)], 1)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.inner = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = F.relu(self.down(x))
        return torch.sigmoid(self.out(torch.cat([a, self.up(F.relu(self.inner(F.max_pool2d(a, 2))))], 1)))


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 12, 3, padding=1, groups=12)

    def forward(self, x):
        x = self.first(x)
        N, C, H, W = x.shape
        x = x.view(N, 3, C // 3, H, W).transpose(1, 2).contiguous().view(N, C, H, W)
        return F.hardtanh(self.second(x), 0.0, 6.0)


class ConvNeXt(nn.Module):
    """A block with its channels at the end inside, as that of Z. Liu et al., "A ConvNet for the 2020s"."""

    def __init__(self):
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8, 1e-6), nn.Linear(8, 16), nn.Linear(16, 8)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 8))

    def forward(self, x):
        x = self.stem(x)
        h = self.norm(self.deep(x).permute(0, 2, 3, 1))
        h = self.scale * self.narrow(F.gelu(self.wide(h)))
        return (x + h.permute(0, 3, 1, 2)).mean((2, 3))


class Views(nn.Module):
    """Shapes that are computed from the batch's."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 8, 6)

    def forward(self, x):
        x = F.pad(self.first(x), (0, 2, 0, 0))
        x = self.second(x.view(x.size(0), -1)) / 2 - 0.5
        return F.log_softmax(x.unsqueeze(2).unsqueeze(3).squeeze(3).squeeze(2), 1)


IMAGE = (3, 8, 8)
MODELS = {
    "lenet": (nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, bias=False), nn.Tanh(),
                            nn.Flatten(), nn.Linear(32, 10), nn.Softmax(1)), 17),
    "resnet": (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), Block(4, 4, 1), Block(4, 6, 2),
                             nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)), 17),
    "mobilenet": (nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1, groups=8),
                                nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout(0.2), nn.AvgPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(32, 3)), 13),
    "densenet": (nn.Sequential(Dense(), nn.BatchNorm2d(11), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 17),
    "inception": (nn.Sequential(Inception(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(15, 4, bias=False)), 17),
    "u-net": (UNet(), 17),
    "upsampled": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Upsample(scale_factor=2), nn.Dropout2d(0.3), nn.Conv2d(4, 2, 3, dilation=2)), 17),
    "shufflenet": (Shuffle(), 17),
    "convnext": (ConvNeXt(), 20),
    "views": (Views(), 17),
    "old": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ELU(), nn.Flatten(), nn.Linear(144, 3), nn.BatchNorm1d(3), nn.LogSoftmax(1)), 9),
}  # fmt: skip


# Their operators Resize, Slice and Cast are read, if at all on shapes, and not run.
OUTSIDE_OF_THE_BACKEND = ("upsampled", "views", "shufflenet")


@pytest.mark.parametrize("name", MODELS)
def test_exported_models(name, tmp_path):
    model, opset = MODELS[name]
    exported(model, IMAGE, tmp_path / "model.onnx", opset)
    x = np.random.default_rng(1).standard_normal((3, *IMAGE)).astype("float32")
    with torch.no_grad():
        want = model(torch.from_numpy(x)).numpy()
    network = import_onnx(tmp_path / "model.onnx")
    assert network.data_format == "channels_first"
    made = [network.predict(x)]
    if name not in OUTSIDE_OF_THE_BACKEND:
        made += backend.run_model(onnx.load(tmp_path / "model.onnx"), [x])
    for got in made:
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * max(1, abs(want).max()))
