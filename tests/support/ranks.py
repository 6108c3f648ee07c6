"""Ranks as threads of one process: a communicator with the part of mpi4py's interface that `DataParallel` uses."""

import pickle
import threading

import numpy as np

from gwucnn.distributed import DataParallel

# A test that hangs fails instead: seconds.
PATIENCE = 60


class Meeting:
    """What the threads share: a table with a place for each, and the barrier before and after they read it."""

    def __init__(self, size):
        self.size, self.table = size, [None] * size
        self.barrier = threading.Barrier(size)

    def exchange(self, rank, thing):
        """Return what each of the threads brought."""
        self.table[rank] = thing
        self.barrier.wait(PATIENCE)
        found = list(self.table)
        self.barrier.wait(PATIENCE)
        return found


class Communicator:
    """One thread's end of a meeting. `calls` counts the messages by their kind."""

    def __init__(self, meeting, rank):
        self.meeting, self.rank, self.calls = meeting, rank, []

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.meeting.size

    def Allgather(self, sent, received):
        self.calls.append("Allgather")
        received[...] = self.meeting.exchange(self.rank, sent.copy())

    def Allreduce(self, sent, received):
        assert sent is None  # in place
        self.calls.append(("Allreduce", received.size))
        # In the order of the ranks, so that all get the same bits.
        received[...] = np.sum(self.meeting.exchange(self.rank, received.copy()), axis=0)

    def allgather(self, thing):
        self.calls.append("allgather")
        return [pickle.loads(sent) for sent in self.meeting.exchange(self.rank, pickle.dumps(thing))]


def on_ranks(size, work):
    """Return what `work(team)` returned, or the exception it raised, on each of so many ranks."""
    meeting, results = Meeting(size), [None] * size

    def run(rank):
        try:
            with np.errstate(divide="raise", over="raise", invalid="raise"):
                results[rank] = work(DataParallel(Communicator(meeting, rank)))
        except BaseException as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a rank waits for ever"
    return results
