"""The well-known networks: shapes, parameter counts, gradients, and that they learn."""

import numpy as np
import pytest

from gwucnn import (
    SGD,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GWUNetwork,
    RandomFlip,
    RandomTranslation,
    Rescaling,
    Residual,
    datasets,
    models,
)
from gwucnn.layers.base import leaves

SMALL = {
    "lenet5": lambda **options: models.lenet5(3, **options),
    "vgg_small": lambda **options: models.vgg_small(3, width=2, **options),
    "resnet18_small": lambda **options: models.resnet18_small(3, width=2, **options),
    "mobilenet_small": lambda **options: models.mobilenet_small(3, blocks=((4, 1), (6, 2), (6, 1)), **options),
}
# Of central differences. Among thousands of numbers some lie near relu's edge, so it is smaller than gradcheck's;
# rounding then leaves 1e-9.
STEP = 1e-7

every_model = pytest.mark.parametrize("name", SMALL)


def image(name):
    return (16, 16, 1) if name == "lenet5" else (16, 16, 3)


def data(name, rng, n=4):
    return rng.standard_normal((n, *image(name))), np.arange(n) % 3


# -------------------------------------------------------------------------------------------------- architecture


@pytest.mark.parametrize(
    ("model", "size", "weights", "trained"),
    [
        (models.lenet5, (28, 28), 61_706, 61_706),
        (models.lenet5, (32, 32), 82_826, 82_826),
        (models.vgg_small, (32, 32, 3), 1_671_114, 1_671_114),
        # Without running means and variances, PyTorch's count of the same network.
        (models.resnet18_small, (32, 32, 3), 11_183_562, 11_173_962),
        (models.mobilenet_small, (32, 32, 3), 549_578, 543_050),
    ],
)  # fmt: skip
def test_numbers_of_weights(model, size, weights, trained):
    network = model()
    assert isinstance(network, GWUNetwork)
    network.build(size)
    assert network.count_params() == weights
    assert sum(parameter.size for parameter in network.parameters if parameter.trainable) == trained


def kinds(network, kind):
    return [leaf for layer in network.layers for leaf in leaves(layer) if type(leaf) is kind]


def test_resnet18_has_18_layers_with_weights_and_three_projections():
    network = models.resnet18_small(seed=0)
    network.build((32, 32, 3))
    blocks = [layer for layer in network.layers if isinstance(layer, Residual)]
    assert len(blocks) == 8
    assert len(kinds(network, Conv2D)) + len(kinds(network, Dense)) == 18 + 3
    assert [bool(block.shortcut) for block in blocks] == [False, False, True, False, True, False, True, False]
    assert [block.out_shape for block in blocks[1::2]] == [
        (32, 32, 64),
        (16, 16, 128),
        (8, 8, 256),
        (4, 4, 512),
    ]
    assert len(kinds(network, BatchNormalization)) == 20
    assert not any(layer.add_bias for layer in kinds(network, Conv2D)), "the normalisation takes it away again"


def test_mobilenet_filters_each_channel_by_itself():
    network = models.mobilenet_small(seed=0)
    network.build((32, 32, 3))
    assert len(kinds(network, DepthwiseConv2D)) == 7
    assert [layer.kernel_size for layer in kinds(network, Conv2D)] == [(3, 3)] + [(1, 1)] * 7


@every_model
def test_options_go_to_the_network(name, rng):
    network = SMALL[name](data_format="channels_first", precision="float64", fuse=False, seed=4)
    assert (network.data_format, network.precision, network.fuse) == ("channels_first", "float64", False)
    x, _ = data(name, rng)
    outputs = network.predict(x.transpose(0, 3, 1, 2))
    assert outputs.shape == (4, 3)
    np.testing.assert_allclose(outputs.sum(axis=1), 1)
    with pytest.raises(TypeError, match="did you mean 'seed'"):
        SMALL[name](sed=1)


@every_model
def test_what_stands_in_front(name, rng):
    """Scaling and augmentation: layers of the same network, of which those of augmentation do nothing in use."""
    x, y = data(name, rng)
    front = [Rescaling(1 / 255), RandomFlip("horizontal"), RandomTranslation(0.1, 0.1)]
    network, plain = SMALL[name](preprocessing=iter(front), seed=4), SMALL[name](seed=4)
    assert list(network.layers[:3]) == front
    np.testing.assert_allclose(network.predict(255 * x), plain.predict(x), atol=1e-5)
    network.compile("cross_entropy")
    assert np.isfinite(network.train_on_batch(x, y))


