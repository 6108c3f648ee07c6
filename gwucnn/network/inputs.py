"""Input validation: samples with targets, as arrays or streams of batches, checked before training touches anything."""

from __future__ import annotations

from typing import Any

from gwucnn.common import NotBuiltError, warn_user
from gwucnn.data import (
    Admit,
    Batches,
    IterableStream,
    JointBatches,
    Stream,
    as_images,
    batch_weights,
    check_finite,
    check_targets_fit,
    data_to_validate,
    is_indexed,
    is_stream,
    sample_shape,
    sample_weights,
    split_off,
    warn_missing,
    warn_unscaled,
    with_targets,
)
from gwucnn.engine import Engine, shut_layers
from gwucnn.memory import Space
from gwucnn.network.joint_data import check_joint, joint_samples, refuse_class_weight
from gwucnn.network.parts import ReusableNetwork
from gwucnn.optimizers import OPTIMIZERS, Optimizer

__all__ = ["InputValidation", "refuse_optimizer_names"]

Data = Batches | Stream

# A loss that falls by less than this fraction over all epochs counts as one that does not fall.
LEAST_FALL = 0.001


def refuse_optimizer_names(**arguments: Any) -> None:
    """Raise ValueError if one of these arguments of `compile` is the name of an optimizer."""
    for name, value in arguments.items():
        if isinstance(value, str) and value in OPTIMIZERS:
            raise ValueError(
                f"compile: expected {name}, got the optimizer {value!r} in its place; write optimizer={value!r}"
            )


