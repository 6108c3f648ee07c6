"""Every layer, loss and optimizer learns as PyTorch's does: losses and weights compared over 20 steps.

Both start from the same weights. Layers that draw random numbers are left out, as PyTorch draws different ones.
"""

import numpy as np
import pytest

from gwucnn import (
    MAE,
    MSE,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    BinaryCrossentropy,
    Conv2D,
    CrossEntropy,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GWUNetwork,
    Huber,
    LogLoss,
    Residual,
    RMSprop,
)
from gwucnn.layers.augmentation import RandomLayer
from gwucnn.layers.base import leaves
from layer_cases import CASES, IMAGE, Case, inside, spaced

torch = pytest.importorskip("torch")
F = torch.nn.functional

from torch_layers import Weights, row  # noqa: E402  (of no use without torch)

STEPS = 20
BATCH = 5
CLASSES = 3


def by_chance(case):
    """Return whether there is a layer in it that draws random numbers in training."""
    inner = leaves(case.build()[0])
    return any(isinstance(layer, RandomLayer) or getattr(layer, "rate", 0) > 0 for layer in inner)


FROZEN = [
    Case("frozen", Conv2D, {"filters": 3, "add_bias": True, "trainable": False}, IMAGE),
    Case("frozen", DepthwiseConv2D, {"kernel_regularizer": "l2", "trainable": False}, IMAGE),
    Case("frozen", Dense, {"output_size": 4, "activation": "relu", "trainable": False}, (6,)),
    Case("one of two frozen", Residual, {"layers": inside(Dense(4, trainable=False), Dense(6, True, "tanh"))}, (6,)),
]  # fmt: skip
LEARNING = [*(case for case in CASES if not by_chance(case)), *FROZEN]
every_case = pytest.mark.parametrize("case", LEARNING, ids=[f"{case.layer.__name__}-{case.why}" for case in LEARNING])


def surrounded(case, precision="float64", **options):
    """Return the layer between others that learn, so that its gradient by the input counts too."""
    below = Conv2D(case.in_shape[2], 1) if len(case.in_shape) == 3 else Dense(case.in_shape[0])
    layers = [below, case.layer(**case.options), Flatten(), Dense(CLASSES, True, "softmax")]
    if "channels_first" in case.why:
        options["data_format"] = "channels_first"
    network = GWUNetwork(layers, precision=precision, **options)
    shape = case.in_shape
    network.build((shape[-1], *shape[:-1]) if "data_format" in options and len(shape) == 3 else shape)
    return filled(network)


def filled(network):
    """Give every weight a value that is not near 0, so that none that is forgotten goes unnoticed."""
    rng = np.random.default_rng(4)
    for parameter in network.parameters:
        if parameter.name in ("moving_variance", "variance"):
            parameter.value[...] = rng.uniform(0.5, 2, parameter.shape)
        else:
            parameter.value[...] = rng.uniform(0.1, 0.4, parameter.shape) * rng.choice([-1, 1], parameter.shape)
    return network


def batches(shape, targets=lambda rng: rng.integers(0, CLASSES, BATCH)):
    """Return x, in numbers that float32 holds as well, and y, a batch a step."""
    rng = np.random.default_rng(5)
    drawn = [(spaced(rng, (BATCH, *shape)), targets(rng)) for _ in range(STEPS)]
    return [(x.astype("float32").astype("float64"), y) for x, y in drawn]


def theirs_of(network, data, optimizer, loss=F.cross_entropy, clipnorm=None):
    """Return PyTorch's losses before each step, and its weights after the last."""
    weights = Weights(network.parameters)
    trained = [weight for weight in weights.values() if weight.requires_grad]
    moves = optimizer(trained)
    layers = [*network.layers[:-1], network.layers[-1].with_activation(None)]
    losses = []
    for x, y in data:
        moves.zero_grad()
        value = loss(row(layers, torch.tensor(x), weights), torch.tensor(y)) + weights.penalty
        value.backward()
        if clipnorm is not None:
            norm = torch.cat([weight.grad.ravel() for weight in trained]).norm()
            for weight in trained:
                weight.grad *= torch.clamp(clipnorm / norm, max=1)
        moves.step()
        losses.append(value.item())
    return np.array(losses), [weight.detach().numpy() for weight in weights.values()]


def ours_of(network, data, optimizer, loss="cross_entropy", **options):
    network.compile(loss, optimizer=optimizer, **options)
    first = network.data_format == "channels_first"
    losses = [network.train_on_batch(np.moveaxis(x, -1, 1) if first and x.ndim == 4 else x, y) for x, y in data]
    return np.array(losses), network.get_weights()


def apart(ours, theirs):
    """Return the largest difference of any loss or weight."""
    assert np.isfinite(theirs[0]).all() and np.ptp(theirs[0]) > 1e-3
    differences = [ours[0] - theirs[0], *(a - b for a, b in zip(ours[1], theirs[1], strict=True))]
    return max(abs(difference).max(initial=0) for difference in differences)


# ------------------------------------------------------------------------------------------------------- layers

