"""conv2d_transpose and its two gradients: exact on integers, Keras' output sizes, and errors."""

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, integers, normals
from geometries import TRANSPOSED, names
from gwucnn import ops
from gwucnn.common.errors import ShapeError

every_geometry = pytest.mark.parametrize("case", TRANSPOSED, ids=names(TRANSPOSED))


def drawn(case, rng, dtype, make=integers):
    """Return x, weight, bias and dy for a geometry."""
    F = case.weight[2] * case.options.get("groups", 1)
    x, weight, bias = (make(rng, shape, dtype) for shape in (case.x, case.weight, (F,)))
    return x, weight, bias, make(rng, reference.conv2d_transpose(x, weight, **case.options).shape, dtype)


# ------------------------------------------------------------------------- against the reference, exactly


@every_geometry
def test_forward_is_exact_on_whole_numbers(case, isa, dtype, rng):
    x, weight, bias, _ = drawn(case, rng, dtype)
    want = reference.conv2d_transpose(x, weight, **case.options)
    assert_exact(ops.conv2d_transpose(x, weight, **case.options), want, dtype)
    want = reference.conv2d_transpose(x, weight, bias, **case.options)
    assert_exact(ops.conv2d_transpose(x, weight, bias, **case.options), want, dtype)


@every_geometry
def test_gradients_are_exact_on_whole_numbers(case, isa, dtype, rng):
    x, weight, _, dy = drawn(case, rng, dtype)
    dx, dweight = reference.conv2d_transpose_backward(x, weight, dy, **case.options)
    got = ops.conv2d_transpose_backward_input(dy, weight, case.x, **case.options)
    assert_exact(got, dx, dtype)
    got = ops.conv2d_transpose_backward_weight(x, dy, case.weight, **case.options)
    assert_exact(got, dweight, dtype)
    out = weight.copy()
    ops.conv2d_transpose_backward_weight(x, dy, case.weight, **case.options, out=out, accumulate=True)
    assert_exact(out, weight + dweight, dtype)


@every_geometry
def test_the_three_are_adjoint(case, isa, dtype, rng):
    x, weight, _, dy = drawn(case, rng, dtype)
    forward = np.vdot(np.float64(ops.conv2d_transpose(x, weight, **case.options)), dy)
    by_input = ops.conv2d_transpose_backward_input(dy, weight, case.x, **case.options)
    by_weight = ops.conv2d_transpose_backward_weight(x, dy, case.weight, **case.options)
    assert forward == np.vdot(x, np.float64(by_input)) == np.vdot(weight, np.float64(by_weight))


@pytest.mark.parametrize(("padding", "columns"), [("valid", 8), ("same", 8), (1, 8), ("same", 7)])
def test_it_is_the_adjoint_of_the_convolution_that_undoes_its_shape(padding, columns, rng):
    """<conv(y), x> == <y, transpose(x)>: the weight means the same to both. Nine rows need none added."""
    y, weight = integers(rng, (2, 9, columns, 3), "float64"), integers(rng, (3, 3, 3, 5), "float64")
    made = ops.conv2d(y, weight, strides=2, padding=padding)
    x = integers(rng, made.shape, "float64")
    more = (0, 1 - columns % 2)
    back = ops.conv2d_transpose(x, weight, strides=2, padding=padding, output_padding=more)
    assert back.shape == y.shape
    assert np.vdot(made, x) == np.vdot(y, back)


@pytest.mark.parametrize("n", [1, 3])
def test_threads_agree(n, isa, dtype, rng, threads):
    """Enough work for threads, in strips with a border, and small images cut by filters."""
    for x_shape, weight_shape, options in [
        ((6, 21, 40, 8), (4, 4, 24, 8), {"strides": 2, "padding": "same"}),
        ((1, 3, 4, 64), (3, 3, 160, 64), {"strides": 2}),
    ]:
        x, weight = integers(rng, x_shape, dtype), integers(rng, weight_shape, dtype)
        bias = integers(rng, weight_shape[2:3], dtype)
        threads(1)
        want = ops.conv2d_transpose(x, weight, bias, **options)
        without = ops.conv2d_transpose(x, weight, **options)
        threads(n)
        assert_exact(ops.conv2d_transpose(x, weight, bias, **options), want, dtype)
        assert_exact(want, without + bias, dtype)


def test_rounding_stays_in_its_bound(isa, dtype, rng):
    case = TRANSPOSED[0]._replace(x=(2, 7, 8, 24), weight=(4, 3, 20, 24), options={"strides": 2})
    x, weight, bias, dy = drawn(case, rng, dtype, normals)
    options = case.options
    want = reference.conv2d_transpose(x, weight, bias, **options)
    sizes = reference.conv2d_transpose(abs(x), abs(weight), abs(bias), **options)
    assert_within(ops.conv2d_transpose(x, weight, bias, **options), want, sizes, 4 * 3 * 24)
    dx, dweight = reference.conv2d_transpose_backward(x, weight, dy, **options)
    by_input, by_weight = reference.conv2d_transpose_backward(abs(x), abs(weight), abs(dy), **options)
    got = ops.conv2d_transpose_backward_input(dy, weight, case.x, **options)
    assert_within(got, dx, by_input, 4 * 3 * 20)
    got = ops.conv2d_transpose_backward_weight(x, dy, case.weight, **options)
    assert_within(got, dweight, by_weight, 2 * 7 * 8)


