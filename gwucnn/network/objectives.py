"""What `compile` minimizes and reports: the loss, its weights and the metrics, for one output or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gwucnn.common import check_nonnegative
from gwucnn.engine import check_metrics, metric_name
from gwucnn.loss_functions import JointLoss, LossFunction, loss_function
from gwucnn.network.ends import by_order
from gwucnn.network.layer_row import LayerRow

__all__ = ["objective"]


def objective(row: LayerRow, loss: Any, loss_weights: Any, metrics: Any) -> tuple[LossFunction | JointLoss, Any]:
    """Return the loss and the metrics, checked, from the arguments of `compile`.

    With several outputs these are a JointLoss, and a tuple with the metrics of each output.
    """
    names = row.output_names
    if len(names) > 1:
        checked, reported = _joint(names, loss, loss_weights, metrics)
        each = zip(reported, checked.losses, row.out_shapes, strict=True)
        _require_different(names, [check_metrics(of_it, one, shape[-1]) for of_it, one, shape in each])
        row.check_loss(checked)
        return checked, reported
    if loss_weights is not None:
        raise ValueError("compile: expected no loss_weights with a single output, got some; change lr instead")
    if names:
        (loss,) = _for_each("loss", loss, names)
    single = loss_function(loss)
    metrics = check_metrics(metrics, single)
    if row.complete:
        row.check_loss(single)
        check_metrics(metrics, single, row.out_shape[-1])
    return single, metrics


def _for_each(what: str, given: Any, names: Sequence[str]) -> list[Any]:
    """Return what is given for each output: one by one, by name, or the same for all of them."""
    config = isinstance(given, Mapping) and set(given) == {"class_name", "config"}
    if isinstance(given, Mapping) and not config:
        return by_order("compile", what, "output", given, names)
    if isinstance(given, (list, tuple)):
        return by_order("compile", what, "output", given, names) if len(names) > 1 or len(given) != 1 else list(given)
    return [given] * len(names)


def _joint(names: Sequence[str], loss: Any, loss_weights: Any, metrics: Any) -> tuple[JointLoss, tuple[Any, ...]]:
    losses = [loss_function(one) for one in _for_each("loss", loss, names)]
    weights = _for_each("loss_weights", 1.0 if loss_weights is None else loss_weights, names)
    checked = [check_nonnegative("compile", "each of loss_weights", weight) for weight in weights]
    if not any(checked):
        raise ValueError("compile: expected a positive one among loss_weights, got only zeros")
    return JointLoss(names, losses, checked), _metrics(names, losses, metrics)


def _metrics(names: Sequence[str], losses: Sequence[LossFunction], given: Any) -> tuple[Any, ...]:
    """Return the metrics of each output; those for all outputs do not count for quantities if some are classes."""
    if isinstance(given, Mapping):
        mine = by_order("compile", "metrics", "output", dict.fromkeys(names, ()) | dict(given), names)
    elif isinstance(given, (list, tuple)) and given and all(isinstance(of_it, (list, tuple)) for of_it in given):
        mine = by_order("compile", "metrics", "output", given, names)
    else:
        mine, classes = [given] * len(names), [loss for loss in losses if loss.classifies]
        if classes and len(classes) < len(losses):
            functions = [metric for metric in check_metrics(given, classes[0]) if not isinstance(metric, str)]
            mine = [given if loss.classifies else functions for loss in losses]
    return tuple(check_metrics(of_it, loss) for of_it, loss in zip(mine, losses, strict=True))


def _require_different(names: Sequence[str], metrics: Sequence[Sequence[Any]]) -> None:
    """Raise ValueError if two values of the history would have the same name."""
    found = ["epoch", "loss", "lr", "seconds"]
    for name, of_it in zip(names, metrics, strict=True):
        found += [f"{name}_{part}" for part in ("loss", *map(metric_name, of_it))]
    found += [f"val_{name}" for name in found]
    for name in found:
        if found.count(name) > 1:
            raise ValueError(
                f"compile: expected outputs whose losses and metrics have names of their own, got two called {name!r}; "
                "give a layer that computes an output another name"
            )
