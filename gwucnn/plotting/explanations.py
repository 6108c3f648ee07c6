"""Which parts of an image a prediction depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gwucnn.common import checks_arguments, panels
from gwucnn.plotting.base import channels_last, draw_image, one_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gwucnn.gwu_network import GWUNetwork

__all__ = ["grad_cam", "saliency"]


@checks_arguments
def saliency(network: GWUNetwork, x: Any, label: int | None = None, *, ax: Any = None) -> Figure:
    """Draw which pixels a class score depends on: the magnitude of its gradient, the maximum over the channels.

    K. Simonyan, A. Vedaldi and A. Zisserman, "Deep inside convolutional networks", arXiv:1312.6034, section
    3.1.

    Parameters
    ----------
    network : GWUNetwork
    x : one image, (H, W) or (H, W, C) in the network's data_format, or a batch of one
    label : int, optional
        Class to explain; by default the one with the highest score.
    ax : two matplotlib Axes, optional
        Where to draw the image and the map; by default in a new figure.

    Raises
    ------
    ValueError
        For a label that the network has no output for.
    """
    images = one_image("saliency", network, x)
    values, slopes = network.gradients(images, label)
    figure, (left, right) = panels("saliency", ax, ["image", "saliency"], (7, 3.6))
    draw_image(left, channels_last(network, values[0])[0])
    left.set_title("image", fontsize=10)
    image = right.imshow(np.abs(channels_last(network, slopes[0])[0]).max(axis=2), cmap="magma", vmin=0)
    right.set_title(f"saliency\n{_asked(values[-1], label)}", fontsize=10)
    right.set_axis_off()
    figure.colorbar(image, ax=right, shrink=0.8, label="|gradient|")
    return figure


@checks_arguments
def grad_cam(network: GWUNetwork, x: Any, label: int | None = None, layer: Any = None, *, ax: Any = None) -> Figure:
    """Draw where in an image a class is detected: a layer's channels, each weighted by its mean gradient.

    ::

        alpha[c] = mean over pixels i, j of dscore / dA[i, j, c]
        map[i, j] = max(sum over c of alpha[c] * A[i, j, c], 0)

    R. Selvaraju et al., "Grad-CAM", arXiv:1610.02391, section 3.

    Parameters
    ----------
    network : GWUNetwork
    x : one image, (H, W) or (H, W, C) in the network's data_format, or a batch of one
    label : int, optional
        Class to explain; by default the one with the highest score.
    layer : Layer or int, optional
        A layer with images as output, or its index; by default the last one with weights.
    ax : two matplotlib Axes, optional
        Where to draw the image and the map; by default in a new figure.

    Raises
    ------
    ValueError
        For a label that the network has no output for, or a layer whose output is not an image.
    """
    images = one_image("grad_cam", network, x)
    values, slopes = network.gradients(images, label)
    number = _image_layer(network, values, layer)
    maps, slope = (channels_last(network, arrays[number + 1])[0] for arrays in (values, slopes))
    heat = np.maximum((maps * slope.mean(axis=(0, 1))).sum(axis=2), 0)
    picture = channels_last(network, values[0])[0]
    figure, (left, right) = panels("grad_cam", ax, ["image", "map"], (7, 3.6))
    draw_image(left, picture)
    left.set_title("image", fontsize=10)
    draw_image(right, picture)
    extent = (-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5)
    image = right.imshow(heat, cmap="inferno", alpha=0.6, extent=extent, interpolation="bilinear", vmin=0)
    asked = _asked(values[-1], label)
    right.set_title(f"Grad-CAM in {network._layer_row.graph.steps[number].label}\n{asked}", fontsize=10)
    figure.colorbar(image, ax=right, shrink=0.8, label="weighed sum")
    return figure


def _image_layer(network: GWUNetwork, values: list[Any], layer: Any) -> int:
    """Return the number of the node to explain: the last call of a layer."""
    layers, steps = network.layers, network._layer_row.graph.steps
    images = [number for number, value in enumerate(values[1:]) if value.ndim == 4]
    if isinstance(layer, int) and 0 <= layer < len(layers):
        chosen: Any = layers[layer]
    else:
        chosen = layer
    if layer is None:
        number = ([n for n in images if steps[n].parameters] or images or [-1])[-1]
    else:
        number = next((n for n in reversed(range(len(steps))) if steps[n] is chosen), -1)
    if number not in images:
        raise ValueError(
            "grad_cam: expected a layer of the network, or its number, that makes images, got "
            f"{'none' if layer is None else repr(layer)}; there are "
            f"{list(dict.fromkeys(steps[n].label for n in images))}"
        )
    return number


def _asked(scores: Any, label: int | None) -> str:
    """Return the class to explain and the class that the network predicts."""
    totals = scores.reshape(-1, scores.shape[-1]).sum(axis=0)
    best = int(totals.argmax()) if len(totals) > 1 else int(totals[0] > 0)
    return f"class {best if label is None else label} (answer: {best})"
