"""Layers that contain layers: what they reject, whose name errors give, and what runs inside."""

import copy
import gc
import json
import pickle
import re
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gwucnn
import networks
from compare import assert_exact
from gradcheck import assert_gradient, numerical_gradient, spaced
from gwucnn import (
    RELU,
    SGD,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    Layer,
    MaxPooling2D,
    Parameter,
    Residual,
    ShapeError,
    SizeMismatchWarning,
)
from gwucnn.common import set_inside
from gwucnn.initializers import zeros
from gwucnn.layers.base import CLASSES, leaves
from networks import conv

same = {"padding": "same", "add_bias": True}


class Adding(Layer):
    """A layer of one's own, with a weight, that adds to its gradient as the contract has it."""

    def build(self, in_shape):
        self.shift = Parameter("shift", in_shape[-1:], zeros)
        self.parameters = (self.shift,)
        return super().build(in_shape)

    def forward(self, x, space):
        return x + self.shift.value

    def backward(self, dy, space):
        self.shift.grad += dy.sum(axis=(0, 1, 2))
        return dy


def deep(last="softmax", **options):
    """Return a network with blocks in blocks: residual in concatenate in residual, fused inside where it can be."""
    branch = Residual([Conv2D(3, **same), RELU()], Conv2D(3, 1))
    return GWUNetwork(
        [
            Conv2D(4, activation="relu", **same),
            Residual(
                [
                    Concatenate([Conv2D(2, 1, add_bias=True), [branch, Conv2D(3, 1)], []]),
                    Conv2D(4, activation="sigmoid", **same),
                    Conv2D(4, 1),
                ]
            ),
            RELU(),
            Concatenate(
                [[Conv2D(3, **same), RELU(), MaxPooling2D()], Residual([MaxPooling2D()], Conv2D(4, 2, 2))],
                name="halves",
            ),
            Flatten(),
            Dense(3, True, last),
        ],
        **{"seed": 3} | options,
    )


def data(rng, n=4, dtype="float64"):
    return spaced(rng, (n, 6, 6, 2)).astype(dtype), rng.integers(0, 3, n)


def compiled(lr=0.1, **options):
    made = deep(**options)
    made.compile("cross_entropy", optimizer=SGD(lr))
    made.build((6, 6, 2))
    return made


# ------------------------------------------------------------------------------------------ gradients and bits


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "layer-by-layer"])
def test_gradient_of_a_network_of_blocks(fuse, isa, rng):
    """With a learning rate of 1, what a step takes off each weight is the gradient."""
    made, (x, y) = compiled(1.0, fuse=fuse, precision="float64"), data(rng)
    made.set_weights([weight + 0.05 * rng.standard_normal(weight.shape) for weight in made.get_weights()])
    start = made.get_weights()
    made.train_on_batch(x, y)
    gradients = [old - new for old, new in zip(start, made.get_weights(), strict=True)]
    made.set_weights(start)
    assert len(gradients) == 16
    for parameter, gradient in zip(made.parameters, gradients, strict=True):
        assert_gradient(gradient, lambda: made.evaluate(x, y), parameter.value)


def test_fused_and_unfused_train_alike(dtype, rng):
    pair = compiled(precision=dtype.name), compiled(precision=dtype.name, fuse=False)
    x, y = data(rng, 20)
    for made in pair:
        made.fit(x, y, epochs=4, batch_size=6, verbose=0)
    for got, want in zip(pair[0].get_weights(), pair[1].get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)
    assert_exact(pair[0].predict(x).argmax(axis=1), pair[1].predict(x).argmax(axis=1), int)


def test_the_same_seed_gives_the_same_bits(isa, rng):
    x, y = data(rng, 20)
    runs = [compiled(precision="float32") for _ in range(2)]
    for made in runs:
        made.fit(x, y, epochs=3, batch_size=6, verbose=0)
    for one, other in zip(*(made.get_weights() for made in runs), strict=True):
        assert one.tobytes() == other.tobytes()
    assert runs[0].predict(x).tobytes() == runs[1].predict(x).tobytes()


