"""The time of a step as the batch, the images, the channels or the threads grow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gwucnn import (
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    get_num_threads,
    set_num_threads,
)
from gwucnn.bench.base import fastest

__all__ = ["MODES", "SWEEPS", "Point", "exponents", "sweep", "time_sweeps"]

MODES = ("train", "predict")


@dataclass(frozen=True)
class Point:
    """Batch size, side of the images in pixels, channels of the images and of both convolutions, threads."""

    batch: int = 8
    side: int = 28
    channels: int = 32
    threads: int = 1

    def network(self) -> GWUNetwork:
        """Build two convolutions of 3 x 3, a pooling and a dense layer."""
        network = GWUNetwork(seed=0)
        for _ in range(2):
            network.add(Conv2D(self.channels, 3, padding="same", activation="relu", add_bias=True))
        network.add(MaxPooling2D(2))
        network.add(Flatten())
        network.add(Dense(10, add_bias=True, activation="softmax"))
        network.compile("cross_entropy", lr=1e-4, metrics=())
        network.build((self.side, self.side, self.channels))
        return network

    def steps(self) -> dict[str, Callable[[], Any]]:
        """Return the step of each mode on a batch of random numbers."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, self.side, self.side, self.channels), np.float32)
        y = rng.integers(0, 10, self.batch)
        network = self.network()
        return {
            "train": lambda: network.train_on_batch(x, y),
            "predict": lambda: network.predict(x, self.batch),
        }


@dataclass(frozen=True)
class Sweep:
    """One field of `Point` that takes several values, and the quantity in which the cost should be linear."""

    field: str
    values: tuple[int, ...]
    quantity: str
    power: int

    def size(self, value: int) -> int:
        """Return the quantity."""
        return value**self.power


SWEEPS = (
    Sweep("batch", (1, 2, 4, 8, 16, 32, 64, 128), "images", 1),
    Sweep("side", (8, 14, 20, 28, 40, 56, 80, 112), "pixels of an image", 2),
    Sweep("channels", (8, 16, 32, 64, 128, 256), "channels x filters", 2),
)


def sweep(threads: Iterable[int]) -> Sweep:
    """Return the sweep over numbers of threads."""
    return Sweep("threads", tuple(threads), "threads", 1)


def time_sweeps(
    sweeps: Iterable[Sweep], base: Point, rounds: int, seconds: float, tick: Callable[[str], Any]
) -> list[dict[str, Any]]:
    """Time all points of all sweeps, `seconds` for each mode in each of `rounds`.

    Returns
    -------
    list of dict
        'sweep', 'value', 'quantity', 'size', and 'ms' by mode, the least of all rounds.
    """
    rows: list[dict[str, Any]] = [
        {
            "sweep": line.field,
            "value": value,
            "quantity": line.quantity,
            "size": line.size(value),
            "ms": dict.fromkeys(MODES, float("inf")),
        }
        for line in sweeps
        for value in line.values
    ]
    before = get_num_threads()
    try:
        for _ in range(rounds):
            for row in rows:
                tick(f"{row['sweep']} {row['value']}")
                point = replace(base, **{row["sweep"]: row["value"]})
                set_num_threads(point.threads)
                for mode, step in point.steps().items():
                    row["ms"][mode] = min(row["ms"][mode], 1000 * fastest(step, seconds))
    finally:
        set_num_threads(before)
    return rows


def exponents(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Fit ms = constant * size**exponent to each sweep of two points or more, by least squares of logarithms.

    Yields
    ------
    dict
        'sweep', 'quantity', 'mode', 'exponent' over all points, and 'last' between the largest two. 1 is
        linear. Small sizes pull the first below 1, because there the cost of the calls shows.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["sweep"], row["quantity"]), []).append(row)
    for (name, quantity), points in groups.items():
        for mode in MODES if len(points) > 1 else ():
            sizes, times = (
                np.log([point["size"] for point in points]),
                np.log([p["ms"][mode] for p in points]),
            )
            yield {
                "sweep": name,
                "quantity": quantity,
                "mode": mode,
                "exponent": float(np.polyfit(sizes, times, 1)[0]),
                "last": float((times[-1] - times[-2]) / (sizes[-1] - sizes[-2])),
            }
