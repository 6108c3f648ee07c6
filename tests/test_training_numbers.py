"""Training as arithmetic: gradients of whole networks, bits from run to run, memory, and what happens to NaN."""

import gc
import re
import signal
import tracemalloc

import numpy as np
import pytest

from gradcheck import assert_gradient, spaced
from gwucnn import RELU, Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, Sigmoid, Softmax, kernels


def end_for(loss):
    """Return last layers that fit a loss, the activation once within a layer and once by itself."""
    if loss == "cross_entropy":
        return [Dense(3, True, "softmax")]
    if loss == "log_loss":
        return [Dense(3, True), Sigmoid()]
    return [Dense(3, True, "sigmoid" if loss == "binary_crossentropy" else None)]


def network(loss="cross_entropy", lr=1.0, *, seed=0, fuse=True, precision="float64", optimizer="sgd"):
    """Two convolutions, one of them fused with its pooling, and an end that fits the loss."""
    made = GWUNetwork(
        [
            Conv2D(4, 3, activation="relu", add_bias=True),
            MaxPooling2D(2),
            Conv2D(5, 2, padding="same", add_bias=True),
            RELU(),
            MaxPooling2D(2, strides=1),
            Flatten(),
            Dense(6, True, "sigmoid"),
            *end_for(loss),
        ],
        seed=seed,
        fuse=fuse,
        precision=precision,
    )
    made.compile(loss, lr=lr, optimizer=optimizer)
    return made


def values(made):
    return np.concatenate([weight.ravel() for weight in made.get_weights()])


@pytest.fixture
def data(rng):
    return rng.random((24, 10, 10)), rng.integers(0, 3, 24)


def targets(loss, labels):
    return labels if loss == "cross_entropy" else np.eye(3)[labels] * 0.8 + 0.1


# -------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "layer-by-layer"])
@pytest.mark.parametrize("loss", ["cross_entropy", "log_loss", "binary_crossentropy", "mse"])
def test_gradient_of_a_whole_network(loss, fuse, isa, rng):
    """With a learning rate of 1, what a step takes off each weight is the gradient."""
    x, labels = spaced(rng, (3, 10, 10)), rng.integers(0, 3, 3)
    made, y = network(loss, fuse=fuse), targets(loss, labels)
    made.build((10, 10))
    # Away from zeros, so that no bias of 0 puts relu on its edge.
    made.set_weights([weight + 0.05 * rng.standard_normal(weight.shape) for weight in made.get_weights()])
    start = made.get_weights()
    made.train_on_batch(x, y)
    gradients = [old - new for old, new in zip(start, made.get_weights(), strict=True)]
    made.set_weights(start)
    for parameter, gradient in zip(made.parameters, gradients, strict=True):
        # A weight of size 1 minus a gradient is rounded to 1e-16, which is nothing beside 1e-7 of the largest.
        assert_gradient(gradient, lambda: made.evaluate(x, y), parameter.value)


@pytest.mark.parametrize(
    "last", [[Dense(3, activation="relu")], [Dense(3), Softmax()], [Dense(3, activation="sigmoid")]]
)
def test_gradient_where_loss_and_activation_are_no_pair(last, rng):
    made = GWUNetwork([Flatten(), *last], precision="float64", seed=2)
    made.compile("mse", lr=1.0)
    x, y = spaced(rng, (5, 3, 3)), rng.random((5, 3))
    made.build((3, 3))
    start = made.get_weights()[0]
    made.train_on_batch(x, y)
    gradient = start - made.get_weights()[0]
    made.set_weights([start])
    assert_gradient(gradient, lambda: made.evaluate(x, y), made.parameters[0].value)


def test_it_learns_32_images_by_heart(rng):
    x, y = rng.random((32, 10, 10)), rng.integers(0, 3, 32)
    made = network(optimizer="adam", lr=0.02, precision="float32")
    history = made.fit(x, y, epochs=150, batch_size=32)
    assert history.history["accuracy"][-1] == 1
    assert history.history["loss"][-1] < 0.02
    assert (made.predict(x).argmax(axis=1) == y).all()


