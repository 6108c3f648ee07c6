"""The images that a network gets most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from gwucnn.common import ShapeError, check_size, checks_arguments, panels
from gwucnn.metrics import to_classes
from gwucnn.plotting.base import channels_last, draw_image, some_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gwucnn.gwu_network import GWUNetwork

__all__ = ["most_confused"]

COLUMNS = 6


@checks_arguments
def most_confused(
    network: GWUNetwork, x: Any, y: Any, count: int = 12, *, labels: Sequence[str] | None = None, ax: Any = None
) -> Figure:
    """Draw the images whose true class the network finds least probable, the worst first.

    Above each image stands its class, and below it the class that the network predicts, with its probability; mistakes
    are red. Look for wrong labels, cut-off images, and pairs of classes that look alike.

    Parameters
    ----------
    network : GWUNetwork
        With probabilities as outputs: a last softmax or sigmoid.
    x : images (N, H, W) or (N, H, W, C), in the network's data_format
    y : labels (N,) or one-hot rows
    count : int
        Number of images to draw.
    labels : sequence of str, optional
        Names of the classes; their numbers by default.
    ax : matplotlib Axes, one for each image, optional
        Where to draw; by default in a new figure.

    Raises
    ------
    ShapeError
        If x and y differ in length, or the network's outputs are no probabilities of classes; ValueError for labels
        without an output.
    """
    images, count = some_images("most_confused", network, x), check_size("most_confused", "count", count)
    scores = _probabilities(network.predict(images))
    true, K = to_classes(y, "most_confused"), scores.shape[1]
    if len(true) != len(images):
        raise ShapeError(f"most_confused: expected as many y as x, got {len(true)} and {len(images)}")
    if not 0 <= true.min() <= true.max() < K:
        raise ValueError(f"most_confused: expected labels from 0 to {K - 1}, got {true.min()} to {true.max()}")
    if labels is not None and (isinstance(labels, str) or len(labels) != K):
        raise ValueError(f"most_confused: expected labels to be a list of {K} names, got {labels!r}")
    names = [str(name) for name in (range(K) if labels is None else labels)]
    worst = np.argsort(scores[np.arange(len(true)), true], kind="stable")[:count]
    rows = ceil(len(worst) / COLUMNS)
    width = min(len(worst), COLUMNS)
    places = [str(number) for number in worst]
    if ax is None:
        places += [""] * (rows * width - len(worst))  # a last row that is not full
    figure, axes = panels("most_confused", ax, places, (1.45 * width, 1.9 * rows), rows=rows if ax is None else 1)
    for axis in axes:
        axis.set_axis_off()
    for axis, number in zip(axes, worst, strict=False):
        draw_image(axis, channels_last(network, images[number : number + 1])[0])
        guess = int(scores[number].argmax())
        color = "black" if guess == true[number] else "red"
        axis.set_title(names[true[number]], fontsize=9, pad=3)
        text = f"{names[guess]} ({scores[number, guess]:.0%})"
        axis.text(0.5, -0.04, text, transform=axis.transAxes, ha="center", va="top", fontsize=9, color=color)
    return figure


def _probabilities(outputs: Any) -> Any:
    """Return probabilities (N, K), K at least 2."""
    if outputs.ndim != 2:
        raise ShapeError(f"most_confused: expected outputs (N, classes), got {outputs.shape}; end with Dense")
    if not ((outputs >= 0) & (outputs <= 1)).all():
        raise ShapeError("most_confused: expected probabilities as outputs, got others; end with softmax or sigmoid")
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs
