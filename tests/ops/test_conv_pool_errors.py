"""What conv2d_relu_pool and its gradients reject: every error names the op and the argument."""

import numpy as np
import pytest

from gwucnn import ops
from gwucnn.common.errors import ShapeError


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


# --------------------------------------------------------------------------------------------------- forward

X, WEIGHT = zeros(2, 7, 6, 4), zeros(3, 2, 4, 8)
POOLED = (2, 2, 2, 8)


def refuses(error, argument, *args, **options):
    """Fail unless the call raises `error` with a text that names the op first and then the argument."""
    with pytest.raises(error, match=rf"^conv2d_relu_pool: .*\b{argument}\b"):
        ops.conv2d_relu_pool(*args, **options)


@pytest.mark.parametrize(
    ("argument", "args"),
    [
        ("x", (zeros(7, 6, 4), WEIGHT)),
        ("x", (zeros(2, 0, 6, 4), WEIGHT)),
        ("x", (zeros(2, 7, 6, 0), zeros(3, 2, 0, 8))),
        ("weight", (X, zeros(3, 2, 4))),
        ("weight", (X, zeros(3, 2, 3, 8))),
        ("weight", (X, zeros(8, 2, 4, 8))),
        ("weight", (X, zeros(3, 2, 4, 0))),
        ("bias", (X, WEIGHT, zeros(7))),
        ("bias", (X, WEIGHT, zeros(1, 8))),
        ("at least 2x2 pixels, got 1x5", (zeros(2, 3, 6, 4), WEIGHT)),
        ("at least 2x2 pixels, got 5x1", (zeros(2, 7, 2, 4), WEIGHT)),
    ],
)
def test_shapes(argument, args):
    refuses(ShapeError, argument, *args)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("strides", 0),
        ("strides", (1, 2, 3)),
        ("padding", "full"),
        ("padding", -1),
        ("dilation_rate", 0),
        ("groups", 0),
        ("groups", 1.5),
        ("groups", 3),
    ],
)
def test_options(option, value):
    refuses(ValueError, option, X, WEIGHT, **{option: value})


def test_dtypes():
    refuses(TypeError, "weight float64", X, WEIGHT.astype("float64"))
    refuses(TypeError, "x int32", X.astype("int32"), WEIGHT.astype("int32"))
    refuses(TypeError, "bias float64", X, WEIGHT, zeros(8, dtype="float64"))
    refuses(TypeError, "out", X, WEIGHT, out=zeros(*POOLED, dtype="float64"))
    for kind in ("int8", "int32", "bool"):
        refuses(TypeError, "winner", X, WEIGHT, winner=zeros(*POOLED, dtype=kind))


@pytest.mark.parametrize(("name", "kind"), [("out", "float32"), ("winner", "uint8")])
def test_arrays_that_cannot_take_the_result(name, kind):
    refuses(ShapeError, name, X, WEIGHT, **{name: zeros(2, 2, 3, 8, dtype=kind)})
    refuses(TypeError, name, X, WEIGHT, **{name: zeros(*POOLED).tolist()})
    refuses(ValueError, name, X, WEIGHT, **{name: zeros(2, 2, 2, 16, dtype=kind)[..., ::2]})
    frozen = zeros(*POOLED, dtype=kind)
    frozen.flags.writeable = False
    refuses(ValueError, name, X, WEIGHT, **{name: frozen})
    inside = X.reshape(-1).view(kind)[: np.prod(POOLED)].reshape(POOLED)
    refuses(ValueError, name, X, WEIGHT, **{name: inside})


def test_winner_and_out_must_not_overlap():
    storage = zeros(np.prod(POOLED))
    winner = storage.view("uint8")[: storage.size].reshape(POOLED)
    refuses(ValueError, "winner", X, WEIGHT, winner=winner, out=storage.reshape(POOLED))


# ------------------------------------------------------------------------------------------------- gradients

IMAGES, FILTERS, DY = zeros(2, 6, 7, 16), zeros(3, 3, 16, 8), zeros(2, 2, 2, 8)
WINNER = zeros(*DY.shape, dtype="uint8")


