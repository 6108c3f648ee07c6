"""TODO."""

from gwucnn.memory.aligned import WORTH_IT, aligned_copy, aligned_empty
from gwucnn.memory.parameters import MANY, Arena, Parameter, assign
from gwucnn.memory.workspace import Randomness, Space, Workspace

__all__ = [
    "MANY",
    "WORTH_IT",
    "Arena",
    "Parameter",
    "Randomness",
    "Space",
    "Workspace",
    "aligned_copy",
    "aligned_empty",
    "assign",
]
