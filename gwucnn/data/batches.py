"""Samples gathered into reusable buffers, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gwucnn.memory import Space

__all__ = ["Batch", "Batches", "Run", "fill_targets", "rounded", "sample_shape"]

# Most samples in a run of batches: enough that the cost per run does not matter, few enough that a progress bar moves.
MOST_SAMPLES_PER_RUN = 256


def sample_shape(x: Any, data_format: str) -> tuple[int, ...]:
    """Return the shape of one sample of an array from `as_images`, channels last."""
    if x.ndim == 4 and data_format == "channels_first":
        return (*x.shape[2:], x.shape[1])
    return tuple(x.shape[1:])


class Batches:
    """Inputs, targets and weights of samples, from which batches are gathered.

    Parameters
    ----------
    x : array of numbers from `as_images`
    targets : int64 labels (N,), integer labels of pixels (N, H, W), or numbers (N, *out_shape); None to predict
    weights : float64, shape (N,), optional
        The weight of each sample; None if all are 1.
    """

    def __init__(self, x: Any, targets: Any = None, weights: Any = None, data_format: str = "channels_last") -> None:
        self.x, self.targets, self.weights = x, targets, weights
        self.extremes: tuple[float, float] | None = None  # minimum and maximum of x, once they are known
        self._channels_first = x.ndim == 4 and data_format == "channels_first"
        self._shape = sample_shape(x, data_format)

    def __len__(self) -> int:
        return len(self.x)

    def subset(self, indices: Any) -> Batches:
        """Return the samples with these indices; a slice gives views."""
        gathered = [None if a is None else a[indices] for a in (self.targets, self.weights)]
        part = Batches(self.x[indices], gathered[0], gathered[1])
        part._channels_first, part._shape = self._channels_first, self._shape
        return part

    def round_once(self, dtype: Any) -> None:
        """Replace float64 numbers by copies rounded to `dtype`, so that they need not be rounded in every epoch.

        Arrays on disk, and those whose copy would be very large, are left as they are, to be rounded batch by batch.
        """
        self.x, self.targets = rounded(self.x, dtype), rounded(self.targets, dtype)

    def split(self, size: int) -> Iterator[slice]:
        """Yield the slices of samples that make up the batches, in order."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    @property
    def samples(self) -> int:
        """The number of samples."""
        return len(self.x)

    def epoch(self, size: int, rng: Any, where: str) -> Iterator[Run]:
        """Yield the batches of an epoch, in runs.

        rng : generator for shuffling, or None. where : the beginning of batches' names in error messages.
        """
        order = None if rng is None else rng.permutation(len(self))
        first, whole, most = 0, len(self) // size * size, max(MOST_SAMPLES_PER_RUN // size, 1) * size
        # The last batch is a run of its own if it is smaller.
        for start, stop, step in ((0, whole, most), (whole, len(self), size)):
            for at in range(start, stop, step):
                end = min(at + step, stop)
                numbers = np.arange(at, end) if order is None else order[at:end]
                run = Run(self, numbers, min(size, end - at), where, first, in_order=order is None)
                yield run
                first += len(run)

    def parts(self, caller: str) -> Iterator[Batches]:
        """Yield all samples at once; a stream yields them batch by batch."""
        yield self

    def count(self, indices: Any) -> int:
        """Return the number of samples that a slice or an array of indices selects."""
        if isinstance(indices, slice):
            return len(range(*indices.indices(len(self))))
        return len(indices)

    def inputs(self, indices: Any, space: Space) -> Any:
        """Gather images (n, H, W, C) or features (n, D) into a buffer of `space`."""
        buffer = space.array("x", (self.count(indices), *self._shape))
        self._fill_inputs(indices, buffer, space)
        return buffer

    def batch(self, indices: Any, out_shape: tuple[int, ...], space: Space) -> Batch:
        """Gather inputs, targets and weights into buffers of `space`, which are reused for batches of the same size."""
        count = self.count(indices)
        batches = space.saved.setdefault("batches", {})
        batch = batches.get(count)
        if batch is None or batch.generation != space.generation:
            x = space.array("x", (count, *self._shape))
            target = space.array("target", (count, *out_shape))
            batch = Batch(x, target, space.array("share", (count,)), space.generation)
            # Stale batches would keep replaced buffers alive.
            kept = {size: old for size, old in batches.items() if old.generation == space.generation}
            space.saved["batches"] = {**kept, count: batch}
        self._fill_inputs(indices, batch.x, space)
        fill_targets(self.targets, indices, batch.target, space)
        self.fill_shares(indices, batch, space)
        return batch

    @property
    def plain(self) -> bool:
        """Whether batches are plain rows of the arrays, all with the same weight."""
        arrays = (self.x, self.targets)
        return (
            self.weights is None
            and not self._channels_first
            and all(a is not None and a.flags.c_contiguous and a.flags.aligned for a in arrays)
            and all(a.dtype.isnative for a in arrays)
        )

    def _fill_inputs(self, indices: Any, buffer: Any, space: Space) -> None:
        gathered = _pick(self.x, indices, space, "gathered x")
        buffer[...] = gathered.transpose(0, 2, 3, 1) if self._channels_first else gathered

    def fill_shares(self, indices: Any, batch: Batch, space: Space) -> None:
        """Fill in the share of each sample in the loss of the batch."""
        count = len(batch.share)
        if self.weights is None:
            # Shares of all batch sizes use the same memory, so only the one filled last still has its contents.
            if space.saved.get("equal shares") is not batch:
                batch.share.fill(1.0 / count if count else 0.0)
                batch.weights, batch.weight = None, float(count)
                space.saved["equal shares"] = batch
            return
        space.saved.pop("equal shares", None)
        batch.weights = gathered = self.weights[indices]
        batch.weight = float(gathered.sum())
        if batch.weight:
            np.divide(gathered, batch.weight, out=batch.share, casting="same_kind")
        else:
            batch.share.fill(0)