# ------------------------------------------------------------------------------------------------------- bits


def wide(**options):
    """Large enough a network for two threads to be worth their while."""
    made = GWUNetwork(
        [
            Conv2D(32, activation="relu"),
            MaxPooling2D(),
            Conv2D(32),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        seed=0,
        **options,
    )
    made.compile("cross_entropy", lr=0.05, optimizer="adam")
    return made


def trained(made, n=64):
    rng = np.random.default_rng(0)
    x, y = rng.random((n, 20, 20)), rng.integers(0, 10, n)
    losses = made.fit(x, y, epochs=2, batch_size=24).history["loss"]
    return losses, values(made), made.predict(x)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_run_to_run_every_bit_is_the_same(n_threads, threads):
    threads(n_threads)
    first, second = trained(wide()), trained(wide())
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_and_two_threads_agree_but_for_rounding(threads):
    results = []
    for n_threads in (1, 2):
        threads(n_threads)
        results.append(trained(wide(precision="float64")))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9)


def test_every_instruction_set_trains_the_same_but_for_rounding():
    before, results = kernels.isa(), []
    for name in kernels.supported():
        kernels.select(name)
        results.append(trained(wide(precision="float64")))
    kernels.select(before)
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_kernels_and_threads_may_change_between_epochs(data, threads):
    """What is bound to the old kernels must be bound anew, and remember everything."""
    x, y = data
    steady, changing = network(optimizer="adam", lr=0.01), network(optimizer="adam", lr=0.01)
    before = kernels.isa()
    for number in range(6):
        kernels.select(kernels.supported()[number % len(kernels.supported())])
        threads(1 + number % 2)
        changing.fit(x, y, batch_size=7)
        changing.predict(x)
        kernels.select(before)
        threads(1)
        steady.fit(x, y, batch_size=7)
    np.testing.assert_allclose(changing.predict(x), steady.predict(x), rtol=1e-9)


def test_float32_trains_as_float64_does_but_for_rounding(data):
    x, y = data
    single, double = (
        network(lr=0.1, precision=precision).fit(x, y, epochs=3, batch_size=8).history["loss"]
        for precision in ("float32", "float64")
    )
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_training_and_predicting_in_turns_do_not_disturb_each_other(data):
    x, y = data
    quiet, disturbed = network(lr=0.1), network(lr=0.1)
    for start in (0, 8, 16, 0, 20):
        batch = slice(start, start + 8)
        quiet.train_on_batch(x[batch], y[batch])
        disturbed.predict(x[:5])
        disturbed.train_on_batch(x[batch], y[batch])
        disturbed.evaluate(x, y, 9)
        disturbed.activations(x[:3])
    np.testing.assert_array_equal(values(quiet), values(disturbed))


# ----------------------------------------------------------------------------------------------------- memory

LARGE = 64 * 1024


class Peak:
    """A callback for batches: after the first it watches what is allocated."""

    def __init__(self, made):
        self.step, self.blocks, self.peaks = made._train, [], []
        made._train = self

    def __call__(self, *args):
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        self.step(*args)
        self.peaks.append(tracemalloc.get_traced_memory()[1] - before)


@pytest.mark.parametrize("kind", ["float32", "uint8", "float64", "channels_first", "weighted"])
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in order"])
def test_after_the_first_batch_a_step_allocates_no_large_array(kind, shuffle, rng):
    """Batches of 200 kB of images; nothing of 64 kB may be taken, for however short a time."""
    order = "channels_first" if kind == "channels_first" else "channels_last"
    made = GWUNetwork(
        [Conv2D(8, activation="relu"), MaxPooling2D(), Conv2D(8), Flatten(), Dense(10, activation="softmax")],
        seed=0,
        data_format=order,
    )
    made.compile("cross_entropy", lr=1e-3)
    x = rng.integers(0, 2, (64 * 51, 1, 28, 28) if kind == "channels_first" else (64 * 51, 28, 28))
    x = x.astype(kind if kind in ("uint8", "float64") else "float32")
    y, weights = rng.integers(0, 10, len(x)), rng.random(len(x)) if kind == "weighted" else None
    watch = Peak(made)
    gc.collect()
    tracemalloc.start()
    made.fit(x, y, batch_size=64, shuffle=shuffle, sample_weight=weights)
    tracemalloc.stop()
    assert len(watch.peaks) == 51
    assert watch.peaks[0] > LARGE, "the first batch takes the buffers: so the measurement sees them"
    assert max(watch.peaks[1:]) < LARGE


