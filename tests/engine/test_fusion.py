"""Fusion: which steps a network runs, and that they compute the same as its layers."""

import numpy as np
import pytest

import networks
from compare import assert_exact
from gradcheck import assert_gradient
from gwucnn import (
    RELU,
    SGD,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    Sigmoid,
    Softmax,
)
from gwucnn.activation_functions import RELUActivation, SoftmaxActivation
from gwucnn.engine.fusion import ConvPool, plan
from gwucnn.layers.graphs.graph import Graph
from networks import NETS, conv

every_net = pytest.mark.parametrize("net", NETS, ids=[net.why.replace(" ", "-") for net in NETS])


def names(steps):
    return [type(step).__name__ for step in steps]


def planned(layers, **options):
    """Return the names of the steps that a network of these layers runs."""
    network = GWUNetwork(layers, **options)
    network.build((21, 22))
    return names(network._engine.steps)


# ------------------------------------------------------------------------------------------------------- plans

CONV_POOL = ["ConvPool"]


@pytest.mark.parametrize(
    ("layers", "steps"),
    [
        ([conv(4), MaxPooling2D()], CONV_POOL),
        ([conv(4), MaxPooling2D(2, 2)], CONV_POOL),
        ([conv(4, activation=None), MaxPooling2D()], CONV_POOL),
        ([conv(4, activation=None), RELU(), MaxPooling2D()], CONV_POOL),
        ([conv(4, strides=2, padding="same", dilation_rate=1), MaxPooling2D()], CONV_POOL),
        ([conv(4, (5, 2), dilation_rate=2), MaxPooling2D()], CONV_POOL),
        (
            [conv(4), MaxPooling2D(), conv(6, groups=2), MaxPooling2D()],
            ["ConvPool", "Conv2D", "MaxPooling2D"],
        ),
        (
            [conv(9), conv(9, activation=None), RELU(), conv(9, activation=None)],
            ["ConvRelu"] * 2 + ["Conv2D"],
        ),
        (
            [conv(9), RELU(), conv(9, activation="tanh"), conv(18, groups=9)],
            ["ConvRelu", "RELU"] + ["Conv2D"] * 2,
        ),
        ([conv(4), conv(4), MaxPooling2D()], ["Conv2D", "ConvPool"]),
        ([DepthwiseConv2D(), RELU(), DepthwiseConv2D(activation="relu")], ["ConvRelu"] * 2),
        ([DepthwiseConv2D(activation="tanh"), RELU()], ["DepthwiseConv2D", "RELU"]),
        (
            [conv(4, activation=None), BatchNormalization(), RELU(), RELU(), BatchNormalization()],
            ["Conv2D", "NormRelu", "RELU", "BatchNormalization"],
        ),
        ([conv(4), MaxPooling2D(), MaxPooling2D()], ["ConvPool", "MaxPooling2D"]),
        ([conv(4), MaxPooling2D(), RELU(), conv(4)], ["ConvPool", "RELU", "Conv2D"]),
        ([MaxPooling2D(), conv(4), MaxPooling2D(3)], ["MaxPooling2D", "Conv2D", "MaxPooling2D"]),
        ([conv(4), MaxPooling2D(3)], ["Conv2D", "MaxPooling2D"]),
        ([conv(4), MaxPooling2D((2, 1))], ["Conv2D", "MaxPooling2D"]),
        ([conv(4), MaxPooling2D(2, 1)], ["Conv2D", "MaxPooling2D"]),
        ([conv(4), MaxPooling2D(2, (2, 3))], ["Conv2D", "MaxPooling2D"]),
        ([conv(4), MaxPooling2D(padding="same")], ["Conv2D", "MaxPooling2D"]),
        ([conv(4), MaxPooling2D(padding=1)], ["Conv2D", "MaxPooling2D"]),
        ([conv(4, activation="sigmoid"), MaxPooling2D()], ["Conv2D", "MaxPooling2D"]),
        ([conv(4, activation="softmax"), MaxPooling2D()], ["Conv2D", "MaxPooling2D"]),
        ([conv(4, activation=None), Sigmoid(), MaxPooling2D()], ["Conv2D", "Sigmoid", "MaxPooling2D"]),
        ([conv(4), RELU(), MaxPooling2D()], ["Conv2D", "RELU", "MaxPooling2D"]),
        ([conv(4, activation=None), RELU(), MaxPooling2D(3)], ["Conv2D", "RELU", "MaxPooling2D"]),
        (
            [conv(4, activation=None), RELU(), RELU(), MaxPooling2D()],
            ["Conv2D", "RELU", "RELU", "MaxPooling2D"],
        ),
        ([conv(4), RELU(), conv(4), MaxPooling2D()], ["Conv2D", "RELU", "ConvPool"]),
    ],
)
def test_which_steps_run(layers, steps):
    network = GWUNetwork([*layers, Flatten(), Dense(2)])
    network.build((21, 22))
    assert names(network._engine.steps) == [*steps, "Flatten", "Dense"]


