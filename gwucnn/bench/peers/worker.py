"""One contestant of the comparison: builds a network in its library, answers, and times its own steps.

Started by path in the interpreter that has the library, ``python worker.py LIBRARY THREADS``. Requests
come as JSON objects, one a line, on standard input; each gets one line of JSON on standard output. Arrays
come and go in .npz files, whose paths the requests name:

    {"do": "load", "case": {...}, "form": "...", "arrays": PATH}   build the network; tells the version
    {"do": "answer", "steps": 4, "to": PATH}    write 'outputs', and 'losses' of so many training steps
    {"do": "turn", "seconds": 0.5}              tells the shortest time of a step, and the processors used
    {"do": "memory"}                            tells the most memory held so far, in bytes
    {"do": "peak", "seconds": 0.5}              gwucnn only: tells the machine's largest rate of operations

What a ``with_*.py`` must have: ``set_threads(n)``, ``version()`` and a class ``Network(case, arrays,
form)`` with

    reset()             take the first weights again
    train()             one step of gradient descent on the batch; returns the loss from before it
    predict()           returns the outputs for the batch
    finish()            wait until all that was asked for has been done
    to_numpy(result)    what train or predict returned, as an array
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def load_base() -> ModuleType:
    """Load the clock, which the peers share with gwucnn, from the folder above."""
    spec = importlib.util.spec_from_file_location("bench_base", Path(__file__).parents[1] / "base.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


base = load_base()

# Before any are taken away.
PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


class Worker:
    """Does what the requests say, with one library and one network at a time."""

    def __init__(self, library: Any, threads: int) -> None:
        self._library = library
        self._network: Any = None
        self._train = False
        library.set_threads(threads)

    def load(self, case: dict[str, Any], form: str, arrays: str) -> dict[str, Any]:
        """Build the network."""
        with np.load(arrays) as held:
            self._network = self._library.Network(case, dict(held), form)
        self._train = case["mode"] == "train"
        return {"version": self._library.version()}

    def answer(self, steps: int, to: str) -> dict[str, Any]:
        """Write the outputs of the network as it begins and, if it is to be trained, the losses."""
        network = self._network
        answers = {"outputs": network.to_numpy(network.predict())}
        if self._train:
            network.reset()
            answers["losses"] = np.array([float(network.to_numpy(network.train())) for _ in range(steps)])
        base.unpin(PROCESSORS)  # by now the library has all its threads
        np.savez(to, **answers)
        return {}

    def turn(self, seconds: float) -> dict[str, Any]:
        """Time the step, from the first weights on: who is fast shall not get ahead to easier ones."""
        network = self._network
        if self._train:
            network.reset()
        step = network.train if self._train else network.predict
        start = time.perf_counter(), time.process_time()
        best = base.fastest(step, seconds, finish=network.finish)
        wall, busy = time.perf_counter() - start[0], time.process_time() - start[1]
        return {"seconds": best, "processors": busy / wall}

    def memory(self) -> dict[str, Any]:
        """Tell how much memory was needed."""
        return {"bytes": base.peak_memory()}

    def peak(self, seconds: float) -> dict[str, Any]:
        """Measure what the machine can do."""
        base.unpin(PROCESSORS)
        return self._library.peak(base.fastest, seconds)


def serve(worker: Worker, requests: Any, replies: Any) -> None:
    """Answer requests until there are no more; what goes wrong with one is its answer."""
    for line in requests:
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


def main() -> None:
    """Set the scene in the right order: processors, then the library with its threads, then the talk."""
    library, threads = sys.argv[1], int(sys.argv[2])
    # Libraries print when they are loaded or upset. That must not get between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    base.pin(threads)
    try:
        worker = Worker(importlib.import_module(f"with_{library}"), threads)
    except ImportError as error:
        print(json.dumps({"error": f"ImportError: {error}"}), file=replies, flush=True)
        return
    print(json.dumps({"ready": library}), file=replies, flush=True)
    serve(worker, sys.stdin, replies)


if __name__ == "__main__":
    main()
