"""Tools for testing layers and losses of your own; `gradients.py` compares gradients with central differences."""

from gwucnn.testing.gradients import check_gradients

__all__ = ["check_gradients"]