def test_without_fuse_the_layers_run():
    assert planned([conv(4), MaxPooling2D()], fuse=False) == ["Conv2D", "MaxPooling2D"]
    assert planned([conv(4), MaxPooling2D()], fuse=True) == planned([conv(4), MaxPooling2D()]) == ["ConvPool"]


def test_layers_derived_from_ours_are_left_alone():
    """A derived layer may compute something else."""

    class MyConv(Conv2D):
        pass

    class MyPool(MaxPooling2D):
        pass

    assert planned([MyConv(4, activation="relu"), MaxPooling2D()]) == ["MyConv", "MaxPooling2D"]
    assert planned([conv(4), MyPool()]) == ["Conv2D", "MyPool"]


def ends(layers):
    """Return the steps of a row of layers, their names, and the final activation."""
    graph, (activation,) = plan(Graph.row(layers))
    return graph.steps, names(graph.steps), activation


def test_the_last_activation_is_for_the_loss_head():
    assert ends([]) == ([], [], None)
    softmax, dense = Softmax(), Dense(2, activation="softmax")
    assert ends([softmax]) == ([], [], SoftmaxActivation)
    steps, *rest = ends([dense])
    assert rest == [["Dense"], SoftmaxActivation]
    assert steps[0] is not dense and steps[0].activation is None and dense.activation is SoftmaxActivation
    # The layers before the final activation are fused as usual; a relu at the end is not part of a sequence.
    network = GWUNetwork([conv(4), MaxPooling2D(), RELU()])
    network.build((8, 8))
    assert ends(network.layers)[1:] == (["ConvPool"], RELUActivation)
    assert ends(network.layers[:1])[1:] == (["Conv2D"], RELUActivation)


def test_a_step_has_the_label_and_the_parameters_of_its_convolution():
    layers = [conv(4, activation=None), RELU(), MaxPooling2D(), Flatten(), Dense(2)]
    network = GWUNetwork(layers)
    network.build((9, 9))
    step = network._engine.steps[0]
    assert isinstance(step, ConvPool)
    assert step.label == layers[0].label == "0.Conv2D"
    assert (step.in_shape, step.out_shape) == ((9, 9, 1), (3, 3, 4))
    assert len(step.parameters) == 2
    assert all(a is b for a, b in zip(step.parameters, layers[0].parameters, strict=True))
    assert step.replayable


# -------------------------------------------------------------------------------- the same network for its user


def shown(network):
    lines = []
    network.summary(lines.append)
    return "\n".join(lines), repr(network), network.count_params()


@every_net
def test_layers_are_never_edited(net, rng):
    fused, plain = networks.build(net), networks.build(net, fuse=False)
    assert "ConvPool" in names(fused._engine.steps)
    layers, activations = list(fused.layers), [getattr(layer, "activation", None) for layer in fused.layers]
    x, y = networks.data(net, rng)
    for network in (fused, plain):
        network.compile(loss="cross_entropy", lr=0.05)
        network.fit(x, y, batch_size=3, verbose=0)
    assert all(a is b for a, b in zip(fused.layers, layers, strict=True))
    assert [getattr(layer, "activation", None) for layer in fused.layers] == activations
    assert shown(fused) == shown(plain)
    assert [w.shape for w in fused.get_weights()] == [w.shape for w in plain.get_weights()]


@every_net
def test_predictions_agree_to_the_last_bit(net, isa, dtype, rng):
    """Without Winograd's algorithm, whose transforms round."""
    fused, plain = (networks.build(net, fuse=fuse, winograd=False, precision=dtype.name) for fuse in (True, False))
    for parameter in fused.parameters:
        parameter.value[...] = rng.standard_normal(parameter.shape) / 3
    plain.set_weights(fused.get_weights())
    x, y = networks.data(net, rng, 7)
    want = plain.predict(x)
    assert np.ptp(want) > 0.1
    assert fused.predict(x).tobytes() == want.tobytes()
    assert fused.predict(x, batch_size=3).tobytes() == plain.predict(x, batch_size=3).tobytes()
    assert fused.activations(x)[-1].tobytes() == want.tobytes()
    for network in (fused, plain):
        network.compile(loss="cross_entropy")
    assert fused.evaluate(x, y, return_dict=True) == plain.evaluate(x, y, return_dict=True)


# --------------------------------------------------------------------------------------------------- training

# Rounding errors of five steps, relative to the largest element of an array.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def assert_near(got, want, dtype):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= TOLERANCE[dtype.name] * np.abs(want).max()


