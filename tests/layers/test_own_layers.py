"""Layers, activations and losses written by users on the documented base classes, working in a network."""

import numpy as np
import pytest

from gradcheck import numerical_gradient
from gwucnn import Adam, Conv2D, Dense, Flatten, GWUNetwork, Layer, MaxPooling2D, Residual
from gwucnn.common.errors import ShapeError
from gwucnn.initializers import INITIALIZERS
from gwucnn.memory.parameters import Parameter


class Halve(Layer):
    """The example of Layer's own documentation, computing in numpy."""

    def forward(self, x, space):
        return x / 2

    def backward(self, dy, space):
        return dy / 2


class Scale(Layer):
    """y = x * scale, a weight for each channel: parameters, saved inputs and buffers as the documentation says."""

    def __init__(self, start="ones"):
        self.start = start

    def build(self, in_shape):
        self.scale = Parameter("scale", in_shape[-1:], INITIALIZERS[self.start])
        self.parameters = (self.scale,)
        return in_shape

    def forward(self, x, space):
        space.saved["x"] = x
        return np.multiply(x, self.scale.value, out=space.array("y", x.shape))

    def backward(self, dy, space):
        self.scale.grad += (dy * space.saved["x"]).sum(axis=tuple(range(dy.ndim - 1)))
        return np.multiply(dy, self.scale.value, out=space.array("dx", dy.shape))

    def config(self):
        return {"start": self.start}


class Centre(Conv2D):
    """A layer of the package whose forward does something more, in numpy."""

    def forward(self, x, space):
        np.add(super().forward(x, space), 1, out=space.array("more", (len(x), *self.out_shape)))
        return space.array("more", (len(x), *self.out_shape))


class Doubled(MaxPooling2D):
    def forward(self, x, space):
        return 2 * super().forward(x, space)

    def backward(self, dy, space):
        return 2 * super().backward(dy, space)


def network(*layers, precision="float64", fuse=True):
    made = GWUNetwork(
        [Conv2D(3, activation="relu"), *layers, MaxPooling2D(), Flatten(), Dense(2, activation="softmax")],
        precision=precision,
        seed=5,
        fuse=fuse,
    )
    made.compile("cross_entropy", lr=0.1)
    return made


@pytest.fixture
def data(rng):
    return rng.random((12, 8, 8)), rng.integers(0, 2, 12)


def test_a_layer_without_weights_can_be_included(data):
    x, _ = data
    plain, halved = network(), network(Halve())
    plain.build((8, 8))
    halved.build((8, 8))
    kernel, dense = plain.get_weights()
    halved.set_weights([2 * kernel, dense])
    np.testing.assert_allclose(halved.predict(x), plain.predict(x), rtol=1e-12)
    assert repr(halved.layers[1]) == "Halve()"


@pytest.mark.parametrize(
    "layer", [Halve, Scale, lambda: Centre(3), Doubled], ids=["Halve", "Scale", "Centre", "Doubled"]
)
def test_each_batch_runs_the_layers_own_code(layer, data):
    """A trained network is its weights: in a new one, that has never run a batch, they must predict the same."""
    x, y = data
    trained, fresh = network(layer()), network(layer())
    trained.fit(x, y, epochs=3, batch_size=4, verbose=0)
    fresh.build((8, 8))
    fresh.set_weights(trained.get_weights())
    trained.predict(x[:4])
    np.testing.assert_array_equal(trained.predict(x), fresh.predict(x))
    np.testing.assert_array_equal(trained.predict(x[4:8]), fresh.predict(x[4:8]))


@pytest.mark.parametrize("layer", [Scale, lambda: Centre(3), Doubled], ids=["Scale", "Centre", "Doubled"])
def test_weights_move_by_the_gradient_of_the_loss(layer, data):
    """Also in the second batch of one size, when a network might replay what it recorded in the first."""
    x, y = data
    trained = network(layer())
    trained.train_on_batch(x, y)
    for _ in range(2):
        before = [parameter.value.copy() for parameter in trained.parameters]
        slopes = [
            numerical_gradient(lambda: trained.evaluate(x, y), parameter.value) for parameter in trained.parameters
        ]
        trained.train_on_batch(x, y)
        for parameter, old, slope in zip(trained.parameters, before, slopes, strict=True):
            np.testing.assert_allclose(old - parameter.value, 0.1 * slope, rtol=1e-5, atol=1e-9)


