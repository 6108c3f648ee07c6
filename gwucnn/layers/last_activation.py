"""How rows of layers end: whose softmax (or sigmoid) their outputs are, and where one meets another.

Applied to what it made itself, softmax gives nearly the same number for every class; a network with two of
them trains, badly, and says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from gwucnn.activation_functions import ActivationFunction
from gwucnn.layers.base import Layer

__all__ = ["require_applied_once", "require_at_end", "require_several_outputs"]

Function = type[ActivationFunction]


def require_applied_once(caller: str, layers: Sequence[Layer], function: Function) -> None:
    """Raise ValueError if a layer, at any depth, applies this function to what another one made by it."""
    _holders(caller, layers, function, [])


def require_several_outputs(layers: Sequence[Layer], function: Function, outputs: int) -> None:
    """Raise ValueError if this function, which shares 1 out among the outputs, ends a network of only one."""
    last = layers[-1]
    if outputs == 1 and last.split_activation()[1] is function:
        raise ValueError(
            f"{last.label}: expected {function.name} over at least two outputs, got one, which it makes 1 "
            "whatever comes in; give it activation='sigmoid', or none for a quantity"
        )


def require_at_end(caller: str, layers: Sequence[Layer], function: Function) -> None:
    """Raise ValueError if a network lacks this function at its end and has it shortly before.

    Also if its last layer cannot take it as an activation. Where it can, the loss says so.
    """
    last = layers[-1]
    if last.split_activation()[1] is function:
        return
    holders, end = _holders(caller, layers, function, []), f"Activation({function.name!r}) at the end"
    if holders:
        got, fix = (
            f"it in {holders[0].label}, before the end of {last.label}",
            f"leave it out there and add {end}",
        )
    elif not hasattr(last, "activation"):
        got, fix = f"{last.label} at the end, without it", f"add {end}"
    else:
        return
    raise ValueError(f"{caller}: expected a network that ends with {function.name}, got {got}; {fix}")


def _holders(caller: str, layers: Sequence[Layer], function: Function, holders: list[Layer]) -> list[Layer]:
    """Return the layers whose `function` made the outputs, given those whose `function` made the inputs."""
    for layer in layers:
        if layer.children:
            holders = [holder for row in layer.rows if row for holder in _holders(caller, row, function, holders)]
            continue
        rest, applied = layer.split_activation()
        if rest is None and applied is function and holders:
            raise ValueError(
                f"{caller}: expected {function.name} once, got it on what it made itself, in "
                f"{holders[0].label} and {layer.label}; leave one out"
            )
        if applied is function:
            holders = [layer]
        elif not layer.passes_values_on and not (rest is None and applied is None):
            holders = []
    return holders
