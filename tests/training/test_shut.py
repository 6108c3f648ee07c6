"""A warning at the end of `fit` where a relu that is 0 for every image keeps the network from learning."""

import warnings

import numpy as np
import pytest

from gwucnn import RELU, Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, datasets
from gwucnn.engine.inspection import shut_layers
from gwucnn.layers.graphs.graph import Graph

(X, Y), _ = datasets.load_sample()
X, Y = X[:200] / np.float32(255), Y[:200]


def network(middle=(), lr=0.1):
    made = GWUNetwork(
        [
            Conv2D(4, 3, activation="relu", add_bias=True),
            MaxPooling2D(2),
            *middle,
            Flatten(),
            Dense(10, activation="softmax", add_bias=True),
        ],
        seed=1,
    )
    made.compile("cross_entropy", lr=lr)
    return made


def test_after_a_rate_that_was_too_high():
    """As met: sgd at a rate of 100 shuts the relu, and the loss is that of a guess from then on."""
    made = network()
    made.build((28, 28))
    weights = made.get_weights()
    made.set_weights([-np.abs(weights[0]), np.full(4, -1.0), *weights[2:]])
    with pytest.warns(
        UserWarning,
        match=r"^fit: the loss stays at [\d.]+ because the relu of 0.Conv2D is 0 for every one of 64 images",
    ) as caught:
        made.fit(X, Y, epochs=40, batch_size=200, verbose=0, initial_epoch=0)
        made.fit(X, Y, epochs=3, batch_size=200, verbose=0)
    assert len(caught) == 1, "once"
    assert caught[0].filename == __file__


def test_a_layer_of_its_own_counts():
    made = network([RELU()])
    made.build((28, 28))
    made.layers[0].bias.value = np.full(4, -100.0)
    assert shut_layers(Graph.row(made.layers), X[:8, :, :, None]) == ["0.Conv2D", "2.RELU"]


@pytest.mark.parametrize("lr", [0.1, 1e-12])
def test_not_where_the_network_learns_or_merely_learns_slowly(lr):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(lr=lr).fit(X, Y, epochs=3, batch_size=20, verbose=0)
