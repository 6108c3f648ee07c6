"""Winograd's algorithm against the accurate answer, and the rule that selects it."""

import numpy as np
import pytest

import reference
from compare import normals
from guarded import AVAILABLE, guarded
from gwucnn import GWUNetwork, kernels, ops
from gwucnn._ext.step import Scratch
from gwucnn.common.windows import Window
from gwucnn.layers import Conv2D, Flatten, MaxPooling2D
from gwucnn.ops.conv_algorithm import use_winograd, use_winograd_for_weights

# (N, H, W, C, F, padding): tiles that fit, that hang over each edge by one, and short ones for one or two
# outputs; widths of one vector of filters beside two; padding on some sides; more tiles than a block has, and
# fewer; as few as `use_winograd` allows. The last one has all kinds of tiles, and two blocks of them and many
# pieces of sums for its gradient by the weights.
CASES = [
    (4, 12, 12, 32, 32, "same"),
    (7, 11, 9, 32, 48, "valid"),
    (29, 6, 6, 64, 32, "valid"),
    (3, 13, 22, 48, 80, ((2, 0), (1, 2))),
    (8, 12, 11, 32, 32, "valid"),
    (40, 4, 8, 32, 48, "valid"),
    (30, 4, 3, 32, 32, ((0, 0), (1, 0))),
    (64, 8, 8, 32, 32, "valid"),
    (2, 8, 8, 32, 64, "same"),
    (16, 4, 4, 32, 32, "valid"),
    (1, 16, 13, 64, 32, "same"),
    (1, 30, 37, 272, 240, "same"),
]


def problem(rng, case, dtype):
    N, H, W, C, F, padding = case
    x, weight = normals(rng, (N, H, W, C), dtype), normals(rng, (3, 3, C, F), dtype)
    OH, OW = reference.output_size((H, W), 3, 1, padding)
    return x, weight, normals(rng, (F,), dtype), normals(rng, (N, OH, OW, F), dtype), {"padding": padding}


def seen_by_pooling(x, padding):
    """Return what to convolve for outputs of even height and width, and how to pad it."""
    pads = [(1, 1), (1, 1)] if padding == "same" else [(0, 0), (0, 0)] if padding == "valid" else padding
    kept = []
    for axis, (before, after) in enumerate(pads, 1):
        odd = (x.shape[axis] + before + after) % 2
        kept.append((before, after - min(odd, after)))
        x = x.take(range(x.shape[axis] - odd + min(odd, after)), axis)
    return x, tuple(kept)


def largest_nearby(sizes):
    """Return, for each pixel and channel, the largest of the sizes at most three pixels away: all of its tile."""
    for axis in (1, 2):
        pads = [(3, 3) if axis == other else (0, 0) for other in range(4)]
        sizes = np.lib.stride_tricks.sliding_window_view(np.pad(sizes, pads), 7, axis).max(-1)
    return sizes


def assert_stated_error(got, want, magnitude, terms):
    """Fail unless the error is below what `use_winograd` states."""
    room = reference.bound(magnitude, terms, got.dtype)
    excess = np.max(np.abs(got - want) / room)
    assert excess <= 1, f"error is {excess:.3g} times the stated bound"