def test_weights_of_an_own_layer_are_weights_of_the_network(data):
    x, y = data
    made = network(Scale())
    made.compile("cross_entropy", optimizer=Adam(0.01))
    made.build((8, 8))
    assert [p.name for p in made.parameters] == ["kernel", "scale", "kernel"]
    np.testing.assert_array_equal(made.get_weights()[1], [1, 1, 1])
    history = made.fit(x, y, epochs=5, batch_size=6, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert (made.get_weights()[1] != 1).all()
    assert "1.Scale" in summary_of(made) and repr(made.layers[1]) == "Scale(start='ones')"


def summary_of(made):
    lines = []
    made.summary(lines.append)
    return "\n".join(lines)


def test_an_own_layer_may_be_first_and_last(data):
    x, y = data
    made = GWUNetwork([Halve(), Flatten(), Dense(2), Scale()], precision="float64", seed=0)
    made.compile("mse", lr=0.01)
    losses = made.fit(x, np.eye(2)[y], epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    outputs = made.activations(x)
    np.testing.assert_array_equal(outputs[0][..., 0], x / 2)
    np.testing.assert_array_equal(outputs[-1], made.predict(x))


def test_a_stated_size_behind_an_own_layer_is_explained():
    made = GWUNetwork([Conv2D(input_size=28), Halve()])
    with pytest.warns(match=r"^MaxPooling2D: input_size=23 stated, Halve makes 26 x 26 x 2; using 26$"):
        made.add(MaxPooling2D(input_size=23))


# --------------------------------------------------------------------------------- what beginners leave out


def test_a_layer_without_forward_or_backward_says_so(data):
    class Nothing(Layer):
        pass

    class NoBackward(Layer):
        def forward(self, x, space):
            return x

    x, y = data
    with pytest.raises(NotImplementedError, match=r"^1\.Nothing: expected a layer that defines forward\(x, space\)$"):
        network(Nothing()).predict(x)
    with pytest.raises(NotImplementedError, match=r"^1\.NoBackward: expected a layer that defines backward\(dy"):
        network(NoBackward()).fit(x, y, verbose=0)


@pytest.mark.parametrize("made", [None, 5, [8, 8, 3], (8.0, 8)], ids=str)
def test_a_build_that_returns_no_shape(made, data):
    class Wrong(Layer):
        def build(self, in_shape):
            return made

    with pytest.raises(TypeError) as caught:
        network(Wrong()).predict(data[0])
    assert str(caught.value) == f"1.Wrong: expected build to return a tuple, the shape of one output, got {made!r}"


@pytest.mark.parametrize("method", ["predict", "fit", "activations"])
@pytest.mark.parametrize(
    ("forward", "kind", "message"),
    [
        (lambda self, x, space: x[:, :3], ShapeError,
         "1.Wrong: expected forward to return outputs (N, 5), as its build says, got (2, 3); return from build the "
         "shape of one output"),
        (lambda self, x, space: None, ShapeError,
         "1.Wrong: expected forward to return outputs (N, 5), as its build says, got None; return an array"),
        (lambda self, x, space: x.astype("float64"), TypeError,
         "1.Wrong: expected forward to return float32, got float64; convert with astype(x.dtype)"),
    ],
)  # fmt: skip
def test_outputs_that_are_not_what_build_says(method, forward, kind, message):
    for inside in (False, True):
        layer = type("Wrong", (Halve,), {"forward": forward})()
        network = GWUNetwork([Dense(5), Residual([layer]) if inside else layer, Dense(2)], seed=0)
        network.compile("mse")
        x = np.ones((2, 4))
        with pytest.raises(kind) as caught:
            network.fit(x, x[:, :2], batch_size=2) if method == "fit" else getattr(network, method)(x)
        assert str(caught.value) == (message.replace("1.", "1.Residual.0.") if inside else message)


def test_arguments_that_no_init_takes():
    with pytest.raises(TypeError, match=r"^Halve: expected no arguments, got \(3,\); define __init__ to take them$"):
        Halve(3)
    with pytest.raises(TypeError, match=r"^Scale: expected the arguments start, got 'strat'; did you mean 'start'\?$"):
        Scale(strat="ones")
