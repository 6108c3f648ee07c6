"""What runs instead of what the user wrote: plans of fused steps, their buffers, and their replay.

Start with `engine.py`. The life of a training step, and where each part of it is:

1. `fusion.plan` turns the graph of layers into one of steps, once, when the network is built. Layers that contain
   others are replaced by what is inside. A step may do the work of several layers (`fused_steps.py`), or take a large
   batch through several layers a few samples at a time (`slices.py`). `Graph` in `layers/graphs/graph.py` runs the
   steps, forward and backward, and takes memory for what they hand on from a `Pool`.
2. `Engine.train_step` gathers a batch into buffers, and runs the steps forward, the loss (`loss_head.py`), the steps
   backward, and a check that everything is finite (`nonfinite.py` finds the culprit if not). Steps accumulate into
   gradients, or overwrite them where the plan allows it (`Layer.overwrites_grads`, `Space.accumulates`).
3. `recorded.Recorder` records the compiled steps of the first batch of a size; later batches replay them without
   Python. A recording is valid while no buffer was replaced (`Tape.generation`). Weights that were transformed for a
   kernel are reused while `Arena.version` stays the same and `Arena.tracked` says that it counts every change.
4. `sweeper.Sweeper` trains on many small batches in one compiled call, once their step is recorded.
5. The optimizer updates the weights in one pass, and steps that were deferred until then (`Space.defer`), such as those
   of running statistics, run.

`team.py` is the interface between this and data-parallel training, `epoch_totals.py` the loss and metrics of an epoch
(`metric_kinds.py` says how each is accumulated), `joint_head.py` and `joint_totals.py` those of several outputs,
`workspaces.py` the buffers that threads share in turn, `inspection.py` what plots look at.
"""

from gwucnn.engine.engine import Engine, TrainingConfig
from gwucnn.engine.epoch_totals import Totals
from gwucnn.engine.inspection import layer_outputs, score_gradients, shut_layers
from gwucnn.engine.loss_head import LossHead
from gwucnn.engine.metric_names import check_metrics, metric_name
from gwucnn.engine.sweeper import Sweeper
from gwucnn.engine.team import ALONE, OtherRankFailed, Team, team_of

__all__ = [
    "ALONE",
    "Engine",
    "LossHead",
    "OtherRankFailed",
    "Sweeper",
    "Team",
    "Totals",
    "TrainingConfig",
    "check_metrics",
    "layer_outputs",
    "metric_name",
    "score_gradients",
    "shut_layers",
    "team_of",
]
