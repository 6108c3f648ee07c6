"""ONNX's convolutions and poolings, computed by `gwucnn.ops`; arrays are (N, C, ...) with one to three spatial axes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gwucnn import ops
from gwucnn.onnx.attributes import Node, SlidingWindow, slide, transposed_pads
from gwucnn.ops.pool import winner_dtype

__all__ = ["WINDOW_OPERATORS"]


def _last(x: Any) -> Any:
    """Return (N, C, H, W) or (N, C, W) as (N, H, W, C)."""
    x = x[:, :, None] if x.ndim == 3 else x
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _first(y: Any, axes: int) -> Any:
    """Return (N, H, W, C) as (N, C, H, W), or as (N, C, W) for one axis."""
    y = np.ascontiguousarray(y.transpose(0, 3, 1, 2))
    return y[:, :, 0] if axes == 1 else y


def _two(sizes: Any, fill: Any) -> Any:
    return (fill, *sizes) if len(sizes) == 1 else tuple(sizes)


def _need_images(node: Node, x: Any) -> None:
    if x.ndim not in (3, 4, 5):
        raise node.refuse(f"a tensor of 3 to 5 axes, got one of {x.ndim},")


# -------------------------------------------------------------------------------------------- convolution


def _conv(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    _need_images(node, x)
    window = slide(node, x.shape[2:], weight.shape[2:])
    return _convolved(x, weight, bias, window, node.get("group", 1))


def _convolved(x: Any, weight: Any, bias: Any, window: SlidingWindow, groups: int) -> Any:
    if x.ndim == 5:
        return _by_slices(x, weight, bias, window, groups)
    weight = weight[:, :, None] if weight.ndim == 3 else weight
    y = ops.conv2d(
        _last(x),
        np.ascontiguousarray(weight.transpose(2, 3, 1, 0)),
        bias,
        strides=_two(window.strides, 1),
        padding=_two(window.pads, (0, 0)),
        dilation_rate=_two(window.dilations, 1),
        groups=groups,
    )
    return _first(y, x.ndim - 2)


def _by_slices(x: Any, weight: Any, bias: Any, window: SlidingWindow, groups: int) -> Any:
    """Return a 3-D convolution as the sum of 2-D convolutions over the slices of the filters."""
    (before, after), *_ = window.pads
    x = np.pad(x, ((0, 0), (0, 0), (before, after), (0, 0), (0, 0)))
    depth = (x.shape[2] - window.reach[0]) // window.strides[0] + 1
    flat = SlidingWindow(*(part[1:] for part in window))  # type: ignore[arg-type]
    total: Any = 0
    for k in range(weight.shape[2]):
        places = k * window.dilations[0] + window.strides[0] * np.arange(depth)
        images = x[:, :, places].swapaxes(1, 2).reshape(-1, x.shape[1], *x.shape[3:])
        total = total + _convolved(images, weight[:, :, k], None if k else bias, flat, groups)
    return np.ascontiguousarray(total.reshape(len(x), depth, *total.shape[1:]).swapaxes(1, 2))


def _conv_transpose(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    _need_images(node, x)
    axes, groups = x.ndim - 2, node.get("group", 1)
    strides, dilations = node.get("strides") or (1,) * axes, node.get("dilations") or (1,) * axes
    pads, made = transposed_pads(node, x.shape[2:], weight.shape[2:])
    if axes == 3:
        whole = _spread_slices(x, weight, strides, dilations, groups)
    else:
        whole = _spread(x, weight, strides, dilations, groups)
    # Crop, or for negative amounts pad, the pixels beyond all windows.
    beyond = [(max(-before, 0), max(-after, 0)) for before, after in pads]
    whole = np.pad(whole, ((0, 0), (0, 0), *beyond))
    starts = [max(before, 0) for before, _ in pads]
    inside = tuple(slice(start, start + length) for start, length in zip(starts, made, strict=True))
    y = whole[(slice(None), slice(None), *inside)]
    return y if bias is None else y + bias.reshape(-1, *(1,) * axes)


def _spread(x: Any, weight: Any, strides: Any, dilations: Any, groups: int) -> Any:
    weight = weight[:, :, None] if weight.ndim == 3 else weight
    y = ops.conv2d_transpose(
        _last(x),
        np.ascontiguousarray(weight.transpose(2, 3, 1, 0)),
        strides=_two(strides, 1),
        padding=0,
        dilation_rate=_two(dilations, 1),
        groups=groups,
    )
    return _first(y, x.ndim - 2)


def _spread_slices(x: Any, weight: Any, strides: Any, dilations: Any, groups: int) -> Any:
    """Return a transposed 3-D convolution, one slice of the filters at a time."""
    N, C, D = x.shape[:3]
    images = x.swapaxes(1, 2).reshape(N * D, C, *x.shape[3:])
    whole = None
    for k in range(weight.shape[2]):
        y = _spread(images, weight[:, :, k], strides[1:], dilations[1:], groups)
        y = y.reshape(N, D, *y.shape[1:]).swapaxes(1, 2)
        if whole is None:
            depth = (D - 1) * strides[0] + (weight.shape[2] - 1) * dilations[0] + 1
            whole = np.zeros((*y.shape[:2], depth, *y.shape[3:]), x.dtype)
        start = k * dilations[0]
        whole[:, :, start : start + (D - 1) * strides[0] + 1 : strides[0]] += y
    return whole


# ------------------------------------------------------------------------------------------------ pooling


def _max_pool(node: Node, x: Any) -> Any:
    _need_images(node, x)
    window = slide(node, x.shape[2:])
    pads = tuple((b, a + more) for (b, a), more in zip(window.pads, window.more, strict=True))
    if not _ops_pool(x, window, pads):
        return _max_by_windows(node, x, window, pads)
    images, size = _last(x), _two(window.size, 1)
    options = {"strides": _two(window.strides, 1), "padding": _two(pads, (0, 0))}
    if len(node.outputs) < 2:
        return _first(ops.max_pool2d(images, size, **options), x.ndim - 2)
    y = ops.max_pool2d(images, size, **options)
    winner = np.empty(y.shape, winner_dtype(size))
    ops.max_pool2d(images, size, **options, winner=winner, out=y)
    indices = _indices(node, images.shape, _first(winner, 2).astype(np.int64), size, options)
    return _first(y, x.ndim - 2), indices.reshape(_first(y, x.ndim - 2).shape)


def _ops_pool(x: Any, window: SlidingWindow, pads: Any) -> bool:
    """Return whether `gwucnn.ops` supports a pooling: one or two axes, no dilation, no window inside the padding."""
    small = all(max(pad) < k for pad, k in zip(pads, window.size, strict=True))
    return x.ndim < 5 and x.dtype.char in "fd" and set(window.dilations) == {1} and small


def _indices(node: Node, shape: Any, winner: Any, size: Any, options: Any) -> Any:
    """Return the flat index in x of each maximum, from its index u*PW + v in the window."""
    N, H, W, C = shape
    (top, _), (left, _) = options["padding"]
    OH, OW = winner.shape[2:]
    h = winner // size[1] + (np.arange(OH) * options["strides"][0] - top)[:, None]
    w = winner % size[1] + np.arange(OW) * options["strides"][1] - left
    inside = w * H + h if node.get("storage_order", 0) else h * W + w
    return np.arange(N * C).reshape(N, C, 1, 1) * (H * W) + inside


def _windows(x: Any, window: SlidingWindow, pads: Any, fill: Any) -> Any:
    """Return a view (N, C, *outputs, *window) of x within its padding."""
    x = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill)
    axes = tuple(range(2, x.ndim))
    seen = np.lib.stride_tricks.sliding_window_view(x, window.reach, axes)
    steps = tuple(slice(None, None, step) for step in (*window.strides, *window.dilations))
    return seen[(slice(None), slice(None), *steps)]


def _max_by_windows(node: Node, x: Any, window: SlidingWindow, pads: Any) -> Any:
    """Max-pool what `gwucnn.ops` does not support: volumes, dilated windows and integers."""
    if len(node.outputs) > 1:
        raise node.refuse("no indices of windows that are dilated or have three axes, got two outputs")
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    axes = tuple(range(-len(window.size), 0))
    return np.ascontiguousarray(_windows(x, window, pads, least).max(axis=axes))


def _average_pool(node: Node, x: Any) -> Any:
    _need_images(node, x)
    window = slide(node, x.shape[2:])
    pads, counted = window.pads, node.get("count_include_pad", 0)
    if counted:
        x = np.pad(x, ((0, 0), (0, 0), *pads))
        pads = ((0, 0),) * len(pads)
    pads = tuple((b, a + more) for (b, a), more in zip(pads, window.more, strict=True))
    if not _ops_pool(x, window, pads):
        axes = tuple(range(-len(window.size), 0))
        count = _windows(np.ones((1, 1, *x.shape[2:])), window, pads, 0).sum(axis=axes)
        return (_windows(x, window, pads, 0).sum(axis=axes) / count).astype(x.dtype)
    y = ops.average_pool2d(_last(x), _two(window.size, 1), strides=_two(window.strides, 1), padding=_two(pads, (0, 0)))
    return _first(y, x.ndim - 2)


def _global_pool(op: Any) -> Any:
    def pooled(node: Node, x: Any) -> Any:
        N, C, *image = x.shape
        pixels = prod(image)
        columns = np.ascontiguousarray(x.reshape(N, C, pixels).swapaxes(1, 2)).reshape(N, pixels, 1, C)
        return op(columns, (pixels, 1)).reshape(N, C, *(1 for _ in image))

    return pooled


WINDOW_OPERATORS = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_pool(ops.average_pool2d),
    "GlobalMaxPool": _global_pool(ops.max_pool2d),
    "MaxPool": _max_pool,
}
