"""One network trained by several processes, on one machine or many, through MPI.

    # train.py, started by: OMP_NUM_THREADS=1 mpiexec -n 4 python -m mpi4py train.py
    network.fit(x, y, epochs=5, batch_size=128, distributed=DataParallel())

`data_parallel.py` has the interface and an example of a whole program, `collectives.py` the communication,
`shared_state.py` what the ranks compare and copy. What the trainer expects of `DataParallel` is in `engine/team.py`.
"""

from gwucnn.distributed.data_parallel import DataParallel

__all__ = [
    "DataParallel",
]
