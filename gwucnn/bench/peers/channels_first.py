"""Keras' layout of images and weights turned into that of libraries which keep the channels first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def images(x: Any) -> Any:
    """Turn (N, H, W, C) into (N, C, H, W)."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def layers(case: dict[str, Any], arrays: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any, Any]]:
    """Yield each layer with its kernel and its bias, None where it has none.

    Filters (KH, KW, C, F) become (F, C, KH, KW), and matrices (D, U) become (U, D). Flatten then lays
    images out in another order, so the rows of the matrix behind it are put into that order too.
    """
    numbers = iter(range(len(arrays)))
    flattened: tuple[int, ...] | None = None
    for layer in case["layers"]:
        kernel = bias = None
        if layer["kind"] == "conv":
            kernel = np.ascontiguousarray(arrays[f"w{next(numbers)}"].transpose(3, 2, 0, 1))
        elif layer["kind"] == "flatten":
            flattened = tuple(layer["in"])
        elif layer["kind"] == "dense":
            kernel = arrays[f"w{next(numbers)}"]
            if flattened is not None:
                kernel = kernel.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                flattened = None
            kernel = np.ascontiguousarray(kernel.T)
        if layer.get("bias"):
            bias = arrays[f"w{next(numbers)}"]
        yield layer, kernel, bias
