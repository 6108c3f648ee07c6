"""Parts of channels, other ways to resize, and pooling by norms, in networks imported by `import_onnx`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gwucnn.common import ShapeError, check_number, check_size, look_up
from gwucnn.layers.base import Array, Layer, Shape, Space

__all__ = ["Channels", "DepthToSpace", "GlobalLpPooling", "Resample"]


class Channels(Layer):
    """Select channels by their numbers, in this order. Backward adds to each what it was selected for.

    Parameters
    ----------
    numbers : sequence of int
        From 0 to C - 1.
    name : str, optional
    """

    def __init__(self, numbers: Sequence[int], *, name: str | None = None) -> None:
        self.numbers = [check_size(self.label, "numbers", number, 0) for number in numbers]
        if not self.numbers:
            raise ValueError(f"{self.label}: expected at least one channel, got none")
        self.name = name

    @property
    def consecutive(self) -> bool:
        """Whether each channel is followed by the next one."""
        first = self.numbers[0]
        return self.numbers == list(range(first, first + len(self.numbers)))

    @property
    def _part(self) -> Any:
        return slice(self.numbers[0], self.numbers[-1] + 1) if self.consecutive else self.numbers

    def build(self, in_shape: Shape) -> Shape:
        if max(self.numbers) >= in_shape[-1]:
            raise ShapeError(f"{self.label}: expected channels up to {max(self.numbers)}, got {in_shape[-1]} of them")
        self.in_shape, self.out_shape = in_shape, (*in_shape[:-1], len(self.numbers))
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", (len(x), *self.out_shape))
        y[...] = x[..., self._part]
        return y

    def backward(self, dy: Array, space: Space) -> Array:
        dx = space.array("dx", (len(dy), *self.in_shape))
        dx[...] = 0
        if self.consecutive:
            dx[..., self._part] = dy
        else:
            np.add.at(dx, (..., np.array(self.numbers)), dy)  # type: ignore[arg-type]
        return dx

    def config(self) -> dict[str, Any]:
        return {"numbers": self.numbers} | ({} if self.name is None else {"name": self.name})


class DepthToSpace(Layer):
    """Turn the channels of a pixel into a square of `size` x `size` pixels.

    W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
    network", CVPR 2016, section 3.2.

    Parameters
    ----------
    size : int
    mode : 'DCR' or 'CRD'
        Whether the place in the square comes before the new channel in the order of the old channels, or after it.
    name : str, optional
    """

    def __init__(self, size: int, mode: str = "DCR", *, name: str | None = None) -> None:
        self.size = check_size(self.label, "size", size)
        # The axes N, H, W and those of the channel: to N, H, row, W, column, channel.
        self._turn = look_up(self.label, "mode", mode, {"DCR": (0, 1, 3, 2, 4, 5), "CRD": (0, 1, 4, 2, 5, 3)})
        self.mode, self.name = mode, name

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        H, W, C = in_shape
        if C % self.size**2:
            raise ShapeError(f"{self.label}: expected channels in multiples of {self.size**2}, got {C}")
        self.in_shape, self.out_shape = in_shape, (H * self.size, W * self.size, C // self.size**2)
        return self.out_shape

    def _parts(self) -> Shape:
        H, W, _ = self.in_shape
        s, C = self.size, self.out_shape[2]
        return (H, W, s, s, C) if self.mode == "DCR" else (H, W, C, s, s)

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", (len(x), *self.out_shape))
        y[...] = x.reshape(len(x), *self._parts()).transpose(self._turn).reshape(y.shape)
        return y

    def backward(self, dy: Array, space: Space) -> Array:
        H, W, _ = self.in_shape
        dx, s = space.array("dx", (len(dy), *self.in_shape)), self.size
        turned = dy.reshape(len(dy), H, s, W, s, self.out_shape[2])
        dx[...] = turned.transpose(np.argsort(self._turn)).reshape(dx.shape)
        return dx

    def config(self) -> dict[str, Any]:
        return {"size": self.size, "mode": self.mode} | ({} if self.name is None else {"name": self.name})


# Where a pixel of the output lies in the input, by its number, the scale and both lengths.
PLACES: dict[str, Any] = {
    "half_pixel": lambda i, scale, length, made: (i + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda i, scale, length, made: (i + 0.5) / scale - 0.5 if made > 1 else 0 * i,
    "align_corners": lambda i, scale, length, made: i * ((length - 1) / max(made - 1, 1)),
    "asymmetric": lambda i, scale, length, made: i / scale,
}
ROUNDING: dict[str, Any] = {
    "round_prefer_floor": lambda place: np.ceil(place - 0.5),
    "round_prefer_ceil": lambda place: np.floor(place + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


class Resample(Layer):
    """Resize images as ONNX's Resize does, by a matrix for the rows and one for the columns.

    Backward multiplies by their transposes.

    Parameters
    ----------
    height, width : int
    mode : 'linear' or 'nearest'
    places : 'half_pixel', 'pytorch_half_pixel', 'align_corners' or 'asymmetric'
        Where pixels lie: coordinate_transformation_mode.
    rounding : 'round_prefer_floor', 'round_prefer_ceil', 'floor' or 'ceil'
        Which pixel is the nearest.
    scales : (float, float), optional
        Where they are not the quotients of the sizes.
    name : str, optional
    """

    def __init__(
        self,
        height: int,
        width: int,
        mode: str = "linear",
        places: str = "half_pixel",
        rounding: str = "round_prefer_floor",
        scales: Sequence[float] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        self.height, self.width = check_size(self.label, "height", height), check_size(self.label, "width", width)
        self._linear = look_up(self.label, "mode", mode, {"linear": True, "nearest": False})
        self._place = look_up(self.label, "places", places, PLACES)
        self._round = look_up(self.label, "rounding", rounding, ROUNDING)
        self.mode, self.places, self.rounding, self.name = mode, places, rounding, name
        self.scales = None if scales is None else [check_number(self.label, "scales", scale) for scale in scales]

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        made = self.height, self.width
        scales = self.scales or [new / old for new, old in zip(made, in_shape, strict=False)]
        self._rows, self._columns = (self._matrix(*each) for each in zip(in_shape, made, scales, strict=False))
        self.in_shape, self.out_shape = in_shape, (*made, in_shape[2])
        return self.out_shape

    def _matrix(self, length: int, made: int, scale: float) -> Array:
        """Return the share of each pixel of the input in each of the output."""
        place = self._place(np.arange(made), scale, length, made)
        matrix, every = np.zeros((made, length)), np.arange(made)
        if not self._linear:
            matrix[every, np.clip(self._round(place), 0, length - 1).astype(int)] = 1
            return matrix
        low = np.floor(place)
        for pixel, share in ((low, 1 - (place - low)), (low + 1, place - low)):
            np.add.at(matrix, (every, np.clip(pixel, 0, length - 1).astype(int)), share)
        return matrix

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", (len(x), *self.out_shape))
        return self._product(x, self._rows, self._columns, y)

    def backward(self, dy: Array, space: Space) -> Array:
        return self._product(dy, self._rows.T, self._columns.T, space.array("dx", (len(dy), *self.in_shape)))

    def _product(self, x: Array, rows: Array, columns: Array, out: Array) -> Array:
        high = np.tensordot(rows.astype(x.dtype), x, (1, 1))  # (OH, N, W, C)
        out[...] = np.tensordot(columns.astype(x.dtype), high, (1, 2)).transpose(2, 1, 0, 3)
        return out

    def config(self) -> dict[str, Any]:
        shown = {"height": self.height, "width": self.width, "mode": self.mode, "places": self.places}
        shown |= {"rounding": self.rounding, "scales": self.scales}
        return shown | ({} if self.name is None else {"name": self.name})


class GlobalLpPooling(Layer):
    """Take the p-norm of all pixels: y = (sum of |x|**p) ** (1 / p).

    Backward: dx = dy * sign(x) * (|x| / y) ** (p - 1).

    Parameters
    ----------
    p : int
    name : str, optional
    """

    def __init__(self, p: int = 2, *, name: str | None = None) -> None:
        self.p, self.name = check_size(self.label, "p", p), name

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        self.in_shape, self.out_shape = in_shape, (in_shape[2],)
        return self.out_shape

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", (len(x), *self.out_shape))
        y[...] = (np.abs(x) ** self.p).sum(axis=(1, 2)) ** (1 / self.p)
        space.saved["x"], space.saved["y"] = x, y
        return y

    def backward(self, dy: Array, space: Space) -> Array:
        x, dx = space.saved["x"], space.array("dx", (len(dy), *self.in_shape))
        y = space.saved["y"][:, None, None]
        share = np.abs(x) / np.where(y > 0, y, 1)
        dx[...] = dy[:, None, None] * np.sign(x) * share ** (self.p - 1)
        return dx

    def config(self) -> dict[str, Any]:
        return {"p": self.p} | ({} if self.name is None else {"name": self.name})