# ----------------------------------------------------------------------------------------------------- training


@every_model
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "layer-by-layer"])
def test_gradient_of_a_whole_model(name, fuse, rng):
    """To 1e-6 of the largest, along the steps of some weights of each array: in training, by batches' own statistics."""
    network = SMALL[name](precision="float64", fuse=fuse, seed=1)
    network.compile("cross_entropy", optimizer=SGD(1e-30))
    x, y = data(name, rng)
    network.train_on_batch(x, y)
    network.set_weights([weight + 0.05 * rng.standard_normal(weight.shape) for weight in network.get_weights()])
    network.train_on_batch(x, y)
    trained = [parameter for parameter in network.parameters if parameter.trainable]
    gradients = [parameter.grad.copy() for parameter in trained]
    largest = max(np.abs(gradient).max() for gradient in gradients)
    for parameter, gradient in zip(trained, gradients, strict=True):
        for index in rng.choice(parameter.size, min(parameter.size, 3), replace=False):
            slope = directional(network, x, y, parameter, np.unravel_index(index, parameter.shape))
            assert gradient.flat[index] == pytest.approx(slope, abs=1e-6 * largest), parameter


def directional(network, x, y, parameter, index):
    """Return by how much the loss in training changes with one weight."""
    kept, losses = parameter.value[index], []
    for step in (STEP, -STEP):
        parameter.value[index] = kept + step
        losses.append(network.train_on_batch(x, y))
    parameter.value[index] = kept
    return (losses[0] - losses[1]) / (2 * STEP)


@every_model
def test_fused_and_unfused_learn_alike_and_by_heart(name, rng):
    x, y = data(name, rng, 12)
    losses = []
    for fuse in (True, False):
        network = SMALL[name](precision="float64", fuse=fuse, seed=2)
        network.compile("cross_entropy", optimizer="adam", lr=0.01)
        losses.append([network.train_on_batch(x, y) for _ in range(60)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    assert losses[0][-1] < 0.25 * losses[0][0]


WIDE = {
    "lenet5": models.lenet5,
    "vgg_small": lambda **options: models.vgg_small(width=32, **options),
    "resnet18_small": lambda **options: models.resnet18_small(width=32, **options),
    "mobilenet_small": lambda **options: models.mobilenet_small(blocks=((64, 1), (64, 2)), **options),
}
WAYS = [(False, False, 1), (True, False, 1), (True, True, 1), (False, True, 2), (True, True, 2)]


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("precision, tolerance", [("float32", 5e-3), ("float64", 1e-9)])
def test_all_ways_to_compute_agree(name, precision, tolerance, threads, rng):
    """Layer by layer or fused, with Winograd's algorithm or without, on one thread or two: they round differently.

    In float32 the first losses are 3e-6 apart; where a relu's input is near 0 training multiplies that.
    """
    x, y = rng.standard_normal((8, *image(name))), np.arange(8) % 3
    results = []
    for fuse, winograd, number in WAYS:
        threads(number)
        network = WIDE[name](seed=3, precision=precision, fuse=fuse, winograd=winograd)
        network.compile("cross_entropy", lr=0.001)  # small steps: large ones multiply roundings
        losses = [network.train_on_batch(x, y) for _ in range(3)]
        results.append(np.concatenate([losses, network.predict(x).ravel()]))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=0, atol=tolerance)
    if name in ("vgg_small", "resnet18_small"):
        assert (results[2] != results[1]).any(), "Winograd's algorithm took no part"


@every_model
def test_the_same_seed_gives_the_same_bits(name, rng):
    x, y = data(name, rng, 10)
    runs = []
    for _ in range(2):
        network = SMALL[name](seed=5)
        network.compile("cross_entropy", optimizer="adam")
        network.fit(x, y, epochs=2, batch_size=4, verbose=0)
        runs.append(np.concatenate([weight.ravel() for weight in network.get_weights()]).tobytes())
    assert runs[0] == runs[1]


def test_lenet5_reads_digits():
    (x, y), (x_test, y_test) = datasets.load_sample()
    network = models.lenet5(seed=0)
    network.compile("cross_entropy", optimizer="adam")
    network.fit(x / 255, y, epochs=3, batch_size=32, verbose=0)
    assert network.evaluate(x_test / 255, y_test, return_dict=True)["accuracy"] > 0.9
