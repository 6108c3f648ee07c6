"""The names of a network's inputs and outputs, and what users give for each of them: by order or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gwucnn.common import did_you_mean
from gwucnn.layers import Layer
from gwucnn.layers.graphs.tensor import Tensor

__all__ = ["by_order", "input_names", "output_names"]


def input_names(inputs: Sequence[Tensor]) -> list[str]:
    """Return the names of inputs: those that `Input` was given, otherwise 'input_0' and so on by their places."""
    names = [tensor.name or f"input_{place}" for place, tensor in enumerate(inputs)]
    _require_different("input", names, "Input")
    return names


def output_names(outputs: Sequence[Tensor], layers: Sequence[Layer]) -> list[str]:
    """Return the names of outputs: those of the layers that compute them, by default such as '3.Dense'.

    An output of a layer that has computed another one is called 'name_1', and so on.
    """
    names: list[str] = []
    numbers = {id(layer): number for number, layer in enumerate(layers)}
    given: dict[str, Layer] = {}
    for tensor in outputs:
        layer: Any = tensor.layer
        name = layer.name or f"{numbers[id(layer)]}.{type(layer).__name__}"
        if given.setdefault(name, layer) is not layer:
            raise ValueError(
                f"GWUNetwork: expected outputs of different names, got two called {name!r}; give the layers that "
                "compute them different names"
            )
        before = sum(other.layer is layer for other in outputs[: len(names)])
        names.append(f"{name}_{before}" if before else name)
    _require_different("output", names, "layers")
    return names


def _require_different(kind: str, names: list[str], whose: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"GWUNetwork: expected {kind}s of different names, got two called {name!r}; write name=... in {whose}"
            )


def by_order(caller: str, what: str, kind: str, given: Any, names: Sequence[str]) -> list[Any]:
    """Return what was given for each input or output, in their order.

    given : a list or tuple with one item each, or a mapping of all names; for a single input or output the thing
    itself, which may be a list, or a mapping. kind : 'input' or 'output'.
    """
    listed = ", ".join(map(repr, names))
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                hint = did_you_mean(name, names)
                raise ValueError(f"{caller}: expected {what} for the {kind}s {listed}, got one for {name!r}{hint}")
        missing = [name for name in names if name not in given]
        if missing:
            raise ValueError(
                f"{caller}: expected {what} for the {kind}s {listed}, got none for {missing[0]!r}; give it too"
            )
        return [given[name] for name in names]
    if len(names) == 1:
        return [given]
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        got = f"{len(given)}" if isinstance(given, (list, tuple)) else type(given).__name__
        raise ValueError(
            f"{caller}: expected {what} to be a list of {len(names)}, for the {kind}s {listed}, or a dict by name, got "
            f"{got}; give one for each {kind}"
        )
    return list(given)
