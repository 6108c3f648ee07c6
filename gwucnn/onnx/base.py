"""The builder of ONNX graphs: it adds nodes and constants and names them.

In ONNX, images are (N, C, H, W). A `Value` keeps the layer's shape, (H, W, C): a tensor of three axes per sample has
its channels first in the graph; all others have the same layout in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gwucnn.common import Shape

__all__ = ["IR_VERSION", "OPSET", "TRAINED_ON", "GraphBuilder", "Value", "library"]

# The first opset with Gelu; the one with LayerNormalization is 17. Runtimes read both since early 2024.
OPSET, IR_VERSION = 20, 9

# The name in the metadata of a model of what the inputs of training looked like.
TRAINED_ON = "gwucnn.trained_on"

FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def library(caller: str) -> Any:
    """Return the package `onnx`, which need not be installed for anything else."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"{caller}: expected the package onnx, which is not installed; pip install onnx") from error
    return onnx


class Value(NamedTuple):
    """A tensor of the graph: its name, and the shape of one sample with its channels last."""

    name: str
    shape: Shape

    @property
    def is_image(self) -> bool:
        """Whether a sample is an image, whose channels come first in the graph."""
        return len(self.shape) == 3

    @property
    def sizes(self) -> Shape:
        """The shape of one sample in the graph."""
        return (self.shape[2], *self.shape[:2]) if self.is_image else self.shape


class GraphBuilder:
    """An ONNX graph under construction.

    Attributes
    ----------
    dtype : numpy dtype
        Of all floating-point constants.
    who : str
        The layer that is being exported; nodes and constants are named after it.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.onnx = library("export_onnx")
        self.caller = "network"
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._taken: set[str] = set()

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output and return the output's name; '' leaves an input out."""
        name = self._name(kind)
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, what: str, array: Any, dtype: Any = None) -> str:
        """Add an array, in the graph's precision unless `dtype` says another, and return its name."""
        name, array = self._name(what), np.asarray(array)
        kind = self.dtype if dtype is None else dtype
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(array, kind, order="C"), name))
        return name

    def channels_last(self, value: Value) -> str:
        """Return the name of the tensor transposed to (N, H, W, C)."""
        if not value.is_image or _same_order(value.shape):
            return value.name
        return self.node("Transpose", value.name, perm=LAST)

    def channels_first(self, name: str) -> str:
        """Return the name of a tensor (N, H, W, C) as (N, C, H, W)."""
        return self.node("Transpose", name, perm=FIRST)

    def reshaped(self, name: str, sizes: Shape) -> str:
        """Return the name of the tensor reshaped to another shape per sample."""
        return self.node("Reshape", name, self.constant("shape", (0, *sizes), np.int64))

    def image_sizes(self, x: Value, size: Sequence[int]) -> str:
        """Return the name of the sizes of an image as a tensor: its batch and channels, and this height and width.

        Sizes without the batch, by Resize's attribute axes, are wrong in ONNX Runtime 1.32 behind a Transpose.
        """
        batch = self.node("Shape", x.name, start=0, end=2)
        return self.node("Concat", batch, self.constant("size", size, np.int64), axis=0)

    def _name(self, what: str) -> str:
        name, number = f"{self.caller}.{what}", 1
        while name in self._taken:
            number += 1
            name = f"{self.caller}.{what}.{number}"
        self._taken.add(name)
        return name


def _same_order(shape: Shape) -> bool:
    """Return whether (H, W, C) and (C, H, W) store the elements in the same order."""
    return shape[2] == 1 or prod(shape[:2]) == 1
