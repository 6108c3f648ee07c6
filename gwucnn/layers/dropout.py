"""Dropout: random elements or channels are set to zero in training."""

from __future__ import annotations

from typing import Any

from gwucnn import ops
from gwucnn.common import check_fraction
from gwucnn.layers.base import Array, Layer, Shape, Space

__all__ = ["Dropout", "SpatialDropout2D"]


class Dropout(Layer):
    """Set random elements to 0 in training, and scale the others to preserve the mean.

    ::

        y = x / (1 - rate) where mask, else 0            dx = dy / (1 - rate) where mask, else 0

    with a new mask for each batch, whose elements are 0 with probability `rate`. In inference y = x.

    Parameters
    ----------
    rate : float from 0 to less than 1
    name : str, optional

    Raises
    ------
    ValueError
        For a rate out of range.

    Notes
    -----
    N. Srivastava et al., JMLR 15 (2014). Masks come from the network's random state: a seed repeats a run,
    independently of the number of threads.

    Examples
    --------
    >>> from gwucnn import Dense, Dropout, GWUNetwork
    >>> network = GWUNetwork([Dense(64, activation='relu'), Dropout(0.5), Dense(10, activation='softmax')])
    """

    replayable = True
    passes_values_on = True

    def __init__(self, rate: float, *, name: str | None = None) -> None:
        self.rate = check_fraction(self.label, "rate", rate)
        self.name = name

    def _mask_shape(self, x: Array) -> Shape:
        return x.shape

    def forward(self, x: Array, space: Space) -> Array:
        drops = space.training and self.rate > 0
        mask = space.saved["mask"] = space.array("mask", self._mask_shape(x), "uint8") if drops else None
        if mask is None:
            return x
        space.run("mask", ops.random_mask, space.random, self.rate, out=mask)
        return space.run("forward", ops.dropout, x, mask, self.rate, out=space.array("y", x.shape))

    def backward(self, dy: Array, space: Space) -> Array | None:
        mask = space.saved["mask"]
        if mask is None:
            return dy
        return space.run("backward", ops.dropout, dy, mask, self.rate, out=space.array("dx", dy.shape))

    def config(self) -> dict[str, Any]:
        return {"rate": self.rate} | ({} if self.name is None else {"name": self.name})


class SpatialDropout2D(Dropout):
    """Set random channels of each image to 0 in training, and scale the others.

    Like `Dropout`, but with one element of the mask for all pixels of a channel. Neighbouring pixels are so similar
    that a network would hardly miss single ones.

    Parameters
    ----------
    rate : float from 0 to less than 1
    name : str, optional

    Raises
    ------
    ValueError
        For a rate out of range; ShapeError at `build` for inputs that are not images.

    Notes
    -----
    J. Tompson et al., arXiv:1411.4280, section 3.2.
    """

    replayable = True

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        return super().build(in_shape)

    def _mask_shape(self, x: Array) -> Shape:
        return x.shape[0], x.shape[-1]