def test_two_blocks_share_a_gradient(rng):
    """dx of a shared input is a sum: three ways that hand it on give three times dy."""
    made = GWUNetwork([Dense(3, input_size=2), Residual(Residual(Concatenate([[]])))], precision="float64", seed=0)
    made.compile("mse", optimizer=SGD(1.0))
    x, y = rng.standard_normal((5, 2)), rng.standard_normal((5, 3))
    (kernel,) = made.get_weights()
    dz = 2 * (3 * (x @ kernel) - y) / y.size
    made.train_on_batch(x, y)
    np.testing.assert_allclose(kernel - made.get_weights()[0], x.T @ (3 * dz), rtol=1e-12)


def test_gradients_of_scores_by_the_images(rng):
    """What backward needs of forward is there also inside, in a network that is not in training."""
    made, (x, _) = compiled(precision="float64"), data(rng, 2)
    values, slopes = made.gradients(x, [0, 2])
    assert len(values) == len(slopes) == len(made.layers) + 1
    top = deep(precision="float64", last=None)
    top.build((6, 6, 2))
    top.set_weights(made.get_weights())
    assert_gradient(slopes[0], lambda: (lambda z: z[0, 0] + z[1, 2])(top.predict(x)), x)


def test_it_learns_by_heart(rng):
    x, y = rng.random((24, 6, 6, 2)), rng.integers(0, 3, 24)
    made = deep()
    made.compile("cross_entropy", optimizer="adam", lr=0.01)
    history = made.fit(x, y, epochs=150, batch_size=24, verbose=0)
    assert history.history["accuracy"][-1] == 1


# ------------------------------------------------------------------------------------------------------- plans


def names(layers):
    return [type(layer).__name__ for layer in layers]


def test_what_runs_inside_is_fused_and_shares_the_weights():
    """Blocks are graphs underneath: what is inside runs as if there were no blocks."""
    made, plain = compiled(), compiled(fuse=False)
    steps = made._engine.steps
    inside = ["Conv2D", "Conv2D", "RELU", "Conv2D", "Add", "Conv2D", "Concatenate", "Conv2D", "Conv2D", "Add"]
    halves = ["MaxPooling2D", "Conv2D", "Add", "Concatenate", "Flatten", "Dense"]
    assert names(steps) == ["Conv2D", *inside, "ConvPool", *halves]
    assert names(plain._engine.steps) == ["Conv2D", *inside, "RELU", "Conv2D", "RELU", "MaxPooling2D", *halves]
    assert names(made.layers[3].children) == ["Conv2D", "RELU", "MaxPooling2D", "Residual"]
    pool = next(step for step in steps if type(step).__name__ == "ConvPool")
    assert pool.parameters is made.layers[3].children[0].parameters
    assert pool.label == "3.Concatenate.0.0.Conv2D"


def test_a_block_at_the_bottom_leaves_out_the_gradient_by_the_images(rng):
    made = GWUNetwork([Residual([conv(4), conv(4)], conv(4, 5)), Flatten(), Dense(3, activation="softmax")], seed=0)
    made.compile("cross_entropy", lr=0.1)
    made.train_on_batch(*data(rng))
    below, above, shortcut = made._engine.workspaces.current_training.spaces[:3]
    assert above.step("backward_input")
    for bottom in (below, shortcut):
        assert bottom.step("backward_weight")
        with pytest.raises(KeyError):
            bottom.step("backward_input")


def test_relu_after_a_sum_is_fused_also_inside(rng):
    block = Residual([Residual(conv(3, activation=None, padding="same")), RELU(), conv(3, padding="same")])
    made = GWUNetwork([block, RELU(), Flatten(), Dense(2, activation="softmax")], seed=0)
    made.build((4, 5, 3))
    steps = made._engine.steps
    assert names(steps) == ["Conv2D", "Add", "Conv2D", "Add", "Flatten", "Dense"]
    x = rng.standard_normal((3, 4, 5, 3))
    outputs = made.activations(x)
    assert (outputs[0] < 0).any() and (outputs[1] >= 0).all()
    assert_exact(made.predict(x), outputs[-1], np.float32)


