"""Networks of connected layers learn as PyTorch's do: losses and weights compared over 20 steps."""

import functools

import numpy as np
import pytest

import graphs
from gradcheck import spaced
from gwucnn import SGD, Adam, Add, Average, Concatenate, Maximum, Multiply, Subtract

torch = pytest.importorskip("torch")
F = torch.nn.functional

from torch_layers import Weights, made  # noqa: E402  (of no use without torch)

STEPS, BATCH = 20, 5

MERGED = {
    Add: lambda *x: functools.reduce(torch.add, x),
    Average: lambda *x: torch.stack(x).mean(0),
    Subtract: torch.sub,
    Multiply: lambda *x: functools.reduce(torch.mul, x),
    Maximum: lambda *x: functools.reduce(torch.maximum, x),
    Concatenate: lambda *x: torch.cat(x, -1),
}


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


MOVES = {
    "sgd": (lambda: SGD(0.05, momentum=0.9), lambda w: torch.optim.SGD(w, 0.05, momentum=0.9)),
    "adam": (lambda: Adam(0.01), lambda w: torch.optim.Adam(w, 0.01, eps=1e-7)),
}


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