def test_nan_stays_in_its_window(dtype, rng):
    case = TRANSPOSED[0]._replace(options={"strides": 2})
    x, weight, _, _ = drawn(case, rng, dtype)
    x[1, 2, 3, 0] = np.nan
    y = ops.conv2d_transpose(x, weight, **case.options)
    assert_exact(y, reference.conv2d_transpose(x, weight, **case.options), dtype)
    assert np.isnan(y).sum() == 9 * 17


# ------------------------------------------------------------------------------------------ other libraries


def test_equals_torch(rng):
    """Where it can say the same: padding is even on both sides there, and strides add nothing."""
    torch = pytest.importorskip("torch")
    for case in TRANSPOSED:
        sides = reference.pads(case.options.get("padding", 0), case.x[1:3], case.weight[:2])
        if case.options.get("padding") == "same" or any(before != after for before, after in sides):
            continue
        options = {"output_padding": 0, **case.options}
        x, weight, bias, _ = drawn(case._replace(options=options), rng, np.dtype("float64"))
        want = torch.nn.functional.conv_transpose2d(
            torch.from_numpy(x.transpose(0, 3, 1, 2).copy()),
            torch.from_numpy(weight.transpose(3, 2, 0, 1).copy()),
            torch.from_numpy(bias),
            stride=options.get("strides", 1),
            padding=tuple(before for before, _ in sides),
            output_padding=options["output_padding"],
            groups=options.get("groups", 1),
            dilation=options.get("dilation_rate", 1),
        )
        got = ops.conv2d_transpose(x, weight, bias, **options)
        assert_exact(got, want.numpy().transpose(0, 2, 3, 1), np.dtype("float64"))


@pytest.mark.parametrize(
    ("K", "S", "padding", "output_padding", "want"),
    [
        # keras.layers.Conv2DTranspose(1, K, S, padding, output_padding) on (1, 5, 5, 1), TensorFlow's backend.
        (3, 1, "valid", None, 7),
        (3, 2, "valid", None, 11),
        (3, 2, "valid", 1, 12),
        (2, 3, "valid", None, 15),
        (2, 3, "valid", 0, 14),
        (3, 2, "same", None, 10),
        (3, 2, "same", 0, 9),
        (3, 2, "same", 1, 10),
        (4, 2, "same", None, 10),
        (4, 2, "same", 1, 9),
        (2, 3, "same", None, 15),
        (5, 1, "same", None, 5),
    ],
)
def test_sizes_are_keras_own(K, S, padding, output_padding, want):
    options = {"strides": S, "padding": padding, "output_padding": output_padding}
    y = ops.conv2d_transpose(np.ones((1, 5, 5, 1)), np.ones((K, K, 1, 1)), **options)
    assert y.shape == (1, want, want, 1)


# ----------------------------------------------------------------------------------------- what is refused

X, WEIGHT, DY = np.zeros((2, 4, 5, 6), "f4"), np.zeros((3, 2, 4, 6), "f4"), np.zeros((2, 9, 10, 4), "f4")


def zeros(*shape):
    return np.zeros(shape, "f4")


def refuses(op, error, argument, *args, **options):
    with pytest.raises(error, match=rf"^{op}: .*\b{argument}\b"):
        getattr(ops, op)(*args, **{"strides": 2, **options})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("strides", 0),
        ("strides", (1, 2, 3)),
        ("dilation_rate", 0),
        ("padding", "full"),
        ("padding", -1),
        ("padding", 5),
        ("output_padding", -1),
        ("output_padding", 2),
        ("output_padding", "same"),
        ("output_padding", (0, 2)),
        ("groups", 0),
        ("groups", 4),
    ],
)
def test_options(option, value):
    refuses("conv2d_transpose", ValueError, option, X, WEIGHT, **{option: value})
    refuses("conv2d_transpose_backward_input", ValueError, option, DY, WEIGHT, X.shape, **{option: value})
    refuses("conv2d_transpose_backward_weight", ValueError, option, X, DY, WEIGHT.shape, **{option: value})


@pytest.mark.parametrize(
    ("argument", "args"),
    [
        ("x", (zeros(4, 5, 6), WEIGHT)),
        ("x", (zeros(2, 0, 5, 6), WEIGHT)),
        ("weight", (X, zeros(3, 2, 4))),
        ("weight", (X, zeros(3, 2, 6, 4))),
        ("weight", (X, zeros(3, 0, 4, 6))),
        ("bias", (X, WEIGHT, zeros(6))),
        ("bias", (X, WEIGHT, zeros(1, 4))),
    ],
)
def test_shapes(argument, args):
    refuses("conv2d_transpose", ShapeError, argument, *args)


def test_shapes_of_the_gradients():
    ops.conv2d_transpose_backward_input(DY, WEIGHT, X.shape, strides=2)
    ops.conv2d_transpose_backward_weight(X, DY, WEIGHT.shape, strides=2)
    refuses("conv2d_transpose_backward_input", ShapeError, "dy", zeros(2, 9, 9, 4), WEIGHT, X.shape)
    refuses("conv2d_transpose_backward_input", ShapeError, "dy", zeros(1, 9, 10, 4), WEIGHT, X.shape)
    refuses("conv2d_transpose_backward_input", TypeError, "input_shape", DY, WEIGHT, (4, 5, 6))
    refuses("conv2d_transpose_backward_weight", ShapeError, "dy", X, zeros(2, 9, 10, 6), WEIGHT.shape)
    refuses("conv2d_transpose_backward_weight", ShapeError, "weight_shape", X, DY, (3, 2, 4, 5))
    refuses("conv2d_transpose_backward_weight", ValueError, "out", X, DY, WEIGHT.shape, accumulate=True)