class InputValidation(ReusableNetwork):
    """A network that knows from its loss which targets it needs. `GWUNetwork` adds the training.

    The functions that `_feed` takes, of type `Admit`, check one array of samples, or one batch of a stream, and return
    it as `Batches`.
    """

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer, with its learning rate `lr`; None before `compile`."""
        return None if self._compiled is None else self._compiled.optimizer

    def _feed(self, caller: str, x: Any, y: Any, admit: Admit, steps: int | None = None) -> tuple[Engine, Data]:
        """Return the engine and the data: arrays checked by `admit`, or a stream whose batches it will check."""
        if y is None and isinstance(x, tuple) and len(x) == 2:
            raise TypeError(f"{caller}: expected y beside x, got both in one tuple; write {caller}(x, y)")
        streamed = y is None and is_stream(x) and self._compiled is not None
        if not streamed:
            data: Data = admit(caller, x, y)
        elif is_indexed(x):
            data = Stream(x, admit, caller)
        else:
            data = IterableStream(x, admit, caller, steps)
        return self._build(self._layer_row.in_shape or ()), data

    def _data(self, caller: str, x: Any, y: Any) -> Batches:
        """Check inputs and targets against the network, which this builds, and against each other."""
        loss: Any = None if self._compiled is None else self._compiled.loss
        if self._layer_row.joint:
            self._build(self._layer_row.in_shape or ())
            return joint_samples(caller, self._layer_row, x, y, loss, self.data_format)
        if loss is None:
            raise NotBuiltError(f"{caller}: expected a compiled network; call compile(loss=...) first")
        x = as_images(caller, x, self.data_format)
        engine = self._build(sample_shape(x, self.data_format))
        return with_targets(caller, x, y, loss, engine.out_shape, self.data_format)

    def _finite_data(self, caller: str, x: Any, y: Any) -> Batches:
        """Do what `_data` does, refuse inputs that are not finite, and warn once about pixels that are not scaled."""
        data = self._data(caller, x, y)
        if isinstance(data, JointBatches):
            check_joint(caller, data, self._layer_row.input_names, self._dtype)
            return data
        low, high = data.extremes = check_finite(caller, data.x, self._dtype)
        check_targets_fit(caller, data.targets, self._dtype)
        rescaled = any(layer.rescales_pixels for layer in self.layers)
        if not rescaled and "pixels" not in self._warned and warn_unscaled(caller.partition(":")[0], data.x, low, high):
            self._warned.add("pixels")
        return data

    def _training_data(
        self, x: Any, y: Any, class_weight: Any, sample_weight: Any, steps: int | None
    ) -> tuple[Engine, Data]:
        """Return the engine and the data of `fit`, weighted by sample and by class."""
        if len(self._layer_row.output_names) > 1:
            refuse_class_weight("fit", class_weight)
        streamed = y is None and is_stream(x)
        if streamed and isinstance(class_weight, str) and class_weight == "balanced":
            raise ValueError(
                "fit: expected class_weight to be a dict with an object that returns batches, got 'balanced', which "
                "needs all labels; count them and write {0: 1.0, 1: 2.5}"
            )
        weights_of = batch_weights if streamed else sample_weights

        def admit(where: str, x: Any, y: Any) -> Batches:
            data = self._finite_data(where, x, y)
            data.weights = weights_of(data.targets, self._classes, class_weight, sample_weight)
            return data

        return self._feed("fit", x, y, admit, steps)

    def _with_validation(self, data: Data, validation_data: Any, share: float) -> tuple[Data, Data | None]:
        """Return the data to train on and to validate on: validation_data, or else the last part of the samples."""
        if validation_data is not None:
            return data, self._validation_data(validation_data)
        if not isinstance(data, Batches):
            return data, None
        data, validation = split_off(data, share)
        compares = validation is not None and self._classes > 0 and "classes" not in self._warned
        if compares and warn_missing(data.targets, validation.targets):  # type: ignore[union-attr]
            self._warned.add("classes")
        return data, validation

    def _validation_data(self, given: Any) -> Data:
        x, y, weights = (given, None, None) if is_stream(given) else data_to_validate(given)
        if hasattr(x, "__next__"):
            kind = type(x).__name__
            raise ValueError(
                f"fit: expected validation_data that can be read again after each epoch, got a {kind}; give "
                "a list of its batches, or an object whose __iter__ starts anew"
            )

        def admit(where: str, x: Any, y: Any) -> Batches:
            data = self._data(where, x, y)
            if isinstance(data, JointBatches):
                check_joint(where, data, self._layer_row.input_names, self._dtype)
            else:
                check_finite(where, data.x, self._dtype)
            data.weights = sample_weights(data.targets, 0, None, weights, where)
            return data

        return self._feed("fit: validation_data", x, y, admit)[1]

    def _begin_training(self, data: Data, validation: Data | None, *, rounds: bool) -> None:
        """Remember the range of the inputs, compare that of the validation data, and round float64 if worth it."""
        self._range.learn(data)
        if isinstance(validation, Batches) and not self._layer_row.joint:
            self._range.check("fit: validation_data", validation.x)
        for each in (data, validation) if rounds else ():
            if isinstance(each, Batches):
                each.round_once(self._dtype)

    def _warn_if_shut(self, data: Data, losses: list[float]) -> None:
        """Warn once if the loss has not fallen since the first epoch because a relu is shut for every image."""
        if "shut" in self._warned or not isinstance(data, Batches) or len(losses) < 2:
            return
        if losses[-1] < (1 - LEAST_FALL) * losses[0]:
            return
        count = min(len(data), 64)
        images = data.inputs(slice(0, count), Space(self._dtype))
        shut = shut_layers(self._layer_row.graph, images)
        if shut:
            self._warned.add("shut")
            warn_user(
                f"fit: the loss stays at {losses[-1]:.6g} because the relu of {shut[0]} is 0 for every one of "
                f"{count} images, and no gradient passes it; make the network again and train it with a lower lr "
                f"than {self.optimizer.lr:g}"  # type: ignore[union-attr]
            )

    @property
    def _classes(self) -> int:
        """The number of classes that the outputs distinguish, 0 for regression."""
        loss, engine = self._compiled.loss, self._engine  # type: ignore[union-attr]
        return max(engine.out_shape[-1], 2) if loss.classifies else 0  # type: ignore[union-attr]
