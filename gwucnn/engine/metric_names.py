"""The metrics that `compile` accepts, by name or as functions, and which of them a network can report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gwucnn.common import function_name, look_up
from gwucnn.metrics import accuracy, auc, f1, precision, recall, top_k_accuracy

__all__ = ["METRICS", "check_metrics", "metric_name", "top_k"]

# Besides 'top_3_accuracy' and the like for any k.
METRICS = {name: name for name in ("accuracy", "top_k_accuracy", "precision", "recall", "f1", "auc")}
TOP_K = 5


def top_k(name: str) -> int | None:
    """Return k for 'top_3_accuracy' and the like, 5 for 'top_k_accuracy', None for other names."""
    k = name.removeprefix("top_").removesuffix("_accuracy")
    if name != f"top_{k}_accuracy":
        return None
    return TOP_K if k == "k" else int(k) if k.isdecimal() and k[0] != "0" else None


def metric_name(given: Any) -> str:
    """Return the name of a metric that `check_metrics` returned: itself, or that of a function."""
    return given if isinstance(given, str) else given.__name__


FUNCTIONS = {f: f.__name__ for f in (accuracy, auc, f1, precision, recall, top_k_accuracy)}

# Names in the record of an epoch that are no metrics.
RESERVED = ("epoch", "loss", "lr", "seconds")


def _checked(given: Any) -> Any:
    """Return the name of a metric, or a function; raise ValueError with the nearest existing name."""
    if callable(given) and not isinstance(given, type):
        name = function_name("compile", "each metric", given)
        if name in RESERVED or name.startswith("val_"):
            raise ValueError(
                f"compile: expected a metric with a name of its own, got the function {name!r}; rename it, other "
                "columns of the history are called so"
            )
        return given
    if isinstance(given, str) and top_k(given) is not None:
        return given
    k = "".join(filter(str.isdecimal, given)).lstrip("0") if isinstance(given, str) else ""
    nearest = {f"top_{k or 3}_accuracy": ""} if isinstance(given, str) and "top" in given else {}
    return look_up("compile", "metrics", given, METRICS | nearest)


def check_metrics(given: Any, loss: Any, outputs: int | None = None) -> tuple[Any, ...]:
    """Return the metrics to report, names and functions. With a regression loss there are functions only.

    Raises ValueError for unknown names, for two metrics of one name, for names other than 'accuracy' with a regression
    loss, and for a top-k accuracy of a network with a single output or with fewer than k outputs.
    """
    given = (given,) if isinstance(given, str) or callable(given) else () if given is None else given
    if not isinstance(given, Iterable):
        raise TypeError(f"compile: expected metrics to be a list of names, got {given!r}; write ['accuracy']")
    # The package's functions are accumulated exactly by their names, which a regression loss does not allow.
    exact = FUNCTIONS if loss.classifies else {}
    metrics = tuple(dict.fromkeys(exact.get(metric, metric) for metric in map(_checked, given)))
    functions = [metric for metric in metrics if not isinstance(metric, str)]
    names = [metric for metric in metrics if isinstance(metric, str)]
    for name in map(metric_name, functions):
        if [*map(metric_name, metrics)].count(name) > 1:
            raise ValueError(f"compile: expected metrics of different names, got two called {name!r}; rename one")
    others = [name for name in names if name != "accuracy"]
    if not loss.classifies and others:
        raise ValueError(
            f"compile: expected no classification metric with a regression loss, got {others[0]!r} with "
            f"{loss.name!r}; leave it out"
        )
    for name in names:
        least = 2 if name == "top_k_accuracy" else top_k(name)
        if least is not None and outputs is not None and outputs < least:
            fix = f"'top_{outputs - 1}_accuracy'" if outputs > 2 else "'accuracy'"
            raise ValueError(f"compile: expected at least {least} outputs for {name}, got {outputs}; use {fix}")
    return metrics if loss.classifies else tuple(functions)
