"""The base of augmentation layers."""

from __future__ import annotations

from math import inf
from typing import Any

from gwucnn import ops
from gwucnn.common import is_number
from gwucnn.layers.base import Array, Layer, Shape, Space, image_size

__all__ = ["RandomLayer", "check_range"]


def check_range(caller: str, name: str, given: Any, least: float = -inf, most: float = inf) -> tuple[float, float]:
    """Return a pair (low, high) of finite numbers within bounds, low at most high, or raise a ValueError."""
    known = isinstance(given, (tuple, list)) and len(given) == 2 and all(map(is_number, given))
    if not known or not least <= given[0] <= given[1] <= most or inf in map(abs, given):
        bounds = "" if least == -inf else f" from {least:g} to {most:g}"
        raise ValueError(f"{caller}: expected {name} to be a pair (low, high){bounds}, got {given!r}")
    return float(given[0]), float(given[1])


class RandomLayer(Layer):
    """Changes each image randomly in training. In inference, images are not changed, or all in the same way."""

    draws = 1  # how many random numbers an image needs

    def __init__(self, *, input_size: Any, name: str | None) -> None:
        self.input_size = image_size(self.label, input_size)
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        return super().build(in_shape)

    def draw(self, N: int, space: Space, dtype: Any = None) -> Array:
        """Return random numbers from 0 to less than 1, shape (N, draws), from the network's random state.

        A seed repeats them, independently of the number of threads.
        """
        numbers = space.array("numbers", (N, self.draws), dtype)
        return space.run("numbers", ops.random_uniform, space.random, out=numbers)

    def config(self) -> dict[str, Any]:
        optional = {"input_size": self.input_size, "name": self.name}
        return {key: value for key, value in optional.items() if value is not None}
