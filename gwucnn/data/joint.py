"""Samples of networks with several inputs or outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gwucnn.common import each, only
from gwucnn.data.batches import Batch, Batches, fill_targets, rounded
from gwucnn.memory import Space

__all__ = ["JointBatches"]


class JointBatches(Batches):
    """Samples that consist of several arrays, gathered batch by batch.

    It is used as `Batches` is. Where that has an array, of inputs or of targets, this has a tuple if there are several.

    Parameters
    ----------
    inputs : sequence of Batches
        The samples of each input, without targets.
    targets : sequence of arrays
        For each output, as in `Batches`.
    weights : float64, shape (N,), optional
    """

    def __init__(self, inputs: Sequence[Batches], targets: Sequence[Any] = (), weights: Any = None) -> None:
        self.by_input = tuple(inputs)
        self.targets, self.weights = only(targets), weights

    @property
    def x(self) -> Any:
        """The inputs."""
        return only(part.x for part in self.by_input)

    def __len__(self) -> int:
        return len(self.by_input[0])

    @property
    def plain(self) -> bool:
        """Never: each batch is gathered in Python."""
        return False

    @property
    def samples(self) -> int:
        return len(self)

    def subset(self, indices: Any) -> JointBatches:
        targets = [targets[indices] for targets in each(self.targets)]
        weights = None if self.weights is None else self.weights[indices]
        return JointBatches([part.subset(indices) for part in self.by_input], targets, weights)

    def round_once(self, dtype: Any) -> None:
        for part in self.by_input:
            part.round_once(dtype)
        self.targets = only(rounded(targets, dtype) for targets in each(self.targets))

    def inputs(self, indices: Any, space: Space) -> Any:
        parts = enumerate(self.by_input)
        return only(part.inputs(indices, space.child(f"input {number}")) for number, part in parts)

    def batch(self, indices: Any, out_shape: Any, space: Space) -> Batch:
        count, targets = self.count(indices), []
        shapes = out_shape if isinstance(self.targets, tuple) else (out_shape,)
        for number, (target, shape) in enumerate(zip(each(self.targets), shapes, strict=True)):
            inner = space.child(f"target {number}")
            buffer = inner.array("target", (count, *shape))
            fill_targets(target, indices, buffer, inner)
            targets.append(buffer)
        x = self.inputs(indices, space)
        batch = Batch(x, only(targets), space.array("share", (count,)), space.generation)
        self.fill_shares(indices, batch, space)
        return batch
