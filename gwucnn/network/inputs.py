"""What a network takes in: samples with targets, arrays or streams of batches, checked before training."""

from __future__ import annotations

from typing import Any

from gwucnn.common import NotBuiltError
from gwucnn.data import (
    Admit,
    Batches,
    Stream,
    as_images,
    check_finite,
    data_to_validate,
    is_stream,
    sample_shape,
    sample_weights,
    warn_missing,
    warn_unscaled,
    with_targets,
)
from gwucnn.engine import Engine
from gwucnn.network.base import NetworkBase
from gwucnn.optimizers import OPTIMIZERS, Optimizer

__all__ = ["InputValidation", "refuse_misplaced"]


def refuse_misplaced(**given: Any) -> None:
    """Raise ValueError if one of these arguments of `compile` is the name of an optimizer."""
    for name, value in given.items():
        if isinstance(value, str) and value in OPTIMIZERS:
            raise ValueError(
                f"compile: expected {name}, got the optimizer {value!r} in its place; write optimizer={value!r}"
            )


class InputValidation(NetworkBase):
    """A network that knows, by its loss, what targets it needs. `GWUNetwork` adds the training."""

    @property
    def optimizer(self) -> Optimizer | None:
        """What moves the weights, with its learning rate `lr`; None before `compile`."""
        return None if self._compiled is None else self._compiled[1]

    def _data(self, caller: str, x: Any, y: Any) -> Batches:
        """Check inputs and targets against the network, which is built by then, and each other."""
        if self._compiled is None:
            raise NotBuiltError(f"{caller}: expected a compiled network; call compile(loss=...) first")
        x = as_images(caller, x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        return with_targets(caller, x, y, self._compiled[0], engine.out_shape, self.data_format)

    def _feed(self, caller: str, x: Any, y: Any, admit: Admit) -> tuple[Engine, Batches | Stream]:
        """Return arrays, or batch by batch what a stream gives, as far as `admit` has nothing against it."""
        if y is None and isinstance(x, tuple) and len(x) == 2:
            raise TypeError(f"{caller}: expected y beside x, got both in one tuple; write {caller}(x, y)")
        streamed = y is None and is_stream(x) and self._compiled is not None
        data = Stream(x, admit, caller) if streamed else admit(caller, x, y)
        return self._build(self._layer_row.in_shape or ()), data

    @property
    def _classes(self) -> int:
        """How many classes the outputs tell apart, 0 for quantities."""
        loss, engine = self._compiled[0], self._engine  # type: ignore[index]
        return max(engine.out_shape[0], 2) if loss.classifies else 0  # type: ignore[union-attr]

    def _validation(self, given: Any) -> Batches | Stream:
        """Return validation_data, checked."""

        x, y, weights = (given, None, None) if is_stream(given) else data_to_validate(given)

        def admit(where: str, x: Any, y: Any) -> Batches:
            data = self._data(where, x, y)
            check_finite(where, data.x)
            data.weights = sample_weights(data.targets, 0, None, weights, where)
            return data

        return self._feed("fit: validation_data", x, y, admit)[1]

    def _check_pixels(self, caller: str, x: Any) -> None:
        """Raise ValueError for pixels that are not finite; warn once about such as nobody scaled."""
        low, high = check_finite(caller, x)
        if any(layer.rescales_pixels for layer in self.layers):
            return
        if "pixels" not in self._warned and warn_unscaled(caller.partition(":")[0], x, low, high):
            self._warned.add("pixels")

    def _warn_missing(self, data: Batches, split: Batches | None) -> None:
        """Warn once about classes that are learnt but not in the part that was split off."""
        if split is None or not self._classes or "classes" in self._warned:
            return
        if warn_missing(data.targets, split.targets):
            self._warned.add("classes")
