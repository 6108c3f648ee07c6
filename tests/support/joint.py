"""Networks with several inputs or outputs, and samples for them."""

import numpy as np

from gradcheck import spaced
from gwucnn import Add, Concatenate, Conv2D, Dense, Flatten, GWUNetwork, Input

IMAGE, FEATURES = (6, 6, 2), 5


def towers():
    """An image and features; classes, and two quantities that are computed from everything, the classes too."""
    image, features = Input(IMAGE, name="image"), Input(FEATURES, name="features")
    seen = Flatten()(Conv2D(3, padding="same", activation="relu", add_bias=True)(image))
    known = Dense(4, True, "tanh")(features)
    both = Concatenate()([Dense(4, True, "tanh")(seen), known])
    kind = Dense(3, True, "softmax", name="kind")(both)
    return [image, features], [kind, Dense(2, True, name="place")(Concatenate()([both, kind]))]


def deep_supervision():
    """One input; an intermediate layer is an output, and so is the end, twice."""
    features = Input(FEATURES)
    middle = Dense(3, True, "sigmoid", name="middle")(features)
    end = Dense(2, True, "tanh", name="end")(middle)
    return features, [end, middle, end]


def siamese():
    """Two inputs through one layer; one output."""
    one, other = Input(FEATURES, name="one"), Input(FEATURES, name="other")
    shared = Dense(4, True, "tanh")
    return [one, other], Dense(1, True, "sigmoid", name="same")(Add()([shared(one), shared(other), shared(one)]))


def pixels():
    """An image and its gate; a label for each pixel, and one for the image."""
    image, gate = Input(IMAGE, name="image"), Input(IMAGE, name="gate")
    features = Conv2D(3, 3, padding="same", add_bias=True, activation="sigmoid")(Add()([image, Conv2D(2, 1)(gate)]))
    return [image, gate], [
        Conv2D(3, 1, activation="softmax", add_bias=True, name="segments")(features),
        Dense(1, True, "sigmoid", name="any")(Flatten()(features)),
    ]


# What computes the inputs and outputs, the losses, their weights, and the shape of the targets (int: labels below it).
CASES = {
    towers: (["cross_entropy", "mse"], [1.0, 0.3], [3, (2,)]),
    deep_supervision: (["mse", "log_loss", "mae"], [0.5, 1.0, 2.0], [(2,), (3,), (2,)]),
    siamese: ("log_loss", None, 2),
    pixels: (["cross_entropy", "log_loss"], [2.0, 0.7], [(6, 6, 3), 2]),
}


def made(case, optimizer="sgd", **options):
    """Return a compiled network of a case."""
    loss, weights, _ = CASES[case]
    inputs, outputs = case()
    network = GWUNetwork(inputs=inputs, outputs=outputs, **{"seed": 3} | options)
    network.compile(loss, optimizer=optimizer, loss_weights=weights)
    return network


def samples(case, rng, n=6):
    """Return x and y for the network of a case."""
    inputs, _ = case()
    x = [spaced(rng, (n, *tensor.shape[1:])) for tensor in (inputs if isinstance(inputs, list) else [inputs])]
    kinds = CASES[case][2]
    y = [_target(rng, n, kind) for kind in (kinds if isinstance(kinds, list) else [kinds])]
    return (x if len(x) > 1 else x[0]), (y if len(y) > 1 else y[0])


def _target(rng, n, kind):
    if isinstance(kind, int):
        return rng.integers(0, kind, n)
    if len(kind) == 3:  # labels of pixels
        return rng.integers(0, kind[-1], (n, *kind[:-1]))
    return rng.random((n, *kind)) if kind == (3,) else spaced(rng, (n, *kind)) * 3


def several(given):
    return given if isinstance(given, list) else [given]


def part(given, rows):
    """Return the same rows of all arrays."""
    return [np.asarray(array)[rows] for array in given] if isinstance(given, list) else given[rows]
