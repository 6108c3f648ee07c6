"""Training on generators, loaders and other iterables: the same result as with arrays, and the messages."""

import re
import threading
import time

import numpy as np
import pytest

from gwucnn import GWUNetwork
from gwucnn.data.iterables import read_ahead
from trainees import small, small_data, weights


@pytest.fixture
def data(rng):
    return small_data(rng)


class Loader:
    """Like PyTorch's DataLoader: starts anew in each epoch, has a length but no items by number."""

    def __init__(self, x, y, size=8, more=()):
        self.batches = [
            (x[at : at + size], y[at : at + size], *(part[at : at + size] for part in more))
            for at in range(0, len(x), size)
        ]
        self.started = 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.started += 1
        return iter(self.batches)


class WithoutLength:
    def __init__(self, x, y, size):
        self.loader, self.started = Loader(x, y, size), 0

    def __iter__(self):
        self.started += 1
        return iter(self.loader)


def endless(x, y, size):
    while True:
        for at in range(0, len(x), size):
            yield x[at : at + size], y[at : at + size]


@pytest.mark.parametrize("size", [1, 7, 20])
@pytest.mark.parametrize("kind", [Loader, WithoutLength, "endless"])
def test_an_iterable_trains_as_its_array_does(kind, size, data):
    held_out = data[0][:9], data[1][:9]
    steps = -(-20 // size) if kind == "endless" else None
    source = endless(*data, size) if kind == "endless" else kind(*data, size)
    streamed, fitted = small(optimizer="adam"), small(optimizer="adam")
    first = streamed.fit(source, epochs=3, steps_per_epoch=steps, validation_data=Loader(*held_out, 4))
    second = fitted.fit(*data, epochs=3, batch_size=size, shuffle=False, validation_data=held_out)
    for name, values in first.history.items():
        np.testing.assert_allclose(values, second.history[name], rtol=1e-12)
    np.testing.assert_array_equal(weights(streamed), weights(fitted))
    if steps is None:
        assert source.started == 3


def test_a_generator_may_be_used_up_in_one_epoch(data):
    one, other = small(), small()
    one.fit(pair for pair in Loader(*data).batches)
    other.fit(Loader(*data))
    np.testing.assert_array_equal(weights(one), weights(other))


def test_an_epoch_of_a_generator_goes_on_where_the_last_one_ended(data):
    taken = []

    def generator():
        for number, pair in enumerate(endless(*data, 4)):
            taken.append(number)
            yield pair

    small().fit(generator(), epochs=3, steps_per_epoch=2)
    assert taken == [0, 1, 2, 3, 4, 5], "none is read beyond what is trained on"


def test_batches_may_bring_weights(data, rng):
    w = rng.random(20)
    streamed, fitted = small(), small()
    streamed.fit(Loader(*data, 5, more=(w,)), epochs=2)
    fitted.fit(*data, epochs=2, batch_size=5, shuffle=False, sample_weight=w)
    np.testing.assert_allclose(weights(streamed), weights(fitted), rtol=1e-6)
    assert streamed.evaluate(Loader(*data, 5, more=(w,))) == pytest.approx(fitted.evaluate(*data, sample_weight=w))


def test_evaluate_and_predict(data):
    network, (x, y) = small(), data
    assert network.evaluate(Loader(x, y, 6)) == pytest.approx(network.evaluate(x, y), rel=1e-12)
    assert network.evaluate(iter(Loader(x, y, 6))) == pytest.approx(network.evaluate(x, y), rel=1e-12)
    np.testing.assert_allclose(network.predict(Loader(x, y, 6)), network.predict(x), rtol=1e-12)
    parts = network.predict(x[at : at + 5] for at in range(0, 20, 5))
    np.testing.assert_allclose(parts, network.predict(x), rtol=1e-12)


def test_torch_loader(data):
    torch = pytest.importorskip("torch")
    x, y = map(torch.from_numpy, data)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
    streamed, fitted = small(), small()
    streamed.fit(loader, epochs=2)
    fitted.fit(*data, epochs=2, batch_size=8, shuffle=False)
    np.testing.assert_array_equal(weights(streamed), weights(fitted))


# ------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda net, x, y: net.fit(endless(x, y, 4), epochs=2), ValueError,
         "fit: expected steps_per_epoch with a generator, which cannot start again, got none; give the number"),
        (lambda net, x, y: net.fit(iter([])), ValueError, "fit: expected at least one batch, got none; is a generator used up?"),
        (lambda net, x, y: net.fit(x, y, steps_per_epoch=3), ValueError,
         "fit: expected steps_per_epoch with an iterable of batches only, got it with data of known length"),
        (lambda net, x, y: net.fit(Loader(x, y), steps_per_epoch=0), ValueError, "expected steps_per_epoch to be an integer of at least 1"),
        (lambda net, x, y: net.fit(Loader(x, y), steps_per_epoch=9), ValueError,
         "fit: epoch 1: expected 9 batches, got 3; lower steps_per_epoch"),
        (lambda net, x, y: net.fit(x, y, validation_data=endless(x, y, 4)), ValueError,
         "fit: expected validation_data that can be read again after each epoch, got a generator"),
        (lambda net, x, y: net.fit(iter(["a"])), TypeError, "fit: batch 1: expected a batch (x, y) or (x, y, sample_weight), got str"),
        (lambda net, x, y: net.fit(Loader(x, y), batch_size=3), ValueError, "fit: expected no batch_size with an object that returns batches"),
        (lambda net, x, y: net.predict(iter([])), ValueError, "predict: expected at least one batch, got none"),
    ],
)  # fmt: skip
def test_messages(call, error, says, data):
    with pytest.raises(error, match=re.escape(says)):
        call(small(), *data)


def test_a_bad_batch_is_named(data):
    x, y = data
    batches = [(x[:4], y[:4]), (x[4:8], y[4:7])]
    with pytest.raises(ValueError, match="fit: epoch 1, batch 2"):
        small().fit(batch for batch in batches)


# ------------------------------------------------------------------------------------------------- reading ahead


def test_reading_ahead_is_limited_and_in_order():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    reader = read_ahead(items(), 2)
    assert next(reader) == 0
    time.sleep(0.3)
    assert len(made) <= 5
    assert list(reader) == [*range(1, 20)]


def test_errors_of_the_reader_are_raised_where_its_items_are_used():
    def items():
        yield 1
        raise OSError("no such file")

    reader = read_ahead(items())
    assert next(reader) == 1
    with pytest.raises(OSError, match="no such file"):
        next(reader)


@pytest.mark.filterwarnings("ignore:fit. expected pixels")
def test_the_thread_ends_with_its_reader(data):
    before = threading.active_count()
    network = small()
    x, y = data
    with pytest.raises(FloatingPointError):
        network.fit(iter([(x[:4], y[:4]), (x[4:8] * 1e308, y[4:8])] * 9))
    assert threading.active_count() == before
    assert isinstance(network, GWUNetwork)
