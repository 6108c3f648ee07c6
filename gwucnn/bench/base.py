"""The clock, the processors and the memory of a process that is timed.

Runs in every process of a comparison, gwucnn's and the peers', so that all are measured alike. Peers live in
interpreters where gwucnn is not installed and load this file by its path: it needs the standard library only.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ["LOOP", "fastest", "peak_memory", "pin", "unpin"]

# Minimum duration of a loop of fast calls, in seconds: clock and loop then cost less than 0.1%.
LOOP = 0.02


def fastest(
    call: Callable[[], Any], seconds: float, *, finish: Callable[[], Any] | None = None, least: float = LOOP
) -> float:
    """Return the shortest time of `call`, in seconds.

    Parameters
    ----------
    call : function without arguments
    seconds : float
        Total duration. At least one loop is measured, however long it takes.
    finish : function without arguments, optional
        Waits for queued work, in libraries that compute asynchronously; called once per loop.
    least : float
        Minimum duration of a loop. Faster calls are repeated until a loop lasts this long, and the mean of the
        loop is taken; finding the number of repetitions is the warm-up.

    Returns
    -------
    float
        The minimum over all loops, because other processes can only add time.
    """
    calls, best = 1, math.inf
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        if finish is not None:
            finish()
        now = time.perf_counter()
        if now - start < least:
            # 20% more than needed by this estimate, but no large jump after one cold call.
            wanted = 1.2 * calls * least / max(now - start, 1e-9)
            calls = math.ceil(min(max(wanted, calls + 1), 100 * calls))
            continue
        best = min(best, (now - start) / calls)
        if now >= end:
            return best


def pin(threads: int) -> None:
    """Restrict this process to as many processors as threads, each on its own core if possible.

    Libraries derive their number of threads from it, some from nothing else. Does nothing on systems without
    such a call. Call it before a library is loaded; `unpin` afterwards lets the scheduler move the threads.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores: dict[str, list[int]] = {}
    for processor in sorted(os.sched_getaffinity(0)):
        cores.setdefault(_siblings(processor), []).append(processor)
    # First one processor of each core, then the second of each, and so on.
    order = sorted((place, processors[place]) for processors in cores.values() for place in range(len(processors)))
    os.sched_setaffinity(0, [processor for _, processor in order[:threads]])


def unpin(processors: Iterable[int]) -> None:
    """Allow all current threads of this process to run on any of `processors`, away from other load."""
    for thread in Path("/proc/self/task").iterdir() if hasattr(os, "sched_setaffinity") else ():
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            os.sched_setaffinity(int(thread.name), processors)


def _siblings(processor: int) -> str:
    """Return the processors of the same core, as Linux lists them, or the processor itself where unknown."""
    try:
        path = f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list"
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return str(processor)


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes, or None where unknown."""
    try:
        # Unlike ru_maxrss this counts from the program's start: ru_maxrss of a child begins with its parent's
        # size.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
