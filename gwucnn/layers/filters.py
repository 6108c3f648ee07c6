"""The base of layers that slide filters over images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from gwucnn.common import Window
from gwucnn.layers.base import Shape, image_size
from gwucnn.layers.weighted import WeightedLayer

__all__ = ["FilterLayer"]


class FilterLayer(WeightedLayer):
    """A weighted layer with a window: the base of Conv2D and its relatives.

    A derived class sets `self.parameters` in `build`, by calling `declare`, and lists in `own` the options that only it
    has, with their defaults.
    """

    replayable = True
    own: ClassVar[dict[str, Any]] = {}

    def __init__(self, window: Window, input_size: Any, **weighted: Any) -> None:
        super().__init__(**weighted)
        self._window = window
        self.kernel_size, self.strides = window.size, window.strides
        self.padding, self.dilation_rate = window.padding, window.dilation
        self.input_size = image_size(self.label, input_size)

    def slide(self, in_shape: Shape, outputs: int) -> None:
        """Set the shape of the output, with `outputs` channels, for images of shape `in_shape`, or raise ShapeError."""
        self._window = replace(self._window, caller=self.label)
        self.in_shape = in_shape
        self.out_shape = (*self._window.output((in_shape[0], in_shape[1])), outputs)

    def arithmetic(self) -> str:
        return self._window.arithmetic((self.in_shape[0], self.in_shape[1]))

    def config(self) -> dict[str, Any]:
        defaults = {"strides": (1, 1), "padding": "valid", "dilation_rate": (1, 1), **self.own}
        given = {name: (getattr(self, name), default) for name, default in defaults.items()}
        given["input_size"] = (self.input_size, None)
        shown: dict[str, Any] = {"kernel_size": self.kernel_size}
        shown |= {name: value for name, (value, default) in given.items() if value != default}
        return shown | super().config()
