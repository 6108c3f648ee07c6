"""Inference in slices of a batch: identical outputs, and used only for networks where it pays."""

import numpy as np
import pytest

from compare import assert_exact
from gwucnn import (
    RELU,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling2D,
    GWUNetwork,
    Layer,
    MaxPooling2D,
    Residual,
)
from gwucnn.engine.fusion import plan
from gwucnn.engine.slices import Slices
from gwucnn.layers.graphs.graph import Graph
from gwucnn.models import mobilenet_small


class Twice(Layer):
    """A user's own layer, which may let a sample's output depend on other samples."""

    replayable = True

    def forward(self, x, space):
        return space.run("twice", lambda a: a + a, x)


def blocks(*more):
    """Layers with large images and few weights."""
    return [
        Conv2D(24, 1, add_bias=True),
        BatchNormalization(),
        RELU(),
        *more,
        DepthwiseConv2D(padding="same", strides=2),
        Residual([Conv2D(24, 1), BatchNormalization(), RELU()]),
        Conv2D(40, 1, activation="relu"),
        GlobalAveragePooling2D(),
        Dense(3, True, "softmax"),
    ]


def made(layers, size=64, **options):
    network = GWUNetwork(layers, seed=2, **options)
    network.build((size, size, 3))
    return network


def slices_of(network):
    steps = plan(Graph.row(network.layers), training=False).graph.steps
    return steps[0]._size if len(steps) == 1 and isinstance(steps[0], Slices) else None


def test_where_it_pays():
    assert slices_of(made(blocks())) == 2  # 64 * 64 * (24 + 24) of 2**18 elements; before the stride 3 + 24
    assert slices_of(made(blocks(Twice()))) is None
    assert slices_of(made(blocks(), size=8)) is None  # any batch fits the cache
    wide = [
        Conv2D(64, padding="same"),
        Conv2D(256, padding="same"),
        MaxPooling2D(8),
        Flatten(),
        Dense(4000),
        Dense(2),
    ]
    assert slices_of(made(wide)) is None  # more weights than activations of a slice
    assert plan(Graph.row([]), training=False).graph.steps == []
    network = mobilenet_small()
    network.build((32, 32, 3))
    assert slices_of(network) == 2


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7])
def test_outputs_are_those_of_the_whole_batch(n, isa, dtype, threads, rng):
    threads(1)  # with more threads slices are longer, and layers may round differently for one image and for several
    sliced, plain = (made(blocks(), precision=dtype.name, fuse=fuse) for fuse in (True, False))
    plain.set_weights(sliced.get_weights())
    x = rng.standard_normal((n, 64, 64, 3)).astype(dtype)
    alone = [sliced.predict(x[i : i + 1]) for i in range(n)]
    for _ in range(2):  # recorded, then replayed
        got = sliced.predict(x)
        assert_exact(got, np.concatenate(alone) if n else np.empty((0, 3)), dtype)
    np.testing.assert_allclose(got, plain.predict(x), rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)


def test_changed_weights_take_effect(rng):
    network, x = made(blocks()), rng.standard_normal((5, 64, 64, 3)).astype("float32")
    network.predict(x)
    network.set_weights([weight * 0.5 for weight in network.get_weights()])
    fresh = made(blocks())
    fresh.set_weights(network.get_weights())
    assert_exact(network.predict(x), fresh.predict(x), "float32")


def test_evaluate_and_threads(rng, threads):
    x, y = rng.standard_normal((9, 64, 64, 3)).astype("float32"), rng.integers(0, 3, 9)
    results = []
    for n in (1, 2):
        threads(n)
        network = made(blocks())
        network.compile("cross_entropy")
        results.append((network.predict(x), network.evaluate(x, y)))
    # Two threads take slices twice as long, which some instruction sets round differently.
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=0, atol=1e-5)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-6)  # a mean over batches of different sizes


def test_memory_is_that_of_a_slice(threads, rng):
    """Buffers for the whole batch would take nine times as much."""
    threads(1)
    network, x = made(blocks()), rng.standard_normal((18, 64, 64, 3)).astype("float32")
    network.predict(x)
    (workspace,) = network._engine.workspaces._idle
    (space,) = workspace.spaces
    largest = max(memory.size for child in space._children.values() for memory in child._memory.values())
    assert largest == 2 * 64 * 64 * 24
