"""Random numbers are the published function of key and counter for any number of threads; dropout masks."""

import numpy as np
import pytest

import reference
from compare import assert_exact, normals
from gwucnn import ops
from gwucnn.common.errors import ShapeError

KEYS = [0, 1, 2**32, 0x299F31D0A4093822, 2**64 - 1]


def state_of(key, draws=0):
    return np.array([key, draws], np.uint64)


def test_the_reference_gives_the_published_values():
    """Random123's kat_vectors for philox4x32-10: the first, the second, and digits of pi."""
    ones = 0xFFFFFFFF
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
    assert reference.philox((0,) * 4, (0,) * 2) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert reference.philox((ones,) * 4, (ones,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    assert reference.philox(*pi) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("size", [1, 15, 16, 17, 63, 64, 65, 300])
def test_numbers_equal_the_reference(key, size, isa, dtype):
    for draw in (0, 1, 2**32 - 1, 2**40 + 3):
        state = state_of(key, draw)
        words = reference.random_words(key, draw, size)
        want = words / 2**32 if dtype == "float64" else (words >> 8) / 2**24
        assert_exact(ops.random_uniform(state, out=np.empty(size, dtype)), want, dtype)
        assert state.tolist() == [key, draw + 1]


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.25, 0.5, 1 / 3, 0.999, 1 - 2**-53])
def test_a_mask_is_zero_where_the_number_is_below_the_rate(rate, isa):
    words = reference.random_words(5, 9, 500)
    mask = ops.random_mask(state_of(5, 9), rate, out=np.empty(500, np.uint8))
    np.testing.assert_array_equal(mask, words >= min(round(rate * 2**32), 2**32 - 1))
    assert mask.all() or rate


def test_numbers_are_spread_evenly_and_do_not_depend_on_their_neighbours():
    """A million numbers in 100 boxes, and pairs in 10 x 10: chi squared of 99 degrees is below 180 but once in a million."""
    x = np.concatenate([ops.random_uniform(state_of(3, draw), out=np.empty(100_000)) for draw in range(10)])
    for boxes in ((x * 100).astype(int), (x * 10).astype(int)[:-1] * 10 + (x * 10).astype(int)[1:]):
        counts = np.bincount(boxes, minlength=100)
        assert len(counts) == 100
        assert np.sum((counts - len(boxes) / 100) ** 2) / (len(boxes) / 100) < 180


def test_threads_and_pieces_change_nothing(threads, dtype):
    """So many numbers that two threads share them, and the longer draw begins with the shorter one."""
    threads(1)
    alone = ops.random_uniform(state_of(7), out=np.empty(100_001, dtype))
    mask = ops.random_mask(state_of(7), 0.3, out=np.empty(100_001, np.uint8))
    for n in (2, 3):
        threads(n)
        assert_exact(ops.random_uniform(state_of(7), out=np.empty((7, 14_286), dtype)).ravel()[:100_001], alone, dtype)
        np.testing.assert_array_equal(ops.random_mask(state_of(7), 0.3, out=np.empty(100_001, np.uint8)), mask)


def test_a_bound_step_draws_anew_each_time_and_the_state_is_all_there_is():
    state = state_of(11)
    step = ops.random_uniform.bind(state, out=np.empty(70))
    first, second = step().copy(), step().copy()
    assert (first != second).all() and state[1] == 2
    state[1] = 0
    np.testing.assert_array_equal(step(), first)


def test_an_empty_draw_is_none():
    state = state_of(1)
    assert ops.random_uniform(state, out=np.empty((0, 3))).shape == (0, 3)
    assert state[1] == 0


@pytest.mark.parametrize("op", ["random_uniform", "random_mask"])
@pytest.mark.parametrize("state", [[1, 0], np.zeros(2), np.zeros(3, np.uint64), np.zeros((2, 1), np.uint64), None])
def test_a_state_that_is_none_is_refused(op, state):
    arguments = (0.5,) if op == "random_mask" else ()
    with pytest.raises(TypeError, match=rf"^{op}: expected state to be an array of two uint64, key and count, got "):
        getattr(ops, op)(state, *arguments, out=np.empty(3, "uint8" if arguments else "float32"))


def test_what_cannot_be_written_is_refused():
    state = state_of(1)
    for op, arguments, dtype in (("random_uniform", (), "float32"), ("random_mask", (0.5,), "uint8")):
        with pytest.raises(ValueError, match=f"^{op}: expected out to be a writeable"):
            getattr(ops, op)(state, *arguments, out=np.empty((3, 6), dtype)[:, ::2])
        with pytest.raises(TypeError, match=f"^{op}: "):
            getattr(ops, op)(state, *arguments, out=np.empty(3, "int32"))
    state.flags.writeable = False
    with pytest.raises(ValueError, match="^random_uniform: expected state to be a writeable"):
        ops.random_uniform(state, out=np.empty(3))


# ---------------------------------------------------------------------------------------------------- dropping out


@pytest.mark.parametrize("shape", [(0, 3), (1,), (3, 7), (2, 3, 5, 4), (4, 33), (2, 5000)])
@pytest.mark.parametrize("rate", [0.0, 0.5, 0.9])
def test_dropout(shape, rate, isa, dtype, rng):
    x, mask = normals(rng, shape, dtype), rng.integers(0, 2, shape).astype("uint8")
    want = np.where(mask, x * dtype.type(1 / (1 - rate)), 0)
    assert_exact(ops.dropout(x, mask, rate), want, dtype)
    assert ops.dropout(x, mask, rate, out=x) is x
    assert_exact(x, want, dtype)


@pytest.mark.parametrize("shape", [(0, 2, 2, 3), (2, 3, 4, 5), (3, 1, 1, 17), (2, 40, 40, 8), (5, 6, 33)])
def test_dropout_of_channels(shape, isa, dtype, rng, threads):
    x, mask = normals(rng, shape, dtype), rng.integers(0, 2, (shape[0], shape[-1])).astype("uint8")
    spread = mask.reshape(shape[0], *[1] * (len(shape) - 2), shape[-1])
    want = np.where(spread, x * dtype.type(2), 0)
    for n in (1, 2):
        threads(n)
        assert_exact(ops.dropout(x, mask, 0.5), want, dtype)


def test_what_is_dropped_is_gone_and_what_stays_keeps_its_nan():
    x = np.array([np.nan, np.inf, np.nan, -np.inf, 1.0])
    with np.errstate(invalid="ignore"):
        assert_exact(ops.dropout(x, np.array([0, 0, 1, 1, 0], "uint8"), 0.5), [0, 0, np.nan, -np.inf, 0], "float64")


@pytest.mark.parametrize("rate", [1, -0.1, 1.5, np.nan, True, "half", None])
def test_rates_out_of_range_are_refused(rate):
    for call in (
        lambda: ops.dropout(np.ones(3), np.ones(3, "uint8"), rate),
        lambda: ops.random_mask(state_of(1), rate, out=np.empty(3, "uint8")),
    ):
        with pytest.raises(ValueError, match=r"expected rate to be a number from 0 to less than 1, got "):
            call()


def test_masks_that_do_not_fit_are_refused():
    x = np.ones((2, 3, 4))
    for shape in [(2, 3), (3, 4), (2,), (2, 4, 3), (2, 1, 4)]:
        with pytest.raises(ShapeError, match=r"^dropout: expected mask of shape \(2, 3, 4\) or \(2, 4\), got "):
            ops.dropout(x, np.ones(shape, "uint8"), 0.5)
    with pytest.raises(TypeError, match="^dropout: expected mask of uint8, got bool"):
        ops.dropout(x, np.ones(x.shape, bool), 0.5)
