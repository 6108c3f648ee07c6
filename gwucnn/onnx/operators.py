"""ONNX's operators without sliding windows: products, activations, normalisations, and changes of shape."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from gwucnn import ops
from gwucnn.onnx.attributes import Node
from gwucnn.onnx.window_operators import WINDOW_OPERATORS
from gwucnn.ops.numpy_activation import SELU_ALPHA, SELU_SCALE

__all__ = ["OPERATORS"]


def _is_real(x: Any) -> bool:
    """Return whether `gwucnn.ops` supports arrays of this type."""
    return x.dtype.char in "fd"


# --------------------------------------------------------------------------------------- elementwise


def _activation(op: Any, **options: tuple[str, float]) -> Any:
    """Return an operator that calls one of the ops; options are its keyword, the attribute's name and default."""

    def active(node: Node, x: Any) -> Any:
        given = {keyword: node.get(name, default) for keyword, (name, default) in options.items()}
        narrow = x.dtype if not _is_real(x) else None  # half precision is computed in single precision
        y = op(np.ascontiguousarray(x if narrow is None else x.astype(np.float32)), **given)
        return y.reshape(x.shape) if narrow is None else y.reshape(x.shape).astype(narrow)

    return active


def _gelu(node: Node, x: Any) -> Any:
    return ops.gelu(x, node.get("approximate", "none") == "tanh")


def _hard_sigmoid(node: Node, x: Any) -> Any:
    return np.clip(node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0, 1).astype(x.dtype)


def _selu(node: Node, x: Any) -> Any:
    return (node.get("gamma", SELU_SCALE) * _activation(ops.elu, alpha=("alpha", SELU_ALPHA))(node, x)).astype(x.dtype)


def _arithmetic(function: Any) -> Any:
    def joined(node: Node, a: Any, b: Any) -> Any:
        # Before opset 7 the second tensor's axes could match any consecutive axes of the first one.
        axis = node.get("axis")
        if node.opset < 7 and axis is not None and b.ndim:
            b = b.reshape(b.shape + (1,) * (a.ndim - axis % a.ndim - b.ndim))
        return function(a, b)

    return joined


def _divide(a: Any, b: Any) -> Any:
    # Integers are rounded towards zero, as in C.
    return a / b if a.dtype.kind == "f" else np.trunc(np.true_divide(a, b)).astype(a.dtype)


def _sum(node: Node, *xs: Any) -> Any:
    return functools.reduce(np.add, xs)


def _clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    low, high = node.get("min", low), node.get("max", high)
    x = x if low is None else np.maximum(x, np.asarray(low, x.dtype))
    return x if high is None else np.minimum(x, np.asarray(high, x.dtype))


def _dropout(node: Node, x: Any, ratio: Any = None, training: Any = False) -> Any:
    kept = np.ones(x.shape, bool)
    if training:
        rate = 0.5 if ratio is None else float(ratio)
        kept = np.random.RandomState(node.get("seed", 0)).uniform(0, 1, x.shape) >= rate
        x = np.where(kept, x / (1 - rate), 0).astype(x.dtype)
    return (x, kept if node.opset >= 10 else kept.astype(x.dtype)) if len(node.outputs) > 1 else x


# ----------------------------------------------------------------------------------------------- products


def _product(a: Any, b: Any) -> Any:
    """Return the product of two matrices."""
    if not _is_real(a):
        return a @ b
    return ops.dense(np.ascontiguousarray(a), np.ascontiguousarray(b))


def _matmul(node: Node, a: Any, b: Any) -> Any:
    if b.ndim == 2 and a.ndim >= 2:
        return _product(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    if a.ndim < 2 or b.ndim < 2:
        return np.matmul(a, b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))
    y = np.empty((*batch, a.shape[-2], b.shape[-1]), a.dtype)
    for place in np.ndindex(*batch):
        y[place] = _product(a[place], b[place])
    return y


def _gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    y = _product(a.T if node.get("transA", 0) else a, b.T if node.get("transB", 0) else b)
    y = y * y.dtype.type(node.get("alpha", 1.0))
    return y if c is None else y + (c * c.dtype.type(node.get("beta", 1.0)))


# ------------------------------------------------------------------------------- rows and normalisation


def _rows(node: Node, x: Any, function: Any) -> Any:
    """Apply a function of rows along an axis, or before opset 13 along that axis and all following ones together."""
    if node.opset < 13:
        axis = node.get("axis", 1) % max(x.ndim, 1)
        return function(x.reshape(math.prod(x.shape[:axis]), -1)).reshape(x.shape)
    axis = node.get("axis", -1)
    turned = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    return np.ascontiguousarray(np.moveaxis(function(turned), -1, axis))


def _softmax(node: Node, x: Any) -> Any:
    return _rows(node, x, ops.softmax)


def _log_softmax(node: Node, x: Any) -> Any:
    def function(rows: Any) -> Any:
        shifted = rows - rows.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    return _rows(node, x, function)


