"""Optimizers: one compiled pass over all weights for each batch.

The update rules are those of PyTorch, the names and defaults those of Keras. `base.py` has what they share, the other
files an update rule each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gwucnn.common import classes_by_name, from_config, look_up
from gwucnn.optimizers.adagrad import Adagrad
from gwucnn.optimizers.adam import Adam, AdamW
from gwucnn.optimizers.base import Optimizer
from gwucnn.optimizers.rmsprop import RMSprop
from gwucnn.optimizers.sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "optimizer"]

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
}


def optimizer(given: Any, lr: Any) -> Optimizer:
    """Return an optimizer given by name or class, with `lr` or its own default, or as an object or a config.

    Objects and configs have their own lr.
    """
    if isinstance(given, Mapping):
        given = from_config("compile", "optimizer", given, classes_by_name(Optimizer, OPTIMIZERS))
    if isinstance(given, Optimizer):
        if lr is not None:
            raise ValueError(f"compile: expected lr inside the optimizer, got lr={lr!r} beside {given!r}; leave it out")
        return given
    if not (isinstance(given, type) and issubclass(given, Optimizer)):
        given = look_up("compile", "optimizer", given, OPTIMIZERS)
    return given() if lr is None else given(lr=lr)
