"""float64 given to a float32 network is rounded once, to the same bits as batch by batch."""

import numpy as np
import pytest

from gwucnn import Conv2D, Dense, Flatten, GWUNetwork
from gwucnn.data import batches as data_batches
from gwucnn.data.batches import Batches
from trainees import weights


def trained(x, y, *, first=False, **options):
    network = GWUNetwork(
        [Conv2D(3, activation="relu"), Flatten(), Dense(2)],
        seed=0,
        data_format="channels_first" if first else "channels_last",
    )
    network.compile("mse", lr=1e-3)
    history = network.fit(x, y, 3, 8, validation_split=0.25, verbose=0, **options)
    return weights(network), history.history


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, lambda x: x[::-1], lambda x: x.astype(">f8")])
def test_rounded_once_or_in_each_batch_gives_the_same_bits(rng, monkeypatch, layout, first):
    x, y = layout(rng.random((40, 6, 7, 5))), rng.random((40, 2))
    before = x.copy()
    once = trained(x, y, first=first)
    monkeypatch.setattr(data_batches, "LARGEST_COPY", 0)
    each = trained(x, y, first=first)
    for a, b in zip(once[0], each[0], strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("loss", "val_loss"):
        assert once[1][name] == each[1][name]
    np.testing.assert_array_equal(x, before)


def test_what_is_copied_and_what_is_not(rng, tmp_path):
    x, y = rng.random((4, 3)), rng.random((4, 2))
    data = Batches(x, y)
    data.round_once(np.float32)
    assert data.x.dtype == data.targets.dtype == np.float32
    np.testing.assert_array_equal(data.x, x.astype(np.float32))
    mapped = np.asarray(np.memmap(tmp_path / "x", "float64", "w+", shape=(4, 3)))[1:]
    for same, dtype in ((mapped, np.float32), (x, np.float64), (x.astype(np.uint8), np.float32)):
        data = Batches(same)
        data.round_once(dtype)
        assert data.x is same and data.targets is None
