"""Data on its way into a network: gathered batch by batch into buffers that stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gwucnn.workspace import Space

__all__ = ["Batches", "sample_shape"]


def sample_shape(x: Any, data_format: str) -> tuple[int, ...]:
    """Return the shape of one sample of `as_images`, channels last."""
    if x.ndim == 4 and data_format == "channels_first":
        return (*x.shape[2:], x.shape[1])
    return tuple(x.shape[1:])


class Batches:
    """Inputs, targets and weights of samples, ready to be gathered.

    Parameters
    ----------
    x : array of numbers from `as_images`
    targets : int64 labels (N,), or numbers (N, *out_shape); None to predict
    weights : float64, shape (N,), optional
        How much each sample counts.
    """

    def __init__(
        self, x: Any, targets: Any = None, weights: Any = None, data_format: str = "channels_last"
    ) -> None:
        self.x, self.targets, self.weights = x, targets, weights
        self._channels_first = x.ndim == 4 and data_format == "channels_first"
        self._shape = sample_shape(x, data_format)

    def __len__(self) -> int:
        return len(self.x)

    def subset(self, indices: Any) -> Batches:
        """Return the samples with these numbers (a slice gives views)."""
        picked = [None if a is None else a[indices] for a in (self.targets, self.weights)]
        part = Batches(self.x[indices], picked[0], picked[1])
        part._channels_first, part._shape = self._channels_first, self._shape
        return part

    def split(self, size: int, order: Any = None) -> Iterator[Any]:
        """Yield the numbers of each batch's samples: slices, or parts of `order`."""
        if order is not None and size == 1:
            # A slice gives a view, where a number alone would be copied.
            yield from (slice(index, index + 1) for index in order.tolist())
            return
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield slice(start, stop) if order is None else order[start:stop]

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self.x)

    def epoch(self, size: int, rng: Any, where: str) -> Iterator[tuple[str, Batches, Any, int]]:
        """Yield each batch: its name, samples, which of them, and how many. rng : shuffles, or None."""
        order = None if rng is None else rng.permutation(len(self))
        for number, indices in enumerate(self.split(size, order)):
            count = min(size, len(self) - number * size)
            yield f"{where}, batch {number + 1}", self, indices, count

    def parts(self, who: str) -> Iterator[Batches]:
        """Yield all samples at once, as a stream does batch by batch."""
        yield self

    def count(self, indices: Any) -> int:
        """Return how many samples a slice or an array of numbers picks."""
        if isinstance(indices, slice):
            return len(range(*indices.indices(len(self))))
        return len(indices)

    def inputs(self, indices: Any, space: Space) -> Any:
        """Gather images (n, H, W, C) or features (n, D) into a buffer of `space`."""
        buffer = space.array("x", (self.count(indices), *self._shape))
        self._fill_inputs(indices, buffer, space)
        return buffer

    def batch(self, indices: Any, out_shape: tuple[int, ...], space: Space) -> Batch:
        """Gather inputs, targets and weights into buffers of `space`: the same ones for as many samples."""
        count = self.count(indices)
        batches = space.saved.setdefault("batches", {})
        batch = batches.get(count)
        if batch is None or batch.moves != space.moves:
            x = space.array("x", (count, *self._shape))
            target = space.array("target", (count, *out_shape))
            batch = Batch(x, target, space.array("share", (count,)), space.moves)
            # What is stale would keep the memory of before alive.
            kept = {size: old for size, old in batches.items() if old.moves == space.moves}
            space.saved["batches"] = {**kept, count: batch}
        self._fill_inputs(indices, batch.x, space)
        self._fill_targets(indices, batch.target, space)
        self._fill_shares(indices, batch, space)
        return batch

    def _fill_inputs(self, indices: Any, buffer: Any, space: Space) -> None:
        picked = _pick(self.x, indices, space, "picked x")
        buffer[...] = picked.transpose(0, 2, 3, 1) if self._channels_first else picked

    def _fill_targets(self, indices: Any, buffer: Any, space: Space) -> None:
        """Copy targets; labels become one-hot rows."""
        picked = _pick(self.targets, indices, space, "picked targets")
        if picked.ndim == 1:
            buffer.fill(0)
            buffer[np.arange(len(picked)), picked] = 1
        else:
            buffer[...] = picked

    def _fill_shares(self, indices: Any, batch: Batch, space: Space) -> None:
        count = len(batch.share)
        if self.weights is None:
            # Those of other sizes lie in the same memory: only the last one filled can be as it was left.
            if space.saved.get("equal shares") is not batch:
                batch.share.fill(1.0 / count if count else 0.0)
                batch.weights, batch.weight = None, float(count)
                space.saved["equal shares"] = batch
            return
        space.saved.pop("equal shares", None)
        batch.weights = picked = self.weights[indices]
        batch.weight = float(picked.sum())
        if batch.weight:
            np.divide(picked, batch.weight, out=batch.share, casting="same_kind")
        else:
            batch.share.fill(0)


@dataclass(slots=True)
class Batch:
    """Buffers of some samples: inputs, targets, each one's part of the loss; and their weights."""

    x: Any
    target: Any
    share: Any
    moves: int  # of the space when the buffers were made
    weights: Any = None  # of each sample, None if they are equal
    weight: float = 0.0  # their sum


# Below so many numbers a copy costs less than finding its buffer.
FEW = 4096


def _pick(array: Any, indices: Any, space: Space, name: str) -> Any:
    """Return the rows with these numbers: a view for a slice, else a copy, a large one in a buffer."""
    if isinstance(indices, slice):
        return array[indices]
    # `take` would first copy an array that lies otherwise, all of it.
    plain = array.flags.c_contiguous and array.flags.aligned
    if not plain or array[:1].size * len(indices) < FEW:
        return array[indices]
    buffer = space.array(name, (len(indices), *array.shape[1:]), array.dtype)
    # Not 'raise', which would gather into memory of its own first; the numbers are those of `split`.
    return array.take(indices, axis=0, out=buffer, mode="clip")
