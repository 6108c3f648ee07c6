"""Three small networks and their data, for all tests of whole networks."""

import numpy as np

from gwucnn import RELU, Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, Sigmoid
from gwucnn.training.loop import train_step


def small(loss="cross_entropy", lr=0.1, optimizer="sgd", seed=0, **options):
    """Return a compiled network of float64 for images (6, 6) of three classes, not built yet."""
    network = GWUNetwork(
        [Conv2D(3, activation="relu", add_bias=True), MaxPooling2D(), Flatten(), Dense(3, True, "softmax")],
        seed=seed,
        precision="float64",
        **options,
    )
    network.compile(loss, lr=lr, optimizer=optimizer)
    return network


def small_data(rng):
    """Return 20 images and labels for `small`."""
    return rng.random((20, 6, 6)), rng.integers(0, 3, 20)


def deep(loss="cross_entropy", lr=1.0, optimizer="sgd", seed=0, *, fuse=True, precision="float64"):
    """Return a compiled network for images (10, 10): two convolutions, one fused with its pooling, every layer."""
    network = GWUNetwork(
        [
            Conv2D(4, 3, activation="relu", add_bias=True),
            MaxPooling2D(2),
            Conv2D(5, 2, padding="same", add_bias=True),
            RELU(),
            MaxPooling2D(2, strides=1),
            Flatten(),
            Dense(6, True, "sigmoid"),
            *end_for(loss),
        ],
        seed=seed,
        fuse=fuse,
        precision=precision,
    )
    network.compile(loss, lr=lr, optimizer=optimizer)
    return network


def deep_data(rng):
    """Return 24 images and labels for `deep`."""
    return rng.random((24, 10, 10)), rng.integers(0, 3, 24)


def every_kind(**options):
    """Return a network of every kind of layer for images of at least (7, 7), not built and not compiled yet."""
    return GWUNetwork(
        [
            Conv2D(3, 3, activation="relu", add_bias=True),
            MaxPooling2D(2),
            Conv2D(4, 2),
            RELU(),
            Flatten(),
            Dense(5, activation="sigmoid", add_bias=True),
            Dense(3, activation="softmax"),
        ],
        **{"seed": 1} | options,
    )


def end_for(loss):
    """Return last layers that fit a loss, the activation once within a layer and once by itself."""
    if loss == "cross_entropy":
        return [Dense(3, True, "softmax")]
    if loss == "log_loss":
        return [Dense(3, True), Sigmoid()]
    return [Dense(3, True, "sigmoid" if loss == "binary_crossentropy" else None)]


def weights(network):
    """Return all weights in one row."""
    return np.concatenate([weight.ravel() for weight in network.get_weights()])


def batch_by_batch(network):
    """Let a network train without sweeps; return it."""

    def step(sweeper, run, first, totals):
        train_step(run.name(first), sweeper.engine, run.data, run.indices(first), totals)
        return 1

    network._train = step
    return network
