"""Single kernels, one after the other: whether the result is right, and the share of the machine's peak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gwucnn.bench.base import fastest

__all__ = ["check", "time_kernels"]

# Relative to the largest magnitude of the result. Winograd's sums have errors up to 1e-5, a wrong product one of 1e-2.
TOLERANCE = 1e-4


def check(case: Any, bound: Any) -> None:
    """Raise ArithmeticError unless the kernel's result equals numpy's."""
    got, expected = bound.answer(), bound.expected()
    error = float(np.abs(got - expected).max() / np.abs(expected).max()) if got.shape == expected.shape else np.inf
    if not error <= TOLERANCE:
        raise ArithmeticError(
            f"{case.op} {case.text}: expected numpy's answer to {TOLERANCE:g} of its largest number, got a "
            f"difference of {error:.2g}; the kernel is wrong, its time would mean nothing"
        )


def time_kernels(cases: Sequence[Any], rounds: int, seconds: float, tick: Callable[[str], Any]) -> list[dict[str, Any]]:
    """Check each case and time it, `seconds` in each of `rounds`.

    Returns
    -------
    list of dict
        'group', 'op', 'shape', 'operations', and 'ms' and 'gflops' of the fastest run.
    """
    best = [float("inf")] * len(cases)
    for number in range(rounds):
        # Round by round, so that a minute of other load does not affect one case only.
        for place, case in enumerate(cases):
            tick(f"{case.op} {case.text}")
            bound = case.bind(np.random.default_rng(place))
            if number == 0:
                check(case, bound)
            best[place] = min(best[place], fastest(bound.step, seconds))
    return [
        {
            "group": case.group,
            "op": case.op,
            "shape": case.text,
            "operations": case.operations,
            "ms": 1000 * took,
            "gflops": case.operations / took / 1e9,
        }
        for case, took in zip(cases, best, strict=True)
    ]