def test_replayed_batches_are_the_same(rng):
    pair = compiled(), compiled()
    pair[1]._engine.recorder.enabled = False
    for n in (4, 4, 2, 4, 6, 2, 6):
        x, y = data(rng, n)
        assert pair[0].train_on_batch(x, y) == pair[1].train_on_batch(x, y)
    for one, other in zip(*(made.get_weights() for made in pair), strict=True):
        assert one.tobytes() == other.tobytes()
    assert ("train", 6) in pair[0]._engine.workspaces.current_training.recordings
    assert not pair[1]._engine.workspaces.current_training.recordings


class Halve(Layer):
    """A layer of a user, in numpy: batches cannot be replayed."""

    def forward(self, x, space):
        return x / 2

    def backward(self, dy, space):
        return dy / 2


class Twice(Residual):
    """A user's own block, that does more than ours."""

    def forward(self, x, space):
        return 2 * super().forward(x, space)

    def backward(self, dy, space):
        return super().backward(2 * dy, space)


@pytest.mark.parametrize("own", [Halve, lambda: Twice(conv(4, padding="same"))], ids=["Halve", "Twice"])
def test_layers_of_ones_own_inside(own, rng):
    made = GWUNetwork(
        [
            Residual([conv(4, padding="same"), Concatenate([own(), []]), conv(4, 1)], conv(4, 1)),
            Flatten(),
            Dense(3, activation="softmax"),
        ],
        precision="float64",
        seed=0,
    )
    made.compile("cross_entropy", lr=0.1)
    x, y = data(rng)
    for _ in range(3):
        made.build((6, 6, 2))
        before = [parameter.value.copy() for parameter in made.parameters]
        slopes = [numerical_gradient(lambda: made.evaluate(x, y), p.value) for p in made.parameters[:2]]
        made.train_on_batch(x, y)
        for parameter, old, slope in zip(made.parameters, before, slopes, strict=False):
            np.testing.assert_allclose(old - parameter.value, 0.1 * slope, rtol=1e-5, atol=1e-9)
    assert not made._engine.workspaces.current_training.recordings


def test_after_the_first_batch_nothing_large_is_allocated(rng):
    made = deep()
    made.compile("cross_entropy", lr=0.01)
    x, y = rng.random((200, 6, 6, 2)).astype("float32"), rng.integers(0, 3, 200)
    for _ in range(40):  # the first ones are looked at for the range of their inputs: network/range_check.py
        made.train_on_batch(x, y)
    gc.collect()
    tracemalloc.start()
    for _ in range(3):
        made.train_on_batch(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024


def test_what_is_kept_of_weights_inside_does_not_outlive_them(rng):
    """Filters of 32 channels are transformed once for many predictions; see engine/test_constant_weights.py."""

    def network():
        inside = [
            Conv2D(32, padding="same"),
            RELU(),
            Conv2D(32, padding="same", activation="relu"),
            MaxPooling2D(),
        ]
        made = GWUNetwork([Residual(inside, MaxPooling2D()), Flatten(), Dense(3, activation="softmax")], seed=2)
        made.compile("cross_entropy", lr=0.01)
        made.build((12, 12, 32))
        return made

    made, x = network(), rng.random((2, 12, 12, 32), "float32")
    made.predict(x)
    made.predict(x)
    assert made._engine.workspaces._idle[0].spaces[0].constant_weights
    made.train_on_batch(x, [0, 2])
    other = network()
    other.set_weights(made.get_weights())
    assert_exact(made.predict(x), other.predict(x), np.float32)
    made.set_weights([2 * weight for weight in made.get_weights()])
    other.set_weights(made.get_weights())
    assert_exact(made.predict(x), other.predict(x), np.float32)


def test_threads_may_predict_at_once(rng):
    made = compiled()
    inputs = [data(rng, n)[0] for n in (1, 5, 9, 3)] * 4
    wanted = [made.predict(x).tobytes() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda x: made.predict(x).tobytes(), inputs)) == wanted


