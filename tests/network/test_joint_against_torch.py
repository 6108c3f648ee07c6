"""Networks with several inputs and outputs learn as PyTorch's do: losses and weights compared over 20 steps."""

import numpy as np
import pytest

import joint

torch = pytest.importorskip("torch")
F = torch.nn.functional

from torch_layers import MERGED, MOVES, Weights, made  # noqa: E402  (of no use without torch)

STEPS, BATCH = 20, 5


def loss_of(name, z, target):
    """The loss by its name; of classes from z before the activation, which is left out there."""
    if name == "cross_entropy":
        return F.cross_entropy(z.reshape(-1, z.shape[-1]), torch.tensor(target).reshape(-1))
    target = torch.tensor(np.asarray(target, np.float64)).reshape(z.shape)
    if name == "log_loss":  # the sum over the outputs of a sample
        return F.binary_cross_entropy_with_logits(z, target, reduction="sum") / len(z)
    return (F.mse_loss if name == "mse" else F.l1_loss)(z, target)


def outputs(network, x, weights, losses):
    """Return what the losses above take, for each output."""
    graph = network._layer_row.graph
    values, before = [torch.tensor(array) for array in x], {}
    for number, (layer, sources) in enumerate(graph.nodes, graph.inputs):
        read = [values[source] for source in sources]
        values.append(MERGED[type(layer)](*read) if len(read) > 1 else made(layer, read[0], weights))
        if number in graph.outputs and hasattr(layer, "with_activation"):
            before[number] = made(layer.with_activation(None), read[0], weights)
    return [
        before[value] if loss in ("cross_entropy", "log_loss") else values[value]
        for value, loss in zip(graph.outputs, losses, strict=True)
    ]


@pytest.mark.parametrize("moves", MOVES)
@pytest.mark.parametrize("case", joint.CASES, ids=lambda case: case.__name__)
def test_twenty_steps(case, moves, rng):
    our_optimizer, their_optimizer = MOVES[moves]
    network = joint.made(case, our_optimizer(), precision="float64")
    network.get_weights()  # builds it
    weights = Weights(network.parameters)
    optimizer = their_optimizer([weight for weight in weights.values() if weight.requires_grad])
    losses, factors, _ = joint.CASES[case]
    losses, seen = joint.several(losses), []
    for _ in range(STEPS):
        x, y = joint.samples(case, rng, BATCH)
        optimizer.zero_grad()
        ends = outputs(network, joint.several(x), weights, losses)
        terms = [loss_of(*each) for each in zip(losses, ends, joint.several(y), strict=True)]
        want = sum(factor * term for factor, term in zip(factors or [1.0], terms, strict=True))
        want.backward()
        optimizer.step()
        assert abs(network.train_on_batch(x, y) - want.item()) < 1e-10
        seen.append(want.item())
    assert np.ptp(seen) > 1e-3
    for got, tensor in zip(network.get_weights(), weights.values(), strict=True):
        assert abs(got - tensor.detach().numpy()).max() < 1e-10
