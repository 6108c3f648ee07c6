"""The loop of `fit`, the search for a learning rate, and the progress that both show.

Start with `loop.py`: `train` runs the epochs and `evaluate` the validation. What happens to a single batch is in
`gwucnn.engine`.
"""

from gwucnn.training.learning_rates import LearningRates
from gwucnn.training.loop import evaluate, train, train_next_batches, train_step
from gwucnn.training.lr_finder import rates, search
from gwucnn.training.progress import make_progress

__all__ = [
    "LearningRates",
    "evaluate",
    "make_progress",
    "rates",
    "search",
    "train",
    "train_next_batches",
    "train_step",
]
