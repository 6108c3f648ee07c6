"""Layers that only networks imported by `import_onnx` need."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gwucnn import ops
from gwucnn.common import ShapeError, check_number, check_size, look_up
from gwucnn.layers.base import Array, Layer, Shape, Space

__all__ = ["ChannelShuffle", "Clip", "LocalResponseNormalization", "LogSoftmax", "OrderedFlatten"]


class ChannelShuffle(Layer):
    """Interleave the channels of `groups` groups, so that each group of the next layer gets some of every one.

    ::

        y[..., k*G + g] = x[..., g*K + k],   G groups of K = C / G channels

    Backward permutes dy back in the same way, with K groups.

    X. Zhang, X. Zhou, M. Lin and J. Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for
    Mobile Devices", CVPR 2018, section 3.1.

    Parameters
    ----------
    groups : int
        Number of groups, a divisor of the number of channels.
    name : str, optional
    """

    replayable = True

    def __init__(self, groups: int, *, name: str | None = None) -> None:
        self.groups = check_size(self.label, "groups", groups)
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3 or in_shape[2] % self.groups:
            raise ShapeError(
                f"{self.label}: expected images (H, W, C) with C a multiple of groups={self.groups}, got "
                f"{in_shape}; choose groups that divide the channels"
            )
        self.in_shape = self.out_shape = in_shape
        return in_shape

    def forward(self, x: Array, space: Space) -> Array:
        return self._transposed("y", x, self.groups, space)

    def backward(self, dy: Array, space: Space) -> Array:
        return self._transposed("dx", dy, self.in_shape[2] // self.groups, space)

    def _transposed(self, name: str, x: Array, groups: int, space: Space) -> Array:
        """Return x with the channels of each pixel transposed as a matrix with `groups` rows."""
        pixels, each = prod(x.shape[:3]), x.shape[3] // groups
        rows = space.view(f"{name} by groups", x, (pixels, 1, groups, each))
        out = space.array(f"{name} dealt", (pixels, each, 1, groups))
        return space.view(name, space.run(f"deal {name}", ops.to_channels_first, rows, out=out), x.shape)

    def config(self) -> dict[str, Any]:
        return {"groups": self.groups} | ({} if self.name is None else {"name": self.name})


class Clip(Layer):
    """Clip to the range from `low` to `high`; relu6 is Clip(0, 6).

    Backward passes gradients where low < x < high. Either bound may be None. NaN stays NaN.
    """

    def __init__(self, low: float | None = None, high: float | None = None, *, name: str | None = None) -> None:
        self.low = None if low is None else check_number(self.label, "low", low)
        self.high = None if high is None else check_number(self.label, "high", high)
        self.name = name

    def forward(self, x: Array, space: Space) -> Array:
        space.saved["x"] = x
        y = space.array("y", x.shape)
        if self.low is self.high is None:  # which np.clip refuses before numpy 2.1
            y[...] = x
            return y
        return np.clip(x, self.low, self.high, out=y)

    def backward(self, dy: Array, space: Space) -> Array:
        x = space.saved["x"]
        inside = np.ones(x.shape, bool) if self.low is None else x > self.low
        if self.high is not None:
            inside &= x < self.high
        return np.multiply(dy, inside, out=space.array("dx", dy.shape))

    def config(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high} | ({} if self.name is None else {"name": self.name})


class LogSoftmax(Layer):
    """y[k] = x[k] - log(sum over l of exp(x[l])) in each row: the logarithm of softmax.

    Backward: dx[k] = dy[k] - exp(y[k]) * sum over l of dy[l].
    """

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def forward(self, x: Array, space: Space) -> Array:
        y = space.saved["y"] = space.array("y", x.shape)
        np.subtract(x, x.max(axis=-1, keepdims=True), out=y)
        y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
        return y

    def backward(self, dy: Array, space: Space) -> Array:
        dx = np.exp(space.saved["y"], out=space.array("dx", dy.shape))
        dx *= -dy.sum(axis=-1, keepdims=True)
        dx += dy
        return dx

    def config(self) -> dict[str, Any]:
        return {} if self.name is None else {"name": self.name}


class LocalResponseNormalization(Layer):
    """Divide each element by a power of the sum of squares over `size` neighbouring channels.

    ::

        y[..., c] = x[..., c] / b[..., c] ** beta
        b[..., c] = bias + alpha / size * sum over l from c - (size - 1) // 2 to c + size // 2 of x[..., l]**2
        dx = dy / b**beta - 2 * alpha * beta / size * x * (sum of dy * y / b over the channels c whose sums include l)

    A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet classification with deep convolutional neural
    networks", NIPS 2012, section 3.3; with ONNX's division by size.

    Parameters
    ----------
    size : int
        Number of channels in a sum, including the channel itself.
    alpha, beta, bias : float
    name : str, optional
    """

    def __init__(
        self,
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        bias: float = 1.0,
        *,
        name: str | None = None,
    ) -> None:
        self.size = check_size(self.label, "size", size)
        self.alpha = check_number(self.label, "alpha", alpha)
        self.beta = check_number(self.label, "beta", beta)
        self.bias = check_number(self.label, "bias", bias)
        self.name = name

    def _sums(self, a: Array, before: int) -> Array:
        """Return the sums over `size` neighbouring channels, `before` of which precede the channel."""
        borders = [(0, 0)] * (a.ndim - 1) + [(before, self.size - 1 - before)]
        padded = np.pad(a, borders)
        return np.lib.stride_tricks.sliding_window_view(padded, self.size, -1).sum(axis=-1)

    def forward(self, x: Array, space: Space) -> Array:
        base = self.bias + self.alpha / self.size * self._sums(x * x, (self.size - 1) // 2)
        space.saved["x"], space.saved["base"] = x, base
        return np.multiply(x, base**-self.beta, out=space.array("y", x.shape), casting="same_kind")

    def backward(self, dy: Array, space: Space) -> Array:
        x, base = space.saved["x"], space.saved["base"]
        shares = self._sums(dy * x * base ** (-self.beta - 1), self.size // 2)
        dx = np.multiply(dy, base**-self.beta, out=space.array("dx", dy.shape), casting="same_kind")
        dx -= 2 * self.alpha * self.beta / self.size * x * shares
        return dx

    def config(self) -> dict[str, Any]:
        shown = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "bias": self.bias}
        return shown | ({} if self.name is None else {"name": self.name})


class OrderedFlatten(Layer):
    """Flatten images in a fixed order, independent of the network's data_format.

    Parameters
    ----------
    order : 'channels_first' or 'channels_last'
    name : str, optional
    """

    replayable = True
    passes_values_on = True

    def __init__(self, order: str, *, name: str | None = None) -> None:
        orders = {"channels_first": True, "channels_last": False}
        self._permutes = look_up(self.label, "order", order, orders)
        self.order, self.name = order, name

    def build(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise ShapeError(f"{self.label}: expected images (H, W, C), got {in_shape}; use Flatten()")
        self.in_shape, self.out_shape = in_shape, (prod(in_shape),)
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        N = x.shape[0]
        if self._permutes:
            H, W, C = self.in_shape
            x = space.run("permute", ops.to_channels_first, x, out=space.array("permuted", (N, C, H, W)))
        return space.view("y", x, (N, *self.out_shape))

    def backward(self, dy: Array, space: Space) -> Array:
        H, W, C = self.in_shape
        N = dy.shape[0]
        if not self._permutes:
            return space.view("dx", dy, (N, H, W, C))
        images = space.view("dy", dy, (N, C, H, W))
        return space.run("permute_back", ops.to_channels_last, images, out=space.array("dx", (N, H, W, C)))

    def config(self) -> dict[str, Any]:
        return {"order": self.order} | ({} if self.name is None else {"name": self.name})
