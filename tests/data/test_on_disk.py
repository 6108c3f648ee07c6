"""Memory-mapped arrays are never loaded into memory as a whole."""

import tracemalloc

import numpy as np
import pytest

from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D
from gwucnn.common.chunked import CHUNK, chunks, min_and_max
from gwucnn.data.batches import Batches
from gwucnn.memory.workspace import Space
from trainees import small, weights

MB = 2**20


def on_disk(path, shape, dtype, rng, offset=0):
    """Return an array of random bytes 0 and 1 that is mapped from a file."""
    array = np.memmap(path, dtype, "w+", offset, shape)
    for start in range(0, shape[0], 500):
        array[start : start + 500] = rng.integers(0, 2, (min(500, shape[0] - start), *shape[1:]), np.uint8)
    array.flush()
    return np.memmap(path, dtype, "r", offset, shape)


@pytest.mark.parametrize(
    ("dtype", "n", "offset"),
    [("uint8", 8000, 0), ("float32", 2000, 128), (">f4", 2000, 0), ("float32", 2000, 1)],
)
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in order"])
def test_an_array_on_disk_is_never_in_memory(dtype, n, offset, shuffle, tmp_path, rng):
    """31 MB of images, of which a batch of 32 takes half a MB: all of fit, evaluate and predict stay below 8 MB."""
    x = on_disk(tmp_path / "x", (n, 64, 64), dtype, rng, offset)
    y = rng.integers(0, 3, n)
    network = GWUNetwork([MaxPooling2D(8), Flatten(), Dense(3, activation="softmax")], seed=0)
    network.compile("cross_entropy", lr=1e-3)
    assert x.nbytes > 31 * MB
    tracemalloc.start()
    network.fit(x, y, batch_size=32, shuffle=shuffle, validation_split=0.25)
    network.fit(x[::2], y[::2], batch_size=32, shuffle=shuffle, validation_data=(x[:99], y[:99]))
    network.evaluate(x, y, 32)
    network.predict(x, 32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MB


def test_targets_on_disk_neither(tmp_path, rng):
    """As many numbers as in the images: a network that makes images of images."""
    x = on_disk(tmp_path / "x", (1000, 64, 64, 1), "float32", rng)
    y = on_disk(tmp_path / "y", (1000, 64, 64, 1), "float32", rng)
    network = GWUNetwork([Conv2D(1, padding="same")], seed=0)
    network.compile("mse", lr=1e-3)
    tracemalloc.start()
    network.fit(x, y, batch_size=16)
    network.evaluate(x, y, 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert x.nbytes > 15 * MB
    assert peak < 8 * MB


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "u1", "<i2"])
def test_an_array_on_disk_trains_as_one_in_memory(dtype, tmp_path, rng):
    x = on_disk(tmp_path / "x", (40, 9, 9), dtype, rng)
    y = rng.integers(0, 3, 40)
    networks = [small() for _ in range(2)]
    networks[0].fit(x, y, batch_size=16, epochs=2)
    networks[1].fit(np.array(x, np.float64), y, batch_size=16, epochs=2)
    np.testing.assert_array_equal(weights(networks[0]), weights(networks[1]))


@pytest.mark.parametrize("layout", ["native", "swapped", "misaligned", "Fortran"])
def test_gathering_takes_every_layout(layout, rng):
    x = rng.random((50, 20, 20)).astype("float32")
    if layout == "swapped":
        given = x.astype(">f4")
    elif layout == "misaligned":
        given = np.frombuffer(b"x" + x.tobytes(), np.uint8)[1:].view("float32").reshape(x.shape)
    else:
        given = x if layout == "native" else np.asfortranarray(x)
    assert given.flags.aligned == (layout != "misaligned")
    gathered = rng.permutation(50)[:30]
    buffer = Batches(given[..., None]).inputs(gathered, Space("float32"))
    np.testing.assert_array_equal(buffer[..., 0], x[gathered])


# ------------------------------------------------------------------------------------------------- in pieces


@pytest.mark.parametrize("rows", [1, 7, 4000])
def test_extremes_are_those_of_the_whole(rows, rng):
    """Rows of a kB and of far more than a piece."""
    array = rng.standard_normal((rows, 300 * 4000 // rows))
    assert min_and_max(array) == (array.min(), array.max())
    assert sum(len(piece) for _, piece in chunks(array)) == rows
    assert all(len(piece) == 1 or piece.nbytes <= CHUNK for _, piece in chunks(array))
    assert next(chunks(array))[0] == 0


def test_extremes_of_nonfinite_and_empty_arrays(rng):
    array = np.zeros((5000, 300))
    assert min_and_max(array[:0]) == (0, 0) == min_and_max(array[:, :0])
    array[4999, 299] = np.inf
    assert min_and_max(array) == (0, np.inf)
    array[2500, 0] = np.nan
    assert np.isnan(min_and_max(array)).all()
    assert min_and_max(np.array([True, False])) == (0, 1)
    assert min_and_max(np.array([3, 250], np.uint8)) == (3, 250)


def test_the_first_image_that_is_not_finite_is_found_in_any_piece(rng):
    x = np.zeros((3000, 30, 30))
    x[2777, 4, 4], x[2900] = np.inf, np.nan
    with pytest.raises(ValueError, match="got NaN or infinity in image 2777;"):
        small().fit(x, np.zeros(3000, int))