# --------------------------------------------------------------------------------------------- what users see


def test_gradients_inside_are_those_of_one_batch(rng):
    """Some layers in a block write their gradients, others add: none may hold on to the batch before."""
    inside = [Conv2D(4, **same), BatchNormalization(), RELU(), Adding(), Residual([Conv2D(4, 1)]), Adding()]
    network = GWUNetwork([Residual(inside, Conv2D(4, 1)), Flatten(), Dense(3, True, "softmax")], seed=1)
    network.compile("cross_entropy", optimizer=SGD(1e-30))  # weights stay
    x, y = data(rng, dtype="float32")
    grads = []
    for _ in range(3):
        network.train_on_batch(x, y)
        grads.append([p.grad.copy() for p in network.parameters if p.trainable])
    assert all(np.any(grad) for grad in grads[0])
    for later in grads[1:]:
        for got, want in zip(later, grads[0], strict=True):
            assert_exact(got, want, "float32")


def test_labels_and_order_of_weights():
    made = compiled()
    labels = [leaf.label for layer in made.layers for leaf in leaves(layer)]
    assert labels == [
        "0.Conv2D",
        "1.Residual.0.Concatenate.0.0.Conv2D",
        "1.Residual.0.Concatenate.1.0.Residual.0.Conv2D",
        "1.Residual.0.Concatenate.1.0.Residual.1.RELU",
        "1.Residual.0.Concatenate.1.0.Residual.shortcut.0.Conv2D",
        "1.Residual.0.Concatenate.1.1.Conv2D",
        "1.Residual.1.Conv2D",
        "1.Residual.2.Conv2D",
        "2.RELU",
        "3.Concatenate.0.0.Conv2D",
        "3.Concatenate.0.1.RELU",
        "3.Concatenate.0.2.MaxPooling2D",
        "3.Concatenate.1.0.Residual.0.MaxPooling2D",
        "3.Concatenate.1.0.Residual.shortcut.0.Conv2D",
        "4.Flatten",
        "5.Dense",
    ]
    own = [p for layer in made.layers for leaf in leaves(layer) for p in leaf.parameters]
    assert all(a is b for a, b in zip(made.parameters, own, strict=True))
    other = deep(seed=9)
    other.build((6, 6, 2))
    other.set_weights(made.get_weights())
    x = np.random.default_rng(0).random((3, 6, 6, 2))
    assert_exact(other.predict(x), made.predict(x), np.float32)


