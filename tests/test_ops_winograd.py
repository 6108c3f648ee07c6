"""Winograd's algorithm against the accurate answer, and the rule that chooses it."""

import numpy as np
import pytest

import reference
from compare import normals
from guarded import AVAILABLE, guarded
from gwucnn import GWUNetwork, kernels, ops
from gwucnn.layers import Conv2D, Flatten, MaxPooling2D
from gwucnn.ops.base import winograd_pays
from gwucnn.shapes import Window

# (N, H, W, C, F, padding): tiles that fit and that hang over each edge; widths of one vector of filters
# beside two; padding on some sides; more tiles than a block has, and fewer.
CASES = [
    (4, 12, 12, 32, 32, "same"),
    (7, 11, 9, 32, 48, "valid"),
    (29, 6, 6, 64, 32, "valid"),
    (3, 13, 22, 48, 80, ((2, 0), (1, 2))),
]


def problem(rng, case, dtype):
    N, H, W, C, F, padding = case
    x, weight = normals(rng, (N, H, W, C), dtype), normals(rng, (3, 3, C, F), dtype)
    OH, OW = reference.output_size((H, W), 3, 1, padding)
    return x, weight, normals(rng, (F,), dtype), normals(rng, (N, OH, OW, F), dtype), {"padding": padding}


def assert_stated_error(got, want, magnitude, terms):
    """Fail unless the error is below what `winograd_pays` states: twice the bound of plain convolution."""
    room = 2 * reference.bound(magnitude, terms, got.dtype)
    excess = np.max(np.abs(got - want) / room)
    assert excess <= 1, f"error is {excess:.3g} times the stated bound"


@pytest.mark.parametrize("case", CASES, ids=str)
class TestError:
    def test_forward(self, rng, case, dtype, isa):
        x, weight, bias, _, options = problem(rng, case, dtype)
        got = ops.conv2d(x, weight, bias, winograd=True, **options)
        assert not np.array_equal(got, ops.conv2d(x, weight, bias, **options)), "Winograd was not used"
        sizes = reference.conv2d(abs(x), abs(weight), abs(bias), **options)
        assert_stated_error(got, reference.conv2d(x, weight, bias, **options), sizes, 9 * case[3])

    def test_backward_input(self, rng, case, dtype, isa):
        x, weight, _, dy, options = problem(rng, case, dtype)
        got = ops.conv2d_backward_input(dy, weight, x.shape, winograd=True, **options)
        sizes = reference.conv2d_backward_input(abs(dy), abs(weight), x.shape, **options)
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
        x, weight, bias, _, options = problem(rng, case, dtype)
        full = ops.conv2d(x, weight, bias, winograd=True, **options)
        full = ops.relu(full) if relu else full
        want_winner = np.empty((len(x), full.shape[1] // 2, full.shape[2] // 2, full.shape[3]), np.uint8)
        want, winner = ops.max_pool2d(full, 2, winner=want_winner), np.empty_like(want_winner)
        got = ops.conv2d_relu_pool(x, weight, bias, winograd=True, relu=relu, winner=winner, **options)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(winner, np.where(want == 0, 4, want_winner) if relu else want_winner)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(rng, isa, threads, count):
    x, weight, bias, dy, options = problem(rng, CASES[3], "float32")

    def all_three():
        return (
            ops.conv2d(x, weight, bias, winograd=True, **options),
            ops.conv2d_backward_input(dy, weight, x.shape, winograd=True, **options),
            ops.conv2d_backward_weight(x, dy, weight.shape, winograd=True, **options),
        )

    threads(1)
    want = all_three()
    threads(count)
    for got, one in zip(all_three(), want, strict=True):
        np.testing.assert_array_equal(got, one)


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
        ("tiles that are mostly edge", (64, 4, 4, 32), (3, 3, 32, 32), {}),
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
    assert not winograd_pays("float32", x_shape, weight_shape, window, options.get("groups", 1)), reason


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
