"""A rectified linear unit with a learnt slope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gwucnn.common import ShapeError, check_size
from gwucnn.initializers import initializer
from gwucnn.layers.base import Array, Layer, Shape, Space
from gwucnn.memory import Parameter

__all__ = ["PReLU"]


class PReLU(Layer):
    """Scale negative elements by a slope that is learnt.

    ::

        y = x where x > 0, else alpha * x
        dalpha = sum of dy * x where x <= 0,    dx = dy where x > 0, else alpha * dy

    Parameters
    ----------
    alpha_initializer : str
        Initial slopes; 'zeros' begins with relu.
    shared_axes : int or sequence of int, optional
        Axes of (N, H, W, C) along which the slope is the same: [1, 2] learns one for each channel, as PyTorch does. By
        default each element of an input has its own.
    trainable : bool
        False freezes alpha.
    name : str, optional

    Raises
    ------
    ValueError
        For unknown initializers and impossible axes; ShapeError at `add` or `build` for axes that inputs do not have.

    Notes
    -----
    K. He et al., arXiv:1502.01852, equations 1 and 3. One weight, alpha, as in Keras: of the shape of an input, with 1
    for shared axes. Computed by numpy, not by compiled loops.

    Examples
    --------
    >>> from gwucnn import Conv2D, GWUNetwork, PReLU
    >>> network = GWUNetwork([Conv2D(8, input_size=28), PReLU(shared_axes=[1, 2])])
    >>> network.get_weights()[1].shape
    (1, 1, 8)
    """

    def __init__(
        self,
        alpha_initializer: str = "zeros",
        shared_axes: int | Sequence[int] | None = None,
        *,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        initializer(self.label, "alpha_initializer", alpha_initializer)
        self.alpha_initializer = alpha_initializer
        given = [] if shared_axes is None else shared_axes if isinstance(shared_axes, (list, tuple)) else [shared_axes]
        self.shared_axes = tuple(check_size(self.label, "shared_axes", axis) for axis in given)
        self.trainable = trainable
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        beyond = [axis for axis in self.shared_axes if axis > len(in_shape)]
        if beyond:
            raise ShapeError(
                f"{self.label}: expected shared_axes from 1 to {len(in_shape)} for inputs {in_shape}, got {beyond[0]}"
            )
        shape = tuple(1 if axis in self.shared_axes else size for axis, size in enumerate(in_shape, 1))
        made = initializer(self.label, "alpha_initializer", self.alpha_initializer)
        self.alpha = Parameter("alpha", shape, made)
        self.parameters = (self.alpha,)
        self.mark_parameters()
        return super().build(in_shape)

    def forward(self, x: Array, space: Space) -> Array:
        space.saved["x"], y = x, space.array("y", x.shape)
        return _sloped(x, x, self.alpha.constant, y)

    def backward(self, dy: Array, space: Space) -> Array | None:
        x = space.saved["x"]
        if self.alpha.trainable:
            changes = np.multiply(dy, np.where(x > 0, 0, x), out=space.array("changes", x.shape))
            # In float64: sums over all pixels of a batch would lose digits.
            self.alpha.grad += changes.sum(axis=(0, *self.shared_axes), keepdims=True, dtype=np.float64)[0]
        if not space.needs_dx:
            return None
        return _sloped(dy, x, self.alpha.constant, space.array("dx", dy.shape))

    def config(self) -> dict[str, Any]:
        axes = list(self.shared_axes)
        shown = {"alpha_initializer": (self.alpha_initializer, "zeros"), "shared_axes": (axes, [])}
        optional = {"trainable": (self.trainable, True), "name": (self.name, None)}
        return {key: value for key, (value, default) in (shown | optional).items() if value != default}


def _sloped(x: Array, sign: Array, alpha: Array, out: Array) -> Array:
    """Return x where `sign` is positive, else alpha * x."""
    np.multiply(x, alpha, out=out)
    np.copyto(out, x, where=sign > 0)
    return out
