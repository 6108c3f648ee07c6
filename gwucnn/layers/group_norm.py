"""Normalisation of groups of channels."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gwucnn import ops
from gwucnn.common import ShapeError, check_size
from gwucnn.layers.base import Array, Shape, Space
from gwucnn.layers.normalise import NormalizationBase

__all__ = ["GroupNormalization"]


class GroupNormalization(NormalizationBase):
    """Normalise groups of channels of each image to mean 0 and variance 1, then scale and shift each channel.

    ::

        z[..., c] = (x[..., c] - m[g]) / sqrt(v[g] + epsilon)            y[..., c] = gamma[c] * z[..., c] + beta[c]
        dgamma[c] = sum of dy * z,    dbeta[c] = sum of dy
        dx = (h - mean of h - z * mean of h * z) / sqrt(v[g] + epsilon)            with h = dy * gamma

    where m[g] and v[g] are the mean and the biased variance of all pixels of the channels of group g of an image. It is
    the same in training and in inference, and does not depend on the rest of the batch: use it where batches are too
    small for BatchNormalization.

    Parameters
    ----------
    groups : int
        Number of groups, a divisor of the number of channels: 1 normalises an image as a whole, -1 each channel by
        itself (instance normalisation).
    epsilon : float of at least 0
    trainable : bool
        False freezes gamma and beta.
    name : str, optional

    Raises
    ------
    ValueError
        For a negative epsilon, or an impossible number of groups; ShapeError at `add` or `build`, if the channels
        cannot be divided into so many groups.

    Notes
    -----
    Y. Wu and K. He, arXiv:1803.08494, section 3.1. Weights in the order of Keras: gamma, beta, each of shape (C,). A
    group is a row of `ops.layer_norm`, for which images are transposed to channels first and back.

    Examples
    --------
    >>> from gwucnn import Conv2D, GroupNormalization, GWUNetwork, RELU
    >>> network = GWUNetwork([Conv2D(16, input_size=28), GroupNormalization(4), RELU()])
    >>> [weight.shape for weight in network.get_weights()]
    [(3, 3, 1, 16), (16,), (16,)]
    """

    replayable = True

    def __init__(
        self, groups: int = 32, epsilon: float = 1e-3, *, trainable: bool = True, name: str | None = None
    ) -> None:
        self.groups = groups if groups == -1 else check_size(self.label, "groups", groups)
        super().__init__(epsilon=epsilon, trainable=trainable, name=name)

    def build(self, in_shape: Shape) -> Shape:
        super().build(in_shape)
        C = in_shape[-1]
        if self.groups != -1 and C % self.groups:
            raise ShapeError(
                f"{self.label}: expected channels that can be divided into groups={self.groups}, got {C} of them; "
                f"choose a divisor of {C}"
            )
        return in_shape

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """The numbers of groups, pixels and channels."""
        C = self.in_shape[-1]
        return C if self.groups == -1 else self.groups, prod(self.in_shape[:-1]), C

    def forward(self, x: Array, space: Space) -> Array:
        G, P, C = self._sizes
        if "ones" not in space.saved:
            # In a row of each, which stand for gamma and beta of a group, and for the statistics of channels.
            space.saved["ones"] = np.ones(max(P * C // G, C), space.dtype)
            space.saved["zeros"] = np.zeros(max(P * C // G, C), space.dtype)
            space.saved["units"] = [space.saved[name][: P * C // G] for name in ("ones", "zeros")]
            space.saved["statistics"] = [space.saved[name][:C] for name in ("zeros", "ones")]
        rows = space.saved["rows"] = self._rows("x", x, space)
        made = space.array("normal rows", rows.shape)
        space.run("normalise", ops.layer_norm, rows, *space.saved["units"], self.epsilon, out=made)
        z = space.saved["z"] = self._images("z", made, x.shape, space)
        gamma, beta = self.gamma.constant, self.beta.constant
        y = space.array("y", x.shape)
        return space.run("scale", ops.batch_norm, z, gamma, beta, *space.saved["statistics"], 0.0, out=y)

    def backward(self, dy: Array, space: Space) -> Array | None:
        z, statistics = space.saved["z"], space.saved["statistics"]
        if self.gamma.trainable:
            space.run(
                "sums",
                ops.batch_norm_backward_sums,
                dy,
                z,
                *statistics,
                0.0,
                gamma_grad=self.gamma.grad,
                beta_grad=self.beta.grad,
                out=space.array("sums", (2, dy.shape[-1])),
            )
        if not space.needs_dx:
            return None
        dz = space.array("dz", dy.shape)
        space.run("unscale", ops.batch_norm_backward, dy, z, self.gamma.constant, *statistics, 0.0, out=dz)
        drows = self._rows("dz", dz, space)
        made = space.array("drows", drows.shape)
        ones, _ = space.saved["units"]
        back = ops.layer_norm_backward
        space.run("backward", back, drows, space.saved["rows"], ones, self.epsilon, out=made)
        return self._images("dx", made, dy.shape, space)

    def _rows(self, name: str, x: Array, space: Space) -> Array:
        """Return images or features with a row for each group."""
        G, P, C = self._sizes
        if 1 not in (G, P):
            pixels = space.view(f"{name} pixels", x, (len(x), P, 1, C))
            out = space.array(f"{name} first", (len(x), C, P, 1))
            x = space.run(f"{name} to first", ops.to_channels_first, pixels, out=out)
        return space.view(f"{name} rows", x, (len(x) * G, P * C // G))

    def _images(self, name: str, rows: Array, shape: Shape, space: Space) -> Array:
        """Return the opposite of `_rows`."""
        G, P, C = self._sizes
        if 1 not in (G, P):
            first = space.view(f"{name} first", rows, (shape[0], C, P, 1))
            out = space.array(f"{name} last", (shape[0], P, 1, C))
            rows = space.run(f"{name} to last", ops.to_channels_last, first, out=out)
        return space.view(name, rows, shape)

    def config(self) -> dict[str, Any]:
        return ({} if self.groups == 32 else {"groups": self.groups}) | super().config()
