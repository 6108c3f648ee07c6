"""gwucnn and its peers side by side: same network, weights and batch; first results are compared, then times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["OURS", "STEPS", "Settings", "compare", "difference"]

OURS = "gwucnn"

# Losses that are compared: those before each of these steps, so the last one shows the effect of three updates.
STEPS = 4

# Seconds for finding the fastest form of a library, and for the threads of one to become idle before the next
# turn.
TRIAL, REST = 0.2, 0.02


@dataclass(frozen=True)
class Settings:
    """How to compare: threads of each process, rounds of turns, seconds of a turn, a folder for arrays."""

    threads: int
    rounds: int
    seconds: float
    folder: Path


@dataclass
class Entry:
    """One contestant in one row of the table."""

    contestant: Any
    process: Any = None
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Whether it is timed."""
        return self.process is not None

    def close(self) -> None:
        """Terminate its process."""
        if self.process is not None:
            self.process.close()
            self.process = None

    def drop(self, status: str, message: str) -> None:
        """Exclude it from the comparison, with a reason."""
        self.close()
        self.result = {"status": status, "message": message}


def compare(
    workload: Any,
    mode: str,
    operations: int,
    contestants: Sequence[Any],
    reference: Any,
    settings: Settings,
    tick: Callable[[str], Any],
) -> dict[str, Any]:
    """Run one workload with all contestants.

    Parameters
    ----------
    workload : Workload
    mode : 'train' or 'predict'
    operations : int
        Per step, for the rate.
    contestants : sequence of Contestant
        In the order of their turns.
    reference : Contestant
        Computes the expected result; not timed.
    settings : Settings
    tick : function of a text
        Called with the next item, ``len(contestants) * (1 + rounds)`` times.

    Returns
    -------
    dict
        A row of the report: 'workload', 'mode', 'batch', 'operations', 'results' by name, 'fastest_peer'
        and 'ratio'. A result has 'status': 'timed', 'mismatch' (its result differs; not timed), 'failed'
        (its process failed) or 'not offered' (it cannot train), with 'message' in case
        of problems, and if timed 'ms', 'ms_of_rounds', 'gflops', 'peak_memory_mb', 'form',
        'version', 'difference' from the reference and 'processors', the largest average number of busy ones
        of any turn.
    """
    label = f"{workload.name} {mode}"
    arrays = settings.folder / f"{workload.name}.npz"
    if not arrays.exists():
        np.savez(arrays, **workload.arrays())
    case = workload.case(mode)
    with reference.start(settings.threads, settings.folder) as process:
        expected, _ = _answer(process, case, reference.library.forms[0], arrays)

    entries = [Entry(contestant) for contestant in contestants]
    with ExitStack() as stack:
        for entry in entries:
            tick(f"{label}: check {entry.contestant.name}")
            stack.callback(entry.close)  # in any case, no process is left running
            _enter(entry, case, arrays, expected, settings)
        for number in range(settings.rounds):
            for entry in entries:
                tick(f"{label}: round {number + 1}, {entry.contestant.name}")
                if entry.runs:
                    _take_turn(entry, settings)
        for entry in entries:
            if entry.runs:
                _finish(entry, operations)
    results = {entry.contestant.name: entry.result for entry in entries}
    row = {"workload": workload.name, "mode": mode, "batch": workload.batch, "operations": operations}
    return row | {"results": results} | _ratio(entries, results)


def _answer(process: Any, case: dict[str, Any], form: str, arrays: Path) -> tuple[dict[str, Any], str]:
    """Build the network in a process; return its results, and the library's version."""
    version = process.ask("load", case=case, form=form, arrays=str(arrays))["version"]
    answers = arrays.with_name(f"{process.name}.answer.npz")
    process.ask("answer", steps=STEPS, to=str(answers))
    with np.load(answers) as held:
        return dict(held), version


def difference(answer: dict[str, Any], expected: dict[str, Any]) -> float:
    """Return the largest difference between results, relative to the largest magnitude in each array.

    Infinite if an array is missing or has another shape, NaN if one contains NaN.
    """
    worst = 0.0
    for name, right in expected.items():
        got = answer.get(name)
        if got is None or got.shape != right.shape:
            return float("inf")
        worst = np.maximum(worst, np.abs(got - right).max() / np.abs(right).max())
    return float(worst)


def _enter(entry: Entry, case: dict[str, Any], arrays: Path, expected: dict[str, Any], settings: Settings) -> None:
    """Start the contestant in the fastest form with correct results."""
    contestant = entry.contestant
    if case["mode"] == "train" and not contestant.library.trains:
        entry.drop("not offered", "")
        return
    best = float("inf")
    for form in contestant.library.forms:
        process = None
        try:
            process = contestant.start(settings.threads, settings.folder)
            answer, version = _answer(process, case, form, arrays)
            wrong = difference(answer, expected)
            if not wrong <= contestant.library.tolerance:
                raise ArithmeticError(
                    f"{contestant.name}: expected the reference's answer to {contestant.library.tolerance:g} "
                    f"of its largest number, got a difference of {wrong:.2g}"
                )
            trial = process.ask("turn", seconds=TRIAL)["seconds"] if len(contestant.library.forms) > 1 else 0.0
        except (ArithmeticError, RuntimeError, OSError) as error:
            if process is not None:
                process.close()
            if not entry.runs:
                entry.result |= {
                    "status": "mismatch" if isinstance(error, ArithmeticError) else "failed",
                    "message": str(error),
                }
            continue
        loser = process
        if trial < best:
            best, loser = trial, entry.process
            entry.process = process
            entry.result = {"status": "timed", "form": form, "version": version, "difference": wrong}
        if loser is not None:
            loser.close()


def _take_turn(entry: Entry, settings: Settings) -> None:
    """Let the contestant run for one turn; record its shortest time."""
    time.sleep(REST)
    try:
        turn = entry.process.ask("turn", seconds=settings.seconds)
    except RuntimeError as error:
        entry.drop("failed", str(error))
        return
    result = entry.result
    result.setdefault("ms_of_rounds", []).append(turn["seconds"] * 1000)
    result["ms"] = min(result["ms_of_rounds"])
    result["processors"] = max(turn["processors"], result.get("processors", 0.0))


def _finish(entry: Entry, operations: int) -> None:
    """Add rates, ratios and memory."""
    entry.result["gflops"] = operations / entry.result["ms"] / 1e6
    try:
        held = entry.process.ask("memory")["bytes"]
    except RuntimeError as error:
        entry.drop("failed", str(error))
    else:
        entry.result["peak_memory_mb"] = None if held is None else held / 1e6


def _float32_peers(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.contestant.name != OURS and entry.contestant.library.float32:
            yield entry.contestant.name


def _ratio(entries: Sequence[Entry], results: dict[str, Any]) -> dict[str, Any]:
    """Return the fastest float32 peer, and its time divided by gwucnn's."""
    times = {name: results[name]["ms"] for name in _float32_peers(entries) if "ms" in results[name]}
    fastest = min(times, key=times.__getitem__, default=None)
    ours = results.get(OURS, {}).get("ms")
    ratio = None if fastest is None or ours is None else times[fastest] / ours
    return {"fastest_peer": fastest, "ratio": ratio}
