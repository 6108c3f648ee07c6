"""TODO."""

from gwucnn.training.loop import evaluate, train, train_some, train_step
from gwucnn.training.lr_finder import LearningRates, rates, sweep
from gwucnn.training.progress import make_progress

__all__ = [
    "LearningRates",
    "evaluate",
    "make_progress",
    "rates",
    "sweep",
    "train",
    "train_some",
    "train_step",
]
