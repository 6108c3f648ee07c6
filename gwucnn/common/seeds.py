"""Repeatable runs."""

from __future__ import annotations

import numpy as np

from gwucnn.common.windows import check_size

__all__ = ["set_random_seed"]


def set_random_seed(seed: int) -> None:
    """Let networks without a seed of their own draw the same numbers in each run from here on."""
    np.random.seed(check_size("set_random_seed", "seed", seed, 0))
