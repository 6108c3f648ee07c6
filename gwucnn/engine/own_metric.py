"""A metric that a user has written as a function, averaged over the batches of an epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from gwucnn.common import real_number
from gwucnn.engine.metric_kinds import Kind

__all__ = ["OwnMetric"]


class OwnMetric(Kind):
    """The mean over batches of a function (y_true, y_pred) -> number, weighted by their numbers of samples.

    A mean over samples is then exact, whatever the batch size. A function that takes `sample_weight`, as those of
    `gwucnn.metrics` do, is given the weights of the samples if there are any, and its batches count by their sum.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(2)
        self._function = function
        self._takes_weights = _takes_weights(function)

    def add_batches(self, y_true: Any, y_pred: Any, weights: Any, size: int) -> None:
        """Add batches of `size` samples: targets and outputs (N, *out_shape), and weights (N,) or None."""
        for start in range(0, len(y_pred), max(size, 1)):
            batch = slice(start, start + size)
            # Copies: the function may keep or change what it gets.
            arrays = np.array(y_true[batch]), np.array(y_pred[batch])
            options, weight = {}, float(len(arrays[1]))
            if self._takes_weights and weights is not None:
                options, weight = {"sample_weight": np.array(weights[batch])}, float(weights[batch].sum())
            if weight:
                value = real_number(self._function.__name__, "the metric", self._function(*arrays, **options))
                self.sums += value * weight, weight

    def result(self) -> float:
        total, weight = self.sums.tolist()
        return total / weight if weight else float("nan")


def _takes_weights(function: Callable[..., Any]) -> bool:
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except ValueError:  # some functions written in C have no signature
        return False
