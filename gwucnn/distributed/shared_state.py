"""What ranks have in common: facts, compared, and a state, copied, when they begin; running statistics."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gwucnn import kernels

__all__ = ["Statistics", "check_same", "facts_of", "put_back", "state_of"]

# What to do where ranks differ, if not: run the same program on each.
HOW_TO_FIX = {
    "samples": "give all of the data to each rank, fit divides each batch",
    "instruction set": "set GWUCNN_ISA to the least of them",
}


def facts_of(engine: Any) -> dict[str, Any]:
    """Return what has to be the same on all ranks, as far as the network knows it."""
    return {
        "number of layers": len(engine.layers),
        **{f"layer {number}": _text(layer) for number, layer in enumerate(engine.layers)},
        "trainable weights": engine.arena.trainable,
        "precision": engine.dtype.name,
        "loss": _text(engine.head.loss_function),
        "optimizer": _text(engine.optimizer),
        "metrics": list(engine.totals().record()),
        "instruction set": kernels.isa(),
    }


def _text(thing: Any) -> str:
    """Return how a thing describes itself, without addresses, in which processes differ."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))


def check_same(facts: list[dict[str, Any]]) -> None:
    """Raise ValueError, on all ranks alike, if what they brought is not the same on each."""
    for name, value in facts[0].items():
        for rank, other in enumerate(fact.get(name) for fact in facts):
            if other != value:
                fix = HOW_TO_FIX.get(name, "run the same program on each rank")
                raise ValueError(
                    f"fit: expected the same {name} on each rank, got {value} on rank 0 and {other} on rank "
                    f"{rank}; {fix}"
                )


def _counts(layers: Any) -> list[Any]:
    """Return the arrays that count how often running statistics moved, each once."""
    counts = [p.updates for layer in layers for p in layer.parameters if p.updates is not None]
    return list({id(count): count for count in counts}.values())


def state_of(engine: Any, rng: Any) -> dict[str, Any]:
    """Return what the next batch depends on besides the data."""
    optimizer = engine.optimizer
    return {
        "values": engine.arena.values,
        "slots": optimizer.slots,
        "optimizer": (optimizer.updates, optimizer.lr),
        "counts": _counts(engine.layers),
        "draws": engine.randomness.state,
        "generator": None if rng is None else rng.bit_generator.state,
    }


def put_back(engine: Any, rng: Any, state: dict[str, Any]) -> None:
    """Go on from what `state_of` returned, on this rank or another."""
    engine.arena.values[...] = state["values"]
    engine.arena.version += 1
    for name, slot in engine.optimizer.slots.items():
        slot[...] = state["slots"][name]
    engine.optimizer.resume(*state["optimizer"])
    for count, its in zip(_counts(engine.layers), state["counts"], strict=True):
        count[...] = its
    engine.randomness.put_back(state["draws"])
    if rng is not None:
        rng.bit_generator.state = state["generator"]


class Statistics:
    """Running statistics, which each rank has moved by its own images.

    Attributes
    ----------
    parameters : list of Parameter
    """

    def __init__(self, layers: Any) -> None:
        self.parameters = [p for layer in layers for p in layer.parameters if p.updates is not None]
        self._counts = _counts(layers)
        self._before = [int(count[0]) for count in self._counts]

    def moved(self, share: float) -> Any:
        """Return what moved since the last `take`, times this rank's share; the sum over ranks is the mean.

        In front stands, for each parameter, the share of ranks where it moved: all with images, or none where
        the layer is frozen.
        """
        before = {id(count): number for count, number in zip(self._counts, self._before, strict=True)}
        shares = [share * (p.updates[0] != before[id(p.updates)]) for p in self.parameters]
        scaled = [p.running.ravel() * part for p, part in zip(self.parameters, shares, strict=True)]
        return np.concatenate([shares, *scaled], dtype=np.float64)

    def take(self, mean: Any) -> None:
        """Take the mean over ranks of what moved, also where this rank had no image to move it by."""
        start = len(self.parameters)
        due = set()
        for parameter, share in zip(self.parameters, mean[:start].tolist(), strict=True):
            stop = start + parameter.size
            if share:
                parameter.running[...] = mean[start:stop].reshape(parameter.shape)
                due.add(id(parameter.updates))
            start = stop
        for number, count in enumerate(self._counts):
            self._before[number] += id(count) in due
            count[0] = self._before[number]
