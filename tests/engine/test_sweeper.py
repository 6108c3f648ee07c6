"""Sweeps: training on many small batches in one compiled call is bit-identical to training batch by batch."""

import numpy as np
import pytest

from gwucnn import (
    Adam,
    BatchNormalization,
    Conv2D,
    CosineDecay,
    Dense,
    Dropout,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    kernels,
)
from gwucnn._ext.step import Step
from gwucnn._ext.sweep import Sweep
from trainees import batch_by_batch

SAMPLES = 23


def network(loss="cross_entropy", precision="float32", **options):
    """Return a compiled network with dropout and running statistics."""
    made = GWUNetwork(
        [
            Conv2D(4, 3, add_bias=True),
            BatchNormalization(),
            MaxPooling2D(),
            Flatten(),
            Dropout(0.4),
            Dense(3, True, "softmax", kernel_regularizer="l2"),
        ],
        seed=3,
        precision=precision,
    )
    made.compile(loss, **{"lr": 0.05} | options)
    return made


class Calls:
    """Counts the batches that `Engine.train_step` is called for."""

    def __init__(self, made):
        self.step, self.swept = made._train, []
        made._train = self

    def __call__(self, *args):
        self.swept.append(self.step(*args))
        return self.swept[-1]


def state(made):
    return np.concatenate([np.ravel(weight) for weight in made.get_weights()])


@pytest.mark.parametrize("size", [1, 3, 8, 23, 40])
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in order"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["float32", "float64", "uint8"])
def test_the_same_bits_as_batch_by_batch(size, shuffle, precision, kind, rng):
    x = (rng.random((SAMPLES, 8, 8)) * 9).astype(kind)
    y = rng.integers(0, 3, SAMPLES)
    made, plain = network(precision=precision), batch_by_batch(network(precision=precision))
    calls = Calls(made)
    told = [net.fit(x, y, epochs=3, batch_size=size, shuffle=shuffle).history for net in (made, plain)]
    np.testing.assert_array_equal(state(made), state(plain))
    assert told[0]["loss"] == told[1]["loss"] and told[0]["accuracy"] == told[1]["accuracy"]
    assert sum(calls.swept) == 3 * -(-SAMPLES // size)
    assert len(calls.swept) < sum(calls.swept) or size >= SAMPLES


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "lr": None},
        {"optimizer": Adam(CosineDecay(0.01, 50)), "lr": None},
        {"global_clipnorm": 0.1},
        {"loss": "mse"},
        {"loss": "mse", "metrics": ()},
        {"metrics": ("accuracy", "f1")},
    ],
    ids=["adam", "schedule", "clipped", "quantities", "no metrics", "two metrics"],
)
@pytest.mark.parametrize("targets", ["labels", "rows", "float32 rows"])
def test_every_optimizer_and_kind_of_target(options, targets, rng):
    """Optimizers with counters, schedules, clipped gradients; targets as labels and as rows."""
    x, y = rng.random((SAMPLES, 8, 8)), rng.integers(0, 3, SAMPLES)
    if targets != "labels" or options.get("loss") == "mse":
        y = np.eye(3, dtype="float32" if targets == "float32 rows" else "float64")[y]
    ends = []
    for prepare in (lambda made: made, batch_by_batch):
        fresh = {name: Adam(CosineDecay(0.01, 50)) if isinstance(value, Adam) else value
                 for name, value in options.items()}  # fmt: skip
        made = prepare(network(**fresh))
        told = made.fit(x, y, epochs=2, batch_size=2).history
        ends.append((state(made).tolist(), {name: told[name] for name in told if name != "seconds"}))
    assert ends[0] == ends[1]


def test_on_every_instruction_set_and_any_number_of_threads(isa, threads, rng):
    x, y = rng.random((SAMPLES, 8, 8)).astype("float32"), rng.integers(0, 3, SAMPLES)
    for count in (1, 2):
        threads(count)
        made, plain = network(), batch_by_batch(network())
        for net in (made, plain):
            net.fit(x, y, epochs=2, batch_size=4)
        np.testing.assert_array_equal(state(made), state(plain))


def test_other_cases_are_trained_batch_by_batch(rng):
    """Sample weights, images that must be permuted or are not contiguous, other dtypes."""
    x, y = rng.random((SAMPLES, 8, 8, 2)), rng.integers(0, 3, SAMPLES)
    for how, given, options in (
        ("weighted", x, {"sample_weight": rng.random(SAMPLES)}),
        ("strided", x[..., ::-1], {}),
        ("int16", (9 * x).astype("int16"), {}),
    ):
        made = network()
        calls = Calls(made)
        made.fit(given, y, batch_size=4, **options)
        assert set(calls.swept) == {1}, how