@pytest.mark.parametrize("order", ["channels_last", "channels_first"])
def test_summary(order):
    def shape(h, w, c):
        return f"(N, {h}, {w}, {c})" if order == "channels_last" else f"(N, {c}, {h}, {w})"

    made = deep(data_format=order)
    lines = []
    made.summary(lines.append)
    made.build((6, 6, 2) if order == "channels_last" else (2, 6, 6))
    made.layers[1].children[0].trainable = False
    made.summary(lines.append)
    rows = [
        ("0.Conv2D", shape(6, 6, 4), 76),
        ("1.Residual", shape(6, 6, 4), 486),
        ("  1.Residual.0.Concatenate", shape(6, 6, 9), 142),
        ("    1.Residual.0.Concatenate.0.0.Conv2D", shape(6, 6, 2), 10),
        ("    1.Residual.0.Concatenate.1.0.Residual", shape(6, 6, 3), 123),
        ("      1.Residual.0.Concatenate.1.0.Residual.0.Conv2D", shape(6, 6, 3), 111),
        ("      1.Residual.0.Concatenate.1.0.Residual.1.RELU", shape(6, 6, 3), 0),
        ("      1.Residual.0.Concatenate.1.0.Residual.shortcut.0.Conv2D", shape(6, 6, 3), 12),
        ("    1.Residual.0.Concatenate.1.1.Conv2D", shape(6, 6, 3), 9),
        ("  1.Residual.1.Conv2D", shape(6, 6, 4), 328),
        ("  1.Residual.2.Conv2D", shape(6, 6, 4), 16),
        ("2.RELU", shape(6, 6, 4), 0),
        ("3.Concatenate (halves)", shape(3, 3, 7), 175),
        ("  3.Concatenate.0.0.Conv2D", shape(6, 6, 3), 111),
        ("  3.Concatenate.0.1.RELU", shape(6, 6, 3), 0),
        ("  3.Concatenate.0.2.MaxPooling2D", shape(3, 3, 3), 0),
        ("  3.Concatenate.1.0.Residual", shape(3, 3, 4), 64),
        ("    3.Concatenate.1.0.Residual.0.MaxPooling2D", shape(3, 3, 4), 0),
        ("    3.Concatenate.1.0.Residual.shortcut.0.Conv2D", shape(3, 3, 4), 64),
        ("4.Flatten", "(N, 63)", 0),
        ("5.Dense", "(N, 3)", 192),
    ]
    unbuilt, table = (text.splitlines() for text in lines)
    width = max(len(name) for name, _, _ in rows)
    for line, (name, size, weights) in zip(table[2:-4], rows, strict=True):
        assert line.startswith(f"{name:<{width}}  {size} ")
        assert line.split()[-3] == str(weights)
    assert [line.split() for line in unbuilt[2:-2]] == [f"{name} ? ? ? ?".split() for name, _, _ in rows]
    assert table[-3] == "929 weights, 142 of them frozen"
    inside = sum(leaf.multiply_adds for layer in made.layers for leaf in leaves(layer))
    assert table[-2] == f"{inside:,} multiply-adds per image"
    assert made.count_params() == 929


def test_an_error_inside_names_its_place():
    made = GWUNetwork([Flatten(), Residual([RELU(), Concatenate([[], Conv2D(3)])])])
    with pytest.raises(ShapeError, match=r"^1\.Residual\.1\.Concatenate\.1\.0\.Conv2D: expected images"):
        made.build((5, 5))
    with pytest.raises(ShapeError, match=r"^2\.Residual\.shortcut\.0\.Conv2D: expected kernel_size to fit"):
        GWUNetwork([Conv2D(input_size=6), RELU(), Residual(Conv2D(1), shortcut=Conv2D(2, 5, add_bias=True))])


def test_a_block_that_did_not_fit_can_be_added_elsewhere():
    block = Residual(Conv2D(3, padding="same"))
    made = GWUNetwork([Conv2D(4, input_size=8)])
    with pytest.raises(ShapeError, match=r"^1\.Residual: "):
        made.add(block)
    assert block.children[0].label == "Residual.0.Conv2D"
    GWUNetwork([Conv2D(3, input_size=8), block]).build((8, 8))
    assert block.children[0].label == "1.Residual.0.Conv2D"


def test_a_stated_size_inside_is_corrected():
    made = GWUNetwork([Conv2D(3, input_size=10)])
    with pytest.warns(SizeMismatchWarning) as caught:
        made.add(Concatenate([Conv2D(input_size=9, padding="same"), [Conv2D(padding=1), RELU(), Flatten((7, 8))]][:1]))
        made.add(
            Residual(
                [MaxPooling2D(2, input_size=(8, 7)), Flatten(3), Dense(5, input_size=7)],
                [Flatten(), Dense(5)],
            )
        )
    assert [str(warning.message) for warning in caught] == [
        "Conv2D: input_size=9 stated, Concatenate takes 8 x 8 x 3; using 8",
        "MaxPooling2D: input_size=(8, 7) stated, Residual takes 8 x 8 x 2; using (8, 8)",
        "Flatten: input_size=3 stated, MaxPooling2D makes 4 = (8 - 2) // 2 + 1; using 4",
        "Dense: input_size=7 stated, Flatten makes 32 = 4 * 4 * 2; using 32",
    ]
    assert "Dense(output_size=5, input_size=32)" in repr(made)


