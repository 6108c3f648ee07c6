"""Resizing images to a fixed size."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gwucnn.common import check_size, look_up
from gwucnn.layers.base import Array, Layer, Shape, Space, image_size

__all__ = ["Resizing"]


class Places(NamedTuple):
    """Where the pixels of the result are along one axis of the image: between `low` and `high`, at `share`.

    `share`, from 0 to less than 1, is the weight of `high`. Both are the same pixel where the share is 0.
    """

    low: Array
    high: Array
    share: Array


def _bilinear(length: int, made: int) -> Places:
    """Return the places for linear interpolation; what lies outside of the image is its border pixel."""
    # In units of 1 / (2 * made), in which all places are integers.
    place = np.clip((2 * np.arange(made) + 1) * length - made, 0, (length - 1) * 2 * made)
    low, rest = np.divmod(place, 2 * made)
    return Places(low, low + (rest > 0), rest / (2 * made))


def _nearest(length: int, made: int) -> Places:
    """Return the places of the nearest pixels."""
    low = ((2 * np.arange(made) + 1) * length) // (2 * made)
    return Places(low, low, np.zeros(made))


INTERPOLATIONS = {"bilinear": _bilinear, "nearest": _nearest}


class Resizing(Layer):
    """Resize images to a height and a width, whatever size they have.

    ::

        place of row i = (i + 1/2) * H / height - 1/2         and so for columns

    'bilinear' interpolates there, from the four pixels around the place or the border pixels; 'nearest' takes the pixel
    in which (i + 1/2) * H / height lies. Corners of images meet corners, as in Keras and in Pillow, but pixels are not
    averaged when images shrink (no antialiasing).

    Parameters
    ----------
    height, width : int
    interpolation : 'bilinear' or 'nearest'
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.
    name : str, optional

    Raises
    ------
    ValueError
        For sizes below 1 and other interpolations; ShapeError at `add` or `build` for inputs that are not images.

    Notes
    -----
    Computed by numpy, not by compiled loops: a network with this layer calls Python for each batch. Images that are
    seen many times are better resized once, before training. A NaN spreads to pixels that are interpolated from it.

    Examples
    --------
    >>> from gwucnn import Resizing
    >>> Resizing(32, 48).build((200, 300, 3))
    (32, 48, 3)
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        *,
        input_size: Any = None,
        name: str | None = None,
    ) -> None:
        self.height = check_size(self.label, "height", height)
        self.width = check_size(self.label, "width", width)
        look_up(self.label, "interpolation", interpolation, INTERPOLATIONS)
        self.interpolation = interpolation
        self.input_size = image_size(self.label, input_size)
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        self.in_shape, self.out_shape = in_shape, (self.height, self.width, in_shape[2])
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        if "places" not in space.saved:
            (H, W, _), places = self.in_shape, INTERPOLATIONS[self.interpolation]
            space.saved["places"] = places(H, self.height), places(W, self.width)
        rows, columns = space.saved["places"]
        return _resized(_resized(x, 1, rows, space), 2, columns, space)

    def backward(self, dy: Array, space: Space) -> Array | None:
        if not space.needs_dx:
            return None
        (H, W, _), (rows, columns) = self.in_shape, space.saved["places"]
        return _spread(_spread(dy, 2, W, columns, space), 1, H, rows, space)

    def arithmetic(self) -> str:
        return f"{self.height} x {self.width}"

    def config(self) -> dict[str, Any]:
        shown = {"height": self.height, "width": self.width, "interpolation": self.interpolation}
        optional = {"input_size": self.input_size, "name": self.name}
        return shown | {key: value for key, value in optional.items() if value is not None}


def _along(axis: int, numbers: Array) -> Array:
    """Return numbers in a shape that broadcasts along an axis of images."""
    return numbers.reshape([-1 if k == axis else 1 for k in range(4)])


def _resized(x: Array, axis: int, places: Places, space: Space) -> Array:
    """Return images resized along one axis."""
    shape = (*x.shape[:axis], len(places.low), *x.shape[axis + 1 :])
    y = space.array(f"y{axis}", shape)
    np.take(x, places.low, axis, out=y, mode="clip")
    if places.share.any():
        high, share = space.array(f"high{axis}", shape), _along(axis, places.share.astype(x.dtype))
        np.take(x, places.high, axis, out=high, mode="clip")
        y *= 1 - share
        high *= share
        y += high
    return y


def _spread(dy: Array, axis: int, length: int, places: Places, space: Space) -> Array:
    """Add each pixel's gradient to the pixels that it was interpolated from."""
    dx = space.array(f"dx{axis}", (*dy.shape[:axis], length, *dy.shape[axis + 1 :]))
    dx.fill(0)
    into, given = np.moveaxis(dx, axis, 0), np.moveaxis(dy, axis, 0)
    for line, low, high, share in zip(given, *places, strict=True):
        into[low] += line * dx.dtype.type(1 - share)
        if share:
            into[high] += line * dx.dtype.type(share)
    return dx