def test_memory_does_not_grow_with_the_number_of_calls(rng):
    """Neither predictions of all sizes, nor epochs, nor batches of odd sizes leave anything behind."""
    made = network(precision="float32")
    x, y = rng.random((40, 10, 10)).astype("float32"), rng.integers(0, 3, 40)

    def everything():
        made.fit(x, y, batch_size=16)
        for size in (1, 7, 40):
            made.predict(x[:size])
            made.evaluate(x[:size], y[:size])
            made.train_on_batch(x[:size], y[:size])
        made.activations(x)

    for _ in range(3):
        everything()
    gc.collect()
    tracemalloc.start()
    everything()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    for _ in range(10):
        everything()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - held
    tracemalloc.stop()
    assert grown < 20_000


def test_a_network_that_is_no_longer_needed_gives_its_memory_back(rng):
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(3):
        made = GWUNetwork([Flatten(), Dense(2000)])
        made.compile("mse", lr=1e-9)
        made.fit(rng.random((2, 10, 10)), np.zeros((2, 2000)))
        assert tracemalloc.get_traced_memory()[0] - before > 800_000
        del made
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 200_000
    tracemalloc.stop()


# ------------------------------------------------------------------------------------------------- not finite


def broken(call, made):
    """Return the text of the FloatingPointError that `call` raises, after making sure that weights stayed."""
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        call()
    assert np.isfinite(values(made)).all()
    return str(caught.value)


END = "; lower lr or scale the images to 0..1 (the weights are as they were before that batch)"


def test_a_loss_that_is_not_finite_stops_training_and_says_where(data):
    x, y = data
    made = network("mse", lr=1.0, precision="float32")
    made.build((10, 10))
    made.set_weights([weight * 0 + 1e30 for weight in made.get_weights()])
    before = values(made)
    text = broken(lambda: made.fit(x, np.eye(3)[y], epochs=2, batch_size=6), made)
    expected = (
        r"fit: epoch 1, batch 1: expected finite numbers, but the loss is \S+, and numbers that are not finite begin "
        r"at 2\.Conv2D" + re.escape(END)
    )
    assert re.fullmatch(expected, text)
    np.testing.assert_array_equal(values(made), before)


def test_it_names_the_epoch_and_the_batch(data):
    """A learning rate that is far too large: the losses grow until they are not finite, some steps later."""
    x, y = data
    made, record = network("mse", lr=1e5, precision="float32"), []
    step = made._train

    def watched(where, *args):
        record.append((where, values(made)))
        return step(where, *args)

    made._train = watched
    text = broken(lambda: made.fit(1e3 * x.clip(0, 0.01), np.eye(3)[y], epochs=50, batch_size=10), made)
    where, before = record[-1]
    assert len(record) > 1
    epoch, batch = divmod(len(record) - 1, 3)
    assert where == f"fit: epoch {epoch + 1}, batch {batch + 1}"
    assert text.startswith(f"{where}: expected finite numbers, but ") and text.endswith(END)
    np.testing.assert_array_equal(values(made), before)


