"""Convolution with pooling and its gradients access nothing outside of their arrays; see test_bounds.py.

The winners are arbitrary bytes here, including values that no forward pass writes. Run as a program
(python test_bounds_conv_pool.py VARIANT end|start), this file makes all calls and prints each one before making it.
"""

import sys

import numpy as np
import pytest

import chain
from compare import assert_exact, integers
from geometries import CONV_POOL
from guarded import AVAILABLE, guarded, run_apart
from gwucnn import kernels, ops

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="needs mprotect")


def forward(case, place, rng, dtype):
    """Return y and winner, computed in arrays allocated by `place`, and the exact results."""
    x, weight, bias = (integers(rng, shape, dtype) for shape in (case.x, case.weight, case.weight[3:]))
    want = chain.forward(x, weight, bias, **case.options)
    winner, out = place(np.full(want[1].shape, 99, np.uint8)), place(np.full(want[1].shape, np.nan, dtype))
    ops.conv2d_relu_pool(place(x), place(weight), place(bias), winner=winner, out=out, **case.options)
    return (out, winner), want


def draw_winners(case, rng):
    """Return random winners, most of which are valid positions in a window."""
    winner = rng.integers(0, 256, chain.pooled_shape(case.x, case.weight, **case.options)).astype(np.uint8)
    winner[rng.random(winner.shape) < 0.7] &= 3
    return winner


def backward_weight(case, place, rng, dtype):
    winner = draw_winners(case, rng)
    x, dy = integers(rng, case.x, dtype), integers(rng, winner.shape, dtype)
    out, bias_grad = place(np.zeros(case.weight, dtype)), place(np.zeros(case.weight[3:], dtype))
    arrays = place(x), place(dy), place(winner)
    ops.conv2d_relu_pool_backward_weight(*arrays, bias_grad=bias_grad, out=out, **case.options)
    return (out, bias_grad), chain.backward_weight(x, dy, winner, case.weight, **case.options)


def backward_input(case, place, rng, dtype):
    winner = draw_winners(case, rng)
    dy, weight = integers(rng, winner.shape, dtype), integers(rng, case.weight, dtype)
    out = place(np.full(case.x, np.nan, dtype))
    arrays = place(dy), place(winner), place(weight)
    ops.conv2d_relu_pool_backward_input(*arrays, case.x, out=out, **case.options)
    return (out,), (chain.backward_input(dy, winner, weight, case.x, **case.options),)


def calls(dtype):
    """Yield all pairs of a computation and a case that it has a kernel for."""
    lanes = kernels.active.LANES[np.dtype(dtype).char]
    for case in CONV_POOL:
        KH, KW, C, F = case.weight
        lists = (KH, KW) == (3, 3) and C % lanes == 0 and not case.options.keys() & {"groups", "dilation_rate"}
        yield forward, case
        if lists or (F % lanes == 0 and "groups" not in case.options):
            yield backward_weight, case
        if lists:
            yield backward_input, case


def call_all(variant, at):
    kernels.select(variant)
    for dtype in ("float32", "float64"):
        for compute, case in calls(dtype):
            print(f"{compute.__name__}, {dtype}, {case.why}", flush=True)
            got, want = compute(case, lambda array: guarded(array, at), np.random.default_rng(0), dtype)
            for computed, exact in zip(got, want, strict=True):
                assert_exact(computed, exact, computed.dtype)


@pytest.mark.parametrize("at", ["end", "start"])
@pytest.mark.parametrize("variant", kernels.supported())
def test_no_op_accesses_memory_outside_its_arrays(variant, at):
    done = run_apart("-X", "faulthandler", __file__, variant, at)
    last = "".join(done.stdout.splitlines()[-1:])
    assert done.returncode == 0, f"exited with {done.returncode} in: {last}\n{done.stderr}"
    assert last == "all calls made"


@pytest.mark.parametrize("compute", [forward, backward_weight, backward_input])
def test_every_computation_has_cases(compute, isa, dtype):
    assert sum(called is compute for called, _ in calls(dtype)) > 10


if __name__ == "__main__":
    call_all(*sys.argv[1:])
    print("all calls made")
