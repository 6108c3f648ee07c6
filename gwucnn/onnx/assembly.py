"""Layers and the values between them as a network: a row where they are one, connected layers otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gwucnn.activation_layers import Activation
from gwucnn.gwu_network import GWUNetwork
from gwucnn.layers import Layer
from gwucnn.layers.graphs.tensor import Input, Tensor

__all__ = ["Step", "assembled"]


class Step(NamedTuple):
    """How a value is computed: by consecutive layers, of which the first reads the values of `inputs`."""

    inputs: Sequence[str]
    layers: Sequence[Layer]


def assembled(steps: Mapping[str, Step], entrance: str, target: str, shape: Any, options: Any) -> GWUNetwork:
    """Return the network that computes `target`; `steps` are in topological order, `options` those of the network."""
    needed = _needed(steps, target)
    if all(len(steps[value].inputs) == 1 for value in needed):
        row = [layer for value in needed for layer in steps[value].layers]
        return GWUNetwork(row or [Activation(None)], **options)
    x = Input(shape, data_format=options["data_format"])
    tensors: dict[str, Tensor] = {entrance: x}
    for value in needed:
        given: Any = [tensors[name] for name in steps[value].inputs]
        for layer in steps[value].layers:
            given = layer(given)
        tensors[value] = given
    return GWUNetwork(inputs=x, outputs=tensors[target], **options)


def _needed(steps: Mapping[str, Step], target: str) -> list[str]:
    """Return the values that `target` depends on, in their order. If none has two inputs, they are a row."""
    wanted = {target}
    for value in reversed(list(steps)):
        if value in wanted:
            wanted.update(steps[value].inputs)
    return [value for value in steps if value in wanted]
