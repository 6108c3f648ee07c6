"""The interface between the trainer and data-parallel training; `ALONE` is the single-process implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gwucnn.common import ChecksArguments

__all__ = ["ALONE", "OtherRankFailed", "Team", "team_of"]


class OtherRankFailed(Exception):
    """Raised inside `Team.collective` when another rank has failed."""


class Team(ChecksArguments):
    """The processes, called ranks, that train one network together.

    Each rank runs the same program on the same data and calls the methods below in the same order. This base class is
    for a single process, where they have nothing to do; `gwucnn.distributed.DataParallel` is for several.

    Attributes
    ----------
    rank : int
        Number of this process, from 0. Rank 0 writes files and shows progress.
    size : int
        Number of ranks.
    """

    rank = 0
    size = 1

    @contextmanager
    def collective(self) -> Iterator[None]:
        """Enclose everything `fit` does, so that no rank waits for another one that has failed."""
        yield

    def begin(self, engine: Any, rng: Any, facts: Mapping[str, Any]) -> None:
        """Start all ranks from rank 0's weights, optimizer and random numbers.

        rng : numpy Generator for shuffling, or None. facts : values that must be the same on all ranks.
        """

    def shard(self, data: Any, indices: Any) -> Any:
        """Return this rank's share of the indices of a batch, a slice or an array of numbers."""
        return indices

    def average_gradients(self, grads: Any, weight: float) -> None:
        """Replace the gradient of the mean loss over this rank's share by that over the whole batch, in place.

        weight : sum of the sample weights of the share.
        """

    def average_statistics(self) -> None:
        """Average running statistics over the ranks, after a batch has updated them."""

    def merge_totals(self, totals: Any) -> None:
        """Add the totals of the other ranks to those of this one."""

    def broadcast(self, item: Any) -> Any:
        """Return the item of rank 0."""
        return item

    def any_rank(self, answer: bool) -> bool:
        """Return whether the answer of any rank is true."""
        return answer


ALONE = Team()


def team_of(caller: str, given: Any) -> Team:
    """Return the team that a user passed, or ALONE for None; raise TypeError for anything else."""
    if given is None:
        return ALONE
    if not isinstance(given, Team):
        got = f"the class {given.__name__}" if isinstance(given, type) else repr(given)
        raise TypeError(
            f"{caller}: expected distributed to be a gwucnn.distributed.DataParallel, got {got}; write "
            "distributed=DataParallel()"
        )
    return given
