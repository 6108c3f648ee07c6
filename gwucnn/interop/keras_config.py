"""The layers of a Keras model in order, from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gwucnn.common import FormatError

__all__ = ["KerasLayer", "KerasOptions", "layers_of"]

# Options that have no effect on outputs. Those that matter in training only are not taken over.
IMMATERIAL = ("initializer", "regularizer", "constraint", "seed")


class KerasLayer(NamedTuple):
    """A layer in a config."""

    kind: str
    name: str
    config: dict[str, Any]

    @property
    def dtype(self) -> Any:
        """The name of the dtype that the layer computes in, or of a mixture; None if it states none."""
        stated = self.config.get("dtype")
        policy = stated.get("config") if isinstance(stated, dict) else None
        return policy.get("name") if isinstance(policy, dict) else stated


class KerasOptions:
    """The options of a layer, of which every one must be read: one that nobody knows might change the outputs."""

    def __init__(self, caller: str, layer: KerasLayer) -> None:
        self._caller, self._layer = caller, layer
        self._unread = {
            key: value
            for key, value in layer.config.items()
            if key not in ("name", "trainable", "dtype") and not key.endswith(IMMATERIAL)
        }

    def take(self, key: str, default: Any = None) -> Any:
        """Return an option, with lists as tuples."""
        return _tuples(self._unread.pop(key, default))

    def require(self, key: str, *accepted: Any) -> None:
        """Raise ValueError unless an option has one of these values, the first of which is the default."""
        if self.take(key, accepted[0]) not in accepted:
            raise self.refuse(f"{key}={accepted[0]!r}", f"{self._layer.config[key]!r}")

    def finish(self) -> None:
        """Raise ValueError if there are options that were not read, unless they are switched off."""
        for key, value in self._unread.items():
            if value is not None and value is not False:
                raise self.refuse("options that gwucnn has", f"{key}={value!r}")

    def refuse(self, expected: str, got: str) -> ValueError:
        """Return the error that names this layer."""
        return ValueError(
            f"{self._caller}: expected {expected} in layer {self._layer.name!r} of class {self._layer.kind}, got {got}"
        )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def layers_of(caller: str, model: Mapping[str, Any]) -> tuple[list[KerasLayer], tuple[Any, ...] | None]:
    """Return the layers of a Sequential or Functional model, and the shape of its inputs if that is stated.

    Raises ValueError for a model whose layers do not form one row, FormatError for anything but the config of a model.
    """
    kind, given = model.get("class_name"), model.get("config")
    config: dict[str, Any] = given if isinstance(given, dict) else {}
    entries = config.get("layers")
    if kind not in ("Sequential", "Functional", "Model"):
        raise ValueError(f"{caller}: expected a Sequential or Functional model, got one of class {kind!r}")
    if not isinstance(entries, list) or not all(_is_layer(entry) for entry in entries):
        raise FormatError(f"{caller}: expected the layers of a model in its config, got something else")
    if kind != "Sequential":
        entries = _in_a_row(caller, entries, config)
    found = [KerasLayer(entry["class_name"], entry["config"].get("name", ""), entry["config"]) for entry in entries]
    for entry, layer in zip(entries, found, strict=True):
        _require_keras(caller, entry, layer)
    shape = config.get("build_input_shape")
    inputs = [layer for layer in found if layer.kind == "InputLayer"]
    if inputs:
        shape = inputs[0].config.get("batch_shape")
    return [layer for layer in found if layer.kind != "InputLayer"], _tuples(shape)


def _is_layer(entry: Any) -> bool:
    return (
        isinstance(entry, dict) and isinstance(entry.get("class_name"), str) and isinstance(entry.get("config"), dict)
    )


def _require_keras(caller: str, entry: Mapping[str, Any], layer: KerasLayer) -> None:
    """Raise ValueError for a layer of a user's own, whose class may have any name."""
    registered = entry.get("registered_name")
    module = str(entry.get("module") or "keras")
    if module.partition(".")[0] != "keras" or registered not in (None, layer.kind):
        raise ValueError(
            f"{caller}: expected layers of Keras itself, got layer {layer.name!r} of class "
            f"{registered or layer.kind}; gwucnn runs no code from files"
        )


def _in_a_row(caller: str, entries: list[Any], config: Mapping[str, Any]) -> list[Any]:
    """Return the layers of a Functional model from its input to its output, which must use each of them once."""
    by_name = {str(entry.get("name")): entry for entry in entries}
    first, name = _ends(caller, config)
    row: list[Any] = []
    while name in by_name and len(row) < len(entries):
        row.insert(0, by_name[name])
        if name == first:
            break
        name = _before(caller, by_name[name])
    if not row or len(row) != len(entries) or name != first:
        raise ValueError(f"{caller}: expected a model whose layers form one row, got branches or several inputs")
    return row


def _ends(caller: str, config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of the layers with which a Functional model begins and ends."""
    names = []
    for key in ("input_layers", "output_layers"):
        found = config.get(key)
        if isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        if not isinstance(found, list) or len(found) != 3 or not isinstance(found[0], str):
            raise ValueError(f"{caller}: expected a model with one input and one output, got {key}={found!r}")
        names.append(found[0])
    return names[0], names[1]


def _before(caller: str, entry: Mapping[str, Any]) -> str:
    """Return the name of the layer whose output is the only input of a layer."""
    nodes = entry.get("inbound_nodes")
    try:
        [node] = nodes  # type: ignore[misc]
        [tensor] = node["args"]
        name = tensor["config"]["keras_history"][0]
        if any(value is not None for value in node["kwargs"].values()):
            raise ValueError
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"{caller}: expected a model whose layers form one row, got layer {entry.get('name')!r} with other inputs "
            "than the output of one layer, or arguments, or used several times"
        ) from None
    return str(name)
