"""The order of flattened features in a library with another order of axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gwucnn.layers import Concatenate, Dense, Flatten, Layer, Reshape, Residual
from gwucnn.layers.imported import OrderedFlatten

__all__ = ["Order", "with_orders"]

# ours[i] = theirs[order[i]] for the features i of a layer's input; None if both have the same order.
Order = Any


def with_orders(caller: str, layers: Sequence[Layer], ours: str, theirs: str) -> Iterator[tuple[Layer, Order]]:
    """Yield the innermost layers, each with the order of its input features in the other library.

    `ours` and `theirs` are 'channels_first' or 'channels_last': the order of the axes of images before they are
    flattened.
    """
    yield from _Walk(caller, ours, theirs).row(layers, [None])


class _Walk:
    """Walks through the layers in order, and keeps the order of their output features in a list of one element."""

    def __init__(self, caller: str, ours: str, theirs: str) -> None:
        self.caller, self.differs = caller, ours != theirs
        self.ours_first, self.theirs_first = ours == "channels_first", theirs == "channels_first"

    def row(self, layers: Sequence[Layer], order: list[Order]) -> Iterator[tuple[Layer, Order]]:
        """Walk through consecutive layers."""
        for layer in layers:
            if isinstance(layer, (Residual, Concatenate)):
                yield from self._nested(layer, order)
            else:
                yield layer, order[0]
                order[0] = self._after(layer, order[0])

    def _nested(self, layer: Any, order: list[Order]) -> Iterator[tuple[Layer, Order]]:
        rows = layer.branches if isinstance(layer, Concatenate) else [layer.layers, layer.shortcut]
        made = []
        for row in rows:
            inside = [order[0]]
            yield from self.row(row, inside)
            size = (row[-1].out_shape if row else layer.in_shape)[-1]
            made.append((size, inside[0]))
        if any(part is not None for _, part in made):
            parts = [np.arange(size) if part is None else part for size, part in made]
            order[0] = self._joined(layer, parts)
        else:
            order[0] = None

    def _joined(self, layer: Layer, parts: list[Order]) -> Order:
        """Return the order of the output features of a nested layer, given those of its rows."""
        if isinstance(layer, Concatenate):
            starts = np.cumsum([0, *map(len, parts[:-1])])
            return np.concatenate([part + start for part, start in zip(parts, starts, strict=True)])
        if (parts[0] != parts[1]).any():
            raise ValueError(
                f"{self.caller}: expected features in one order in both rows of {layer.label}, got two; "
                "make the network with the other data_format"
            )
        return parts[0]

    def _after(self, layer: Layer, order: Order) -> Order:
        """Return the order of the output features of a layer."""
        image = len(layer.in_shape) == 3
        if self.differs and isinstance(layer, Reshape) and (image or len(layer.out_shape) == 3):
            raise ValueError(
                f"{self.caller}: expected no Reshape of images that the other library lays out otherwise, got "
                f"{layer.label}; make the network with the other data_format"
            )
        if isinstance(layer, (Flatten, OrderedFlatten)) and image:
            # An imported Flatten has an order of its own, independent of the network's.
            ours_first = layer.order == "channels_first" if isinstance(layer, OrderedFlatten) else self.ours_first
            return None if ours_first == self.theirs_first else self._flattened(*layer.in_shape)
        return None if isinstance(layer, Dense) else order

    def _flattened(self, H: int, W: int, C: int) -> Order:
        """Return the order of the features of an image in a library with another order of axes."""
        if self.theirs_first:
            return np.arange(C * H * W).reshape(C, H, W).transpose(1, 2, 0).ravel()
        return np.arange(H * W * C).reshape(H, W, C).transpose(2, 0, 1).ravel()
