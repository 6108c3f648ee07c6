"""Who trains a network: one process alone, or several that share each batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["ALONE", "OtherRankFailed", "Team", "team_of"]


class OtherRankFailed(Exception):
    """Raised inside `Team.collective` where a process learns that another one will not go on."""


class Team:
    """The processes, called ranks, that train one network together, as the trainer sees them.

    Each rank runs the same program on the same data and comes to the hooks below in the same order. This base
    is a process that trains alone, for which nothing is to be done; `gwucnn.distributed.DataParallel` is
    several.

    Attributes
    ----------
    rank : int
        This process's number, from 0. Rank 0 is the one that writes files and shows progress.
    size : int
        How many ranks there are.
    """

    rank = 0
    size = 1

    @contextmanager
    def collective(self) -> Iterator[None]:
        """Let no rank wait for one that ended with an error: around all that `fit` does."""
        yield

    def begin(self, engine: Any, rng: Any, facts: Mapping[str, Any]) -> None:
        """Start all ranks from rank 0's weights, optimizer and random numbers.

        rng : numpy Generator that shuffles, or None. facts : what must be the same on all ranks.
        """

    def shard(self, data: Any, indices: Any) -> Any:
        """Return those of a batch's indices, a slice or an array of numbers, that are this rank's share."""
        return indices

    def average_gradients(self, grads: Any, weight: float) -> None:
        """Turn the gradient of the mean loss of this rank's share, in place, into that of the whole batch.

        weight : of the share, the sum over its samples.
        """

    def average_statistics(self) -> None:
        """Make running statistics the same on all ranks, after a batch has moved them."""

    def merge_totals(self, totals: Any) -> None:
        """Add to an epoch's totals those of the other ranks."""

    def broadcast(self, thing: Any) -> Any:
        """Return what rank 0 has."""
        return thing

    def any_rank(self, answer: bool) -> bool:
        """Return whether any rank says yes."""
        return answer


ALONE = Team()


def team_of(caller: str, given: Any) -> Team:
    """Return the team that a user gave, by default nobody else; raise TypeError for what is none."""
    if given is None:
        return ALONE
    if not isinstance(given, Team):
        got = f"the class {given.__name__}" if isinstance(given, type) else repr(given)
        raise TypeError(
            f"{caller}: expected distributed to be a gwucnn.distributed.DataParallel, got {got}; write "
            "distributed=DataParallel()"
        )
    return given
