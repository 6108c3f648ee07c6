"""Checks of what users pass to networks with several inputs or outputs."""

from __future__ import annotations

from typing import Any

from gwucnn.common import NotBuiltError, ShapeError, each
from gwucnn.data import Batches, JointBatches, as_images, check_finite, check_targets_fit, sample_shape, with_targets
from gwucnn.network.ends import by_order
from gwucnn.network.layer_row import LayerRow

__all__ = ["check_joint", "joint_inputs", "joint_samples", "refuse_class_weight"]


def joint_inputs(caller: str, row: LayerRow, x: Any, data_format: str) -> JointBatches:
    """Return the samples of each input, from a list or a dict of arrays, after checking their shapes and numbers."""
    parts = []
    names = row.input_names
    for name, shape, given in zip(names, row.in_shapes, by_order(caller, "x", "input", x, names), strict=True):
        part = as_images(f"{caller}: input {name!r}", given, data_format)
        found = sample_shape(part, data_format)
        if found != shape:
            want, got = (", ".join(map(str, ("N", *row.in_user_order(sizes)))) for sizes in (shape, found))
            raise ShapeError(
                f"{caller}: expected input {name!r} of shape ({want}), got ({got}); give arrays in the order of the "
                "inputs, or a dict by name"
            )
        parts.append(Batches(part, data_format=data_format))
    counts = [len(part) for part in parts]
    if len(set(counts)) > 1:
        listed = ", ".join(f"{count} of {name!r}" for count, name in zip(counts, names, strict=True))
        raise ShapeError(
            f"{caller}: expected as many samples of each input, got {listed}; give one of each for a sample"
        )
    return JointBatches(parts)


def joint_samples(caller: str, row: LayerRow, x: Any, y: Any, loss: Any, data_format: str) -> JointBatches:
    """Return the samples with the targets of each output, from lists or dicts of arrays."""
    if loss is None:
        raise NotBuiltError(f"{caller}: expected a compiled network; call compile(loss=...) first")
    if y is None:
        raise TypeError(
            f"{caller}: expected x and y, got x alone; give y too, or as x anything that yields batches (x, y)"
        )
    samples, targets = joint_inputs(caller, row, x, data_format), []
    first, names = samples.by_input[0].x, row.output_names
    losses = loss.losses if len(names) > 1 else [loss]
    given = by_order(caller, "y", "output", y, names)
    for name, one, target, shape in zip(names, losses, given, row.out_shapes, strict=True):
        where = f"{caller}: output {name!r}"
        try:
            targets.append(with_targets(where, first, target, one, shape, data_format).targets)
        except (TypeError, ValueError) as error:
            if len(names) == 1 or str(error).startswith(where):
                raise
            raise type(error)(f"{where}: {error}") from None
    return JointBatches(samples.by_input, targets)


def check_joint(caller: str, samples: JointBatches, names: Any, dtype: Any) -> None:
    """Raise ValueError if an input is not finite, or a number is too large for `dtype`."""
    for name, part in zip(names, samples.by_input, strict=True):
        check_finite(f"{caller}: input {name!r}", part.x, dtype)
    for targets in each(samples.targets):
        check_targets_fit(caller, targets, dtype)


def refuse_class_weight(caller: str, class_weight: Any) -> None:
    """Raise ValueError if there are weights of classes, of which several outputs have different ones."""
    if class_weight is not None:
        raise ValueError(
            f"{caller}: expected no class_weight with several outputs, got one; give sample_weight, which counts for "
            "all of them"
        )
