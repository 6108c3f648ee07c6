"""Augmentation of pixel values: random brightness and contrast, as under another light."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn.common import check_between
from gwucnn.layers.augmentation.base import RandomLayer, check_range
from gwucnn.layers.base import Array, Space
from gwucnn.ops.warp import Factor, check_factor

__all__ = ["RandomBrightness", "RandomContrast"]


class _RandomLight(RandomLayer):
    """The base of both: images of values in a range, which the results do not leave."""

    def __init__(self, *, value_range: Any, input_size: Any, name: str | None) -> None:
        super().__init__(input_size=input_size, name=name)
        self.value_range = low, high = check_range(self.label, "value_range", value_range)
        if low == high:
            raise ValueError(f"{self.label}: expected value_range with low below high, got {value_range!r}; try (0, 1)")

    def lit(self, x: Array, amounts: Array, space: Space) -> Array:
        """Return images under other light, in a buffer; amounts : random numbers (N, 1, 1, 1) in the dtype of x."""
        raise NotImplementedError

    def lit_backward(self, dy: Array, amounts: Array) -> None:
        """Turn dy into dx in place."""

    def forward(self, x: Array, space: Space) -> Array:
        space.saved["y"] = None
        if not space.training:
            return x
        self._check_range(x)
        numbers = self.draw(len(x), space, np.float64)
        amounts = space.saved["amounts"] = numbers.reshape(-1, 1, 1, 1).astype(x.dtype)
        y = space.saved["y"] = self.lit(x, amounts, space)
        return np.clip(y, *self.value_range, out=y)

    def backward(self, dy: Array, space: Space) -> Array | None:
        y = space.saved["y"]
        if y is None:
            return dy
        if not space.needs_dx:
            return None
        low, high = self.value_range
        dx = np.multiply(dy, (y > low) & (y < high), out=space.array("dx", dy.shape))
        self.lit_backward(dx, space.saved["amounts"])
        return dx

    def _check_range(self, x: Array) -> None:
        """Raise ValueError for images of another range, which would become black or white."""
        low, high = self.value_range
        if x.size and (x.max() > 2 * high - low or x.min() < 2 * low - high):
            raise ValueError(
                f"{self.label}: expected pixels from {low:g} to {high:g}, got some from {x.min():g} to {x.max():g}; "
                "put this layer behind Rescaling, or give value_range=(0, 255)"
            )

    def config(self) -> dict[str, Any]:
        return ({} if self.value_range == (0, 1) else {"value_range": self.value_range}) | super().config()


class RandomBrightness(_RandomLight):
    """Make each image randomly brighter or darker in training.

    ::

        y = x + f * (high - low), clipped to (low, high)            f: a random number for each image

    In inference images are not changed. Backward passes gradients of pixels that were not clipped.

    Parameters
    ----------
    factor : float or (low, high)
        Range of f, from -1 to 1; f stands for (-f, f).
    value_range : (low, high)
        The values of black and white; (0, 255) for images that are not scaled (the default of Keras).
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.
    name : str, optional

    Raises
    ------
    ValueError
        For factors and ranges that are none; in training, for images far outside of `value_range`. ShapeError at `add`
        or `build` for inputs that are not images.

    Notes
    -----
    Random numbers come from the network's random state: a seed repeats a run, independently of the number of threads.
    Computed by numpy, not by compiled loops.

    Examples
    --------
    >>> from gwucnn import Conv2D, GWUNetwork, RandomBrightness, RandomContrast
    >>> network = GWUNetwork([RandomBrightness(0.2), RandomContrast(0.3), Conv2D(8, 3)])
    """

    def __init__(
        self, factor: Factor, value_range: Any = (0, 1), *, input_size: Any = None, name: str | None = None
    ) -> None:
        super().__init__(value_range=value_range, input_size=input_size, name=name)
        self.factor = check_factor(self.label, "factor", factor)

    def lit(self, x: Array, amounts: Array, space: Space) -> Array:
        (low, high), (black, white) = self.factor, self.value_range
        amounts *= (high - low) * (white - black)
        amounts += low * (white - black)
        return np.add(x, amounts, out=space.array("y", x.shape))

    def config(self) -> dict[str, Any]:
        return {"factor": self.factor} | super().config()


class RandomContrast(_RandomLight):
    """Stretch the values of each image randomly about their mean in training.

    ::

        y = m + f * (x - m), clipped to `value_range`            f: a random number for each image
        dx = f * g + (1 - f) * mean of g                         g: dy where y was not clipped, else 0

    where m is the mean of the channel in that image. In inference images are not changed.

    Parameters
    ----------
    factor : float or (lower, upper)
        From 0 to 1, how much f may differ from 1: f is from 1 - lower to 1 + upper, as in Keras. A number stands for
        both.
    value_range, input_size, name
        As for `RandomBrightness`, also everything else.

    Raises
    ------
    ValueError
        For factors and ranges that are none; in training, for images far outside of `value_range`. ShapeError at `add`
        or `build` for inputs that are not images.
    """

    def __init__(
        self, factor: Factor, value_range: Any = (0, 1), *, input_size: Any = None, name: str | None = None
    ) -> None:
        super().__init__(value_range=value_range, input_size=input_size, name=name)
        pair = factor if isinstance(factor, (tuple, list)) and len(factor) == 2 else (factor, factor)
        lower, upper = (check_between(self.label, "factor", each, 0, 1) for each in pair)
        self.factor = lower, upper

    def lit(self, x: Array, amounts: Array, space: Space) -> Array:
        lower, upper = self.factor
        amounts *= lower + upper
        amounts += 1 - lower
        mean = x.mean(axis=(1, 2), keepdims=True)
        y = np.subtract(x, mean, out=space.array("y", x.shape))
        y *= amounts
        y += mean
        return y

    def lit_backward(self, dy: Array, amounts: Array) -> None:
        mean = dy.mean(axis=(1, 2), keepdims=True)
        dy *= amounts
        dy += (1 - amounts) * mean

    def config(self) -> dict[str, Any]:
        return {"factor": self.factor} | super().config()
