"""How rows of layers end: whose softmax (or sigmoid) their outputs are, and where one meets another.

Applied to what it made itself, softmax gives nearly the same number for every class; a network with two of
them trains, badly, and says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from gwucnn.activation_functions import ActivationFunction
from gwucnn.layers.base import Layer

__all__ = ["need_last", "need_once", "need_several"]

Function = type[ActivationFunction]


def need_once(who: str, layers: Sequence[Layer], function: Function) -> None:
    """Raise ValueError if a layer, at any depth, applies this function to what another one made by it."""
    _holders(who, layers, function, [])


def need_several(layers: Sequence[Layer], function: Function, outputs: int) -> None:
    """Raise ValueError if this function, which shares 1 out among the outputs, ends a network of only one."""
    last = layers[-1]
    if outputs == 1 and last.split_activation()[1] is function:
        raise ValueError(
            f"{last.label}: expected {function.name} over at least two outputs, got one, which it makes 1 "
            "whatever comes in; give it activation='sigmoid', or none for a quantity"
        )


def need_last(who: str, layers: Sequence[Layer], function: Function) -> None:
    """Raise ValueError if a network lacks this function at its end and has it shortly before.

    Also if its last layer cannot take it as an activation. Where it can, the loss says so.
    """
    last = layers[-1]
    if last.split_activation()[1] is function:
        return
    holders, end = _holders(who, layers, function, []), f"Activation({function.name!r}) at the end"
    if holders:
        got, fix = (
            f"it in {holders[0].label}, before the end of {last.label}",
            f"leave it out there and add {end}",
        )
    elif not hasattr(last, "activation"):
        got, fix = f"{last.label} at the end, without it", f"add {end}"
    else:
        return
    raise ValueError(f"{who}: expected a network that ends with {function.name}, got {got}; {fix}")


def _holders(who: str, layers: Sequence[Layer], function: Function, holders: list[Layer]) -> list[Layer]:
    """Return the layers whose `function` made the outputs, given those whose `function` made the inputs."""
    for layer in layers:
        if layer.children:
            holders = [
                holder for row in layer.rows if row for holder in _holders(who, row, function, holders)
            ]
            continue
        rest, applied = layer.split_activation()
        if rest is None and applied is function and holders:
            raise ValueError(
                f"{who}: expected {function.name} once, got it on what it made itself, in "
                f"{holders[0].label} and {layer.label}; leave one out"
            )
        if applied is function:
            holders = [layer]
        elif not layer.passes_on and not (rest is None and applied is None):
            holders = []
    return holders