@every_net
def test_five_steps_of_training_agree(net, isa, dtype, rng):
    batches = [networks.data(net, rng, n) for n in (6, 4, 6, 5, 6)]
    fused, plain = (networks.build(net, fuse=fuse, precision=dtype.name) for fuse in (True, False))
    start = fused.get_weights()
    losses = []
    for network in (fused, plain):
        network.compile(loss="cross_entropy", optimizer=SGD(0.05, momentum=0.9))
        losses.append([network.train_on_batch(*batch) for batch in batches])
    assert_near(np.array(losses[0]), np.array(losses[1]), dtype)
    frozen = [not parameter.trainable for parameter in fused.parameters]
    for got, want, before, still in zip(fused.get_weights(), plain.get_weights(), start, frozen, strict=True):
        assert_near(got, want, dtype)
        assert (got == before).all() == still
    for network in (fused, plain):
        assert not any(parameter.grad.any() for parameter in network.parameters if not parameter.trainable)
    x, y = batches[0]
    assert_near(fused.predict(x), plain.predict(x), dtype)
    record, want = (network.evaluate(x, y, return_dict=True) for network in (fused, plain))
    assert record["accuracy"] == want["accuracy"]
    assert record["loss"] == pytest.approx(want["loss"], rel=TOLERANCE[dtype.name])


def test_freezing_takes_effect_at_compile(rng):
    """Each compile decides which gradients a fused step computes, as it does for layers."""
    net = NETS[1]
    fused, plain = (networks.build(net, fuse=fuse, precision="float64") for fuse in (True, False))
    x, y = networks.data(net, rng)
    for trainable in ([False, True], [False, False], [True, False], [True, True]):
        for network in (fused, plain):
            for layer, flag in zip([network.layers[0], network.layers[2]], trainable, strict=True):
                layer.trainable = flag
            network.compile(loss="cross_entropy", lr=0.05)
        before = fused.get_weights()
        assert fused.train_on_batch(x, y) == pytest.approx(plain.train_on_batch(x, y), rel=1e-12)
        for got, want in zip(fused.get_weights(), plain.get_weights(), strict=True):
            assert_near(got, want, np.dtype("float64"))
        moved = [(a != b).any() for a, b in zip(fused.get_weights(), before, strict=True)]
        assert moved == [trainable[0]] * 2 + [trainable[1]] * 2 + [True] * 2


@pytest.mark.parametrize("kind", ["whole", "by channel"])
@pytest.mark.parametrize("frozen", [False, True])
def test_normalisation_and_relu_change_no_bit(frozen, kind, isa, dtype, rng):
    """The same formulas in the same order, with the statistics of the batch as well as with running statistics."""

    def made(fuse):
        first = DepthwiseConv2D(depth_multiplier=2) if kind == "by channel" else conv(4, activation=None)
        layers = [
            first,
            BatchNormalization(),
            RELU(),
            conv(4),
            BatchNormalization(),
            RELU(),
            Flatten(),
            Dense(3),
        ]
        network = GWUNetwork(layers, seed=4, fuse=fuse, precision=dtype.name)
        network.layers[1].trainable = not frozen
        network.compile("mse", optimizer=SGD(0.1, momentum=0.9))
        return network

    networks = made(True), made(False)
    for n in (8, 5, 9):
        x, y = rng.standard_normal((n, 9, 8, 2)).astype(dtype), rng.standard_normal((n, 3)).astype(dtype)
        losses = [network.train_on_batch(x, y) for network in networks]
        assert losses[0] == losses[1]
        for got, want in zip(*(network.get_weights() for network in networks), strict=True):
            assert_exact(got, want, dtype)
    assert names(networks[0]._engine.steps)[1] == "NormRelu"


CHECKED = [
    networks.Net("lists behind masks", (12, 11, 1), lambda: [conv(8), MaxPooling2D(), conv(5), MaxPooling2D()]),
    networks.Net(
        "no activation",
        (12, 12, 1),
        lambda: [conv(8, activation=None), MaxPooling2D(), conv(3, activation=None), MaxPooling2D()],
    ),
    networks.Net("relu as a layer", (9, 10, 2), lambda: [conv(8, 2, activation=None), RELU(), MaxPooling2D()]),
    networks.Net("no kernel", (11, 12, 1), lambda: [conv(3), MaxPooling2D(), conv(5, 2), MaxPooling2D()]),
]


@pytest.mark.parametrize("net", CHECKED, ids=[net.why.replace(" ", "-") for net in CHECKED])
def test_gradients_are_those_of_the_loss(net, isa, rng):
    """Against central differences of the loss that the fused network itself reports."""
    network = networks.build(net, precision="float64")
    network.compile(loss="cross_entropy")
    assert "ConvPool" in names(network._engine.steps)
    x, y = networks.data(net, rng, 2)
    start = network.get_weights()
    network.train_on_batch(x, y)
    analytic = [parameter.grad.copy() for parameter in network.parameters]
    network.set_weights(start)
    for parameter, gradient in zip(network.parameters, analytic, strict=True):
        assert_gradient(gradient, lambda: network.evaluate(x, y), parameter.value)
