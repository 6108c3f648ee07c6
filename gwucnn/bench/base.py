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

# Seconds that a loop of fast calls lasts at least: the clock, and the loop itself, then cost less than 1
# in 1000.
LOOP = 0.02


def fastest(
    call: Callable[[], Any], seconds: float, *, finish: Callable[[], Any] | None = None, least: float = LOOP
) -> float:
    """Return the shortest time of `call`, in seconds.

    Parameters
    ----------
    call : function without arguments
    seconds : float
        How long to go on. At least one loop is measured, however long it takes.
    finish : function without arguments, optional
        Waits until what was called has really been done, in libraries that only queue it; called once a loop.
    least : float
        Seconds of a loop. Calls that are faster are counted by loops of so many that they last so long,
        and the loop's mean is taken; the search for that many is the warm-up.

    Returns
    -------
    float
        The least over all loops: whatever else the machine does can only add.
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
            # A fifth more than needed by this measure, but no leap of faith after one cold call.
            wanted = 1.2 * calls * least / max(now - start, 1e-9)
            calls = math.ceil(min(max(wanted, calls + 1), 100 * calls))
            continue
        best = min(best, (now - start) / calls)
        if now >= end:
            return best


def pin(threads: int) -> None:
    """Let this process use as many processors as it may use threads, each on a core of its own if possible.

    Libraries look at that when they decide how many threads to start, some at nothing else. Does nothing
    where the system has no call for it. To be called before a library is loaded; `unpin` afterwards lets
    the threads go where there is room.
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
    """Let all threads that this process has by now run on any of `processors`, away from busy neighbours."""
    for thread in Path("/proc/self/task").iterdir() if hasattr(os, "sched_setaffinity") else ():
        with contextlib.suppress(OSError):  # of a thread that has ended meanwhile
            os.sched_setaffinity(int(thread.name), processors)


def _siblings(processor: int) -> str:
    """Return the processors of the same core, as Linux writes them, or the processor where nothing tells."""
    try:
        path = f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list"
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return str(processor)


def peak_memory() -> int | None:
    """Return the most memory that this process has held so far, in bytes, or None where nothing tells."""
    try:
        # Unlike ru_maxrss this counts from the program's start: that of a child begins with its parent's
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
