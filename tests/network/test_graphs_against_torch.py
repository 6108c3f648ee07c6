"""Networks of connected layers learn as PyTorch's do: losses and weights compared over 20 steps."""

import numpy as np
import pytest

import graphs
from gradcheck import spaced

torch = pytest.importorskip("torch")
F = torch.nn.functional

from torch_layers import MERGED, MOVES, Weights, made  # noqa: E402  (of no use without torch)

STEPS, BATCH = 20, 5


def outputs(network, x, weights):
    """Return the network's output before the softmax."""
    graph = network._layer_row.graph
    values = [x]
    for layer, sources in graph.nodes:
        if layer is network.layers[-1]:
            layer = layer.with_activation(None)
        read = [values[source] for source in sources]
        values.append(MERGED[type(layer)](*read) if len(read) > 1 else made(layer, read[0], weights))
    return values[graph.outputs[0]]


def theirs(network, data, optimizer):
    weights = Weights(network.parameters)
    moves = optimizer([weight for weight in weights.values() if weight.requires_grad])
    losses = []
    for x, y in data:
        moves.zero_grad()
        value = F.cross_entropy(outputs(network, torch.tensor(x), weights), torch.tensor(y))
        value.backward()
        moves.step()
        losses.append(value.item())
    return losses, [weight.detach().numpy() for weight in weights.values()]


def ours(network, data, optimizer):
    network.compile("cross_entropy", optimizer=optimizer)
    return [network.train_on_batch(x, y) for x, y in data], network.get_weights()


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("moves", MOVES)
@pytest.mark.parametrize("part", graphs.PARTS, ids=lambda part: part.__name__)
def test_twenty_steps(part, moves, precision, rng):
    our_optimizer, their_optimizer = MOVES[moves]
    network = graphs.network(part, precision=precision)
    network.build(graphs.SHAPE)
    data = [(spaced(rng, (BATCH, *graphs.SHAPE)), rng.integers(0, 3, BATCH)) for _ in range(STEPS)]
    data = [(x.astype("float32").astype("float64"), y) for x, y in data]
    want, got = theirs(network, data, their_optimizer), ours(network, data, our_optimizer())
    assert np.isfinite(want[0]).all() and np.ptp(want[0]) > 1e-3
    apart = [abs(np.subtract(a, b)).max() for a, b in zip((got[0], *got[1]), (want[0], *want[1]), strict=True)]
    assert max(apart) < (1e-10 if precision == "float64" else 1e-4)
