"""What a network is before it is trained: layers, weights, predictions, input checks, saving.

Five classes, each a step on the way to `GWUNetwork`, which adds `compile` and `fit`:

- `base.NetworkBase`: layers, weights, `predict`, `activations`, `gradients`, `summary`
- `parts.ReusableNetwork`: layers by name, parts of networks, networks as parts of others
- `inputs.InputValidation`: checks samples and targets against the network and its loss
- `saving.Savable`: files, pickles and copies, and the history of a run that continues

`layer_row.LayerRow` builds layers as their shapes become known, `layer_graph.LayerGraph` has those that the user
connected; `ends.py`, `joint_data.py` and `objectives.py` are about several inputs and outputs; `summary.py` formats the
table.
"""

from gwucnn.network.inputs import refuse_optimizer_names
from gwucnn.network.objectives import objective
from gwucnn.network.saving import Savable

__all__ = [
    "Savable",
    "objective",
    "refuse_optimizer_names",
]
