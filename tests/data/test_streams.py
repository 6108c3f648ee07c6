"""Training on objects that yield batches: the same result as with arrays, and the messages for faulty streams."""

import math
import re

import numpy as np
import pytest

from gwucnn import Dense, Flatten, GWUNetwork, loss_functions
from gwucnn.common.errors import NotBuiltError, ShapeError
from gwucnn.data import checks
from trainees import small, small_data, weights


@pytest.fixture
def data(rng):
    return small_data(rng)


class Stream:
    """Gives x and y, some at a time, and takes down in which order."""

    def __init__(self, x, y, size=8):
        self.x, self.y, self.size, self.asked = np.asarray(x), np.asarray(y), size, []

    def __len__(self):
        return math.ceil(len(self.x) / self.size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        self.asked.append(index)
        rows = slice(index * self.size, (index + 1) * self.size)
        return self.x[rows], self.y[rows]


# --------------------------------------------------------------------------------- the same as with the array


@pytest.mark.parametrize("size", [1, 7, 20])
def test_a_stream_trains_as_its_array_does(size, data):
    """Also with a last batch that is smaller, with an optimizer that remembers, and with validation."""
    held_out = data[0][:9], data[1][:9]
    streamed, fitted = small(optimizer="adam"), small(optimizer="adam")
    first = streamed.fit(Stream(*data, size), epochs=3, shuffle=False, validation_data=Stream(*held_out, 4))
    second = fitted.fit(*data, epochs=3, batch_size=size, shuffle=False, validation_data=held_out)
    assert list(first.history) == list(second.history)
    for name, values in first.history.items():
        np.testing.assert_allclose(values, second.history[name], rtol=1e-12)
    np.testing.assert_array_equal(weights(streamed), weights(fitted))


def test_a_list_of_pairs_is_a_stream(data):
    x, y = data
    pairs = [(x[:12], y[:12]), (x[12:], y[12:].tolist())]
    streamed, stepped = small(), small()
    streamed.fit(pairs, shuffle=False, validation_data=pairs)
    for pair in pairs:
        stepped.train_on_batch(*pair)
    np.testing.assert_array_equal(weights(streamed), weights(stepped))
    assert streamed.evaluate(pairs) == pytest.approx(stepped.evaluate(x, y), rel=1e-12)


def test_shuffle_permutes_the_batches(data):
    stream = Stream(*data, 3)
    network = small()
    network.fit(stream, epochs=3)
    first, *orders = stream.asked[:1], stream.asked[1:8], stream.asked[8:15], stream.asked[15:]
    assert first == [0], "one look at the first batch, for its shape"
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    again = Stream(*data, 3)
    small().fit(again, epochs=3)
    assert again.asked == stream.asked, "by the network's own generator"


def test_evaluate_and_predict(data):
    network, stream = small(), Stream(*data, 6)
    network.fit(*data)
    assert network.evaluate(stream) == pytest.approx(network.evaluate(*data), rel=1e-12)
    given = network.evaluate(stream, batch_size=4, return_dict=True)
    assert given == pytest.approx(network.evaluate(*data, return_dict=True), rel=1e-12)
    np.testing.assert_allclose(network.predict(stream), network.predict(data[0]), rtol=1e-13)

    class Images:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return data[0][4 * index : 4 * index + 4]

    np.testing.assert_allclose(network.predict(Images()), network.predict(data[0]), rtol=1e-13)


def test_class_weight(data):
    """Also where no sample of a batch counts."""
    x, y = data[0], np.sort(data[1])
    streamed, fitted = small(), small()
    counts = {0: 0, 1: 2.5}
    streamed.fit(Stream(x, y, 4), shuffle=False, class_weight=counts)
    fitted.fit(x, y, batch_size=4, shuffle=False, class_weight=counts)
    assert (y[:4] == 0).all()
    np.testing.assert_array_equal(weights(streamed), weights(fitted))


def test_channels_first(rng):
    x, y = rng.random((10, 2, 6, 6)), rng.integers(0, 3, 10)
    networks = [small(data_format="channels_first") for _ in range(2)]
    networks[0].fit(Stream(x, y, 4), shuffle=False)
    networks[1].fit(x, y, batch_size=4, shuffle=False)
    np.testing.assert_array_equal(weights(networks[0]), weights(networks[1]))


def test_progress_counts_samples(data, capsys):
    """20 samples in batches of 8: at first 24 are expected, at the end it is known better."""
    small().fit(Stream(*data), epochs=2, verbose=1)
    err = capsys.readouterr().err
    assert "0.00/24.0" in err and "epoch 1/2: 100%" in err and "20.0/20.0" in err
    assert "0.00/20.0" in err, "the second epoch knows from the beginning"
    small().fit(Stream(*data), epochs=1, verbose=2)
    assert re.fullmatch(r"epoch 1/1: .* \(\d+\.\d s, \d+ images/s\)\n", capsys.readouterr().out)


def test_unscaled_pixels_are_warned_about_once(data):
    x, y = data
    with pytest.warns(UserWarning, match="got values up to 255;") as caught:
        small(lr=1e-9).fit(Stream(x * 0 + 255, y))
    assert len(caught) == 1 and caught[0].filename == __file__


def test_a_stream_that_grows(data):
    """Its length is asked for in each epoch."""
    x, y = data
    stream = Stream(x[:8], y[:8], 4)

    def grow(record):
        stream.x, stream.y = x, y

    small().fit(stream, epochs=2, shuffle=False, callbacks=[grow])
    assert stream.asked == [0, 0, 1, 0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------------------ wrong uses


def spoilt(data, value=np.nan):
    x = data[0].copy()
    x[17, 2, 3] = value
    return x, data[1]


def test_nonfinite_data_are_reported_at_their_batch(data):
    network, records = small(), []
    with pytest.raises(ValueError) as caught:
        network.fit(Stream(*spoilt(data)), shuffle=False, callbacks=[records.append])
    assert str(caught.value) == (
        "fit: epoch 1, batch 3 (x[2]): expected finite images, got NaN or infinity in image 1; remove or repair it"
    )
    twin = small()
    twin.fit(data[0][:16], data[1][:16], batch_size=8, shuffle=False)
    np.testing.assert_array_equal(weights(network), weights(twin))
    assert records == []
    with pytest.raises(ValueError, match=r"^fit: epoch 1, validation_data: x\[2\]: expected finite images"):
        network.fit(*data, validation_data=Stream(*spoilt(data)))


WRONG = [
    (lambda d: small().fit([(d[0], d[1], d[1], d[1])]), TypeError,
     "fit: x[0]: expected a batch (x, y) or (x, y, sample_weight), got tuple of 4"),
    (lambda d: small().fit(Own([d[0]])), TypeError, "fit: x[0]: expected a batch (x, y) or (x, y, sample_weight), got ndarray"),
    (lambda d: small().fit(Own([])), ValueError, "fit: expected at least one batch, got none"),
    (lambda d: small().evaluate(Own([])), ValueError, "evaluate: expected at least one batch, got none"),
    (lambda d: small().predict(Own([])), ValueError, "predict: expected at least one batch, got none"),
    (lambda d: small().fit(Own([(d[0][:0], d[1][:0])])), ValueError,
     "fit: x[0]: expected at least one sample, got none; check how x was made"),
    (lambda d: small().fit(Own([(d[0], d[1]), (d[0][:, :5], d[1])]), shuffle=False), ShapeError,
     "fit: epoch 1, batch 2 (x[1]): 0.Conv2D: expected inputs of shape (N, 6, 6, 1), got (N, 5, 6, 1); as the network was "
     "built; resize the images, or make a network for such"),
    (lambda d: small().fit(Own([(d[0], d[1]), (d[0], d[1][:3])]), shuffle=False), ShapeError,
     "fit: epoch 1, batch 2 (x[1]): expected as many y as x, got 3 and 20; give one y for each x"),
    (lambda d: small().fit(Own([(d[0], d[1]), (d[0], d[1] + 1)]), shuffle=False), ValueError,
     "fit: epoch 1, batch 2 (x[1]): cross_entropy: expected labels from 0 to 2 for 3 outputs, got 3; number the classes "
     "from 0: y - 1"),
    (lambda d: small().fit(d[0]), TypeError,
     "fit: expected x and y, got x alone; give y too, or as x anything that yields batches (x, y)"),
    (lambda d: small().evaluate(d[0]), TypeError,
     "evaluate: expected x and y, got x alone; give y too, or as x anything that yields batches (x, y)"),
    (lambda d: small().fit(iter([d]), d[1]), TypeError,
     "fit: expected x to be an array of numbers, got list_iterator; give an array, or to fit and "
     "evaluate batches (x, y) without y"),
    (lambda d: small().activations(iter([d])), TypeError,
     "activations: expected x to be an array of numbers, got list_iterator; give an array, or to fit "
     "and evaluate batches (x, y) without y"),
    (lambda d: small().train_on_batch([d], None), TypeError,
     "train_on_batch: expected x and y of one batch, got a list in place of them; give both, or call fit"),
    (lambda d: small().train_on_batch(iter([d]), None), TypeError,
     "train_on_batch: expected x and y of one batch, got a list_iterator in place of them; give both, or call fit"),
    (lambda d: small().fit(Own([d]), batch_size=4), ValueError,
     "fit: expected no batch_size with an object that returns batches, got one; leave it out, batches have "
     "their own size"),
    (lambda d: small().fit(Own([d]), validation_split=0.5), ValueError,
     "fit: expected no validation_split with an object that returns batches, got one; leave it out, give "
     "validation_data"),
    (lambda d: small().fit(Own([d]), sample_weight=[1] * 20), ValueError,
     "fit: expected no sample_weight with an object that returns batches, got one; leave it out, give "
     "class_weight"),
    (lambda d: small().fit(Own([d]), class_weight="balanced"), ValueError,
     "fit: expected class_weight to be a dict with an object that returns batches, got 'balanced', which needs all "
     "labels; count them and write {0: 1.0, 1: 2.5}"),
    (lambda d: GWUNetwork([Flatten(), Dense(2)]).fit(Own([d])), NotBuiltError,
     "fit: expected a compiled network; call compile(loss=...) first"),
]  # fmt: skip


class Own:
    """An object that gives these batches."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@pytest.mark.parametrize(
    ("call", "kind", "message"), WRONG, ids=[re.sub(r"[^\w]+", "-", case[-1])[:50] for case in WRONG]
)
def test_wrong_streams(call, kind, message, data):
    with pytest.raises(kind) as caught:
        call(data)
    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_an_error_in_the_stream_is_its_own(data):
    class Broken(Stream):
        def __getitem__(self, index):
            if index == 1:
                raise KeyError("no such file")
            return super().__getitem__(index)

    with pytest.raises(KeyError, match="no such file"):
        small().fit(Broken(*data))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_the_range_of_y_is_computed_once(dtype, monkeypatch):
    """What loss.targets has found finite fits into the network's numbers, unless its type is wider than theirs."""
    x, y = np.ones((6, 2), "f"), np.arange(6).astype(dtype) % 2
    network = GWUNetwork([Dense(1)])
    network.compile("mse")
    looked = []
    for module in (loss_functions.base, checks):
        whole = module.min_and_max
        monkeypatch.setattr(module, "min_and_max", lambda a, whole=whole: looked.append(a.size) or whole(a))
    network.fit([(x, y), (x, y)], verbose=0)
    assert looked.count(y.size) == 3  # one batch is looked at to build the network
    network.fit([(x, y.astype("float64"))], verbose=0)
    with pytest.raises(ValueError, match="expected y to fit into float32, up to 3.4e.38, got 1e.39"):
        network.fit([(x, np.full(6, 1e39))], verbose=0)
