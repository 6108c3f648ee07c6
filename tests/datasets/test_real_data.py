"""Training on real images as the docstring of `gwucnn.models` describes; each test takes minutes.

`real_data` says where the files are looked for.
"""

import math

import numpy as np
import pytest

from gwucnn import (
    SGD,
    Adam,
    Normalization,
    OneCycle,
    RandomFlip,
    RandomTranslation,
    Rescaling,
    datasets,
    models,
)
from real_data import found, photographs

pytestmark = pytest.mark.slow

BATCH = 64


def trained(network, optimizer, train, test, epochs):
    """Train with what `optimizer` makes of the number of steps; return the history. Warnings are errors here."""
    network.compile("cross_entropy", optimizer=optimizer(epochs * math.ceil(len(train[0]) / BATCH)))
    history = network.fit(*train, epochs, BATCH, validation_data=test, verbose=2).history
    assert all(np.isfinite(value) for values in history.values() for value in values)
    assert history["loss"] == sorted(history["loss"], reverse=True)
    return history


def test_lenet5_reads_mnist():
    train, test = datasets.load_mnist(found("mnist"))
    network = models.lenet5(seed=0, preprocessing=[Rescaling(1 / 255)])
    history = trained(network, lambda steps: Adam(OneCycle(0.003, steps)), train, test, 3)
    assert history["val_accuracy"][-1] >= 0.989


def test_a_narrow_resnet18_sees_what_is_in_photographs():
    x, y, x_test, y_test = photographs()
    scale = Normalization()
    scale.adapt(x)
    front = [scale, RandomFlip("horizontal"), RandomTranslation(1 / 8, 1 / 8)]
    network = models.resnet18_small(width=16, seed=0, preprocessing=front)
    history = trained(
        network,
        lambda steps: SGD(OneCycle(0.1, steps), momentum=0.9, nesterov=True),
        (x, y),
        (x_test, y_test),
        8,
    )
    assert history["val_accuracy"][-1] >= 0.65
