"""The textbook loops, checked against the reference, central differences and results worked out by hand."""

import numpy as np
import pytest

import reference
from compare import assert_exact, assert_within, integers, normals
from geometries import CONV, DENSE, POOL, names
from gradcheck import assert_gradient, spaced
from gwucnn._ext import naive


def conv_arguments(case):
    """Return (strides, pads, dilation, groups) in the form that the loops take, and the shape of y."""
    window = {key: value for key, value in case.options.items() if key != "groups"}
    strides, dilation = (reference.pair(window.get(key, 1)) for key in ("strides", "dilation_rate"))
    sides = reference.pads(window.get("padding", "valid"), case.x[1:3], case.weight[:2], strides, dilation)
    size = reference.output_size(case.x[1:3], case.weight[:2], **window)
    pads = (sides[0][0], sides[1][0])
    return (strides, pads, dilation, case.options.get("groups", 1)), (case.x[0], *size, case.weight[3])


def pool_arguments(case):
    """Return (pool_size, strides, pads) in the form that the loops take, and the shape of y."""
    pool_size = reference.pair(case.pool_size)
    strides = reference.pair(case.options.get("strides", pool_size))
    padding = case.options.get("padding", "valid")
    sides = reference.pads(padding, case.x[1:3], pool_size, strides)
    size = reference.output_size(case.x[1:3], pool_size, strides, padding)
    return (pool_size, strides, (sides[0][0], sides[1][0])), (case.x[0], *size, case.x[3])


