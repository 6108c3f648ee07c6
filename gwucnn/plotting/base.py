"""Shared by all plots: checks of the image, and grids of tiles."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import numpy as np

from gwucnn.common import ShapeError
from gwucnn.data import as_images
from gwucnn.gwu_network import GWUNetwork

__all__ = ["channels_last", "check_network", "draw_image", "draw_tiles", "one_image", "size_of", "wrapped"]


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


def channels_last(network: GWUNetwork, images: Any) -> Any:
    """Return images in the network's data format as (1, H, W, C)."""
    return images.transpose(0, 2, 3, 1) if network.data_format == "channels_first" else images


def draw_image(axis: Any, image: Any) -> None:
    """Draw (H, W, C): in colour if it has three channels, otherwise their mean in grey."""
    if image.shape[2] == 3:
        low, high = float(image.min()), float(image.max())
        axis.imshow((image - low) / (high - low or 1))
    else:
        axis.imshow(image.mean(axis=2), cmap="gray")
    axis.set_axis_off()


def wrapped(tiles: Any, most: int | None = None) -> Any:
    """Arrange tiles (n, h, w) in a grid (rows, columns, h, w), by default a square, padded with NaN."""
    columns = min(len(tiles), ceil(sqrt(len(tiles))) if most is None else most)
    rows = ceil(len(tiles) / columns)
    grid = np.full((rows * columns, *tiles.shape[1:]), np.nan)
    grid[: len(tiles)] = tiles
    return grid.reshape(rows, columns, *tiles.shape[1:])


def size_of(grid: Any, inches: float) -> tuple[float, float]:
    """Return a figure size in inches with room for each tile of a grid, limited to a screen."""
    rows, columns, h, w = grid.shape
    unit = inches / max(h, w, 1)
    return min(max(columns * w * unit + 2.2, 4.5), 16), min(max(rows * h * unit + 1.2, 2.5), 12)


def draw_tiles(axis: Any, grid: Any, *, between: str, numbered: bool = False, **options: Any) -> Any:
    """Draw a grid of tiles (rows, columns, h, w) as one image, with coloured gaps and numbered rows and columns."""
    rows, columns, h, w = grid.shape
    gap = max(1, round(max(h, w) / 12))
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), np.nan)
    for i, j in np.ndindex(rows, columns):
        canvas[i * (h + gap) : i * (h + gap) + h, j * (w + gap) : j * (w + gap) + w] = grid[i, j]
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
