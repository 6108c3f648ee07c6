"""Weights imported from PyTorch and Keras: the outputs are those of the original networks."""

from pathlib import Path

import numpy as np
import pytest

import reference
from gwucnn import (
    RELU,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    FormatError,
    GlobalAveragePooling2D,
    GroupNormalization,
    GWUNetwork,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    Normalization,
    NotBuiltError,
    Parameter,
    PReLU,
    Reshape,
    Residual,
    SeparableConv2D,
    ShapeError,
    interop,
)
from gwucnn.layers.imported import OrderedFlatten

GOLDEN = Path(__file__).parents[1] / "files" / "golden"
FORMATS = ("channels_last", "channels_first")


def numbers(rng, **shapes):
    return {
        name: rng.uniform(0.5, 1.5, shape) if name.endswith("var") else rng.standard_normal(shape) / 2
        for name, shape in shapes.items()
    }


def in_order(network, x):
    """Return images (N, H, W, C) as the network takes them."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if network.data_format == "channels_first" else x


def build(layers, data_format, in_shape=(6, 5, 3)):
    network = GWUNetwork(layers, data_format=data_format, precision="float64")
    network.build((in_shape[2], *in_shape[:2]) if data_format == "channels_first" else in_shape)
    return network


def state_dict(rng):
    """Return what PyTorch keeps of conv(3, 4, 3), norm, flatten, norm, linear(48, 5), linear(5, 2)."""
    entries = {
        "conv.weight": (4, 3, 3, 3), "conv.bias": (4,),
        "norm.weight": (4,), "norm.bias": (4,), "norm.running_mean": (4,), "norm.running_var": (4,),
        "flat.weight": (48,), "flat.bias": (48,), "flat.running_mean": (48,), "flat.running_var": (48,),
        "one.weight": (5, 48), "two.weight": (2, 5), "two.bias": (2,),
    }  # fmt: skip
    state = numbers(rng, **entries)
    return state | {"norm.num_batches_tracked": np.array(7)}


def layers():
    return [Conv2D(4, add_bias=True), BatchNormalization(epsilon=1e-5), Flatten(), Dropout(0.5),
            BatchNormalization(epsilon=1e-5), Dense(5), Dense(2, add_bias=True)]  # fmt: skip


def by_pytorch(state, x):
    """Return what that network makes of images (N, H, W, C), flattened with the channels first."""
    y = reference.conv2d(x, state["conv.weight"].transpose(2, 3, 1, 0), state["conv.bias"])
    part = ("weight", "bias", "running_mean", "running_var")
    y = reference.batch_norm(y, *(state[f"norm.{name}"] for name in part), 1e-5)
    y = np.moveaxis(y, -1, 1).reshape(len(x), -1)
    y = reference.batch_norm(y, *(state[f"flat.{name}"] for name in part), 1e-5)
    return y @ state["one.weight"].T @ state["two.weight"].T + state["two.bias"]


@pytest.mark.parametrize("data_format", FORMATS)
def test_torch_state_dict(rng, data_format):
    state, network, x = state_dict(rng), build(layers(), data_format), rng.standard_normal((2, 6, 5, 3))
    interop.load_torch_state_dict(network, state)
    np.testing.assert_allclose(network.predict(in_order(network, x)), by_pytorch(state, x), rtol=1e-10)


def module_and_layers(nn):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(4, 6, 3, 2, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(6)
            self.conv2 = nn.Conv2d(6, 6, 3, 1, 1, groups=2)
            self.down = nn.Conv2d(4, 6, 1, 2)

        def forward(self, x):
            return self.conv2(self.bn1(self.conv1(x)).relu()) + self.down(x)

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.left = nn.Linear(18, 3)

        def forward(self, x):
            import torch

            return torch.cat([self.left(x.flatten(1)), x.flatten(1)], 1)

    module = nn.Sequential(
        nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 4, 1), Block(), nn.Conv2d(6, 12, 3, groups=6),
        nn.ConvTranspose2d(12, 6, (1, 3)), Branches(), nn.LayerNorm(21), nn.Linear(21, 2),
    )  # fmt: skip
    conv = {"add_bias": True}
    block = Residual([Conv2D(6, 3, 2, 1), BatchNormalization(epsilon=1e-5), RELU(), Conv2D(6, 3, 1, 1, groups=2, **conv)],
                     shortcut=Conv2D(6, 1, 2, **conv))  # fmt: skip
    return module, [
        DepthwiseConv2D(3, **conv), Conv2D(4, 1, **conv), block, DepthwiseConv2D(3, depth_multiplier=2, **conv),
        Conv2DTranspose(6, (1, 3), **conv), Concatenate([[Flatten(), Dense(3, **conv)], Flatten()]),
        LayerNormalization(1e-5), Dense(2, **conv),
    ]  # fmt: skip


@pytest.mark.parametrize("data_format", FORMATS)
def test_against_torch_itself(rng, data_format):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module, made = module_and_layers(torch.nn)
    network = build(made, data_format, (8, 8, 3))
    module = module.double().eval()
    for name, tensor in module.state_dict().items():
        if "running" in name:
            tensor.uniform_(0.5, 1.5)
    interop.load_torch_state_dict(network, module.state_dict())
    x = rng.standard_normal((2, 8, 8, 3))
    with torch.no_grad():
        want = module(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(network.predict(in_order(network, x)), want, rtol=1e-9, atol=1e-12)


BIAS = {"add_bias": True}

# Of each layer with weights: PyTorch's module, the layers here, for images of 9 x 8 x 4.
MODULES = {
    "dilated groups": (
        lambda nn: nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2),
        lambda: [Conv2D(6, 3, padding=2, dilation_rate=2, groups=2, **BIAS)]),
    "sides and strides": (
        lambda nn: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), bias=False), lambda: [Conv2D(6, (3, 2), (2, 1), (1, 0))]),
    "depthwise": (
        lambda nn: nn.Conv2d(4, 8, 3, padding=1, groups=4),
        lambda: [DepthwiseConv2D(3, padding=1, depth_multiplier=2, **BIAS)]),
    "dilated depthwise": (
        lambda nn: nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, bias=False),
        lambda: [DepthwiseConv2D(3, padding=2, dilation_rate=2)]),
    "separable": (
        lambda nn: nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, groups=4, bias=False), nn.Conv2d(8, 5, 1)),
        lambda: [SeparableConv2D(5, 3, 2, 1, depth_multiplier=2, **BIAS)]),
    "transposed": (
        lambda nn: nn.ConvTranspose2d(4, 5, (3, 2), 2, padding=1, output_padding=1),
        lambda: [Conv2DTranspose(5, (3, 2), 2, padding=1, output_padding=1, **BIAS)]),
    "batch normalisation": (lambda nn: nn.BatchNorm2d(4), lambda: [BatchNormalization(epsilon=1e-5)]),
    "groups of channels": (lambda nn: nn.GroupNorm(2, 4), lambda: [GroupNormalization(2, 1e-5)]),
    "slopes": (lambda nn: nn.Sequential(nn.PReLU(4), nn.PReLU()), lambda: [PReLU(shared_axes=[1, 2]), PReLU(shared_axes=[1, 2, 3])]),
    "slopes of features": (lambda nn: nn.Sequential(nn.Flatten(), nn.PReLU(288)), lambda: [Flatten(), PReLU()]),
    "normalised features": (
        lambda nn: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(288), nn.LayerNorm(288), nn.Linear(288, 3)),
        lambda: [Flatten(), BatchNormalization(epsilon=1e-5), LayerNormalization(1e-5), Dense(3, **BIAS)]),
    "pooled and flattened": (
        lambda nn: nn.Sequential(
            nn.Conv2d(4, 3, 2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 7), nn.ReLU(), nn.Linear(7, 2)),
        lambda: [Conv2D(3, 2, **BIAS), MaxPooling2D(2), Flatten(), Dense(7, True, "relu"), Dense(2, **BIAS)]),
    "a mean": (
        lambda nn: nn.Sequential(nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
        lambda: [Conv2D(6, 3, **BIAS), GlobalAveragePooling2D(), Dense(3, **BIAS)]),
}  # fmt: skip


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", MODULES)
def test_each_layer_against_torch(name, data_format, rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module, made = MODULES[name]
    module, network = module(torch.nn).double().eval(), build(made(), data_format, (9, 8, 4))
    for key, tensor in module.state_dict().items():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5) if "running" in key else tensor.uniform_(-1, 1)
    interop.load_torch_state_dict(network, module.state_dict())
    x = rng.standard_normal((2, 9, 8, 4))
    with torch.no_grad():
        want = module(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    if want.ndim == 4 and data_format == "channels_last":
        want = want.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(network.predict(in_order(network, x)), want, rtol=1e-9, atol=1e-12)


class Own(Dense):
    """A user's own class, with the weights of the one that it is derived from."""


