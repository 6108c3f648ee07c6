"""No op reads or writes outside of its arrays, whatever their shapes: arrays next to guard pages, in a subprocess.

Run as a program (python test_bounds.py VARIANT end|start), this file makes all calls and prints each one before making
it, so that after a crash the last line names the call at fault.
"""

import sys

import numpy as np
import pytest

import reference
from compare import assert_exact, integers
from geometries import CONV, DENSE, POOL, TRANSPOSED
from guarded import AVAILABLE, guarded, run_apart
from gwucnn import kernels, ops

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="needs mprotect")


def calls(rng, dtype):
    """Yield (name, op, arrays, other arguments, keywords) for every geometry, forward and backward."""
    for case in CONV:
        x, weight, bias = (integers(rng, s, dtype) for s in (case.x, case.weight, case.weight[3:]))
        dy = integers(rng, reference.conv2d(x, weight, **case.options).shape, dtype)
        yield case.why, "conv2d", (x, weight, bias), (), case.options
        yield case.why, "conv2d", (x, weight), (), case.options
        yield case.why, "conv2d_backward_input", (dy, weight), (case.x,), case.options
        yield case.why, "conv2d_backward_weight", (x, dy), (case.weight,), case.options
    for case in TRANSPOSED:
        F = case.weight[2] * case.options.get("groups", 1)
        x, weight, bias = (integers(rng, s, dtype) for s in (case.x, case.weight, (F,)))
        dy = integers(rng, reference.conv2d_transpose(x, weight, **case.options).shape, dtype)
        yield case.why, "conv2d_transpose", (x, weight, bias), (), case.options
        yield case.why, "conv2d_transpose", (x, weight), (), case.options
        yield case.why, "conv2d_transpose_backward_input", (dy, weight), (case.x,), case.options
        yield case.why, "conv2d_transpose_backward_weight", (x, dy), (case.weight,), case.options
    for case in POOL:
        x = integers(rng, case.x, dtype)
        y, winner = reference.max_pool2d(x, case.pool_size, **case.options)
        byte = np.prod(reference.pair(case.pool_size)) <= 255
        winner = winner.astype("uint8" if byte else "int32")
        yield case.why, "max_pool2d", (x,), (case.pool_size,), case.options
        yield case.why, "max_pool2d", (x,), (case.pool_size,), {**case.options, "winner": winner}
        dy = integers(rng, y.shape, dtype)
        yield case.why, "max_pool2d_backward", (dy, winner), (case.x, case.pool_size), case.options
        for options in (case.options, {**case.options, "count_include_pad": True}):
            yield case.why, "average_pool2d", (x,), (case.pool_size,), options
            yield case.why, "average_pool2d_backward", (dy,), (case.x, case.pool_size), options
        yield case.why, "to_channels_first", (x,), (), {}
        yield case.why, "to_channels_last", (x,), (), {}
        for border in (0, (2, 1), ((0, 3), (1, 0))):
            padded = ops.zero_pad2d(x, border)
            yield case.why, "zero_pad2d", (x,), (border,), {}
            yield case.why, "zero_pad2d_backward", (padded,), (border,), {}
        for size in (1, (2, 3)):
            yield case.why, "upsample2d", (x,), (size,), {}
            yield case.why, "upsample2d_backward", (ops.upsample2d(x, size),), (size,), {}
        for kind, gate in (("channels", x[:, :1, :1]), ("pixels", x[..., :1])):
            yield case.why, f"scale_{kind}", (x, np.ascontiguousarray(gate)), (), {}
            yield case.why, f"scale_{kind}_backward_gate", (x, x + 1), (), {}
        matrices = integers(rng, (len(x), 2, 3), dtype) / 3
        for matrix in (matrices, matrices * 1e9, np.full_like(matrices, np.nan)):
            yield case.why, "affine_warp", (x, matrix), (0.5,), {}
            yield case.why, "affine_warp_backward", (x, matrix), (), {}
    for case in DENSE:
        (N, D), U = case.x, case.units
        x, weight, bias, dy = (integers(rng, s, dtype) for s in ((N, D), (D, U), (U,), (N, U)))
        yield case.why, "dense", (x, weight, bias), (), {}
        yield case.why, "dense_backward_input", (dy, weight), (), {}
        yield case.why, "dense_backward_weight", (x, dy), (), {}
    for length in (0, 1, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 100):
        x, y = integers(rng, (2, length + 1), dtype), integers(rng, (2, length + 1), dtype)
        for op in ("relu", "sigmoid", "softmax", "tanh", "leaky_relu", "elu", "gelu", "silu", "softplus"):
            yield f"{length + 1} numbers", op, (x,), (), {}
            yield f"{length + 1} numbers", f"{op}_backward", (x, y), (), {}
        yield f"{length + 1} numbers", "add", (x, y), (), {"relu": True}
        for op in ("subtract", "multiply", "maximum"):
            yield f"{length + 1} numbers", op, (x, y), (), {}
        yield f"{length + 1} numbers", "maximum_backward", (x, y, x - y), (), {}
        for start in {0, length // 2, length}:
            channels = (start, length + 1 - start)
            yield f"channels from {start} of {length + 1}", "take_channels", (x,), channels, {}
        for scale in (0.5, x[0]):
            yield f"{length + 1} numbers", "rescale", (x,), (scale, -1.0), {}
        numbers = np.linspace(0, 0.99, length, dtype=dtype)
        size = (length + 1, 3)
        for op, arguments in (("rotation_matrices", (size, 0.1)), ("zoom_matrices", (size, 0.1)),
                              ("flip_matrices", (size, "vertical"))):  # fmt: skip
            yield f"{length} numbers", op, (numbers[:, None],), arguments, {}
        both = np.stack([numbers, numbers], axis=1)
        for op, arguments in (("translation_matrices", (size, 0.1, 0.2)), ("zoom_matrices", (size, 0.1, 0.2)),
                              ("flip_matrices", (size,))):  # fmt: skip
            yield f"{length} numbers", op, (both,), arguments, {}
        mask, state = np.ones(x.shape, "uint8"), np.zeros(2, "uint64")
        yield f"{length + 1} numbers", "dropout", (x, mask), (0.5,), {}
        images = x.reshape(2, 1, -1, 1)
        yield f"{length + 1} pixels", "dropout", (images, mask[:, :1].copy()), (0.5,), {}
        yield f"{length + 1} numbers", "random_mask", (state,), (0.5,), {"out": mask}
        yield f"{length + 1} numbers", "random_uniform", (state,), (), {"out": x.copy()}
    yield from normalisations(rng, dtype)


def normalisations(rng, dtype):
    """Yield the calls of `calls` for batch and layer normalisation."""
    for shape in [(1, 1), (5, 3), (3, 33, 1, 2), (33, 64), (2, 5, 5, 65), (3, 200), (35, 31), (2, 70, 50, 1)]:
        x, dy = integers(rng, shape, dtype), integers(rng, shape, dtype)
        a, b, mean, variance, more = (abs(integers(rng, shape[-1:], dtype)) for _ in range(5))
        sums, moved, t = integers(rng, (2, shape[-1]), dtype), mean.copy(), np.zeros(1, "int64")
        grads = {"gamma_grad": a.copy(), "beta_grad": b.copy()}
        yield f"{shape}", "batch_statistics", (x,), (), {"variance": variance.copy()}
        yield f"{shape}", "batch_norm", (x, a, b, mean, variance), (0.5,), {}
        yield f"{shape}", "batch_norm_backward_sums", (dy, x, mean, variance), (0.5,), grads
        yield f"{shape}", "batch_norm_backward", (dy, x, a, mean, variance), (0.5,), {"sums": sums}
        yield f"{shape}", "batch_norm_backward", (dy, x, a, mean, variance), (0.5,), {}
        line = a, b
        yield f"{shape}", "batch_norm_relu", (x, a, b, mean, variance), (0.5,), {"line": np.stack(line)}
        yield (
            f"{shape}",
            "batch_norm_relu_backward_sums",
            (dy, x, np.stack(line), mean, variance),
            (0.5,),
            grads,
        )
        yield f"{shape}", "batch_norm_relu_backward", (dy, x, *line, mean, variance), (0.5,), {"sums": sums}
        yield f"{shape}", "batch_norm_relu_backward", (dy, x, *line, mean, variance), (0.5,), {}
        yield f"{shape}", "move_statistics", (variance, t, a, more), (0.5,), {"out": moved}
        yield f"{shape}", "fold_batch_norm", (x, a, b, mean, variance, more), (0.5,), {"bias_out": a.copy()}
        yield f"{shape}", "layer_norm", (x, a, b), (0.5,), {}
        yield f"{shape}", "layer_norm_backward", (dy, x, a), (0.5,), grads


def copies(values):
    """Return the values with arrays copied, because some ops change their arguments."""
    return [value.copy() if isinstance(value, np.ndarray) else value for value in values]


def call_all(variant, at):
    """Make every call twice, in ordinary memory and next to the guard page, and compare the results."""
    kernels.select(variant)
    for dtype in ("float32", "float64"):
        for why, op, arrays, args, options in calls(np.random.default_rng(0), dtype):
            print(f"{op}, {dtype}, {why}", flush=True)
            want = getattr(ops, op)(*copies(arrays), *args, **dict(zip(options, copies(options.values()), strict=True)))
            before = options["out"] if "out" in options else np.full_like(want, np.nan)
            out = guarded(before, at)
            options = {k: guarded(v, at) if isinstance(v, np.ndarray) else v for k, v in options.items()}
            getattr(ops, op)(*(guarded(array, at) for array in arrays), *args, **options | {"out": out})
            assert_exact(out, want, want.dtype)


@pytest.mark.parametrize("at", ["end", "start"])
@pytest.mark.parametrize("variant", kernels.supported())
def test_no_op_accesses_memory_outside_its_arrays(variant, at):
    done = run_apart("-X", "faulthandler", __file__, variant, at)
    last = "".join(done.stdout.splitlines()[-1:])
    assert done.returncode == 0, f"exited with {done.returncode} in: {last}\n{done.stderr}"
    assert last == "all calls made"


@pytest.mark.parametrize(("at", "index"), [("end", 10), ("start", -1)])
def test_reading_a_guard_page_ends_the_process(at, index):
    """Reading a single element outside of the array, through a plain pointer, ends the process."""
    reads = (
        "import ctypes, numpy, guarded\n"
        f"x = guarded.guarded(numpy.arange(10.0), {at!r})\n"
        "pointer = ctypes.cast(x.ctypes.data, ctypes.POINTER(ctypes.c_double))\n"
        "print(pointer[0], pointer[9], flush=True)\n"
        f"print(pointer[{index}])\n"
    )
    done = run_apart("-c", reads)
    assert done.stdout == "0.0 9.0\n"
    assert done.returncode < 0


if __name__ == "__main__":
    call_all(*sys.argv[1:])
    print("all calls made")
