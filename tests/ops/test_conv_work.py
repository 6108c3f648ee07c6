"""The division of a convolution into threads, strips and blocks does not affect results; Ctrl-C stops it."""

import numpy as np
import pytest

from compare import assert_exact, integers, normals
from gwucnn import ops

# Shapes of x and weight, options: each is cut another way.
WORK = {
    "many images": ((16, 15, 17, 5), (3, 3, 5, 18), {}),
    "one image of many rows": ((1, 90, 31, 4), (3, 3, 4, 18), {"padding": "same"}),
    "strips of a wide image": ((2, 70, 400, 3), (3, 3, 3, 7), {"padding": 1}),
    "few rows, many filters": ((1, 6, 40, 16), (3, 3, 16, 160), {"padding": "same"}),
    "one channel": ((24, 30, 29, 1), (3, 3, 1, 16), {}),
    "many channels and filters": ((2, 9, 9, 48), (3, 3, 48, 80), {}),
    "strides": ((3, 41, 43, 8), (5, 4, 8, 33), {"strides": (3, 2), "padding": 2}),
    "groups": ((5, 19, 21, 12), (3, 3, 4, 30), {"groups": 3, "dilation_rate": 2}),
    "depthwise": ((3, 33, 31, 37), (3, 3, 1, 37), {"groups": 37, "padding": "same"}),
    "depthwise strips": ((1, 90, 41, 64), (3, 3, 1, 64), {"groups": 64, "strides": 2, "padding": 1}),
    "depth multiplier": ((2, 40, 33, 18), (3, 3, 1, 36), {"groups": 18, "padding": 1}),
    "many groups": ((2, 30, 33, 48), (3, 3, 4, 48), {"groups": 12, "padding": 1}),
    "many groups, strides": ((2, 40, 37, 24), (3, 3, 2, 36), {"groups": 12, "strides": 2}),
    "few filters": ((5, 40, 37, 3), (3, 3, 3, 2), {"padding": "same"}),
    "few filters of a large image": ((1, 150, 300, 2), (3, 3, 2, 8), {"padding": 1}),
    "few filters of many channels": ((5, 21, 19, 40), (3, 3, 40, 3), {"strides": (2, 1), "padding": 1}),
    "small images": ((50, 5, 6, 33), (3, 3, 33, 40), {"padding": "same"}),
    "small images, strides": ((41, 8, 8, 64), (3, 3, 64, 96), {"strides": 2, "padding": "same"}),
    "1 x 1 filters": ((3, 23, 21, 20), (1, 1, 20, 40), {}),
    "few pixels": ((1, 6, 7, 136), (3, 3, 136, 208), {"padding": "same"}),
    "few pixels, 1 x 1": ((1, 8, 8, 300), (1, 1, 300, 520), {}),
}

every_work = pytest.mark.parametrize("work", WORK.values(), ids=[name.replace(" ", "-") for name in WORK])


def all_three(x, weight, dy, options):
    return (
        ops.conv2d(x, weight, **options),
        ops.conv2d_backward_input(dy, weight, x.shape, **options),
        ops.conv2d_backward_weight(x, dy, weight.shape, **options),
    )


@every_work
def test_any_number_of_threads_is_right(work, isa, dtype, rng, threads):
    """Whole numbers: any order of sums is exact. One thread does what the geometry tests hold to account."""
    x_shape, weight_shape, options = work
    x, weight = integers(rng, x_shape, dtype), integers(rng, weight_shape, dtype)
    threads(1)
    dy = integers(rng, ops.conv2d(x, weight, **options).shape, dtype)
    alone = all_three(x, weight, dy, options)
    for n in (2, 3, 7):
        threads(n)
        for got, want in zip(all_three(x, weight, dy, options), alone, strict=True):
            assert_exact(got, want, dtype)


@every_work
def test_a_number_of_threads_repeats_its_bits(work, rng, threads):
    x_shape, weight_shape, options = work
    x, weight = normals(rng, x_shape, "float32"), normals(rng, weight_shape, "float32")
    for n in (1, 2):
        threads(n)
        dy = normals(rng, ops.conv2d(x, weight, **options).shape, "float32")
        first = [array.tobytes() for array in all_three(x, weight, dy, options)]
        assert [array.tobytes() for array in all_three(x, weight, dy, options)] == first


def test_work_that_stops_to_look_for_ctrl_c(rng, threads):
    """1.2e9 operations on one thread are done in two pieces; those of half the images in one."""
    threads(1)
    x, weight = integers(rng, (16, 34, 34, 64), "float32"), integers(rng, (3, 3, 64, 64), "float32")
    dy = integers(rng, (16, 32, 32, 64), "float32")
    whole = all_three(x, weight, dy, {})
    first, second = (all_three(x[half], weight, dy[half], {}) for half in (slice(8), slice(8, 16)))
    assert_exact(whole[0], np.concatenate([first[0], second[0]]), "float32")
    assert_exact(whole[1], np.concatenate([first[1], second[1]]), "float32")
    assert_exact(whole[2], first[2] + second[2], "float32")


@every_work
@pytest.mark.parametrize("n", [1, 2])
def test_weight_gradient_can_be_added(work, n, isa, dtype, rng, threads):
    """With accumulate=True `out` is added to, as a layer's gradient is, and the sum is returned."""
    x_shape, weight_shape, options = work
    threads(n)
    x, weight = integers(rng, x_shape, dtype), integers(rng, weight_shape, dtype)
    dy = integers(rng, ops.conv2d(x, weight, **options).shape, dtype)
    out = weight.copy()
    got = ops.conv2d_backward_weight(x, dy, weight_shape, **options, out=out, accumulate=True)
    assert got is out
    assert_exact(out, weight + ops.conv2d_backward_weight(x, dy, weight_shape, **options), dtype)


def test_adding_nothing_and_adding_to_nothing(dtype, rng):
    """An empty batch adds zero; without `out` there is nothing to add to."""
    out = integers(rng, (3, 2, 2, 5), dtype)
    want = out.copy()
    x, dy = np.zeros((0, 6, 5, 2), dtype), np.zeros((0, 4, 4, 5), dtype)
    ops.conv2d_backward_weight(x, dy, out.shape, out=out, accumulate=True)
    assert_exact(out, want, dtype)
    with pytest.raises(ValueError, match=r"^conv2d_backward_weight: .*\bout="):
        ops.conv2d_backward_weight(x, dy, out.shape, accumulate=True)
