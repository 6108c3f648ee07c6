"""Augmentation by parts of images: random crops, and random rectangles that are erased."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from gwucnn.common import ShapeError, check_between, check_number, check_size
from gwucnn.layers.augmentation.base import RandomLayer, check_range
from gwucnn.layers.base import Array, Shape, Space

__all__ = ["RandomCrop", "RandomErasing"]


class RandomCrop(RandomLayer):
    """Cut a random part of fixed size out of each image in training, and the middle in inference.

    Parameters
    ----------
    height, width : int
        Size of the part, at most that of the images.
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.
    name : str, optional

    Raises
    ------
    ValueError
        For sizes below 1.
    ShapeError
        At `add` or `build`, for smaller images and for inputs that are not images.

    Notes
    -----
    Random numbers come from the network's random state: a seed repeats a run, independently of the number of threads.
    A. Krizhevsky et al., NIPS 2012, section 4.1. Keras crops all images of a batch alike, and shrinks images in
    inference. Computed by numpy, not by compiled loops.

    Examples
    --------
    Shift images by up to four pixels, with zeros at the border:

    >>> from gwucnn import Conv2D, GWUNetwork, RandomCrop, ZeroPadding2D
    >>> network = GWUNetwork([ZeroPadding2D(4, input_size=(32, 32, 3)), RandomCrop(32, 32), Conv2D(8, 3)])
    """

    draws = 2

    def __init__(self, height: int, width: int, *, input_size: Any = None, name: str | None = None) -> None:
        super().__init__(input_size=input_size, name=name)
        self.height = check_size(self.label, "height", height)
        self.width = check_size(self.label, "width", width)

    def build(self, in_shape: Shape) -> Shape:
        super().build(in_shape)
        H, W, C = in_shape
        if H < self.height or W < self.width:
            raise ShapeError(
                f"{self.label}: expected images of at least {self.height}x{self.width}, got {H}x{W}; put "
                "ZeroPadding2D or Resizing before"
            )
        self.out_shape = (self.height, self.width, C)
        return self.out_shape

    @property
    def middle(self) -> tuple[int, int]:
        """The first row and column of the part that is cut out in inference."""
        H, W, _ = self.in_shape
        return (H - self.height) // 2, (W - self.width) // 2

    def forward(self, x: Array, space: Space) -> Array:
        N, (H, W, _) = len(x), self.in_shape
        places = np.broadcast_to(self.middle, (N, 2))
        if space.training:
            choices = H - self.height + 1, W - self.width + 1
            places = (self.draw(N, space, np.float64) * choices).astype(np.intp)
        y, space.saved["places"] = space.array("y", (N, *self.out_shape)), places.tolist()
        for image, (i, j), part in zip(x, space.saved["places"], y, strict=True):
            part[...] = image[i : i + self.height, j : j + self.width]
        return y

    def backward(self, dy: Array, space: Space) -> Array | None:
        if not space.needs_dx:
            return None
        dx = space.array("dx", (len(dy), *self.in_shape))
        dx.fill(0)
        for image, (i, j), part in zip(dx, space.saved["places"], dy, strict=True):
            image[i : i + self.height, j : j + self.width] = part
        return dx

    def arithmetic(self) -> str:
        return f"{self.height} x {self.width}"

    def config(self) -> dict[str, Any]:
        return {"height": self.height, "width": self.width} | super().config()


class RandomErasing(RandomLayer):
    """Erase a random rectangle of each image in training, so that a network learns to recognize parts.

    In inference images are not changed. Backward passes no gradient to erased pixels.

    Parameters
    ----------
    factor : float from 0 to 1
        The probability that an image is changed.
    scale : (low, high)
        Range of the area of the rectangle, as fractions of that of the image.
    ratio : (low, high)
        Range of height / width of the rectangle; logarithms of ratios are equally likely.
    fill_value : float
        The value of erased pixels.
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.
    name : str, optional

    Raises
    ------
    ValueError
        For fractions and ranges that are none; ShapeError at `add` or `build` for inputs that are not images.

    Notes
    -----
    Z. Zhong et al., "Random erasing data augmentation", arXiv:1708.04896, algorithm 1; a rectangle higher or wider than
    the image is cut to its size. Random numbers come from the network's random state: a seed repeats a run,
    independently of the number of threads. Computed by numpy, not by compiled loops.

    Examples
    --------
    >>> from gwucnn import Conv2D, GWUNetwork, RandomErasing
    >>> network = GWUNetwork([RandomErasing(0.5, fill_value=0.5), Conv2D(8, 3)])
    """

    draws = 5

    def __init__(
        self,
        factor: float = 1.0,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 1 / 0.3),
        fill_value: float = 0.0,
        *,
        input_size: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(input_size=input_size, name=name)
        self.factor = check_between(self.label, "factor", factor, 0, 1)
        self.scale = check_range(self.label, "scale", scale, 0, 1)
        self.ratio = check_range(self.label, "ratio", ratio, 1e-3, 1e3)
        self.fill_value = check_number(self.label, "fill_value", fill_value)

    def rectangles(self, numbers: Array) -> Array:
        """Return (top, left, height, width) for each row of five random numbers, of height 0 to erase nothing."""
        (H, W, _), (least, most), (low, high) = self.in_shape, self.scale, self.ratio
        area = H * W * (least + numbers[:, 1] * (most - least))
        ratio = np.exp(log(low) + numbers[:, 2] * (log(high) - log(low)))
        height = np.clip(np.rint(np.sqrt(area * ratio)), 1, H)
        width = np.clip(np.rint(np.sqrt(area / ratio)), 1, W)
        top, left = numbers[:, 3] * (H - height + 1), numbers[:, 4] * (W - width + 1)
        height[numbers[:, 0] >= self.factor] = 0
        return np.stack([top, left, height, width], axis=1).astype(np.intp)

    def forward(self, x: Array, space: Space) -> Array:
        space.saved["rectangles"] = None
        if not space.training:
            return x
        space.saved["rectangles"] = self.rectangles(self.draw(len(x), space, np.float64)).tolist()
        return _filled(x, space.saved["rectangles"], self.fill_value, space.array("y", x.shape))

    def backward(self, dy: Array, space: Space) -> Array | None:
        rectangles = space.saved["rectangles"]
        if rectangles is None:
            return dy
        if not space.needs_dx:
            return None
        return _filled(dy, rectangles, 0.0, space.array("dx", dy.shape))

    def config(self) -> dict[str, Any]:
        shown = {"factor": self.factor, "scale": self.scale, "ratio": self.ratio, "fill_value": self.fill_value}
        defaults = {"factor": 1.0, "scale": (0.02, 0.33), "ratio": (0.3, 1 / 0.3), "fill_value": 0.0}
        return {key: value for key, value in shown.items() if value != defaults[key]} | super().config()


def _filled(x: Array, rectangles: Any, value: float, out: Array) -> Array:
    """Copy images to `out`, with a rectangle of each filled."""
    np.copyto(out, x)
    for image, (i, j, height, width) in zip(out, rectangles, strict=True):
        image[i : i + height, j : j + width] = value
    return out
