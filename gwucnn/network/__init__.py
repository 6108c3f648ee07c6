"""TODO."""

from gwucnn.network.inputs import refuse_misplaced
from gwucnn.network.saving import Savable

__all__ = [
    "Savable",
    "refuse_misplaced",
]