def fill_targets(targets: Any, indices: Any, buffer: Any, space: Space) -> None:
    """Copy the targets with these indices; labels become one-hot rows."""
    gathered = _pick(targets, indices, space, "gathered targets")
    if gathered.ndim == 1:
        buffer.fill(0)
        buffer[np.arange(len(gathered)), gathered] = 1
    elif gathered.ndim < buffer.ndim:  # a label for each pixel
        buffer.fill(0)
        # Image by image, so that the indices take little memory.
        pixels = np.arange(gathered[:1].size)
        for image, labels in zip(buffer, gathered, strict=True):
            image.reshape(-1, image.shape[-1])[pixels, labels.reshape(-1)] = 1
    else:
        buffer[...] = gathered


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive batches of one size in an epoch.

    Attributes
    ----------
    data : Batches
        All samples of the epoch.
    numbers : int64, shape (samples of the run,)
        Indices of the samples, batch after batch.
    size : int
        Samples per batch.
    where : str
        The beginning of the batches' names.
    first : int
        Number of the first batch in the epoch, from 0.
    note : str
        The end of the batches' names.
    in_order : bool
        Whether the indices are consecutive.
    """

    data: Batches
    numbers: Any
    size: int
    where: str
    first: int = 0
    note: str = ""
    in_order: bool = False

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.numbers) // max(self.size, 1)

    def single(self, batch: int) -> Run:
        """Return a run of one batch of this run, given its number in the run."""
        numbers = self.numbers[batch * self.size : (batch + 1) * self.size]
        return Run(self.data, numbers, self.size, self.where, self.first + batch, self.note, self.in_order)

    def name(self, batch: int) -> str:
        """Return the name of a batch in error messages, given its number in the run."""
        return f"{self.where}, batch {self.first + batch + 1}{self.note}"

    def indices(self, batch: int) -> Any:
        """Return the indices of the samples in a batch of the run: a slice, which gives views, or an array."""
        gathered = self.numbers[batch * self.size : (batch + 1) * self.size]
        if not (self.in_order or self.size == 1):
            return gathered
        return slice(int(gathered[0]), int(gathered[0]) + self.size)


class Batch:
    """The buffers of a batch: inputs, targets, shares in the loss; and the sample weights."""

    __slots__ = ("generation", "share", "target", "weight", "weights", "x")

    def __init__(self, x: Any, target: Any, share: Any, generation: int) -> None:
        self.x = x
        self.target = target
        self.share = share
        self.generation = generation  # of the space when the buffers were created
        self.weights: Any = None  # of each sample, None if they are equal
        self.weight = 0.0  # their sum


# Bytes of a rounded copy of x or of the targets; larger arrays are rounded batch by batch.
LARGEST_COPY = 2**30


def rounded(array: Any, dtype: Any) -> Any:
    """Return an array of float64 as one of `dtype` that is plain in memory; any other unchanged."""
    wide = array is not None and array.dtype.type is np.float64 and dtype is not np.float64
    if not wide or array.size * np.dtype(dtype).itemsize > LARGEST_COPY:
        return array
    base = array
    while base is not None:
        if isinstance(base, np.memmap):
            return array
        base = getattr(base, "base", None)
    return array.astype(dtype, order="C")


# Number of elements below which a copy costs less than the look-up of a buffer.
FEW_ELEMENTS = 4096


def _pick(array: Any, indices: Any, space: Space, name: str) -> Any:
    """Return the rows with these indices: a view for a slice, otherwise a copy, which is in a buffer if it is large."""
    if isinstance(indices, slice):
        return array[indices]
    # `take` would first copy the whole array if it is not contiguous.
    plain = array.flags.c_contiguous and array.flags.aligned
    if not plain or array[:1].size * len(indices) < FEW_ELEMENTS:
        return array[indices]
    buffer = space.array(name, (len(indices), *array.shape[1:]), array.dtype)
    # mode='raise' would gather into a temporary array first; the indices are known to be valid.
    return array.take(indices, axis=0, out=buffer, mode="clip")
