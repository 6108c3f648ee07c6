"""How conv2d_relu_pool and its gradients divide their work: any number of threads, large batches, Ctrl-C."""

import numpy as np
import pytest

import chain
from compare import assert_exact, integers, normals
from gwucnn import ops

# Shapes of x and weight, options, each cut another way. The first three have gradients from lists, the others from
# masks. Large enough that threads are started: 0.2 million operations for each.
WORK = {
    "many images": ((12, 15, 17, 16), (3, 3, 16, 18), {}),
    "one image of many rows": ((1, 66, 31, 16), (3, 3, 16, 24), {"padding": "same"}),
    "few pixels, many filters": ((2, 6, 8, 48), (3, 3, 48, 160), {"padding": "same"}),
    "one channel": ((13, 28, 29, 1), (3, 3, 1, 32), {}),
    "strips of a wide image": ((2, 60, 401, 3), (3, 3, 3, 16), {"padding": 1}),
    "strides": ((5, 41, 43, 4), (5, 4, 4, 32), {"strides": (2, 1), "padding": 2}),
}

every_work = pytest.mark.parametrize("work", WORK.values(), ids=[name.replace(" ", "-") for name in WORK])


def all_of(x, weight, bias, dy, options):
    """Return the results of the three ops, the last only where there are channels enough on every machine."""
    winner = np.empty(dy.shape, np.uint8)
    y = ops.conv2d_relu_pool(x, weight, bias, winner=winner, **options)
    dweight, dbias = np.zeros_like(weight), np.zeros_like(bias)
    ops.conv2d_relu_pool_backward_weight(x, dy, winner, bias_grad=dbias, out=dweight, **options)
    results = {"y": y, "winner": winner, "dweight": dweight, "dbias": dbias}
    if x.shape[3] % 16 == 0:
        results["dx"] = ops.conv2d_relu_pool_backward_input(dy, winner, weight, x.shape, **options)
    return results


def draw(work, make, rng, dtype):
    x_shape, weight_shape, options = work
    dy = make(rng, chain.pooled_shape(x_shape, weight_shape, **options), dtype)
    return (
        make(rng, x_shape, dtype),
        make(rng, weight_shape, dtype),
        make(rng, weight_shape[3:], dtype),
        dy,
        options,
    )


@every_work
def test_any_number_of_threads_is_right(work, isa, dtype, rng, threads):
    """Whole numbers: any order of sums is exact. One thread does what the geometry tests hold to account."""
    given = draw(work, integers, rng, dtype)
    threads(1)
    alone = all_of(*given)
    for n in (2, 3, 7):
        threads(n)
        for name, got in all_of(*given).items():
            assert_exact(got, alone[name], got.dtype)


@every_work
def test_threads_that_own_what_they_write_do_not_change_a_bit(work, isa, dtype, rng, threads):
    """All but sums by masks, for which images are shared out: those repeat their bits for the same number."""
    given = draw(work, normals, rng, dtype)
    threads(1)
    alone = all_of(*given)
    by_masks = set() if given[0].shape[3] % 16 == 0 else {"dweight", "dbias"}
    for n in (2, 3):
        threads(n)
        first, again = all_of(*given), all_of(*given)
        for name, got in first.items():
            assert got.tobytes() == again[name].tobytes()
            if name not in by_masks:
                assert got.tobytes() == alone[name].tobytes()


@pytest.mark.parametrize(
    ("x_shape", "weight_shape"),
    [((60, 34, 34, 64), (3, 3, 64, 64)), ((64, 66, 66, 4), (3, 3, 4, 64))],
    ids=["lists", "masks"],
)
def test_work_that_stops_to_look_for_ctrl_c(x_shape, weight_shape, rng, threads):
    """More than 1e9 operations on one thread are done in pieces; those of a quarter of the images in one."""
    threads(1)
    x, weight, bias, dy, options = draw((x_shape, weight_shape, {}), integers, rng, np.float32)
    whole = all_of(x, weight, bias, dy, options)
    N = len(x) // 4
    parts = [all_of(x[n : n + N], weight, bias, dy[n : n + N], options) for n in range(0, len(x), N)]
    for name, got in whole.items():
        pieces = [part[name] for part in parts]
        assert_exact(got, sum(pieces) if name in {"dweight", "dbias"} else np.concatenate(pieces), got.dtype)