@pytest.mark.parametrize("case", CASES, ids=str)
class TestError:
    def test_forward(self, rng, case, dtype, isa):
        x, weight, bias, _, options = problem(rng, case, dtype)
        got = ops.conv2d(x, weight, bias, winograd=True, **options)
        assert not np.array_equal(got, ops.conv2d(x, weight, bias, **options)), "Winograd was not used"
        sizes = largest_nearby(reference.conv2d(abs(x), abs(weight), abs(bias), **options))
        assert_stated_error(got, reference.conv2d(x, weight, bias, **options), sizes, 9 * case[3])

    def test_backward_input(self, rng, case, dtype, isa):
        x, weight, _, dy, options = problem(rng, case, dtype)
        got = ops.conv2d_backward_input(dy, weight, x.shape, winograd=True, **options)
        sizes = largest_nearby(reference.conv2d_backward_input(abs(dy), abs(weight), x.shape, **options))
        want = reference.conv2d_backward_input(dy, weight, x.shape, **options)
        assert_stated_error(got, want, sizes, 9 * case[4])

    def test_backward_weight(self, rng, case, dtype, isa):
        x, weight, _, dy, options = problem(rng, case, dtype)
        got = ops.conv2d_backward_weight(x, dy, weight.shape, winograd=True, **options)
        sizes = reference.conv2d_backward_weight(abs(x), abs(dy), weight.shape, **options)
        want = reference.conv2d_backward_weight(x, dy, weight.shape, **options)
        assert_stated_error(got, want, sizes, dy[..., 0].size)

    def test_accumulate_adds(self, rng, case, dtype, isa):
        x, weight, _, dy, options = problem(rng, case, dtype)
        once = ops.conv2d_backward_weight(x, dy, weight.shape, winograd=True, **options)
        out = np.ones_like(once)
        ops.conv2d_backward_weight(x, dy, weight.shape, winograd=True, out=out, accumulate=True, **options)
        np.testing.assert_array_equal(out, once + 1)

    @pytest.mark.parametrize("relu", [True, False])
    def test_pooled(self, rng, case, dtype, isa, relu):
        """The bits of the convolution of as much of the image as pooling looks at."""
        x, weight, bias, _, options = problem(rng, case, dtype)
        seen, padding = seen_by_pooling(x, options["padding"])
        full = ops.conv2d(seen, weight, bias, winograd=True, padding=padding)
        full = ops.relu(full) if relu else full
        want_winner = np.empty((len(x), full.shape[1] // 2, full.shape[2] // 2, full.shape[3]), np.uint8)
        want, winner = ops.max_pool2d(full, 2, winner=want_winner), np.empty_like(want_winner)
        got = ops.conv2d_relu_pool(x, weight, bias, winograd=True, relu=relu, winner=winner, **options)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(winner, np.where(want == 0, 4, want_winner) if relu else want_winner)


@pytest.mark.parametrize("case", [CASES[3], CASES[4], CASES[-1]], ids=str)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(rng, case, isa, threads, count):
    x, weight, bias, dy, options = problem(rng, case, "float32")

    def all_three():
        return (
            ops.conv2d(x, weight, bias, winograd=True, **options),
            ops.conv2d_backward_input(dy, weight, x.shape, winograd=True, **options),
            ops.conv2d_backward_weight(x, dy, weight.shape, winograd=True, **options),
        )

    threads(1)
    want = all_three()
    threads(count)
    for got, again, one in zip(all_three(), all_three(), want, strict=True):
        np.testing.assert_array_equal(got, one)
        np.testing.assert_array_equal(again, one)


# Fewer tiles than `use_winograd` asks for: the kernel itself takes any number.
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("vectors", [(1, 1), (1, 3), (3, 1), (5, 7)], ids=str)
@pytest.mark.parametrize("images", [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 9, 2), (2, 7, 6)], ids=str)
def test_weight_gradient_of_few_tiles(rng, images, vectors, accumulate, count, dtype, isa, threads):
    lanes = kernels.active.LANES[dtype.char]
    C, F = (lanes * many for many in vectors)
    x, dy = normals(rng, (*images, C), dtype), normals(rng, (*images, F), dtype)
    before = normals(rng, (3, 3, C, F), dtype) if accumulate else np.full((3, 3, C, F), np.nan, dtype)
    got = before.copy()
    threads(count)
    kernels.active.WinogradConv2DBackwardWeight(x, dy, got, (1, 1), accumulate)()
    before = before.astype("float64") if accumulate else 0
    want = before + reference.conv2d_backward_weight(x, dy, got.shape, padding=1)
    # So few tiles have no stated bound. Taps share their rounding, of the size of the largest; a product that is
    # wrong or left out would be an error of that size itself.
    sizes = reference.conv2d_backward_weight(abs(x), abs(dy), got.shape, padding=1).max((0, 1))
    assert np.all(np.abs(got - want) <= 128 * np.finfo(dtype).eps * (abs(before) + sizes))


# One tile, whole or short; all four kinds in one block, and in two whose border lies within a kind.
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("vectors", [(1, 1), (1, 3), (3, 1), (5, 7)], ids=str)
@pytest.mark.parametrize("images", [(1, 3, 3), (1, 2, 4), (1, 5, 6), (2, 10, 13), (2, 9, 30)], ids=str)
def test_few_tiles(rng, images, vectors, count, dtype, isa, threads):
    lanes = kernels.active.LANES[dtype.char]
    C, F = (lanes * many for many in vectors)
    N, H, W = images
    x, dy, bias = (normals(rng, shape, dtype) for shape in ((N, H, W, C), (N, H, W, F), (F,)))
    weight = normals(rng, (3, 3, C, F), dtype)
    y, dx, pooled = (np.full(s, np.nan, dtype) for s in (dy.shape, x.shape, (N, H // 2, W // 2, F)))
    threads(count)
    kernels.active.WinogradConv2D(x, weight, bias, y, (1, 1))()
    kernels.active.WinogradConv2DBackwardInput(dy, weight, dx, (1, 1))()
    kernels.active.WinogradConv2DPool(x, weight, bias, pooled, None, (1, 1), False)()
    # So few tiles have no stated bound: a tile shares its rounding, of the size of the largest nearby.
    room = 128 * np.finfo(dtype).eps
    want = reference.conv2d(x, weight, bias, padding=1)
    sizes = largest_nearby(reference.conv2d(abs(x), abs(weight), abs(bias), padding=1))
    assert np.all(abs(y - want) <= room * sizes)
    largest, off = ops.max_pool2d(want, 2), ops.max_pool2d(room * sizes, 2)
    assert np.all(abs(pooled - largest) <= off)
    want = reference.conv2d_backward_input(dy, weight, x.shape, padding=1)
    sizes = largest_nearby(reference.conv2d_backward_input(abs(dy), abs(weight), x.shape, padding=1))
    assert np.all(abs(dx - want) <= room * sizes)


@pytest.mark.parametrize("accumulate", [False, True])
def test_weight_gradient_of_no_images(isa, accumulate, dtype):
    got = np.full((3, 3, 32, 48), 7, dtype)
    x, dy = np.empty((0, 4, 4, 32), dtype), np.empty((0, 4, 4, 48), dtype)
    kernels.active.WinogradConv2DBackwardWeight(x, dy, got, (1, 1), accumulate)()
    assert (got == (7 if accumulate else 0)).all()


@pytest.mark.parametrize("count", [1, 2])
def test_weight_gradient_never_holds_all_its_sums(rng, isa, threads, count):
    threads(count)
    C, tiles, scratch = 256, 4 * 16, Scratch()
    x, dy = (normals(rng, (4, 14, 14, C), "float32") for _ in range(2))
    ops.conv2d_backward_weight.bind(x, dy, (3, 3, C, C), padding=1, winograd=True, scratch=scratch)
    transformed, patches = 36 * tiles * 2 * C, count * 36 * C
    assert transformed < scratch.bytes / 4 < transformed + patches + 36 * C * C / 8


def test_steps_that_share_memory_do_not_disturb_each_other(rng, isa):
    """Small before large and after it, forward and both gradients, called in turn and again."""
    scratch, held, bound, wanted = Scratch(), [], [], []
    for case in (CASES[0], CASES[3], CASES[0], CASES[2]):
        x, weight, bias, dy, options = problem(rng, case, "float32")
        for op, *arrays, own in (
            (ops.conv2d, x, weight, bias, {}),
            (ops.conv2d_backward_input, dy, weight, {"input_shape": x.shape}),
            (ops.conv2d_backward_weight, x, dy, {"weight_shape": weight.shape}),
        ):
            wanted.append(op(*arrays, winograd=True, **own, **options))
            bound.append(op.bind(*arrays, winograd=True, scratch=scratch, **own, **options))
        held.append(scratch.bytes)
    for step, want in [*zip(bound, wanted, strict=True)] * 2:
        np.testing.assert_array_equal(step(), want)
    assert 0 < held[0] < held[1] == held[2] == held[3]


@pytest.mark.skipif(not AVAILABLE, reason="no mprotect here")
@pytest.mark.parametrize("at", ["start", "end"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_touched_out_of_bounds(rng, case, isa, at):
    x, weight, bias, dy, options = problem(rng, case, "float32")
    x, weight, bias, dy = (guarded(array, at) for array in (x, weight, bias, dy))
    y, dx, dweight = (guarded(np.empty_like(array), at) for array in (dy, x, weight))
    ops.conv2d(x, weight, bias, winograd=True, out=y, **options)
    ops.conv2d_backward_input(dy, weight, x.shape, winograd=True, out=dx, **options)
    ops.conv2d_backward_weight(x, dy, weight.shape, winograd=True, out=dweight, **options)
    pooled = np.empty((len(x), y.shape[1] // 2, y.shape[2] // 2, y.shape[3]), "float32")
    winner = guarded(np.empty(pooled.shape, np.uint8), at)
    ops.conv2d_relu_pool(x, weight, bias, winograd=True, winner=winner, out=guarded(pooled, at), **options)
    assert np.isfinite(y).all() and np.isfinite(dx).all() and np.isfinite(dweight).all()


def test_nan_stays_in_its_image(rng, isa):
    x, weight, bias, _, options = problem(rng, CASES[0], "float32")
    clean = ops.conv2d(x, weight, bias, winograd=True, **options)
    x[1, 5, 5, 3] = np.nan
    with np.errstate(invalid="ignore"):
        got = ops.conv2d(x, weight, bias, winograd=True, **options)
    assert np.isnan(got[1, 4:7, 4:7]).all()
    np.testing.assert_array_equal(got[[0, 2, 3]], clean[[0, 2, 3]])


@pytest.mark.parametrize(
    ("reason", "x_shape", "weight_shape", "options"),
    [
        ("5x5 filters", (8, 16, 16, 32), (5, 5, 32, 32), {}),
        ("strides", (8, 16, 16, 32), (3, 3, 32, 32), {"strides": 2}),
        ("dilation", (8, 16, 16, 32), (3, 3, 32, 32), {"dilation": 2}),
        ("groups", (8, 16, 16, 64), (3, 3, 32, 64), {"groups": 2}),
        ("few channels", (8, 16, 16, 16), (3, 3, 16, 32), {}),
        ("few filters", (8, 16, 16, 32), (3, 3, 32, 16), {}),
        ("half a vector", (8, 16, 16, 33), (3, 3, 33, 32), {}),
        ("few tiles", (1, 8, 8, 32), (3, 3, 32, 32), {}),
        ("tiles that are mostly edge", (64, 3, 10, 32), (3, 3, 32, 32), {}),
        ("wide padding", (8, 16, 16, 32), (3, 3, 32, 32), {"padding": 3}),
    ],
)
def test_where_it_does_not_pay(isa, reason, x_shape, weight_shape, options):
    window = Window.of(
        "test",
        weight_shape[:2],
        options.get("strides", 1),
        options.get("padding", 0),
        options.get("dilation", 1),
    )
    assert not use_winograd("float32", x_shape, weight_shape, window, options.get("groups", 1)), reason


@pytest.mark.parametrize(
    ("tiles", "C", "plain", "constant", "sums"),
    [
        (1, 64, False, False, False),
        (2, 512, False, True, False),
        (7, 64, False, True, False),
        (8, 64, True, True, False),
        (15, 256, True, True, False),
        (15, 512, False, True, False),
        (16, 512, True, True, True),
    ],
)
def test_how_many_tiles_pay(isa, tiles, C, plain, constant, sums):
    window = Window.of("test", (3, 3), 1, 0, 1)
    about = ("float32", (tiles, 6, 6, C), (3, 3, C, C), window, 1)
    assert use_winograd(*about) == plain
    assert use_winograd(*about, constant_weight=True) == constant
    assert use_winograd_for_weights(*about) == sums


def test_a_network_without_winograd_uses_plain_convolution():
    def outputs(winograd):
        network = GWUNetwork(
            [Conv2D(32), Conv2D(32, padding="same"), MaxPooling2D(), Flatten()], seed=3, winograd=winograd
        )
        x = np.random.default_rng(0).random((8, 14, 14, 3), dtype="float32")
        return network.predict(x), network.activations(x)[1]

    plain, layer_by_layer = outputs(False)
    fast, _ = outputs(True)
    pooled = ops.max_pool2d(layer_by_layer, 2).reshape(len(plain), -1)
    np.testing.assert_array_equal(plain, pooled)
    assert not np.array_equal(plain, fast)
    np.testing.assert_allclose(plain, fast, atol=1e-4)


def test_kernels_refuse_what_they_cannot_do():
    x, weight, y = (np.zeros(shape, "float32") for shape in ((1, 8, 8, 30), (3, 3, 30, 32), (1, 6, 6, 32)))
    with pytest.raises(ValueError, match="whole vectors"):
        kernels.active.WinogradConv2D(x, weight, None, y, (0, 0))