def unwritten(shape, dtype):
    """Return an array filled with a value that reveals elements which a loop did not write."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -99, dtype)


# ------------------------------------------------------------------------------------- against the reference


@pytest.mark.parametrize("case", CONV, ids=names(CONV))
def test_convolution(case, dtype, rng):
    options, y_shape = conv_arguments(case)
    x, weight = integers(rng, case.x, dtype), integers(rng, case.weight, dtype)
    bias, dy = integers(rng, case.weight[3:], dtype), integers(rng, y_shape, dtype)

    y = unwritten(y_shape, dtype)
    naive.conv2d(x, weight, None, *options, y)
    assert_exact(y, reference.conv2d(x, weight, **case.options), dtype)
    naive.conv2d(x, weight, bias, *options, y)
    assert_exact(y, reference.conv2d(x, weight, bias, **case.options), dtype)

    dx = unwritten(case.x, dtype)
    naive.conv2d_backward_input(dy, weight, *options, dx)
    assert_exact(dx, reference.conv2d_backward_input(dy, weight, case.x, **case.options), dtype)

    dweight = unwritten(case.weight, dtype)
    naive.conv2d_backward_weight(x, dy, *options, dweight)
    assert_exact(dweight, reference.conv2d_backward_weight(x, dy, case.weight, **case.options), dtype)


@pytest.mark.parametrize("case", POOL, ids=names(POOL))
def test_pooling(case, dtype, rng):
    options, y_shape = pool_arguments(case)
    x = integers(rng, case.x, dtype)
    x[rng.random(case.x) < 0.1] = np.nan
    y, winner = unwritten(y_shape, dtype), unwritten(y_shape, "int32")
    naive.max_pool2d(x, *options, y, winner)
    want, want_winner = reference.max_pool2d(x, case.pool_size, **case.options)
    assert_exact(y, want, dtype)
    assert_exact(winner, want_winner, "int32")

    dy, dx = integers(rng, y_shape, dtype), unwritten(case.x, dtype)
    naive.max_pool2d_backward(dy, winner, *options, dx)
    assert_exact(dx, reference.max_pool2d_backward(dy, winner, case.x, case.pool_size, **case.options), dtype)


@pytest.mark.parametrize("case", DENSE, ids=names(DENSE))
def test_dense(case, dtype, rng):
    (N, D), U = case.x, case.units
    x, weight, bias = (integers(rng, shape, dtype) for shape in ((N, D), (D, U), (U,)))
    dy, y, dx, dweight = integers(rng, (N, U), dtype), *(unwritten(s, dtype) for s in ((N, U), (N, D), (D, U)))
    naive.dense(x, weight, bias, y)
    assert_exact(y, reference.dense(x, weight, bias), dtype)
    naive.dense(x, weight, None, y)
    assert_exact(y, reference.dense(x, weight), dtype)
    naive.dense_backward_input(dy, weight, dx)
    assert_exact(dx, reference.dense_backward_input(dy, weight), dtype)
    naive.dense_backward_weight(x, dy, dweight)
    assert_exact(dweight, reference.dense_backward_weight(x, dy), dtype)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (0, 4)])
def test_activations(shape, dtype, rng):
    x, dy = 4 * normals(rng, shape, dtype), normals(rng, shape, dtype)
    for name in ("relu", "sigmoid"):
        y, dx = unwritten(x.size, dtype), unwritten(x.size, dtype)
        getattr(naive, name)(x.reshape(-1), y)
        want = getattr(reference, name)(x.reshape(-1))
        assert_within(y, want, want, 1)
        getattr(naive, f"{name}_backward")(dy.reshape(-1), y, dx)
        want = getattr(reference, f"{name}_backward")(dy.reshape(-1), y)
        assert_within(dx, want, abs(want), 1)
    if not x.size:
        return
    y, dx = unwritten(shape, dtype), unwritten(shape, dtype)
    naive.softmax(x, y)
    assert_within(y, reference.softmax(x), reference.softmax(x), 1)  # the loop sums in double
    naive.softmax_backward(dy, y, dx)
    sizes = abs(y) * (abs(dy) + np.sum(abs(dy * y), axis=1, keepdims=True))
    assert_within(dx, reference.softmax_backward(dy, y), sizes, shape[1])


def test_activations_at_the_edges(dtype):
    x = np.array([-np.inf, -1e4, -0.0, 0.0, 1e4, np.inf, np.nan], dtype)
    y = unwritten(7, dtype)
    naive.relu(x, y)
    assert_exact(y, [0, 0, 0, 0, 1e4, np.inf, np.nan], dtype)
    naive.sigmoid(x, y)
    assert_exact(y, [0, 0, 0.5, 0.5, 1, 1, np.nan], dtype)


# ------------------------------------------------------------------------- against central differences


SMALL_CONV = [case for case in CONV if case.x[0] and np.prod(case.weight) < 150]
SMALL_POOL = [case for case in POOL if np.prod(case.x) < 300]


@pytest.mark.parametrize("case", SMALL_CONV, ids=names(SMALL_CONV))
def test_convolution_gradients_are_central_differences(case, rng):
    options, y_shape = conv_arguments(case)
    x, weight, dy = spaced(rng, case.x), spaced(rng, case.weight), spaced(rng, y_shape)
    y, dx, dweight = np.empty(y_shape), np.empty(case.x), np.empty(case.weight)

    def loss():
        naive.conv2d(x, weight, None, *options, y)
        return np.vdot(y, dy)

    naive.conv2d_backward_input(dy, weight, *options, dx)
    assert_gradient(dx, loss, x)
    naive.conv2d_backward_weight(x, dy, *options, dweight)
    assert_gradient(dweight, loss, weight)


@pytest.mark.parametrize("case", SMALL_POOL, ids=names(SMALL_POOL))
def test_pooling_gradient_is_central_difference(case, rng):
    options, y_shape = pool_arguments(case)
    x, dy, y, dx = spaced(rng, case.x), spaced(rng, y_shape), np.empty(y_shape), np.empty(case.x)
    winner, ignored = np.empty(y_shape, "int32"), np.empty(y_shape, "int32")
    naive.max_pool2d(x, *options, y, winner)
    naive.max_pool2d_backward(dy, winner, *options, dx)

    def loss():
        naive.max_pool2d(x, *options, y, ignored)
        return np.vdot(y, dy)

    assert_gradient(dx, loss, x)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "softmax"])
def test_activation_gradients_are_central_differences(name, rng):
    shape = (4, 6) if name == "softmax" else (24,)
    x, dy, y, dx = 3 * spaced(rng, shape), spaced(rng, shape), np.empty(shape), np.empty(shape)

    def loss():
        getattr(naive, name)(x, y)
        return np.vdot(y, dy)

    loss()
    getattr(naive, f"{name}_backward")(dy, y.copy(), dx)
    assert_gradient(dx, loss, x)


# ------------------------------------------------------------------------------------------------ optimizers


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_follows_the_reference(momentum, nesterov, dtype, rng):
    value, velocity = normals(rng, (50,), dtype), np.zeros(50, dtype)
    for _ in range(10):
        grad, options = normals(rng, (50,), dtype), {"lr": 0.05, "momentum": momentum, "nesterov": nesterov}
        want = reference.sgd(value, grad, velocity, **options)
        sizes = abs(value) + 0.05 * (2 * abs(grad) + abs(velocity)), abs(velocity) + abs(grad)
        naive.sgd(value, grad, velocity, *options.values())
        assert_within(value, want[0], sizes[0], 3)
        assert_within(velocity, want[1], sizes[1], 2)


def test_adam_follows_the_reference(dtype, rng):
    value, first, second = normals(rng, (50,), dtype), np.zeros(50, dtype), np.zeros(50, dtype)
    for step in range(1, 11):
        grad = normals(rng, (50,), dtype)
        want = reference.adam(value, grad, first, second, step, lr=0.01)
        sizes = abs(value) + abs(want[0] - value), abs(first) + abs(grad), want[2]
        naive.adam(value, grad, first, second, 0.01, 0.9, 0.999, 1e-7, step)
        for got, wanted, size in zip((value, first, second), want, sizes, strict=True):
            assert_within(got, wanted, size, 3)


def test_one_step_of_adam_by_hand():
    """In the first step m = 0.1 g and v = 0.001 g**2 are corrected to g and g**2: the step is lr * g / (|g| + eps)."""
    value, grad = np.array([1.0, 1.0]), np.array([3.0, -0.5])
    naive.adam(value, grad, np.zeros(2), np.zeros(2), 0.1, 0.9, 0.999, 0.0, 1)
    np.testing.assert_allclose(value, [0.9, 1.1], rtol=4e-16)


def test_two_steps_of_nesterov_by_hand():
    """v = 2, then 0.5 * 2 + 2 = 3; steps 0.1 * (2 + 0.5 * 2) = 0.3, then 0.1 * (2 + 0.5 * 3) = 0.35."""
    value, grad, velocity = np.array([1.0]), np.array([2.0]), np.zeros(1)
    naive.sgd(value, grad, velocity, 0.1, 0.5, True)
    naive.sgd(value, grad, velocity, 0.1, 0.5, True)
    np.testing.assert_allclose((value[0], velocity[0]), (1 - 0.3 - 0.35, 3.0), rtol=4e-16)


# ------------------------------------------------------------------------------- examples and bounds checks


def test_a_convolution_by_hand():
    """[[0 1 2] [3 4 5] [6 7 8]] with filter [[1 2] [3 4]]: the first output is 0 + 1*2 + 3*3 + 4*4 = 27."""
    x, weight = np.arange(9.0).reshape(1, 3, 3, 1), np.arange(1.0, 5).reshape(2, 2, 1, 1)
    y = np.empty((1, 2, 2, 1))
    naive.conv2d(x, weight, None, (1, 1), (0, 0), (1, 1), 1, y)
    assert y[0, :, :, 0].tolist() == [[27, 37], [57, 67]]


def test_a_wrong_index_raises_index_error():
    """Bounds checks are enabled in naive.pyx, unlike in the fast kernels."""
    with pytest.raises(IndexError):
        naive.relu(np.zeros(4), np.zeros(3))
    with pytest.raises(IndexError):
        naive.max_pool2d_backward(
            np.ones((1, 1, 1, 1)),
            np.full((1, 1, 1, 1), 4, "int32"),
            (2, 2),
            (2, 2),
            (0, 0),
            np.ones((1, 2, 2, 1)),
        )
    with pytest.raises(IndexError):
        naive.dense(np.zeros((2, 3)), np.zeros((4, 5)), None, np.zeros((2, 5)))
