"""State shared among ranks: facts that must agree, the state copied from rank 0, and running statistics."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gwucnn import kernels

__all__ = ["Statistics", "check_same", "facts_of", "restore_state", "state_of"]

# How to fix a difference between ranks, where it is not simply to run the same program on each.
HOW_TO_FIX = {
    "samples": "give all of the data to each rank, fit divides each batch",
    "instruction set": "set GWUCNN_ISA to the least of them",
}


def facts_of(engine: Any) -> dict[str, Any]:
    """Return the properties of the network that must be the same on all ranks."""
    return {
        "number of layers": len(engine.layers),
        **{f"layer {number}": _stable_repr(layer) for number, layer in enumerate(engine.layers)},
        "trainable weights": engine.arena.trainable,
        "precision": engine.dtype.name,
        "loss": _stable_repr(engine.head.loss_function),
        "optimizer": _stable_repr(engine.optimizer),
        "metrics": list(engine.totals().record()),
        "instruction set": kernels.isa(),
    }


def _stable_repr(value: Any) -> str:
    """Return the repr without memory addresses, which differ between processes."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def check_same(facts: list[dict[str, Any]]) -> None:
    """Raise ValueError, on all ranks alike, if the facts of any two ranks differ."""
    for name, value in facts[0].items():
        for rank, other in enumerate(fact.get(name) for fact in facts):
            if other != value:
                fix = HOW_TO_FIX.get(name, "run the same program on each rank")
                raise ValueError(
                    f"fit: expected the same {name} on each rank, got {value} on rank 0 and {other} on rank "
                    f"{rank}; {fix}"
                )


def _counts(layers: Any) -> list[Any]:
    """Return the arrays that count the updates of running statistics, each once."""
    counts = [p.updates for layer in layers for p in layer.parameters if p.updates is not None]
    return list({id(count): count for count in counts}.values())


def state_of(engine: Any, rng: Any) -> dict[str, Any]:
    """Return everything that the next training step depends on, except the data."""
    optimizer = engine.optimizer
    return {
        "values": engine.arena.values,
        "slots": optimizer.slots,
        "optimizer": (optimizer.updates, optimizer.lr),
        "counts": _counts(engine.layers),
        "draws": engine.randomness.state,
        "generator": None if rng is None else rng.bit_generator.state,
    }


def restore_state(engine: Any, rng: Any, state: dict[str, Any]) -> None:
    """Restore a state that `state_of` returned, on this rank or on another one."""
    engine.arena.values[...] = state["values"]
    engine.arena.version += 1
    for name, slot in engine.optimizer.slots.items():
        slot[...] = state["slots"][name]
    engine.optimizer.resume(*state["optimizer"])
    for count, saved in zip(_counts(engine.layers), state["counts"], strict=True):
        count[...] = saved
    engine.randomness.restore(state["draws"])
    if rng is not None:
        rng.bit_generator.state = state["generator"]


class Statistics:
    """Running statistics, which each rank updates from its own images and all ranks then average.

    Attributes
    ----------
    parameters : list of Parameter
    """

    def __init__(self, layers: Any) -> None:
        self.parameters = [p for layer in layers for p in layer.parameters if p.updates is not None]
        self._counts = _counts(layers)
        self._before = [int(count[0]) for count in self._counts]

    def weighted(self, share: float) -> Any:
        """Return the statistics updated since the last `take`, times this rank's share of the batch.

        The sum over ranks is the mean. The vector begins with the share itself for each parameter, or 0 if the
        parameter was not updated because this rank had no images or the layer is frozen.
        """
        before = {id(count): number for count, number in zip(self._counts, self._before, strict=True)}
        shares = [share * (p.updates[0] != before[id(p.updates)]) for p in self.parameters]
        scaled = [p.running.ravel() * part for p, part in zip(self.parameters, shares, strict=True)]
        return np.concatenate([shares, *scaled], dtype=np.float64)

    def take(self, mean: Any) -> None:
        """Store the mean over ranks, also on a rank that had no images."""
        start = len(self.parameters)
        updated = set()
        for parameter, share in zip(self.parameters, mean[:start].tolist(), strict=True):
            stop = start + parameter.size
            if share:
                parameter.running[...] = mean[start:stop].reshape(parameter.shape)
                updated.add(id(parameter.updates))
            start = stop
        for number, count in enumerate(self._counts):
            self._before[number] += id(count) in updated
            count[0] = self._before[number]
