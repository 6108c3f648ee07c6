"""How large the gradients of the loss are, layer by layer: whether they vanish or explode on the way down."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from gwucnn.common import NotBuiltError, checks_arguments, panels
from gwucnn.layers import Layer
from gwucnn.layers.base import leaves
from gwucnn.plotting.base import check_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gwucnn.gwu_network import GWUNetwork

__all__ = ["gradients"]


@checks_arguments
def gradients(network: GWUNetwork, x: Any, y: Any, *, ax: Any = None) -> Figure:
    """Draw the norm of the loss's gradient with respect to the weights of each layer, for one batch.

    Norms that shrink by orders of magnitude towards the first layer mean that it hardly learns; try relu,
    BatchNormalization, Residual or another initializer. The scale is logarithmic.

    Parameters
    ----------
    network : GWUNetwork
        Compiled. It is not changed: the gradients are computed on a copy, as in training.
    x, y : as for `fit`
        A batch, such as x[:32] and y[:32].
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Raises
    ------
    ValueError
        If no layer has trainable weights; NotBuiltError if the network is not compiled.
    FloatingPointError
        If the loss or a gradient is not finite, naming the layer.
    """
    check_network("gradients", network)
    norms = _norms(network, x, y)
    if not norms:
        raise ValueError("gradients: expected a network with trainable weights, got none")
    figure, (axis,) = panels("gradients", ax, ["norms"], (6.5, 1.2 + 0.32 * len(norms)))
    places, values = range(len(norms)), [norm for _, norm in norms]
    axis.barh(places, values, color="C0")
    axis.set_yticks(places, [label for label, _ in norms], fontsize=8)
    axis.invert_yaxis()  # the first layer is on top, as in a summary
    positive = [norm for norm in values if norm > 0]
    if positive:
        axis.set_xscale("log")
        axis.set_xlim(min(positive) / 3, max(positive) * 6)
    for place, norm in zip(places, values, strict=True):
        axis.annotate(f" {norm:.2g}", (norm or min(positive, default=1) / 3, place), va="center", fontsize=8)
    axis.set_xlabel("norm of the gradient of the loss")
    axis.grid(axis="x", alpha=0.3)
    return figure


def _norms(network: GWUNetwork, x: Any, y: Any) -> list[tuple[str, float]]:
    """Return label and norm of each layer with trainable weights."""
    if network.optimizer is None:
        raise NotBuiltError("gradients: expected a compiled network; call compile(loss=...) first")
    twin = copy.deepcopy(network)
    twin.train_on_batch(x, y)
    inner: list[Layer] = [leaf for layer in twin.layers for leaf in leaves(layer)]
    trained = [(layer, [p.grad for p in layer.parameters if p.trainable]) for layer in inner]
    return [
        (layer.label, float(np.sqrt(sum(float(np.square(grad, dtype=np.float64).sum()) for grad in grads))))
        for layer, grads in trained
        if grads
    ]
