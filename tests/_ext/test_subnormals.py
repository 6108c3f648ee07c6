"""Subnormal numbers are flushed to zero while a step computes, and at no other time."""

import threading

import numpy as np
import pytest

from compare import assert_exact
from gwucnn import ops

pytestmark = pytest.mark.parametrize("count", [1, 2])


def halved(dtype):
    """Return half of the smallest normal number, computed by this thread: 0 if the thread flushes subnormals."""
    return float(np.array([np.finfo(dtype).smallest_normal], dtype)[0] / np.array(2, dtype))


def test_a_convolution_treats_subnormal_inputs_and_products_as_zero(isa, dtype, threads, count):
    threads(count)
    smallest = np.finfo(dtype).smallest_normal
    x = np.full((8, 30, 30, 8), smallest / 4, dtype)  # enough work for two threads
    weight = np.full((3, 3, 8, 16), 2.0, dtype)
    assert_exact(ops.conv2d(x, weight), np.zeros((8, 28, 28, 16)), dtype)
    x.fill(smallest)
    assert_exact(ops.conv2d(x, weight / 256), np.zeros((8, 28, 28, 16)), dtype)
    assert (ops.conv2d(x, weight) > 0).all()


def test_a_step_restores_the_mode_of_all_threads(isa, dtype, threads, count):
    threads(count)
    want = halved(dtype)
    assert want > 0
    x, weight = np.ones((8, 30, 30, 8), dtype), np.ones((3, 3, 8, 16), dtype)
    ops.conv2d(x, weight)
    assert halved(dtype) == want
    seen = []
    thread = threading.Thread(target=lambda: (ops.conv2d(x, weight), seen.append(halved(dtype))))
    thread.start()
    thread.join()
    assert seen == [want]


def test_a_step_that_checks_for_signals_restores_the_mode(threads, count):
    threads(count)
    want = halved("float32")
    ops.conv2d(np.ones((64, 58, 58, 32), "float32"), np.ones((3, 3, 32, 64), "float32"))
    assert halved("float32") == want > 0
