"""Numbers too small for full precision are taken for zero while a step computes, and nowhere else."""

import threading

import numpy as np
import pytest

from compare import assert_exact
from gwucnn import ops

pytestmark = pytest.mark.parametrize("count", [1, 2])


def halved(dtype):
    """Half of the smallest normal number, computed here and now: 0 if this thread flushed subnormals."""
    return float(np.array([np.finfo(dtype).smallest_normal], dtype)[0] / np.array(2, dtype))


def test_a_convolution_takes_subnormal_images_and_products_for_zero(isa, dtype, threads, count):
    threads(count)
    smallest = np.finfo(dtype).smallest_normal
    x = np.full((8, 30, 30, 8), smallest / 4, dtype)  # work enough for two threads
    weight = np.full((3, 3, 8, 16), 2.0, dtype)
    assert_exact(ops.conv2d(x, weight), np.zeros((8, 28, 28, 16)), dtype)
    x.fill(smallest)
    assert_exact(ops.conv2d(x, weight / 256), np.zeros((8, 28, 28, 16)), dtype)
    assert (ops.conv2d(x, weight) > 0).all()


def test_the_mode_of_all_threads_is_as_it_was(isa, dtype, threads, count):
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


def test_the_mode_is_as_it_was_where_large_work_is_cut_to_look_for_signals(threads, count):
    threads(count)
    want = halved("float32")
    ops.conv2d(np.ones((64, 58, 58, 32), "float32"), np.ones((3, 3, 32, 64), "float32"))
    assert halved("float32") == want > 0