class Weighted(Layer):
    """One that PyTorch knows nothing of."""

    def build(self, in_shape):
        self.parameters = (Parameter("scale", in_shape[-1:], lambda array, rng: array.fill(2)),)
        return super().build(in_shape)


def test_layers_that_pytorch_does_not_have(rng):
    x = rng.random((20, 6, 5, 3))
    measured = Normalization()
    measured.adapt(x)
    network, state = (
        build([measured, Flatten(), Own(2)], "channels_last"),
        numbers(rng, **{"0.weight": (2, 90)}),
    )
    interop.load_torch_state_dict(network, state)
    want = ((x - x.mean((0, 1, 2))) / x.std((0, 1, 2))).transpose(0, 3, 1, 2).reshape(20, -1) @ state["0.weight"].T
    np.testing.assert_allclose(network.predict(x), want, rtol=1e-6, atol=1e-6)
    network = build([Weighted(), Flatten(), Dense(2)], "channels_last")
    with pytest.raises(ValueError, match="that PyTorch has modules for, got 0.Weighted; use set_weights"):
        interop.load_torch_state_dict(network, state)


def test_weights_of_a_group_normalisation(rng):
    network, state = (
        build([GroupNormalization(3)], "channels_first"),
        numbers(rng, **{"0.weight": (3,), "0.bias": (3,)}),
    )
    interop.load_torch_state_dict(network, state)
    for ours, theirs in zip(network.get_weights(), state.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_weights_of_a_prelu(rng):
    layers = [PReLU(shared_axes=[1, 2]), PReLU(shared_axes=[1, 2, 3]), Flatten(), PReLU()]
    network = build(layers, "channels_last")
    D = layers[-1].out_shape[0]
    state = numbers(rng, **{"0.weight": (3,), "1.weight": (1,), "3.weight": (D,)})
    interop.load_torch_state_dict(network, state)
    channels, one, features = network.get_weights()
    np.testing.assert_allclose(channels[0, 0], state["0.weight"], rtol=1e-6)
    np.testing.assert_allclose(one[0, 0], state["1.weight"], rtol=1e-6)
    want = state["3.weight"].reshape(3, -1).T.ravel()  # PyTorch flattens channel by channel
    np.testing.assert_allclose(features, want, rtol=1e-6)
    other = build([PReLU()], "channels_last")
    with pytest.raises(ValueError, match="expected slopes of channels or of all in 0.PReLU, got shape"):
        interop.load_torch_state_dict(other, {"0.weight": np.ones(3)})


def test_normalisations_without_scale_and_offset():
    network = build([BatchNormalization()], "channels_last")
    with pytest.raises(ValueError, match="got running_mean, running_var in 'n'; make the module with affine=True"):
        interop.load_torch_state_dict(network, {"n.running_mean": np.zeros(3), "n.running_var": np.ones(3)})


def test_separable_convolution_takes_two_modules(rng):
    state = numbers(rng, **{"a.weight": (6, 1, 3, 2), "b.weight": (5, 6, 1, 1), "b.bias": (5,)})
    network = build([SeparableConv2D(5, (3, 2), depth_multiplier=2, add_bias=True)], "channels_last")
    interop.load_torch_state_dict(network, state)
    x = rng.standard_normal((2, 6, 5, 3))
    kernel = state["a.weight"].transpose(2, 3, 1, 0)
    first = [reference.conv2d(x[..., [c]], kernel[..., 2 * c : 2 * c + 2]) for c in range(3)]
    z = np.concatenate(first, axis=3)
    want = z @ state["b.weight"][:, :, 0, 0].T + state["b.bias"]
    np.testing.assert_allclose(network.predict(x), want, rtol=1e-10)


def test_what_does_not_fit_is_named_and_changes_nothing(rng):
    state, network = state_dict(rng), build(layers(), "channels_last")
    before = network.get_weights()
    load = interop.load_torch_state_dict
    with pytest.raises(
        ShapeError, match=r"expected conv.weight of shape \(4, 3, 3, 3\) for 0.Conv2D, got \(4, 3, 5, 5\)"
    ):
        load(network, state | {"conv.weight": np.zeros((4, 3, 5, 5))})
    with pytest.raises(ValueError, match="expected weight for 5.Dense, got weight, bias in 'one'; check add_bias"):
        load(network, {**{k: state[k] for k in state if k < "one.x" or k[0] == "n"}, "one.bias": np.zeros(5)})
    with pytest.raises(ValueError, match="expected weights for 6.Dense, got no more of them"):
        load(network, {key: value for key, value in state.items() if not key.startswith("two")})
    with pytest.raises(ValueError, match="got also those of 'three'"):
        load(network, state | {"three.weight": np.zeros((2, 2))})
    with pytest.raises(TypeError, match="expected a state dict, got list"):
        load(network, [1])
    with pytest.raises(NotBuiltError, match="load_torch_state_dict: expected a built network"):
        load(GWUNetwork([Conv2D()]), state)
    for was, now in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(now, was)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("order", FORMATS)
def test_a_flatten_that_was_imported_has_its_own_order(order, data_format, rng):
    state, x = numbers(rng, **{"0.weight": (2, 90)}), rng.standard_normal((2, 6, 5, 3))
    network = build([OrderedFlatten(order), Dense(2)], data_format)
    interop.load_torch_state_dict(network, state)
    want = x.transpose(0, 3, 1, 2).reshape(2, -1) @ state["0.weight"].T
    np.testing.assert_allclose(network.predict(in_order(network, x)), want, rtol=1e-10)
    interop.load_keras_weights(network, [state["0.weight"].T])
    want = x.reshape(2, -1) @ state["0.weight"].T
    np.testing.assert_allclose(network.predict(in_order(network, x)), want, rtol=1e-10)


def test_orders_that_cannot_be_kept_apart():
    network = build([Reshape((10, 3, 3)), Conv2D(2), Flatten(), Dense(1)], "channels_last")
    with pytest.raises(ValueError, match="expected no Reshape of images .* got 0.Reshape"):
        interop.load_torch_state_dict(network, {"0.weight": np.zeros((2, 3, 3, 3)), "1.weight": np.zeros((1, 16))})


# -------------------------------------------------------------------------------------------------- Keras


@pytest.mark.parametrize("data_format", FORMATS)
def test_keras_weights(rng, data_format):
    made = [
        Conv2D(4, add_bias=True),
        MaxPooling2D(2),
        Flatten(),
        BatchNormalization(),
        Dense(2, add_bias=True),
    ]
    network = build(made, data_format)
    shapes = [(3, 3, 3, 4), (4,), (8,), (8,), (8,), (8,), (8, 2), (2,)]
    weights = [rng.uniform(0.5, 1.5, shape) for shape in shapes]
    interop.load_keras_weights(network, weights)
    x = rng.standard_normal((2, 6, 5, 3))
    y = reference.max_pool2d(reference.conv2d(x, *weights[:2]), (2, 2), (2, 2), "valid")[0].reshape(2, -1)
    want = reference.batch_norm(y, *weights[2:6], 1e-3) @ weights[6] + weights[7]
    np.testing.assert_allclose(network.predict(in_order(network, x)), want, rtol=1e-10)
    with pytest.raises(ShapeError, match="load_keras_weights: expected 8 arrays, one a parameter, got 7 arrays"):
        interop.load_keras_weights(network, weights[1:])
    weights[6] = weights[6].T
    with pytest.raises(ShapeError, match=r"expected array 6, 4.Dense's kernel, of shape \(8, 2\), got \(2, 8\)"):
        interop.load_keras_weights(network, weights)


def test_keras_counts_what_a_normalization_has_seen(rng):
    """In an array of its own, of int64 and without axes."""
    network = build([Normalization(), Conv2D(2)], "channels_last")
    mean, variance, kernel = rng.random(3), rng.random(3) + 1, rng.random((3, 3, 3, 2))
    interop.load_keras_weights(network, [mean, variance, np.array(7), kernel])
    x = rng.random((2, 6, 5, 3))
    want = reference.conv2d((x - mean) / np.sqrt(variance), kernel)
    np.testing.assert_allclose(network.predict(x), want, rtol=1e-6)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("kind", ["list", "file"])
def test_a_network_that_keras_itself_has_trained(kind, data_format):
    """What Keras 3.15 returned from get_weights() and wrote with save_weights(), and its outputs."""
    with np.load(GOLDEN / "keras.npz") as file:
        kept = dict(file)
    source = [kept[f"weight{number}"] for number in range(len(kept) - 2)]
    if kind == "file":
        pytest.importorskip("h5py")
        source = GOLDEN / "keras.weights.h5"
    made = [
        Normalization(), Conv2D(4, 3, padding="same", dilation_rate=2, groups=2, activation="relu", **BIAS),
        BatchNormalization(), SeparableConv2D(3, 2, 2, **BIAS), DepthwiseConv2D(2), Conv2DTranspose(2, 2, **BIAS),
        LayerNormalization(), Dropout(0.5), Flatten(), Dense(4, True, "tanh"), Dense(3, True, "softmax"),
    ]  # fmt: skip
    network = build(made, data_format, (7, 6, 2))
    interop.load_keras_weights(network, source)
    np.testing.assert_allclose(network.predict(in_order(network, kept["x"])), kept["y"], rtol=1e-5)


def keras_file(h5py, path, **arrays):
    with h5py.File(path, "w") as file:
        for place, array in arrays.items():
            layer, _, number = place.rpartition("__")
            file[f"layers/{layer}/vars/{number}"] = array


def test_keras_file(rng, tmp_path):
    h5py = pytest.importorskip("h5py")
    network = build([SeparableConv2D(4, 3), Flatten(), Dense(5, add_bias=True), Dense(2)], "channels_last")
    want = [rng.standard_normal(shape) for shape in ((3, 3, 3, 1), (1, 1, 3, 4), (48, 5), (5,), (5, 2))]
    names = ["separable_conv2d__0", "separable_conv2d__1", "dense__0", "dense__1", "dense_1__0"]
    path = tmp_path / "model.weights.h5"
    keras_file(h5py, path, **dict(zip(names, want, strict=True)))
    interop.load_keras_weights(network, path)
    for got, array in zip(network.get_weights(), want, strict=True):
        np.testing.assert_array_equal(got, array)
    keras_file(h5py, path, **dict(zip(names[:-1], want, strict=False)))
    with pytest.raises(FormatError, match="expected layers/dense_1/vars/0 in the file"):
        interop.load_keras_weights(network, path)


def test_keras_file_with_more_than_the_network_has(rng, tmp_path):
    """Weights that nobody takes would be missed: a bias, a layer, a model in the model. Counts and seeds are not."""
    h5py = pytest.importorskip("h5py")
    network = build([Normalization(), Conv2D(2), Flatten(), Dense(2)], "channels_last")
    before, path = network.get_weights(), tmp_path / "model.weights.h5"
    sound = {
        "normalization__0": rng.random(3), "normalization__1": rng.random(3), "normalization__2": np.int64(5),
        "conv2d__0": rng.random((3, 3, 3, 2)), "dense__0": rng.random((24, 2)),
    }  # fmt: skip

    def refused(text, error=FormatError, **more):
        keras_file(h5py, path, **sound, **more)
        with pytest.raises(error, match=text):
            interop.load_keras_weights(network, path)

    refused(
        r"expected 1 arrays in layers/conv2d/vars for 1.Conv2D, got 2; check add_bias",
        ShapeError,
        conv2d__1=np.ones(2),
    )
    refused(
        "expected weights of the network's layers only, got also those in layers/dense_1/vars",
        dense_1__0=np.ones((2, 2)),
    )
    refused(
        "expected weights of the network's layers only, got also those in layers/model/layers",
        **{"model/layers/x__0": np.ones(2)},
    )
    for was, now in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(now, was)
    keras_file(h5py, path, **sound, **{"dropout/seed_generator__0": np.array([1, 2])})
    interop.load_keras_weights(network, path)
    np.testing.assert_allclose(network.get_weights()[3], sound["dense__0"])


def test_keras_files_that_are_damaged(rng, tmp_path):
    """Cut off or changed anywhere, a file is refused with the network as it was, or other numbers are read."""
    h5py = pytest.importorskip("h5py")
    network, path = build([Conv2D(2), Flatten(), Dense(2)], "channels_last"), tmp_path / "model.weights.h5"
    keras_file(h5py, path, conv2d__0=rng.random((3, 3, 3, 2)), dense__0=rng.random((24, 2)))
    sound, before, refused = path.read_bytes(), network.get_weights(), 0
    for trial in range(400):
        data = bytearray(sound[: rng.integers(len(sound))] if trial % 4 == 0 else sound)
        for place in rng.integers(len(data), size=3) if trial % 4 else ():
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            interop.load_keras_weights(network, path)
        except (FormatError, ShapeError) as error:
            assert str(error).startswith("load_keras_weights: expected ")
            refused += 1
            for was, now in zip(before, network.get_weights(), strict=True):
                np.testing.assert_array_equal(now, was)
        else:
            network.set_weights(before)
    assert refused > 100


def test_keras_file_whose_numbers_lie_elsewhere(tmp_path):
    h5py = pytest.importorskip("h5py")
    network = GWUNetwork([Dense(2, input_size=3)])
    network.build(3)
    path, other = tmp_path / "model.weights.h5", tmp_path / "secret"
    other.write_bytes(bytes(24))
    place = "layers/dense/vars/0"

    def refused(make, text):
        with h5py.File(path, "w") as file:
            make(file)
        with pytest.raises(FormatError, match=text):
            interop.load_keras_weights(network, path)

    refused(
        lambda file: file.create_dataset(place, (3, 2), "f4", external=str(other)),
        "in the file itself, got other storage",
    )
    refused(
        lambda file: file.create_dataset(place, (3, 2), "f4", data=np.zeros((3, 2)), compression="gzip"),
        "got other storage",
    )
    refused(lambda file: file.__setitem__(place, h5py.ExternalLink(str(other), "/x")), "got none")
    path.write_bytes(b"no file of that kind")
    with pytest.raises(FormatError, match="expected a file of Keras' save_weights"):
        interop.load_keras_weights(network, path)