def test_arithmetic_of_a_block_in_a_warning():
    made = GWUNetwork([Concatenate([Conv2D(3), Conv2D(5)])], data_format="channels_first")
    made.add(MaxPooling2D(input_size=(8, 5, 5)))
    with pytest.warns(SizeMismatchWarning) as caught:
        made.build((2, 8, 9))
    assert str(caught[0].message) == (
        "MaxPooling2D: input_size=(8, 5, 5) stated, Concatenate makes 8 x 6 x 7, 8 = 3 + 5; using (8, 6, 7)"
    )


def test_numbers_that_are_not_finite_are_traced_inside(rng):
    made = deep(precision="float32")
    made.compile("cross_entropy", lr=0.1)
    x, y = data(rng)
    made.train_on_batch(x, y)
    start = made.get_weights()
    for number, where in (
        (4, "1.Residual.0.Concatenate.1.0.Residual.0.Conv2D"),
        (11, "3.Concatenate.0.0.Conv2D"),
    ):
        poisoned = [weight.copy() for weight in start]
        poisoned[number].flat[0] = np.nan
        made.set_weights(poisoned)
        with pytest.raises(FloatingPointError, match=rf"not finite begin at {re.escape(where)};"):
            made.train_on_batch(x, y)


def test_a_sum_that_overflows_is_the_blocks_own():
    made = GWUNetwork([Residual(Dense(1, input_size=1)), Dense(1)])
    made.compile("mse", lr=0.1)
    made.build(1)
    made.set_weights([[[1.0]], [[1.0]]])
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"begin at 0\.Residual;"):
        made.train_on_batch(np.array([[3e38]]), [0.0])


def test_a_gradient_that_is_not_finite_is_traced_inside():
    made = GWUNetwork([Residual([Dense(1), Dense(1)], Dense(1)), Dense(1)], precision="float32")
    made.compile("mse", lr=0.1)
    made.build(1)
    made.set_weights([[[1e-30]], [[1e30]], [[0.0]], [[1.0]]])
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        made.train_on_batch(np.array([[1e10]]), [0.0])
    assert "the gradient of 0.Residual.0.Dense's kernel is not finite" in str(caught.value)


# ----------------------------------------------------------------------------------------------------- switches


def test_freezing_a_block_freezes_what_is_inside(rng):
    made, (x, y) = compiled(), data(rng)
    for flag in (False, True):
        made.layers[1].trainable = flag
        assert made.layers[1].trainable is flag
        assert all(layer.trainable is flag for layer in leaves(made.layers[1]))
        made.compile("cross_entropy", lr=0.1)
        before = made.get_weights()
        made.train_on_batch(x, y)
        moved = [(a != b).any() for a, b in zip(made.get_weights(), before, strict=True)]
        assert moved == [True] * 2 + [flag] * 9 + [True] * 5
    made.layers[1].children[0].children[0].trainable = False
    assert made.layers[1].trainable
    with pytest.raises(ValueError, match=r"^1\.Residual: expected trainable to be True or False, got 'no'$"):
        made.layers[1].trainable = "no"


