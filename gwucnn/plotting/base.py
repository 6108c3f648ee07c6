"""Shared by all plots: checks of the image, and grids of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt
from typing import Any

import numpy as np

from gwucnn.common import ShapeError
from gwucnn.data import as_images
from gwucnn.gwu_network import GWUNetwork

__all__ = [
    "channels_last",
    "check_network",
    "corners",
    "draw_image",
    "draw_tiles",
    "fits",
    "frame",
    "number",
    "one_image",
    "size_of",
    "some_images",
    "wrapped",
    "write_numbers",
]

# The largest figure in inches, (width, height).
SCREEN = 16.0, 12.0


def check_network(caller: str, network: Any) -> None:
    """Raise TypeError for anything but a network."""
    if not isinstance(network, GWUNetwork):
        raise TypeError(
            f"{caller}: expected a network first, got {type(network).__name__}; write {caller}(network, ...)"
        )


def one_image(caller: str, network: GWUNetwork, x: Any) -> Any:
    """Return one image as a batch of one."""
    check_network(caller, network)
    x = np.asarray(x)
    if x.dtype.kind not in "biuf":
        as_images(caller, x)  # raises the error that says what x contains
    first = network.data_format == "channels_first"
    if x.ndim == 3 and len(x) > 1 and _is_batch(network, x.shape):
        raise ShapeError(f"{caller}: expected one image, got {len(x)}, {x.shape}; pick one, such as x[0]")
    if x.ndim in (2, 3) and not (x.ndim == 3 and len(x) == 1):
        x = x[None]
    if x.ndim not in (3, 4) or len(x) != 1:
        axes = "(C, H, W)" if first else "(H, W, C)"
        raise ShapeError(f"{caller}: expected one image, (H, W) or {axes}, got {x.shape}; pick one, such as x[0]")
    if x.ndim == 4:
        return x
    return x[:, None] if first else x[..., None]


def _is_batch(network: GWUNetwork, shape: tuple[int, ...]) -> bool:
    """Whether an array of three axes holds images (N, H, W) for a network that is built for one channel."""
    sizes: tuple[int, ...] = getattr(network.layers[0], "in_shape", ()) if network.layers else ()
    return len(sizes) == 3 and sizes[2] == 1 and shape[1:] == sizes[:2]


def some_images(caller: str, network: GWUNetwork, x: Any) -> Any:
    """Return images (N, H, W, C) or (N, C, H, W) in the network's data format; one image becomes a batch of one."""
    check_network(caller, network)
    if np.ndim(x) == 2:
        x = np.asarray(x)[None]
    images = as_images(caller, x, network.data_format)
    if images.ndim != 4:
        raise ShapeError(f"{caller}: expected images (N, H, W) or with channels, got {images.shape}")
    if not len(images):
        raise ValueError(f"{caller}: expected at least one image, got none; check how x was made")
    return images


def channels_last(network: GWUNetwork, images: Any) -> Any:
    """Return images in the network's data format as (N, H, W, C)."""
    return images.transpose(0, 2, 3, 1) if network.data_format == "channels_first" else images


def draw_image(axis: Any, image: Any, low: float | None = None, high: float | None = None) -> None:
    """Draw (H, W, C): in colour if it has three channels, otherwise their mean in grey.

    `low` is black and `high` white or the full colour; by default the least and the largest value.
    """
    if image.shape[2] == 3:
        low, high = float(image.min()) if low is None else low, float(image.max()) if high is None else high
        axis.imshow(np.clip((image - low) / (high - low or 1), 0, 1))
    else:
        axis.imshow(image.mean(axis=2), cmap="gray", vmin=low, vmax=high)
    axis.set_axis_off()


def wrapped(tiles: Any, most: int | None = None) -> Any:
    """Arrange tiles (n, h, w) in a grid (rows, columns, h, w), by default a square, padded with NaN."""
    columns = min(len(tiles), ceil(sqrt(len(tiles))) if most is None else most)
    rows = ceil(len(tiles) / columns)
    grid = np.full((rows * columns, *tiles.shape[1:]), np.nan)
    grid[: len(tiles)] = tiles
    return grid.reshape(rows, columns, *tiles.shape[1:])


def size_of(grid: Any, inches: float) -> tuple[float, float]:
    """Return a figure size with room for tiles of so many inches, limited to a screen."""
    width, height = _room(grid, inches)
    return min(max(width, 4.5), SCREEN[0]), min(max(height, 2.5), SCREEN[1])


def fits(grid: Any, inches: float) -> bool:
    """Whether tiles of so many inches fit on a screen."""
    return all(size <= most for size, most in zip(_room(grid, inches), SCREEN, strict=True))


def _room(grid: Any, inches: float) -> tuple[float, float]:
    rows, columns, h, w = grid.shape
    unit = inches / max(h, w, 1)
    return columns * (w + gap_of(grid)) * unit + 2.2, rows * (h + gap_of(grid)) * unit + 1.2


def gap_of(grid: Any) -> int:
    """Return the number of pixels between tiles."""
    return max(1, round(max(grid.shape[2:]) / 12))


def corners(grid: Any) -> Iterator[tuple[Any, int, int]]:
    """Yield each tile of a grid that is not empty, with the row and the column of its first pixel in the drawing."""
    rows, columns, h, w = grid.shape
    gap = gap_of(grid)
    for i, j in np.ndindex(rows, columns):
        if not np.isnan(grid[i, j]).all():
            yield grid[i, j], i * (h + gap), j * (w + gap)


def draw_tiles(axis: Any, grid: Any, *, between: str, numbered: bool = False, **options: Any) -> Any:
    """Draw a grid of tiles (rows, columns, h, w) as one image, with coloured gaps and numbered rows and columns."""
    rows, columns, h, w = grid.shape
    gap = gap_of(grid)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), np.nan)
    for tile, top, left in corners(grid):
        canvas[top : top + h, left : left + w] = tile
    image = axis.imshow(canvas, interpolation="nearest", **options)
    axis.set_facecolor(between)  # visible where tiles are NaN
    axis.spines[:].set_visible(False)
    places = [[n * (size + gap) + size / 2 - 0.5 for n in range(count)] for count, size in ((columns, w), (rows, h))]
    axis.set_xticks(places[0] if numbered else [])
    axis.set_yticks(places[1] if numbered else [])
    if numbered:
        axis.set_xticklabels(range(columns), fontsize=7)
        axis.set_yticklabels(range(rows), fontsize=7)
    return image


def frame(axis: Any, top: float, left: float, h: int, w: int, color: str = "black", width: float = 1.0) -> None:
    """Draw a frame around h x w pixels of an image."""
    x0, x1, y0, y1 = left - 0.5, left + w - 0.5, top - 0.5, top + h - 0.5
    axis.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=color, linewidth=width, clip_on=False)


def write_numbers(axis: Any, image: Any, values: Any, top: int = 0, left: int = 0, size: float = 7) -> None:
    """Write numbers into the pixels of an image, white on dark colours."""
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            color = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
            axis.text(left + j, top + i, number(value), ha="center", va="center", color=color, fontsize=size)


def number(value: float) -> str:
    """Return a number as it is written into pictures: with two digits behind the point, if it has any."""
    text = f"{value:.0f}" if value == round(value) and abs(value) < 1e4 else f"{value:.2f}"
    return text if float(text) else text.removeprefix("-")
