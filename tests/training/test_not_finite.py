"""Non-finite numbers and Ctrl-C: where training stops, and that the network stays usable."""

import gc
import re
import signal

import numpy as np
import pytest

from gwucnn import Dense, GWUNetwork
from trainees import deep, deep_data, weights


@pytest.fixture
def data(rng):
    return deep_data(rng)


# ------------------------------------------------------------------------------------------------- not finite


def broken(call, made):
    """Return the message of the FloatingPointError that `call` raises; assert that the weights did not change."""
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        call()
    assert np.isfinite(weights(made)).all()
    return str(caught.value)


END = "; lower lr or scale the images to 0..1 (the weights are as they were before that batch)"


def test_a_loss_that_is_not_finite_stops_training_and_says_where(data):
    x, y = data
    made = deep("mse", lr=1.0, precision="float32")
    made.build((10, 10))
    made.set_weights([weight * 0 + 1e30 for weight in made.get_weights()])
    before = weights(made)
    text = broken(lambda: made.fit(x, np.eye(3)[y], epochs=2, batch_size=6), made)
    expected = (
        r"fit: epoch 1, batch 1: expected finite numbers, but the loss is \S+, and numbers that are not finite begin "
        r"at 2\.Conv2D" + re.escape(END)
    )
    assert re.fullmatch(expected, text)
    np.testing.assert_array_equal(weights(made), before)


def test_it_names_the_epoch_and_the_batch(data):
    """The learning rate is far too large, so that the losses grow until, some steps later, they are not finite."""
    x, y = data
    made, record = deep("mse", lr=1e5, precision="float32"), []
    step = made._train

    def watched(sweeper, run, first, totals):
        done = sum(batches for *_, batches in record)
        record.append([run.name(first), weights(made), done, 0])
        record[-1][-1] = step(sweeper, run, first, totals)
        return record[-1][-1]

    made._train = watched
    text = broken(lambda: made.fit(1e3 * x.clip(0, 0.01), np.eye(3)[y], epochs=50, batch_size=10), made)
    where, before, done, _ = record[-1]
    assert done > 1
    epoch, batch = divmod(done, 3)
    assert where == f"fit: epoch {epoch + 1}, batch {batch + 1}"
    assert text.startswith(f"{where}: expected finite numbers, but ") and text.endswith(END)
    np.testing.assert_array_equal(weights(made), before)


def test_a_gradient_that_is_not_finite_though_the_loss_is():
    """The product of two weights is 1, but one of them is so large that its gradient overflows."""
    made = GWUNetwork([Dense(1, input_size=1), Dense(1)], precision="float32")
    made.compile("mse", lr=0.1)
    made.set_weights([[[1e-30]], [[1e30]]])
    x, y = np.array([[1e10]]), [0.0]
    text = broken(lambda: made.train_on_batch(x, y), made)
    assert text == ("train_on_batch: expected finite numbers, but the gradient of 0.Dense's kernel is not finite" + END)
    assert made.evaluate(x, y) == pytest.approx(1e20)


def test_training_continues_afterwards(data):
    x, y = data
    made, twin = deep(lr=0.1), deep(lr=0.1)
    made.fit(x, y, batch_size=8)
    twin.fit(x, y, batch_size=8)
    x_bad = x.copy()
    x_bad[3, 0, 0] = np.nan
    text = broken(lambda: made.train_on_batch(x_bad, y), made)
    assert "begin at 0.Conv2D" in text
    made.fit(x, y, batch_size=8)
    twin.fit(x, y, batch_size=8)
    np.testing.assert_array_equal(weights(made), weights(twin))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_non_finite_images_are_refused_first(bad, dtype, data):
    x, y = data[0].astype(dtype), data[1]
    x[17, 3, 4] = bad
    made = deep()
    made.build((10, 10))
    before = weights(made)
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
    np.testing.assert_array_equal(weights(made), before)
    assert began == []


def test_large_but_finite_images_are_accepted():
    """Their sum overflows, but none of them does."""
    x = np.full((2, 4), 3e38, np.float32)
    x[1] = -3e38
    made = GWUNetwork([Dense(1, kernel_initializer="zeros")])
    made.compile("mse", lr=1e-30)
    with np.errstate(over="ignore"):
        history = made.fit(x, [0.0, 0.0])
    assert history.history["loss"] == [0.0]


# ---------------------------------------------------------------------------------------------- interruptions


def test_ctrl_c_leaves_a_usable_network(data):
    """Raised by a callback, and in the middle of an epoch, where a signal would be noticed."""
    x, y = data
    made, twin = deep(lr=0.1), deep(lr=0.1)

    def interrupt(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y, epochs=5, batch_size=8, callbacks=[interrupt])
    twin.fit(x, y, batch_size=8)
    np.testing.assert_array_equal(weights(made), weights(twin))
    np.testing.assert_array_equal(made.predict(x), twin.predict(x))

    move, moves = made.optimizer.step, []

    def interrupted():
        if moves:
            raise KeyboardInterrupt
        moves.append(move())

    made.optimizer.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y, batch_size=8, shuffle=False)
    del made.optimizer.step
    twin.train_on_batch(x[:8], y[:8])
    np.testing.assert_array_equal(weights(made), weights(twin))
    made.fit(x, y, batch_size=8, shuffle=False)
    twin.fit(x, y, batch_size=8, shuffle=False)
    np.testing.assert_array_equal(weights(made), weights(twin))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")
def test_ctrl_c_at_any_moment(data):
    """Whenever it arrives, a new network with the same weights makes the same predictions."""
    x, y = data
    made, interrupts = deep(lr=0.01, optimizer="adam"), 0

    def on_alarm(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, on_alarm)
    gc.disable()  # hypothesis has a callback on garbage collection, which would swallow the exception with a warning
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
        gc.enable()
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 10
    fresh = deep()
    fresh.build((10, 10))
    fresh.set_weights(made.get_weights())
    np.testing.assert_array_equal(made.predict(x), fresh.predict(x))
    made.compile("cross_entropy", lr=0.5)
    fresh.compile("cross_entropy", lr=0.5)
    for batch in (slice(0, 8), slice(8, 24)):
        made.train_on_batch(x[batch], y[batch])
        fresh.train_on_batch(x[batch], y[batch])
    np.testing.assert_array_equal(weights(made), weights(fresh))
