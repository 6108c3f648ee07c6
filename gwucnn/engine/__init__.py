"""TODO."""

from gwucnn.engine.engine import Engine, Recipe
from gwucnn.engine.epoch_totals import Totals, check_metrics
from gwucnn.engine.input_gradients import score_gradients
from gwucnn.engine.sweeper import Sweeper
from gwucnn.engine.team import ALONE, OthersFailed, Team, team_of

__all__ = [
    "ALONE",
    "Engine",
    "OthersFailed",
    "Recipe",
    "Sweeper",
    "Team",
    "Totals",
    "check_metrics",
    "score_gradients",
    "team_of",
]
