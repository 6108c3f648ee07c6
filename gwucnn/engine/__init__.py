"""TODO."""

from gwucnn.engine.engine import Engine, TrainingConfig
from gwucnn.engine.epoch_totals import Totals, check_metrics
from gwucnn.engine.input_gradients import score_gradients
from gwucnn.engine.sweeper import Sweeper
from gwucnn.engine.team import ALONE, OtherRankFailed, Team, team_of

__all__ = [
    "ALONE",
    "Engine",
    "OtherRankFailed",
    "Sweeper",
    "Team",
    "Totals",
    "TrainingConfig",
    "check_metrics",
    "score_gradients",
    "team_of",
]
