"""Data on its way into a network: gathered batch by batch into buffers that stay."""

from __future__ import annotations

from collections.abc import Iterator
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
            # A slice gives a view, at a fifth of the time of a copy.
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

    def inputs(self, indices: Any, space: Space) -> Any:
        """Gather images (n, H, W, C) or features (n, D) into a buffer of `space`."""
        picked = _pick(self.x, indices, space, "picked x")
        buffer = space.array("x", (len(picked), *self._shape))
        buffer[...] = picked.transpose(0, 2, 3, 1) if self._channels_first else picked
        return buffer

    def outputs(self, indices: Any, out_shape: tuple[int, ...], space: Space) -> Any:
        """Gather targets into a buffer (n, *out_shape) of `space`; labels become one-hot rows."""
        picked = _pick(self.targets, indices, space, "picked targets")
        buffer = space.array("target", (len(picked), *out_shape))
        if picked.ndim == 1:
            buffer.fill(0)
            buffer[np.arange(len(picked)), picked] = 1
        else:
            buffer[...] = picked
        return buffer

    def shares(self, indices: Any, count: int, space: Space) -> tuple[Any, float]:
        """Return each sample's part of its batch, a buffer (count,) of `space`, and the sum of weights."""
        buffer = space.array("share", (count,))
        if self.weights is None:
            if space.saved.get("equal shares") is not buffer:
                buffer.fill(1.0 / count if count else 0.0)
                space.saved["equal shares"] = buffer
            return buffer, float(count)
        space.saved.pop("equal shares", None)
        picked = self.weights[indices]
        total = float(picked.sum())
        np.divide(picked, total, out=buffer, casting="same_kind") if total else buffer.fill(0)
        return buffer, total


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