def test_channels_first_reaches_what_is_inside(rng):
    """Flatten inside lays out channels first; everything else is the same network."""

    def blocks():
        return [Residual([conv(2, padding="same")]), Concatenate([Flatten(), [conv(3), Flatten()]])]

    last, first = GWUNetwork(blocks(), seed=1), GWUNetwork(blocks(), seed=1, data_format="channels_first")
    x = rng.standard_normal((3, 4, 5, 2)).astype("float32")
    want, got = last.activations(x), first.activations(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    assert_exact(got[0], want[0].transpose(0, 3, 1, 2), np.float32)
    rows = want[1][:, :40].reshape(3, 4, 5, 2), want[1][:, 40:].reshape(3, 2, 3, 3)
    expected = np.concatenate([row.transpose(0, 3, 1, 2).reshape(3, -1) for row in rows], axis=1)
    assert_exact(got[1], expected, np.float32)


# ------------------------------------------------------------------------------------------------- descriptions


def test_config_holds_what_is_inside():
    block = Residual(Conv2D(3, add_bias=True), shortcut=[Concatenate([[], RELU()]), Halve()], name="b")
    assert block.config() == {
        "layers": [{"class_name": "Conv2D", "config": {"filters": 3, "kernel_size": (3, 3), "add_bias": True}}],
        "shortcut": [
            {
                "class_name": "Concatenate",
                "config": {"branches": [[], [{"class_name": "RELU", "config": {}}]]},
            },
            {"class_name": "Halve", "config": {}},
        ],
        "name": "b",
    }
    made = Residual(**json.loads(json.dumps(block.config())))
    assert (
        repr(made)
        == repr(block)
        == (
            "Residual([Conv2D(filters=3, kernel_size=(3, 3), add_bias=True)], shortcut=[Concatenate([[], [RELU()]]), "
            "Halve()], name='b')"
        )
    )
    assert repr(Residual(RELU())) == "Residual([RELU()])"


def test_a_users_class_does_not_take_the_place_of_ours():
    ours = CLASSES["Conv2D"]
    type("Conv2D", (Layer,), {})
    assert CLASSES["Conv2D"] is ours is Conv2D
    mine = type("NobodyElses", (Layer,), {})
    assert type(Residual({"class_name": "NobodyElses", "config": {}}).layers[0]) is mine


def test_a_copy_holds_layers_of_its_own():
    block = deep().layers[1]
    twin = copy.deepcopy(block)
    block.trainable = False
    set_inside(block, label="7.Residual")
    assert twin.trainable and not block.trainable
    assert next(leaf.label for leaf in leaves(twin)) == "1.Residual.0.Concatenate.0.0.Conv2D"
    assert twin.build((6, 6, 4)) == (6, 6, 4)


def test_layers_inside_are_to_be_read():
    block, side_by_side = Residual([RELU()], shortcut=RELU()), Concatenate([[RELU()], RELU()])
    for row in (block.layers, block.shortcut, side_by_side.branches, *side_by_side.branches):
        with pytest.raises(AttributeError, match=r"^layers: expected no modification, got \.append; "):
            row.append(RELU())
    twin = pickle.loads(pickle.dumps(block))
    assert type(twin.layers) is type(copy.copy(block.layers)) is type(block.layers)


def test_eval_of_repr_is_the_network():
    made = deep()
    text = repr(made)
    assert repr(eval(text, vars(gwucnn))) == text


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("error", "text", "make"),
    [
        (ValueError, "Residual: expected at least one layer beside the shortcut, got none", lambda: Residual([])),
        (TypeError, "Residual: expected layers to be a layer or a list of layers, got 5", lambda: Residual(5)),
        (TypeError, "Residual: expected layers to be a layer or a list of layers, got 'relu'",
         lambda: Residual("relu")),
        (TypeError, "Residual: expected shortcut to be a layer or a list of layers, got True",
         lambda: Residual(RELU(), True)),
        (TypeError, "Residual: expected a layer, got <class 'gwucnn.activation_layers.RELU'>; write RELU(...)",
         lambda: Residual(RELU)),
        (TypeError, "Residual: expected a layer, got 'relu'", lambda: Residual([RELU(), "relu"])),
        (TypeError, "Residual: expected the arguments layers, shortcut, name, got 'short'; did you mean 'shortcut'?",
         lambda: Residual(RELU(), short=RELU())),
        (ValueError, "Concatenate: expected at least one branch, got none", lambda: Concatenate([])),
        (TypeError, "Concatenate: expected branches to be a list of branches, got RELU()",
         lambda: Concatenate(RELU())),
        (TypeError, "Concatenate: expected branches to be a list of branches, got 3", lambda: Concatenate(3)),
        (TypeError, "Concatenate: expected a branch to be a layer or a list of layers, got None",
         lambda: Concatenate([None, RELU()])),
        (ValueError, "Residual: expected layer to be one of ",
         lambda: Residual({"class_name": "Conv3D", "config": {}})),
        (ValueError, "Residual: expected layer as {'class_name': ..., 'config': {...}}, got {'class_name': 'RELU'}",
         lambda: Residual({"class_name": "RELU"})),
        (TypeError, "RELU: expected the arguments name, got 'names'; did you mean 'name'?",
         lambda: Residual({"class_name": "RELU", "config": {"names": "r"}})),
    ],
)  # fmt: skip
def test_invalid_block(error, text, make):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(text)