def _batch_norm(node: Node, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    if node.opset < 9 and not node.get("spatial", 1):
        raise node.refuse("spatial=1, got 0")
    if node.opset < 7 and not node.get("is_test", 0):
        raise node.refuse("is_test=1, got 0")
    epsilon, channels = node.get("epsilon", 1e-5), np.ascontiguousarray(np.moveaxis(x, 1, -1))
    if not node.get("training_mode", 0):
        y = ops.batch_norm(channels, scale, bias, mean, variance, epsilon)
        return np.ascontiguousarray(np.moveaxis(y, -1, 1))
    spread = np.empty_like(variance)
    centre = ops.batch_statistics(channels, variance=spread)
    y = ops.batch_norm(channels, scale, bias, centre, spread, epsilon)
    keep = node.get("momentum", 0.9)
    moved = [(keep * old + (1 - keep) * new).astype(old.dtype) for old, new in ((mean, centre), (variance, spread))]
    return (np.ascontiguousarray(np.moveaxis(y, -1, 1)), *moved)


def _layer_norm(node: Node, x: Any, scale: Any, bias: Any = None) -> Any:
    axis, epsilon = node.get("axis", -1) % x.ndim, node.get("epsilon", 1e-5)
    inner = x.shape[axis:]
    rows = np.ascontiguousarray(x.reshape(-1, math.prod(inner)))
    gamma, beta = (
        np.ascontiguousarray(np.broadcast_to(vector, inner).reshape(-1), x.dtype)
        for vector in (scale, np.zeros((), x.dtype) if bias is None else bias)
    )
    y = ops.layer_norm(rows, gamma, beta, epsilon).reshape(x.shape)
    if len(node.outputs) < 2:
        return y
    outer = (*x.shape[:axis], *(1 for _ in inner))
    mean, variance = rows.mean(axis=1), rows.var(axis=1)
    slope = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    return (y, mean.reshape(outer), slope.reshape(outer))[: len(node.outputs)]


def _lrn(node: Node, x: Any) -> Any:
    size = node.get("size")
    before = (size - 1) // 2
    squares = np.pad(x * x, ((0, 0), (before, size - 1 - before), *((0, 0) for _ in x.shape[2:])))
    total = sum(squares[:, k : k + x.shape[1]] for k in range(size))
    base = node.get("bias", 1.0) + node.get("alpha", 1e-4) / size * total
    return (x / base ** node.get("beta", 0.75)).astype(x.dtype)


def _reduce_mean(node: Node, x: Any, axes: Any = None) -> Any:
    axes = _axes(node, axes)
    if not axes and node.get("noop_with_empty_axes", 0):
        return x
    return np.asarray(x.mean(axis=axes or None, keepdims=bool(node.get("keepdims", 1))), x.dtype)


# ------------------------------------------------------------------------------------- changes of shape


def _reshape(node: Node, x: Any, shape: Any = None) -> Any:
    sizes = node.get("shape") if shape is None else shape.tolist()
    if not node.get("allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten(node: Node, x: Any) -> Any:
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(node: Node, x: Any) -> Any:
    return np.ascontiguousarray(x.transpose(node.get("perm")))


def _concat(node: Node, *xs: Any) -> Any:
    return np.concatenate(xs, axis=node.get("axis", 1))


def _axes(node: Node, axes: Any) -> Any:
    axes = node.get("axes", axes)
    return None if axes is None else tuple(np.asarray(axes).tolist())


def _squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    return np.squeeze(x, _axes(node, axes))


def _unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    return np.expand_dims(x, _axes(node, axes))


def _pad(node: Node, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    pads = np.asarray(node.get("pads", node.get("paddings", pads))).tolist()
    chosen = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    widths = [(0, 0)] * x.ndim
    for number, axis in enumerate(chosen):
        widths[axis] = pads[number], pads[len(pads) // 2 + number]
    # Negative pads crop.
    cut = tuple(slice(max(-b, 0), n - max(-a, 0)) for (b, a), n in zip(widths, x.shape, strict=True))
    widths = [(max(b, 0), max(a, 0)) for b, a in widths]
    mode = node.get("mode", "constant")
    if mode == "constant":
        value = node.get("value", 0) if value is None or value.size == 0 else value.item()
        return np.pad(x[cut], widths, constant_values=value)
    if mode not in ("reflect", "edge", "wrap"):
        raise node.refuse(f"mode constant, reflect, edge or wrap, got {mode!r}")
    return np.pad(x[cut], widths, mode=mode)


def _identity(node: Node, x: Any) -> Any:
    return x


def _constant(node: Node) -> Any:
    for name in ("value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            return np.asarray(node.get(name), np.float32 if "float" in name else np.int64)
    if "value" not in node.attributes or not isinstance(node.get("value"), np.ndarray):
        raise node.refuse(f"a tensor of numbers, got {', '.join(node.attributes)}")
    return node.get("value")


def _constant_of_shape(node: Node, shape: Any) -> Any:
    value = node.get("value", np.zeros(1, np.float32))
    return np.full(shape.tolist(), value.item(), value.dtype)


def _shape(node: Node, x: Any) -> Any:
    return np.array(x.shape[node.get("start", 0) : node.get("end")], np.int64)


def _gather(node: Node, x: Any, indices: Any) -> Any:
    return np.take(x, indices, axis=node.get("axis", 0))


OPERATORS: dict[str, Any] = {
    **WINDOW_OPERATORS,
    "Add": _arithmetic(np.add),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _arithmetic(_divide),
    "Dropout": _dropout,
    "Elu": _activation(ops.elu, alpha=("alpha", 1.0)),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _activation(ops.hard_swish),
    "Identity": _identity,
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _activation(ops.leaky_relu, negative_slope=("alpha", 0.01)),
    "LogSoftmax": _log_softmax,
    "MatMul": _matmul,
    "Mish": _activation(ops.mish),
    "Mul": _arithmetic(np.multiply),
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _activation(ops.relu),
    "Reshape": _reshape,
    "Selu": _selu,
    "Shape": _shape,
    "Sigmoid": _activation(ops.sigmoid),
    "Softmax": _softmax,
    "Softplus": _activation(ops.softplus),
    "Squeeze": _squeeze,
    "Sub": _arithmetic(np.subtract),
    "Sum": _sum,
    "Tanh": _activation(ops.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
