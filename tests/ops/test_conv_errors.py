"""What the convolution ops reject: every bad call raises an error that names the op and the argument."""

import sys

import numpy as np
import pytest

from gwucnn import ops
from gwucnn.common.errors import ShapeError

X, WEIGHT, BIAS, DY = (np.zeros(s, "float32") for s in ((2, 6, 5, 4), (3, 2, 4, 8), (8,), (2, 4, 4, 8)))


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


def refuses(op, error, argument, *args, **options):
    """Fail unless the call raises `error` with a text that names the op first and then the argument."""
    with pytest.raises(error, match=rf"^{op}: .*\b{argument}\b"):
        getattr(ops, op)(*args, **options)


# Options that no shape makes good, and the word that the message has to contain.
BAD_OPTIONS = [
    ("strides", 0),
    ("strides", -1),
    ("strides", 1.5),
    ("strides", (1, 2, 3)),
    ("strides", "2"),
    ("strides", None),
    ("dilation_rate", 0),
    ("dilation_rate", (1, -2)),
    ("padding", "full"),
    ("padding", -1),
    ("padding", ((0, -1), (0, 0))),
    ("padding", (1, 2, 3)),
    ("padding", 0.5),
    ("padding", None),
    ("groups", 0),
    ("groups", -1),
    ("groups", 1.5),
    ("groups", 3),
]


@pytest.mark.parametrize(("option", "value"), BAD_OPTIONS)
def test_options(option, value):
    error = (ValueError, TypeError)
    refuses("conv2d", error, option, X, WEIGHT, **{option: value})
    refuses("conv2d_backward_input", error, option, DY, WEIGHT, X.shape, **{option: value})
    refuses("conv2d_backward_weight", error, option, X, DY, WEIGHT.shape, **{option: value})


@pytest.mark.parametrize(
    ("argument", "args"),
    [
        ("x", (zeros(6, 5, 4), WEIGHT)),
        ("x", (zeros(1, 2, 6, 5, 4), WEIGHT)),
        ("weight", (X, zeros(3, 2, 4))),
        ("weight", (X, zeros(3, 2, 3, 8))),
        ("weight", (X, zeros(7, 2, 4, 8))),
        ("weight", (X, zeros(3, 6, 4, 8))),
        ("weight", (X, zeros(3, 0, 4, 8))),
        ("bias", (X, WEIGHT, zeros(7))),
        ("bias", (X, WEIGHT, zeros(1))),
        ("bias", (X, WEIGHT, zeros(1, 8))),
        ("bias", (X, WEIGHT, np.float32(0))),
    ],
)
def test_forward_shapes(argument, args):
    refuses("conv2d", ShapeError, argument, *args)


def test_dilated_filter_that_does_not_fit():
    refuses("conv2d", ShapeError, "weight", X, WEIGHT, dilation_rate=3)


@pytest.mark.parametrize(
    ("argument", "args"),
    [
        ("dy", (zeros(4, 4, 8), WEIGHT, X.shape)),
        ("dy", (zeros(3, 4, 4, 8), WEIGHT, X.shape)),
        ("dy", (zeros(2, 4, 5, 8), WEIGHT, X.shape)),
        ("dy", (zeros(2, 4, 4, 7), WEIGHT, X.shape)),
        ("input_shape", (DY, WEIGHT, (6, 5, 4))),
        ("input_shape", (DY, WEIGHT, (2, 6, -5, 4))),
        ("input_shape", (DY, WEIGHT, (2, 6, 5.0, 4))),
        ("input_shape", (DY, WEIGHT, None)),
        ("weight", (DY, zeros(3, 2, 8), X.shape)),
        ("weight", (DY, zeros(3, 2, 3, 8), X.shape)),
    ],
)
def test_input_gradient_shapes(argument, args):
    refuses("conv2d_backward_input", (ShapeError, TypeError), argument, *args)


@pytest.mark.parametrize(
    ("argument", "args"),
    [
        ("x", (zeros(6, 5, 4), DY, WEIGHT.shape)),
        ("dy", (X, zeros(3, 4, 4, 8), WEIGHT.shape)),
        ("dy", (X, zeros(2, 5, 4, 8), WEIGHT.shape)),
        ("dy", (X, zeros(2, 4, 4, 7), WEIGHT.shape)),
        ("weight_shape", (X, DY, (3, 2, 4))),
        ("weight_shape", (X, DY, (3, 2, 3, 8))),
        ("weight_shape", (X, DY, (3, 0, 4, 8))),
        ("weight_shape", (X, DY, (7, 2, 4, 8))),
        ("weight_shape", (X, DY, 3)),
    ],
)
def test_shapes_of_the_gradient_by_weight(argument, args):
    refuses("conv2d_backward_weight", (ShapeError, TypeError), argument, *args)


def test_sizes_whose_product_overflows_are_refused():
    """An image that no memory holds, described by a view of one number, must not come out as a small size."""
    if sys.maxsize > 2**32:  # in a 32-bit process, numpy refuses such a view itself
        huge = np.broadcast_to(np.float32(1), (2**18, 2**18, 2**10, 2**10))
        with pytest.raises((ValueError, MemoryError)):
            ops.conv2d(huge, zeros(1, 1, 2**10, 1))
    with pytest.raises((ValueError, MemoryError), match=r"^conv2d_backward_input: .*dy"):
        ops.conv2d_backward_input(DY, WEIGHT, (2**40, 2**40, 2**40, 4))