@pytest.mark.parametrize(
    ("error", "argument", "changes"),
    [
        (ShapeError, "x", {"x": IMAGES[0]}),
        (ShapeError, "dy", {"dy": zeros(2, 2, 3, 8), "winner": zeros(2, 2, 3, 8, dtype="uint8")}),
        (ShapeError, "dy", {"x": zeros(3, 6, 7, 16)}),
        (ShapeError, "winner", {"winner": WINNER[:1]}),
        (TypeError, "winner", {"winner": WINNER.astype("int8")}),
        (TypeError, "winner", {"winner": WINNER.astype("int32")}),
        (TypeError, "winner", {"winner": WINNER.tolist()}),
        (ShapeError, "out", {"out": zeros(3, 3, 8, 8)}),
        (ShapeError, "out", {"out": zeros(3, 3, 16, 8, 1)}),
        (TypeError, "out", {"out": zeros(3, 3, 16, 8, dtype="float64")}),
        (TypeError, "out", {"out": None}),
        (TypeError, "out", {"out": FILTERS.tolist()}),
        (ValueError, "out", {"out": np.asfortranarray(FILTERS)}),
        (ValueError, "out", {"out": IMAGES.reshape(-1)[: FILTERS.size].reshape(FILTERS.shape)}),
        (ValueError, "out", {"x": zeros(2, 6, 7, 9), "out": zeros(3, 3, 9, 8 + 1), "dy": zeros(2, 2, 2, 9)}),
        (ShapeError, "bias_grad", {"bias_grad": zeros(7)}),
        (TypeError, "bias_grad", {"bias_grad": zeros(8, dtype="float64")}),
        (ValueError, "bias_grad", {"bias_grad": zeros(16)[::2]}),
        (ValueError, "bias_grad", {"out": FILTERS, "bias_grad": FILTERS.reshape(-1)[:8]}),
        (TypeError, "dy", {"dy": DY.astype("float64")}),
        (ValueError, "strides", {"strides": 0}),
        (ValueError, "padding", {"padding": "full"}),
        (ValueError, "dilation_rate", {"dilation_rate": -1}),
    ],
)
def test_weight_gradient_refuses(error, argument, changes):
    given = {"x": IMAGES, "dy": DY, "winner": WINNER, "out": zeros(*FILTERS.shape), **changes}
    if given["winner"] is WINNER and given["dy"].shape != DY.shape:
        given["winner"] = np.zeros(given["dy"].shape, "uint8")
    with pytest.raises(error, match=rf"^conv2d_relu_pool_backward_weight: .*\b{argument}\b"):
        ops.conv2d_relu_pool_backward_weight(**given)


@pytest.mark.parametrize(
    ("error", "argument", "changes"),
    [
        (ShapeError, "dy", {"dy": DY[..., :7]}),
        (ShapeError, "winner", {"winner": WINNER[..., :7]}),
        (TypeError, "winner", {"winner": WINNER.astype("int64")}),
        (ShapeError, "weight", {"weight": FILTERS[..., 0]}),
        (ShapeError, "weight", {"weight": zeros(3, 3, 8, 8)}),
        (ValueError, "weight", {"weight": zeros(3, 3, 9, 8), "input_shape": (2, 6, 7, 9)}),
        (TypeError, "input_shape", {"input_shape": (2, 6, 7)}),
        (TypeError, "input_shape", {"input_shape": None}),
        (ShapeError, "input_shape", {"input_shape": (2, -6, 7, 16)}),
        (ShapeError, "out", {"out": zeros(2, 6, 6, 16)}),
        (ValueError, "out", {"out": zeros(2, 6, 7, 32)[..., ::2]}),
        (ValueError, "strides", {"strides": (1, 0)}),
        (ValueError, "padding", {"padding": (1, 2, 3)}),
    ],
)
def test_input_gradient_refuses(error, argument, changes):
    given = {"dy": DY, "winner": WINNER, "weight": FILTERS, "input_shape": IMAGES.shape, **changes}
    with pytest.raises(error, match=rf"^conv2d_relu_pool_backward_input: .*\b{argument}\b"):
        ops.conv2d_relu_pool_backward_input(**given)