def test_a_layer_has_one_place():
    relu = RELU()
    with pytest.raises(ValueError, match=r"^Residual: expected each layer once, got RELU\(\) t"):
        Residual([relu, relu])
    with pytest.raises(ValueError, match=r"^Concatenate: .* twice; create one for each place$"):
        Concatenate([relu, [RELU(), relu]])
    assert relu.label == "RELU", "it is still free"
    Residual(relu)
    with pytest.raises(
        ValueError, match=r"^Residual: expected a layer that belongs to no network yet, got Residual\.0\.RELU"
    ):
        Residual(relu)
    with pytest.raises(
        ValueError, match=r"^add: expected a layer that belongs to no network yet, got Residual\.0\.RELU"
    ):
        GWUNetwork([relu])
    layer = Conv2D()
    GWUNetwork([layer])
    with pytest.raises(
        ValueError, match=r"^Concatenate: expected a layer that belongs to no network yet, got 0\.Conv2D"
    ):
        Concatenate([layer])


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (Residual(Conv2D(4)), (6, 7, 3),
         "expected layers and shortcut to make the same shape, got (4, 5, 4) and (6, 7, 3); give "
         "the layers padding='same', and shortcut=Conv2D(4, 1)"),
        (Residual([Flatten(), Dense(4)]), (6, 7, 3),
         "expected layers and shortcut to make the same shape, got (4,) and (6, 7, 3)"),
        (Concatenate([Conv2D(4), Conv2D(4, 2)]), (6, 7, 3),
         "expected branches that differ only in their channels, got (4, 5, 4) from branch 0 and (5, 6, 4) from "
         "branch 1; padding='same' keeps the size of images"),
        (Concatenate([[], [RELU()], Flatten()]), (6, 7, 3),
         "expected branches that differ only in their channels, got (6, 7, 3) from branch 0 and (126,) from "
         "branch 2; padding='same' keeps the size of images"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(layer, shape, text):
    with pytest.raises(ShapeError) as caught:
        layer.build(shape)
    assert str(caught.value) == f"{type(layer).__name__}: {text}"


def test_shapes_are_reported_in_the_users_order():
    made = GWUNetwork([Residual(Conv2D(4))], data_format="channels_first")
    with pytest.raises(ShapeError, match=r"same shape, got \(4, 4, 5\) and \(3, 6, 7\);"):
        made.build((3, 6, 7))
    made = GWUNetwork([Concatenate([Conv2D(4), []])], data_format="channels_first")
    with pytest.raises(
        ShapeError, match=r"only in their channels, got \(4, 4, 5\) from branch 0 and \(3, 6, 7\) from branch 1"
    ):
        made.build((3, 6, 7))


def test_every_network_with_blocks_is_held_to_the_rest():
    """engine/test_fusion.py and test_recorded.py run these too."""
    kinds = {type(layer) for net in networks.NETS for layer in net.layers()}
    assert {Residual, Concatenate} <= kinds
