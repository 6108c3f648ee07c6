"""Batches of different sizes share the same buffers."""

import numpy as np
import pytest

from gwucnn.data.batches import Batches
from gwucnn.memory.workspace import Space


@pytest.mark.parametrize("sizes", [[7, 7, 6, 7, 6], [6, 7, 6], [3, 1, 3], [5, 0, 5]])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_sample_has_its_part_of_its_own_batch(sizes, weighted, rng):
    """Also after a smaller batch, the last of an epoch, and between batches with weights."""
    x, y, weights = rng.random((7, 3)), rng.integers(0, 2, 7), rng.random(7)
    plain, heavy, space = Batches(x, y), Batches(x, y, weights), Space("float64")
    for size in sizes:
        batch = plain.batch(slice(0, size), (2,), space)
        np.testing.assert_array_equal(batch.share, np.full(size, 1 / size) if size else [])
        assert batch.weight == size and batch.weights is None
        np.testing.assert_array_equal(batch.x, x[:size])
        np.testing.assert_array_equal(batch.target, np.eye(2)[y[:size]])
        if weighted:
            batch = heavy.batch(slice(0, size), (2,), space)
            np.testing.assert_allclose(batch.share, weights[:size] / weights[:size].sum(), rtol=1e-14)
            assert batch.weight == pytest.approx(weights[:size].sum())


def test_arrays_of_another_byte_order_are_not_plain_rows(rng):
    """Whoever copies rows as they lie would read other numbers."""
    x, y = rng.random((7, 3)), rng.integers(0, 2, 7)
    assert Batches(x, y).plain
    assert not Batches(x.astype(">f8"), y).plain and not Batches(x, y.astype(">i8")).plain
    assert not Batches(x[:, ::-1], y).plain and not Batches(x, y, rng.random(7)).plain
