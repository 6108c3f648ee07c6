"""What augmentation makes of images in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gwucnn.common import ShapeError, check_size, checks_arguments, from_config, panels
from gwucnn.gwu_network import GWUNetwork
from gwucnn.layers import Layer
from gwucnn.layers.base import CLASSES, layer_config
from gwucnn.memory import Randomness, Space
from gwucnn.plotting.base import channels_last, draw_image, some_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["augmented"]

# Of more images, the first ones are drawn.
MOST_IMAGES = 6


@checks_arguments
def augmented(layers: Any, x: Any, count: int = 7, *, seed: int = 0, ax: Any = None) -> Figure:
    """Draw images, and beside each what augmentation layers make of it in training, several times.

    Parameters
    ----------
    layers : GWUNetwork, a layer or a list of layers
        Of a network, all layers up to the last one whose name begins with Random. Neither weights nor random numbers
        of the network change.
    x : images (N, H, W) or (N, H, W, C), or one image (H, W)
        Of more than six images the first six are drawn.
    count : int
        Number of random versions of each image.
    seed : int
        The same seed draws the same versions.
    ax : matplotlib Axes, count + 1 for each image, optional
        Where to draw; by default in a new figure.

    Raises
    ------
    ValueError
        For a network without augmentation; ShapeError for anything but images.

    Examples
    --------
    >>> from gwucnn import RandomRotation, RandomTranslation, datasets
    >>> (x, y), _ = datasets.load_sample()
    >>> figure = augmented([RandomRotation(0.1), RandomTranslation(0.1, 0.1)], x[:3])
    >>> len(figure.axes)
    24
    """
    count, seed = check_size("augmented", "count", count), check_size("augmented", "seed", seed, 0)
    network, chosen = _chosen(layers)
    images = some_images("augmented", network, x)[:MOST_IMAGES]
    network.build(images.shape[1:])
    originals = channels_last(network, images).astype(network.precision)
    space = Space(network.precision, training=True, randomness=Randomness(lambda: seed))
    versions = np.stack([_forward(chosen, originals, space) for _ in range(count)])
    range_ = float(originals.min()), float(originals.max())
    other = float(versions.min()), float(versions.max())
    ranges = [range_, *[other if any(layer.rescales_pixels for layer in chosen) else range_] * count]
    rows, columns = len(images), count + 1
    figure, axes = panels("augmented", ax, ["image"] * rows * columns, (1.2 * columns, 1.25 * rows + 0.3), rows=rows)
    for place, axis in enumerate(axes):
        row, column = divmod(place, columns)
        draw_image(axis, versions[column - 1][row] if column else originals[row], *ranges[column])
        if row == 0:
            axis.set_title(f"{column}" if column else "image", fontsize=9)
    return figure


def _chosen(given: Any) -> tuple[GWUNetwork, Sequence[Layer]]:
    """Return the layers to apply, and the network that they belong to."""
    if isinstance(given, GWUNetwork):
        random = [number for number, layer in enumerate(given.layers) if type(layer).__name__.startswith("Random")]
        if not random:
            raise ValueError(
                "augmented: expected a network with augmentation, got none; add RandomTranslation(0.1, 0.1), or "
                "give a list of layers"
            )
        return given, given.layers[: random[-1] + 1]
    layers = [given] if isinstance(given, Layer) else given
    if not isinstance(layers, Sequence) or not layers or not all(isinstance(layer, Layer) for layer in layers):
        raise TypeError(f"augmented: expected a network, a layer or a list of layers, got {given!r}")
    copies = [from_config("augmented", "layer", layer_config(layer), CLASSES) for layer in layers]
    network = GWUNetwork(copies, seed=0)
    return network, network.layers


def _forward(layers: Sequence[Layer], x: Any, space: Space) -> Any:
    """Return what layers make of images (N, H, W, C) in training, in a new array."""
    for number, layer in enumerate(layers):
        x = layer.forward(x, space.child(number))
    if x.ndim != 4:
        raise ShapeError(f"augmented: expected layers that make images, got {x.shape[1:]} from {layers[-1].label}")
    return np.array(x)