def test_a_gradient_that_is_not_finite_though_the_loss_is():
    """Two weights whose product is 1, one of them so large that its gradient overflows."""
    made = GWUNetwork([Dense(1, input_size=1), Dense(1)], precision="float32")
    made.compile("mse", lr=0.1)
    made.set_weights([[[1e-30]], [[1e30]]])
    x, y = np.array([[1e10]]), [0.0]
    text = broken(lambda: made.train_on_batch(x, y), made)
    assert text == (
        "train_on_batch: expected finite numbers, but the gradient of 0.Dense's kernel is not finite" + END
    )
    assert made.evaluate(x, y) == pytest.approx(1e20)


def test_training_goes_on_after_it(data):
    x, y = data
    made, twin = network(lr=0.1), network(lr=0.1)
    made.fit(x, y, batch_size=8)
    twin.fit(x, y, batch_size=8)
    x_bad = x.copy()
    x_bad[3, 0, 0] = np.nan
    text = broken(lambda: made.train_on_batch(x_bad, y), made)
    assert "begin at 0.Conv2D" in text
    made.fit(x, y, batch_size=8)
    twin.fit(x, y, batch_size=8)
    np.testing.assert_array_equal(values(made), values(twin))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_images_that_are_not_finite_are_refused_before_anything_moves(bad, dtype, data):
    x, y = data[0].astype(dtype), data[1]
    x[17, 3, 4] = bad
    made = network()
    made.build((10, 10))
    before = values(made)
    began = []
    for name, call in (
        ("fit", lambda: made.fit(x, y, callbacks=[began.append])),
        ("fit", lambda: made.fit(x, y, validation_split=0.5)),
        ("fit: validation_data", lambda: made.fit(*data, validation_data=(x, y))),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == (
            f"{name}: expected finite images, got NaN or infinity in image 17; remove or repair it"
        )
    np.testing.assert_array_equal(values(made), before)
    assert began == []


def test_large_but_finite_images_are_no_mistake():
    """Their sum overflows, each of them does not."""
    x = np.full((2, 4), 3e38, np.float32)
    x[1] = -3e38
    made = GWUNetwork([Dense(1, kernel_initializer="zeros")])
    made.compile("mse", lr=1e-30)
    with np.errstate(over="ignore"):
        made.fit(x, [0.0, 0.0])


# ----------------------------------------------------------------------------------------------- interruptions


def test_ctrl_c_leaves_a_network_that_goes_on(data):
    """Here from a callback, and in the middle of an epoch, from where a signal would be noticed."""
    x, y = data
    made, twin = network(lr=0.1), network(lr=0.1)

    def interrupt(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y, epochs=5, batch_size=8, callbacks=[interrupt])
    twin.fit(x, y, batch_size=8)
    np.testing.assert_array_equal(values(made), values(twin))
    np.testing.assert_array_equal(made.predict(x), twin.predict(x))

    step, calls = made._train, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return step(*args)

    made._train = interrupted
    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y, batch_size=8, shuffle=False)
    made._train = step
    twin.train_on_batch(x[:8], y[:8])
    np.testing.assert_array_equal(values(made), values(twin))
    made.fit(x, y, batch_size=8, shuffle=False)
    twin.fit(x, y, batch_size=8, shuffle=False)
    np.testing.assert_array_equal(values(made), values(twin))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")
def test_ctrl_c_at_any_moment(data):
    """Whatever was going on, the weights that are left predict as they do in a network without a past."""
    x, y = data
    made, interrupts = network(lr=0.01, optimizer="adam"), 0

    def on_alarm(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        for number in range(40):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0003 + 0.00013 * number)
                made.fit(x, y, epochs=100, batch_size=5 + number % 7, validation_data=data)
            except KeyboardInterrupt:
                interrupts += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 10
    fresh = network()
    fresh.build((10, 10))
    fresh.set_weights(made.get_weights())
    np.testing.assert_array_equal(made.predict(x), fresh.predict(x))
    made.compile("cross_entropy", lr=0.5)
    fresh.compile("cross_entropy", lr=0.5)
    for batch in (slice(0, 8), slice(8, 24)):
        made.train_on_batch(x[batch], y[batch])
        fresh.train_on_batch(x[batch], y[batch])
    np.testing.assert_array_equal(values(made), values(fresh))
