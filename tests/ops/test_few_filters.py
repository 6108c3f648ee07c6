"""Few filters or channels: which kernel is chosen, how NaN and infinity spread, and how sums are rounded.

The shapes of geometries.FEW go through every test of the convolution family.
"""

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, integers, normals
from geometries import FEW, names
from gwucnn import ops

every_few = pytest.mark.parametrize("case", FEW, ids=names(FEW))


@every_few
@np.errstate(invalid="ignore")  # numpy's own products of infinity warn
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_values_spread_to_their_windows_only(case, bad, isa, dtype, rng):
    """Vectors that reach over the end of a row or a run must not let it in."""
    x, weight = integers(rng, case.x, dtype), integers(rng, case.weight, dtype)
    dy = integers(rng, reference.conv2d(x, weight, **case.options).shape, dtype)
    for array in (weight, dy):
        array[array == 0] = 1  # infinity times zero is another question
    for spot in ((0, -1, 0, -1), (0, 0, -1, 0), (-1, x.shape[1] // 2, x.shape[2] // 2, 0)):
        worse, worse_dy = x.copy(), dy.copy()
        worse[spot] = bad
        worse_dy[spot[0], spot[1] % dy.shape[1], spot[2] % dy.shape[2], spot[3]] = bad
        want = reference.conv2d(worse, weight, **case.options)
        assert_exact(ops.conv2d(worse, weight, **case.options), want, dtype)
        want = np.isfinite(reference.conv2d_backward_weight(worse, dy, case.weight, **case.options))
        got = np.isfinite(ops.conv2d_backward_weight(worse, dy, case.weight, **case.options))
        assert not (got & ~want).any()
        assert_exact(got.all(axis=(0, 1, 3)), want.all(axis=(0, 1, 3)), bool)  # of some kernels: all its taps
        want = reference.conv2d_backward_input(worse_dy, weight, case.x, **case.options)
        assert_exact(ops.conv2d_backward_input(worse_dy, weight, case.x, **case.options), want, dtype)


@every_few
def test_rounding_stays_in_its_bound(case, isa, dtype, rng):
    x, weight = normals(rng, case.x, dtype), normals(rng, case.weight, dtype)
    bias = normals(rng, case.weight[3:], dtype)
    want = reference.conv2d(x, weight, bias, **case.options)
    sizes = reference.conv2d(abs(x), abs(weight), abs(bias), **case.options)
    assert_within(ops.conv2d(x, weight, bias, **case.options), want, sizes, np.prod(case.weight[:3]))
    dy = normals(rng, want.shape, dtype)
    want = reference.conv2d_backward_weight(x, dy, case.weight, **case.options)
    sizes = reference.conv2d_backward_weight(abs(x), abs(dy), case.weight, **case.options)
    got = ops.conv2d_backward_weight(x, dy, case.weight, **case.options)
    assert_within(got, want, sizes, dy.size / dy.shape[3])


@pytest.mark.parametrize(
    ("x", "weight", "kernel"),
    [
        ((2, 8, 30, 32), (3, 3, 32, 1), "ChannelsBackwardWeight"),
        ((2, 8, 30, 1), (3, 3, 1, 1), "PixelsBackwardWeight"),
        ((2, 8, 30, 32), (3, 3, 32, 32), "Conv2DBackwardWeight"),
        ((2, 8, 3, 1), (3, 3, 1, 1), "Conv2DBackwardWeight"),
        ((9, 1, 1, 32), (1, 1, 32, 1), "Conv2DBackwardWeight"),
    ],
)
def test_which_kernel_makes_the_gradient_by_weights(x, weight, kernel, isa, rng):
    images = integers(rng, x, "float32")
    dy = ops.conv2d(images, integers(rng, weight, "float32"))
    assert type(ops.conv2d_backward_weight.bind(images, dy, weight)).__name__ == kernel
