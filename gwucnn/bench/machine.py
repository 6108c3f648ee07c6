"""The machine: its processor and its peak rate."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

__all__ = ["Peak", "processor", "processors"]

# Seconds between two measurements of the peak, and seconds of each product in one measurement: 5% of the time.
INTERVAL, LOOK = 3.0, 0.05


def processors() -> int:
    """Return how many processors this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class Peak:
    """The largest float32 rate measured so far, in GF/s, of a large matrix product by gwucnn and by numpy.

    Measured repeatedly while the benchmark runs, because clock rates and other load change: best times
    are compared to the best rate of the same minutes.

    Parameters
    ----------
    process : Process
        gwucnn's, with as many threads as the contestants.
    """

    def __init__(self, process: Any) -> None:
        self._process = process
        self._next = 0.0
        self.gflops: dict[str, float] = {}

    def look(self) -> None:
        """Measure, unless a measurement is recent."""
        if time.perf_counter() < self._next:
            return
        for name, rate in self._process.ask("peak", seconds=LOOK).items():
            self.gflops[name] = max(rate / 1e9, self.gflops.get(name, 0.0))
        self._next = time.perf_counter() + INTERVAL
