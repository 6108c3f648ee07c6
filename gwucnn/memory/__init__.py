"""Where weights, gradients and activations live.

- `parameters.py`: a layer declares a `Parameter`; the network lays all of them out in one `Arena`
- `workspace.py`: a `Space` has the buffers of one layer, a `Workspace` those of one pass through the network; its
  docstring explains what layers and the engine tell each other through them
- `pool.py`: memory that the arrays of a pass use one after the other
- `aligned.py`: new arrays that start at a cache line
"""

from gwucnn.memory.aligned import WORTH_ALIGNING, aligned_copy, aligned_empty
from gwucnn.memory.parameters import MANY_UPDATES, Arena, Parameter, assign
from gwucnn.memory.pool import Pool
from gwucnn.memory.workspace import Randomness, Space, Workspace

__all__ = [
    "MANY_UPDATES",
    "WORTH_ALIGNING",
    "Arena",
    "Parameter",
    "Pool",
    "Randomness",
    "Space",
    "Workspace",
    "aligned_copy",
    "aligned_empty",
    "assign",
]