MOVES = {
    "sgd": (lambda: SGD(0.05, momentum=0.9), lambda w: torch.optim.SGD(w, 0.05, momentum=0.9)),
    "adam": (lambda: Adam(0.01), lambda w: torch.optim.Adam(w, 0.01, eps=1e-7)),
}


@pytest.mark.parametrize("moves", MOVES)
@every_case
def test_every_layer(case, moves):
    ours, theirs = MOVES[moves]
    network, data = surrounded(case), batches(case.in_shape)
    want = theirs_of(network, data, theirs)
    assert apart(ours_of(network, data, ours()), want) < 1e-10


@every_case
def test_every_layer_in_single_precision(case):
    """Within rounding of float64: 1e-7 of a weight, some of which 20 steps add up."""
    ours, theirs = MOVES["sgd"]
    network, data = surrounded(case, "float32"), batches(case.in_shape)
    want = theirs_of(network, data, theirs)
    assert apart(ours_of(network, data, ours()), want) < 5e-5


# -------------------------------------------------------------------------------------- losses and optimizers


def one_hot(y):
    return F.one_hot(y, CLASSES).double()


def smoothed(t, s):
    return t * (1 - s) + s / 2


def yes_or_no(rng):
    return rng.integers(0, 2, (BATCH, CLASSES)).astype("float64")


def quantities(rng):
    return rng.standard_normal((BATCH, CLASSES))


# loss, PyTorch's of (z, y), last activation, y
LOSSES = {
    "cross-entropy": (CrossEntropy(), F.cross_entropy, "softmax", None),
    "cross-entropy, smoothed": (
        CrossEntropy(label_smoothing=0.2),
        lambda z, y: F.cross_entropy(z, y, label_smoothing=0.2),
        "softmax",
        None,
    ),
    "cross-entropy of shares": (
        CrossEntropy(),
        F.cross_entropy,
        "softmax",
        lambda rng: rng.dirichlet(np.ones(CLASSES), BATCH),
    ),
    "log loss": (
        LogLoss(),
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum") / BATCH,
        "sigmoid",
        yes_or_no,
    ),
    "log loss, smoothed": (
        LogLoss(label_smoothing=0.1),
        lambda z, y: F.binary_cross_entropy_with_logits(z, smoothed(y, 0.1), reduction="sum") / BATCH,
        "sigmoid",
        yes_or_no,
    ),
    "binary cross-entropy": (
        BinaryCrossentropy(),
        F.binary_cross_entropy_with_logits,
        "sigmoid",
        yes_or_no,
    ),
    "squares": (MSE(), F.mse_loss, None, quantities),
    "squares of sigmoids": (MSE(), lambda z, y: F.mse_loss(torch.sigmoid(z), y), "sigmoid", quantities),
    "squares of softmax": (
        MSE(),
        lambda z, y: F.mse_loss(torch.softmax(z, -1), y),
        "softmax",
        quantities,
    ),
    "sizes": (MAE(), F.l1_loss, None, quantities),
    "huber": (Huber(0.7), lambda z, y: F.huber_loss(z, y, delta=0.7), None, quantities),
}
OPTIMIZERS = {
    "sgd": (lambda: SGD(0.05), lambda w: torch.optim.SGD(w, 0.05)),
    "nesterov": (
        lambda: SGD(0.05, momentum=0.8, nesterov=True),
        lambda w: torch.optim.SGD(w, 0.05, momentum=0.8, nesterov=True),
    ),
    "adam": (
        lambda: Adam(0.02, beta_1=0.8, beta_2=0.99, epsilon=1e-5),
        lambda w: torch.optim.Adam(w, 0.02, (0.8, 0.99), 1e-5),
    ),
    "adamw": (
        lambda: AdamW(0.01, weight_decay=0.1),
        lambda w: torch.optim.AdamW(w, 0.01, eps=1e-7, weight_decay=0.1),
    ),
    "rmsprop": (lambda: RMSprop(0.01), lambda w: torch.optim.RMSprop(w, 0.01, 0.9, 1e-7)),
    "adagrad": (
        lambda: Adagrad(0.05),
        lambda w: torch.optim.Adagrad(w, 0.05, initial_accumulator_value=0.1, eps=1e-7),
    ),
}


def mixed(activation, precision):
    """Return a network of two convolutions, one with a bias, and a dense layer."""
    layers = [Conv2D(4, 3, activation="tanh"), Conv2D(3, 2, add_bias=True), Flatten()]
    network = GWUNetwork([*layers, Dense(CLASSES, True, activation)], precision=precision)
    network.build((6, 5, 2))
    return filled(network)


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-10), ("float32", 2e-5)])
@pytest.mark.parametrize("clipnorm", [None, 0.3], ids=["free", "clipped"])
@pytest.mark.parametrize("moves", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_with_every_optimizer(loss, moves, clipnorm, precision, tolerance):
    (loss, theirs_loss, activation, targets), (ours, theirs) = LOSSES[loss], OPTIMIZERS[moves]
    data = batches((6, 5, 2), *([] if targets is None else [targets]))
    network = mixed(activation, precision)
    want = theirs_of(network, data, theirs, theirs_loss, clipnorm)
    assert apart(ours_of(network, data, ours(), loss, global_clipnorm=clipnorm), want) < tolerance
