"""Memory of training: buffers are allocated in the first batch and never again."""

import gc
import tracemalloc

import numpy as np
import pytest

from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D
from trainees import deep

LARGE = 64 * 1024


class Peak:
    """Stands where some batches are trained on, and watches what is allocated."""

    def __init__(self, made):
        self.step, self.batches, self.peaks = made._train, 0, []
        made._train = self

    def __call__(self, *args):
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        batches = self.step(*args)
        self.batches += batches
        self.peaks.append(tracemalloc.get_traced_memory()[1] - before)
        return batches


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
    assert watch.batches == 51
    assert watch.peaks[0] > LARGE, "the first batch takes the buffers: so the measurement sees them"
    assert max(watch.peaks[1:]) < LARGE


def test_memory_does_not_grow_with_the_number_of_calls(rng):
    """Neither predictions of all sizes, nor epochs, nor batches of odd sizes leave anything behind."""
    made = deep(precision="float32")
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
