"""Repeatable runs."""

from __future__ import annotations

import numpy as np

from gwucnn.common.checks import check_size

__all__ = ["set_random_seed"]


def set_random_seed(seed: int) -> None:
    """Seed the random numbers of networks that have no seed of their own, so that runs are repeatable."""
    np.random.seed(check_size("set_random_seed", "seed", seed, 0))
