"""Real images, trained on as the docstring of `gwucnn.models` says, with nobody watching: minutes each.

The files are looked for in the folder that GWUCNN_DATA names, else in shared/data beside the checkout: mnist/ as
published, and cifar10/, one npz of x_train, y_train, x_test and y_test.
"""

import math
import os
from pathlib import Path

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

pytestmark = pytest.mark.slow

FOLDER = Path(os.environ.get("GWUCNN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
BATCH = 64


def found(pattern):
    """Return the one path of this pattern in the folder of data, or skip the test."""
    paths = sorted(FOLDER.glob(pattern))
    if not paths:
        pytest.skip(f"no {pattern} in {FOLDER}; set GWUCNN_DATA")
    return paths[0]


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
    with np.load(found("cifar10/*.npz")) as file:
        x, y, x_test, y_test = (file[name] for name in ("x_train", "y_train", "x_test", "y_test"))
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
