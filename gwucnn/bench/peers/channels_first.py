"""Keras' layout of images and weights turned into that of libraries which keep the channels first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def images(x: Any) -> Any:
    """Turn (N, H, W, C) into (N, C, H, W)."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def layers(case: dict[str, Any], arrays: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Yield each layer with its weights: kernel and bias, or gamma, beta, mean and variance.

    Filters (KH, KW, C, F) become (F, C, KH, KW), those of single channels (KH, KW, C, 1) become (C, 1, KH,
    KW), and matrices (D, U) become (U, D). Flatten then lays images out in another order, so the rows of the
    matrix behind it are put into that order too.
    """
    rest = (arrays[f"w{number}"] for number in range(len(arrays)))
    flattened: tuple[int, ...] | None = None
    for layer in case["layers"]:
        weights: list[Any] = []
        match layer["kind"]:
            case "conv":
                weights = [next(rest).transpose(3, 2, 0, 1)]
            case "depthwise":
                weights = [next(rest).transpose(2, 3, 0, 1)]
            case "norm":
                weights = [next(rest) for _ in range(4)]
            case "flatten":
                flattened = tuple(layer["in"])
            case "dense":
                kernel = next(rest)
                if flattened is not None:
                    kernel = kernel.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                    flattened = None
                weights = [kernel.T]
        if layer.get("bias"):
            weights.append(next(rest))
        yield layer, [np.ascontiguousarray(weight) for weight in weights]
