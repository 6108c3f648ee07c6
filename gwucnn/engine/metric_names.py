"""The names of metrics that `compile` accepts, and which of them a network with a given loss can report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gwucnn.common import look_up

__all__ = ["METRICS", "check_metrics", "top_k"]

# Besides 'top_3_accuracy' and the like for any k.
METRICS = {name: name for name in ("accuracy", "top_k_accuracy", "precision", "recall", "f1", "auc")}
TOP_K = 5


def top_k(name: str) -> int | None:
    """Return k for 'top_3_accuracy' and the like, 5 for 'top_k_accuracy', None for other names."""
    k = name.removeprefix("top_").removesuffix("_accuracy")
    if name != f"top_{k}_accuracy":
        return None
    return TOP_K if k == "k" else int(k) if k.isdecimal() and k[0] != "0" else None


def _checked_name(given: Any) -> str:
    """Return the name of a metric, or raise ValueError with the nearest existing name."""
    if isinstance(given, str) and top_k(given) is not None:
        return given
    k = "".join(filter(str.isdecimal, given)).lstrip("0") if isinstance(given, str) else ""
    nearest = {f"top_{k or 3}_accuracy": ""} if isinstance(given, str) and "top" in given else {}
    return look_up("compile", "metrics", given, METRICS | nearest)


def check_metrics(names: Any, loss: Any, outputs: int | None = None) -> tuple[str, ...]:
    """Return the names of the metrics to report. With a regression loss there are none, not even accuracy.

    Raises ValueError for unknown names, for metrics other than accuracy with a regression loss, and for a top-k
    accuracy of a network with a single output or with fewer than k outputs.
    """
    names = (names,) if isinstance(names, str) else () if names is None else names
    if not isinstance(names, Iterable):
        raise TypeError(f"compile: expected metrics to be a list of names, got {names!r}; write ['accuracy']")
    names = tuple(dict.fromkeys(_checked_name(name) for name in names))
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
    return names if loss.classifies else ()
