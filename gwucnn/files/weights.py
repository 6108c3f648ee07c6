"""The weights of a network alone as a document with arrays, and the weights for a network from such a document.

The layers are not in it: the network that takes the weights has to have the same layers with weights in the same order.
Layers without weights do not matter, so the number at the beginning of a name ('2.Dense.kernel') is not compared. A
file of a whole network, as `snapshot.py` describes it, holds its weights under the same names and will do too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gwucnn._version import __version__
from gwucnn.common import FormatError, ShapeError, check_size
from gwucnn.data import InputStatistics
from gwucnn.files.snapshot import names_of
from gwucnn.memory import MANY_UPDATES

__all__ = ["to_weights", "trained_on", "weights_from"]


def to_weights(network: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a document that names the weights of a built network in order, and the arrays."""
    names = names_of(network)
    arrays = {name: parameter.constant for name, parameter in names.items()}
    arrays |= {f"updates.{name}": p.updates for name, p in names.items() if p.updates is not None}
    document: dict[str, Any] = {"gwucnn": __version__, "weights": [{"name": name} for name in names]}
    if network._range.trained is not None:
        document["trained_on"] = network._range.trained.document()
    return document, arrays


def trained_on(caller: str, document: Any) -> InputStatistics | None:
    """Return what a document says of the inputs that the weights were trained on, or None; FormatError if damaged."""
    try:
        return InputStatistics.from_document(document["trained_on"]) if "trained_on" in document else None
    except ValueError as error:
        raise FormatError(f"{caller}: {error}") from None


def weights_from(caller: str, document: Any, arrays: Mapping[str, Any], network: Any) -> list[tuple[Any, Any, int]]:
    """Return (parameter, array, number of updates) for each weight of a built network, all of them checked.

    Raises FormatError for a document that names no weights, ValueError unless the names are those of the network,
    ShapeError for an array of another shape.
    """
    names = names_of(network)
    stored = _stored_names(caller, document, arrays)
    _check_names(caller, stored, list(names))
    found = []
    for there, (name, parameter) in zip(stored, names.items(), strict=True):
        array = arrays[there]
        if array.shape != parameter.shape:
            raise ShapeError(
                f"{caller}: expected {name} of shape {parameter.shape}, got {array.shape}; the layer needs the same "
                "sizes as in the network that was saved, and the same input"
            )
        if array.dtype.kind != "f":
            raise FormatError(f"{caller}: expected {there} to be floating-point numbers, got {array.dtype}")
        found.append((parameter, array, _updates(caller, there, arrays)))
    return found


def _stored_names(caller: str, document: Any, arrays: Mapping[str, Any]) -> list[str]:
    """Return the names of the weights in a file, in order; each has an array."""
    entries = document.get("weights")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FormatError(f"{caller}: expected a list of weights, got {str(entries)[:60]}")
    names = [entry.get("name") for entry in entries]
    for name in names:
        if not isinstance(name, str) or name not in arrays:
            raise FormatError(f"{caller}: expected an array for each weight, got none for {str(name)[:60]}")
    return names


def _check_names(caller: str, stored: list[str], wanted: list[str]) -> None:
    """Raise ValueError for the first weight that differs."""
    fix = "the network needs the layers of the one that was saved, in the same order"
    for there, here in zip(stored, wanted, strict=False):
        if there.partition(".")[2] != here.partition(".")[2]:
            raise ValueError(f"{caller}: expected the weight {here}, got {there}; {fix}")
    if len(stored) != len(wanted):
        more, missing = len(stored) > len(wanted), min(len(stored), len(wanted))
        which = f"with {stored[missing]}" if more else f"without {wanted[missing]}"
        raise ValueError(f"{caller}: expected {len(wanted)} weights, got {len(stored)}, {which}; {fix}")


def _updates(caller: str, name: str, arrays: Mapping[str, Any]) -> int:
    """Return how many batches a running statistic has seen: by default many, as after `set_weights`."""
    given = arrays.get(f"updates.{name}")
    if given is None:
        return MANY_UPDATES
    if given.shape != (1,) or given.dtype != np.int64:
        raise FormatError(f"{caller}: expected one number of updates of {name}, got {given.dtype} {given.shape}")
    return check_size(caller, f"updates.{name}", int(given[0]), 0)