@pytest.mark.filterwarnings("ignore:fit. expected pixels")
def test_a_non_finite_batch_ends_the_sweep_and_changes_nothing(rng):
    """The gradient of the ninth image overflows: weights and random state stay as they were after eight."""
    x, y = rng.random((12, 8, 8)).astype("float32"), rng.integers(0, 3, 12)
    x[8] = 1e38
    ends = []
    for prepare in (lambda made: made, batch_by_batch):
        made = prepare(network())
        calls = Calls(made)
        with (
            np.errstate(all="ignore"),
            pytest.raises(FloatingPointError, match="fit: epoch 1, batch 9: expected"),
        ):
            made.fit(x, y, shuffle=False)
        assert sum(calls.swept) == 8
        ends.append((state(made), made._engine.randomness.draws, made.optimizer.updates, made._engine.arena.version))
    for swept, plain in zip(*ends, strict=True):
        np.testing.assert_array_equal(swept, plain)


def test_an_interrupted_sweep_leaves_a_usable_network(rng):
    """Ctrl-C arrives during an update of the weights, which their version records."""
    x, y = rng.random((12, 8, 8)).astype("float32"), rng.integers(0, 3, 12)
    made = network()
    made.fit(x, y)
    optimizer, version = made.optimizer, made._engine.arena.version
    move, moved = optimizer.step, []

    def interrupted():
        move()
        moved.append(1)
        if len(moved) == 5:
            raise KeyboardInterrupt

    optimizer.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y)
    del optimizer.step
    assert made._engine.arena.version > version
    assert np.isfinite(made.predict(x)).all()
    made.fit(x, y)


# ---------------------------------------------------------------------------------------- the compiled loop itself


class Found:
    value = 1.0


def sweep(*, x=None, feeds=None, numbers=None, losses=None, kept=()):
    x = np.arange(12.0).reshape(4, 3) if x is None else x
    feeds = [(x, np.zeros((2, 3)))] if feeds is None else feeds
    numbers = np.zeros(6, np.int64) if numbers is None else numbers
    losses = np.zeros(3) if losses is None else losses
    return Sweep([], Found(), Found(), [], feeds, kept, numbers, losses, None)


def test_it_gathers_and_keeps_rows():
    x, buffer, rows = np.arange(12.0).reshape(4, 3), np.zeros((2, 3)), np.zeros((6, 3))
    numbers = np.array([3, 1, 0, 0, 2, 1], np.int64)
    assert sweep(feeds=[(x, buffer)], numbers=numbers, kept=[(buffer, rows)]).train(3) == 3
    np.testing.assert_array_equal(rows, x[numbers])


@pytest.mark.parametrize("wrong", [4, -1, 2**62])
def test_a_sample_that_does_not_exist_is_refused(wrong):
    with pytest.raises(IndexError, match=f"Sweep: expected a sample below 4, got {wrong}"):
        sweep(numbers=np.array([0, 1, 2, wrong, 0, 0], np.int64)).train(3)


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_label_without_an_output_is_refused(wrong):
    with pytest.raises(IndexError, match="Sweep: expected labels below 3, got another in sample 1"):
        labels, numbers = np.array([0, wrong], np.int64), np.array([0, 1] * 3, np.int64)
        sweep(feeds=[(labels, np.zeros((2, 3)))], numbers=numbers).train(1)


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("at most 3 batches, got 4", lambda: sweep().train(4)),
        ("at most 3 batches, got -1", lambda: sweep().train(-1)),
        ("6 elements of 8 bytes", lambda: sweep(numbers=np.zeros(5, np.int64))),
        ("12 elements of 8 bytes, got 9", lambda: sweep(feeds=[(np.zeros((4, 3)), np.zeros((2, 3))), (np.zeros(9).reshape(3, 3)[:, :], np.zeros((2, 4)))])),
        ("batches of 2", lambda: sweep(feeds=[(np.zeros((4, 3), "int16"), np.zeros((2, 3)))])),
        ("one or two arrays", lambda: sweep(feeds=[])),
    ],
)  # fmt: skip
def test_arrays_of_other_sizes_never_reach_the_loop(text, make):
    with pytest.raises((ValueError, IndexError), match=text):
        make()


def test_only_steps_are_accepted():
    assert issubclass(Sweep, Step)
    with pytest.raises(TypeError, match="Sweep: expected steps, got 1"):
        Sweep(
            [1],
            Found(),
            Found(),
            [],
            [(np.zeros((4, 3)), np.zeros((2, 3)))],
            [],
            np.zeros(2, np.int64),
            np.zeros(1),
            None,
        )


def test_the_selected_variant_is_used(rng):
    """A variant selected between two calls of fit is used from then on."""
    x, y = rng.random((SAMPLES, 8, 8)).astype("float32"), rng.integers(0, 3, SAMPLES)
    made, plain, before = network(), batch_by_batch(network()), kernels.isa()
    try:
        for isa in kernels.supported():
            kernels.select(isa)
            for net in (made, plain):
                net.fit(x, y, batch_size=3)
            np.testing.assert_array_equal(state(made), state(plain))
    finally:
        kernels.select(before)
