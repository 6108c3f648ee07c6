"""Reading the weights in a file that Keras writes by `save_weights('name.weights.h5')`, or the one in a .keras file.

::

    layers/dense/vars/0, 1, ...    weights of the first Dense, in Keras' order; the next one is layers/dense_1

The older layout, of `save('name.h5')` and of Keras 2, has lists of names as attributes instead:

::

    model_weights, layer_names             the names of all layers, in order; in a file of weights without model_weights
    model_weights/dense, weight_names      the names of its weights, in Keras' order

Only data stored in the file itself are read: no links are followed, and nothing is decompressed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from gwucnn.common import FormatError, ShapeError
from gwucnn.interop.keras_archive import is_archive, weights_in_archive
from gwucnn.layers import Layer
from gwucnn.layers.base import leaves

__all__ = ["weights_in_file"]


def weights_in_file(caller: str, layers: Iterable[Layer], path: Any) -> list[Any]:
    """Return the arrays of a .weights.h5 or .keras file in the order of these layers' parameters.

    Raises FormatError or ShapeError if the file has other weights than these, or has them elsewhere.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"{caller}: expected the package h5py to read {path}, which is not installed; pip install h5py"
        ) from error
    try:
        with h5py.File(weights_in_archive(caller, path) if is_archive(path) else path, "r") as file:
            return _WeightFile(caller, h5py, file).weights(layer for top in layers for layer in leaves(top))
    except (FileNotFoundError, FormatError, ShapeError):
        raise
    except (AttributeError, OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        # h5py raises all of these for damaged files.
        raise FormatError(f"{caller}: expected a file of Keras' save_weights, got {path}: {error}") from None


class _WeightFile:
    """An open file that is being read for `caller`."""

    def __init__(self, caller: str, h5py: Any, file: Any) -> None:
        self.caller, self.h5py, self.file = caller, h5py, file

    def weights(self, layers: Iterable[Layer]) -> list[Any]:
        """Return the arrays of innermost layers."""
        places = self._listed_places()
        if places is not None:
            return self._listed(places, [parameter for layer in layers for parameter in layer.parameters])
        arrays: list[Any] = []
        taken = Counter[str]()
        for layer in layers:
            if layer.parameters:
                kind = _keras_name(layer)
                name = f"{kind}_{taken[kind]}" if taken[kind] else kind
                taken[kind] += 1
                arrays += self._of_layer(layer, f"layers/{name}/vars")
        self._refuse_others(taken)
        return arrays

    def _listed_places(self) -> list[str] | None:
        """Return where the weights are in a file of the older layout, None for another file."""
        root = "model_weights/" if self._is_here("model_weights") else ""
        names = self.file[root or "/"].attrs.get("layer_names")
        if names is None:
            return None
        places = []
        for layer in map(_text, names):
            if not self._is_here(root + layer):
                raise FormatError(f"{self.caller}: expected {root}{layer} in the file, got none; save the model again")
            weights = self.file[root + layer].attrs.get("weight_names", ())
            places += [f"{root}{layer}/{_text(weight)}" for weight in weights]
        # The count of a Normalization is a scalar.
        return [place for place in places if not self._is_here(place) or self.file[place].shape != ()]

    def _listed(self, places: list[str], parameters: list[Any]) -> list[Any]:
        if len(places) != len(parameters):
            raise ShapeError(
                f"{self.caller}: expected {len(parameters)} arrays in the file, one a parameter, got {len(places)}; "
                "check add_bias"
            )
        return [self._dataset(place, parameter) for place, parameter in zip(places, parameters, strict=True)]

    def _of_layer(self, layer: Layer, place: str) -> list[Any]:
        found = [self._dataset(f"{place}/{number}", parameter) for number, parameter in enumerate(layer.parameters)]
        # The count of a Normalization is a scalar.
        count = sum(getattr(self.file[f"{place}/{name}"], "shape", None) != () for name in self._inside(place))
        if count != len(found):
            raise ShapeError(
                f"{self.caller}: expected {len(found)} arrays in {place} for {layer.label}, got {count}; check add_bias"
            )
        return found

    def _refuse_others(self, taken: Counter[str]) -> None:
        """Raise FormatError if the file has weights that were not read."""
        names = {f"{kind}_{number}" if number else kind for kind in taken for number in range(taken[kind])}
        for name in self._inside("layers"):
            for more in ("vars", "layers"):
                if name not in names and self._inside(f"layers/{name}/{more}"):
                    raise FormatError(
                        f"{self.caller}: expected weights of the network's layers only, got also those in "
                        f"layers/{name}/{more}"
                    )

    def _inside(self, place: str) -> list[str]:
        """Return the names in a group, none if there is no such group in the file itself."""
        group = self.file[place] if self._is_here(place) else None
        if not isinstance(group, self.h5py.Group):
            return []
        return [name for name in group if self._is_here(f"{place}/{name}")]

    def _is_here(self, place: str) -> bool:
        """Whether a place exists without following any link."""
        parts = place.split("/")
        for depth in range(1, len(parts) + 1):
            at = "/".join(parts[:depth])
            if not isinstance(self.file.get(at, getlink=True), self.h5py.HardLink):
                return False
        return True

    def _dataset(self, place: str, parameter: Any) -> Any:
        """Return an array that is stored in the file itself and has the shape of the parameter."""
        if not self._is_here(place):
            raise FormatError(
                f"{self.caller}: expected {place} in the file for {parameter}, got none; save the same layers"
            )
        data = self.file[place]
        if not isinstance(data, self.h5py.Dataset) or data.shape != parameter.shape or data.dtype.kind != "f":
            raise ShapeError(f"{self.caller}: expected {place} of shape {parameter.shape}, got {data}")
        if data.external or data.is_virtual or data.id.get_storage_size() != data.size * data.dtype.itemsize:
            raise FormatError(f"{self.caller}: expected the numbers of {place} in the file itself, got other storage")
        return data[...]


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _keras_name(layer: Layer) -> str:
    """Return the name that Keras gives to the first layer of a class, by its own two substitutions."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
