"""What a network has learnt: its filters, and the outputs of its layers for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gwucnn.common import checks_arguments, panels
from gwucnn.layers import Conv2DTranspose, Layer
from gwucnn.plotting.base import (
    channels_last,
    corners,
    draw_tiles,
    fits,
    frame,
    one_image,
    size_of,
    wrapped,
    write_numbers,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gwucnn.gwu_network import GWUNetwork

__all__ = ["feature_maps", "filters"]

# With more tiles than this, a screen has less than a pixel for each.
MOST_ROWS, MOST_COLUMNS, MOST_MAPS = 16, 32, 24

# Inches that a weight takes if it is written as a number.
NUMBER = 0.36


@checks_arguments
def filters(layer: Layer, *, ax: Any = None) -> Figure:
    """Draw a convolution's filters: a row for each input channel, a column for each filter.

    Blue weights are negative, red ones positive, white ones 0. Filters of one channel are drawn in a square, in the
    order of rows. If there is room, the weights are written in.

    Parameters
    ----------
    layer : Layer
        Built, with filters: Conv2D, DepthwiseConv2D, Conv2DTranspose, or SeparableConv2D, of which the
        depthwise filters are drawn.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Raises
    ------
    ValueError
        For a layer that has no filters, or none yet.
    """
    weights = [p.constant for p in layer.parameters if len(p.shape) == 4] if isinstance(layer, Layer) else []
    if not weights or weights[0] is None or layer.children:
        got = f"{layer!r}" if isinstance(layer, (Layer, int, type(None))) else f"a {type(layer).__name__}"
        raise ValueError(
            f"filters: expected a layer with filters in a built network, such as network.layers[0], got {got}"
        )
    kernel = (
        weights[0].transpose(3, 2, 0, 1) if isinstance(layer, Conv2DTranspose) else weights[0].transpose(2, 3, 0, 1)
    )
    rows, columns = kernel.shape[:2]
    tiles = kernel[:MOST_ROWS, :MOST_COLUMNS] if rows > 1 else wrapped(kernel[0, : MOST_ROWS * MOST_COLUMNS])
    shown = "" if rows <= MOST_ROWS and columns <= MOST_COLUMNS else ", the first of them"
    inches = NUMBER * max(tiles.shape[2:])
    written = fits(tiles, inches)
    figure, (axis,) = panels("filters", ax, [layer.label], size_of(tiles, inches if written else 0.45))
    most = float(np.abs(kernel).max()) or 1.0
    image = draw_tiles(axis, tiles, between="white", numbered=rows > 1, cmap="RdBu_r", vmin=-most, vmax=most)
    for number, (tile, top, left) in enumerate(corners(tiles)):
        frame(axis, top, left, *tile.shape)
        if written:
            write_numbers(axis, image, tile, top, left)
        if written and rows == 1:
            axis.text(left - 0.5, top - 0.6, f"{number}", fontsize=7, va="bottom", color="0.4")
    axis.set_title(f"{layer.label}: {columns} filters of {rows} channel{'s' * (rows > 1)}{shown}", fontsize=10, pad=16)
    if rows > 1:
        axis.set(xlabel="filter", ylabel="channel")
    figure.colorbar(image, ax=axis, shrink=0.8, label="weight")
    return figure


@checks_arguments
def feature_maps(network: GWUNetwork, x: Any, *, ax: Any = None) -> Figure:
    """Draw an image and the output of each layer up to the last one that is an image, one panel per layer.

    Each panel has its own scale of brightness; only the first of many channels are shown.

    Parameters
    ----------
    network : GWUNetwork
    x : one image, (H, W) or (H, W, C) in the network's data_format, or a batch of one
    ax : matplotlib Axes, as many as there are panels, optional
        Where to draw; by default in a new figure.
    """
    images = one_image("feature_maps", network, x)
    maps = [("input", channels_last(network, images))]
    for layer, y in zip(network._layer_row.graph.steps, network.activations(images), strict=True):
        if y.ndim == 4:
            maps.append((layer.label, channels_last(network, y)))
    grids = [wrapped(y[0].transpose(2, 0, 1)[:MOST_MAPS], 12) for _, y in maps]
    heights = [0.35 + 0.8 * grid.shape[0] for grid in grids]
    figure, axes = panels(
        "feature_maps", ax, [label for label, _ in maps], (9, sum(heights)), rows=len(maps), height_ratios=heights
    )
    for axis, (label, y), grid in zip(axes, maps, grids, strict=True):
        draw_tiles(axis, grid, between="white", cmap="gray" if label == "input" else "viridis")
        axis.set_anchor("W")
        more = f", the first {MOST_MAPS}" if y.shape[3] > MOST_MAPS else ""
        axis.set_title(f"{label}  {y.shape[1]} x {y.shape[2]} x {y.shape[3]}{more}", fontsize=9, loc="left")
    return figure
