"""TODO."""

from gwucnn.distributed.data_parallel import DataParallel

__all__ = [
    "DataParallel",
]
