"""Metrics of images: each pixel is a row, with the weight of its image."""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod
from typing import Any, TypeVar

import numpy as np

from gwucnn.common import ShapeError
from gwucnn.metrics.weights import checked_weights

__all__ = ["counts_pixels"]

F = TypeVar("F", bound=Callable[..., Any])


def counts_pixels(metric: F) -> F:
    """Decorate a metric of rows so that y_true and y_pred may also be images (N, H, W) or (N, H, W, C)."""

    @functools.wraps(metric)
    def of_rows_or_images(y_true: Any, y_pred: Any, *args: Any, sample_weight: Any = None, **options: Any) -> Any:
        if np.ndim(y_pred) in (3, 4):
            y_true, y_pred, sample_weight = _as_rows(metric.__name__, y_true, y_pred, sample_weight)
        return metric(y_true, y_pred, *args, sample_weight=sample_weight, **options)

    return of_rows_or_images  # type: ignore[return-value]


def _as_rows(caller: str, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    pixels = predicted.shape[:3]
    if true.ndim not in (3, 4) or true.shape[:3] != pixels:
        raise ShapeError(
            f"{caller}: expected y_true for each pixel of y_pred {predicted.shape}, got {true.shape}; give labels "
            f"{pixels}"
        )
    weights = None if sample_weight is None else checked_weights(caller, sample_weight, pixels[0])
    rows = [image.reshape(prod(pixels), *image.shape[3:]) for image in (true, predicted)]
    return rows[0], rows[1], None if weights is None else np.repeat(weights, prod(pixels[1:]))
