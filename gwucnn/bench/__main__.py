"""Measure gwucnn, alone or beside other libraries: ``python -m gwucnn.bench``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gwucnn import __version__, kernels
from gwucnn.bench import (
    compare,
    contestants,
    kernel_cases,
    kernel_grid,
    machine,
    report,
    scaling,
    scaling_plot,
    workloads,
)

__all__ = ["main"]

Tick = Callable[[str], Any]
Report = dict[str, Any]

# Default of --seconds, the length of a turn: a comparison has a dozen rows, a grid more than a hundred.
SECONDS = {"compare": 0.5, "kernels": 0.05, "scaling": 0.2}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the selected benchmark and print its tables.

    Parameters
    ----------
    argv : sequence of str, optional
        The options; by default those of the command line. ``--help`` explains them.

    Returns
    -------
    int
        The exit status: 0, 1 if a result was wrong or a process failed, 130 if interrupted. Invalid options end
        the program with status 2.
    """
    parser = build_parser()
    options = parser.parse_args(argv)
    kind = "kernels" if options.kernels else "scaling" if options.scaling else "compare"
    if options.seconds is None:
        options.seconds = SECONDS[kind]
    try:
        peers = [contestants.peer(text) for text in options.peer]
        _check(options, kind, peers)
    except ValueError as error:
        parser.error(str(error))
    try:
        with tempfile.TemporaryDirectory(prefix="gwucnn-bench-") as folder:
            made = RUN[kind](options, peers, Path(folder))
    except (ArithmeticError, OSError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    print(report.tables(made), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        scaling_plot.plot(made, options.plot)
    results = [result for row in made["rows"] for result in row.get("results", {}).values()]
    return int(any(result["status"] in ("mismatch", "failed") for result in results))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(
        prog="python -m gwucnn.bench",
        description="Time training steps and predictions of five networks, in gwucnn and, with --peer, in "
        "other libraries: each in a process of its own, with the same weights, batch and number of threads. "
        "All answers are compared first, with gwucnn's in float64; who is wrong is not timed. Then they take "
        "turns, and the shortest times are kept. With --kernels or --scaling, look at gwucnn alone.",
        epilog=f"Workloads: {', '.join(workload.name for workload in workloads.WORKLOADS)}. "
        "See also python -m gwucnn.bench.slides.",
    )
    add = parser.add_argument
    add(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help=f"take part: a library ({', '.join(contestants.LIBRARIES)}) and the interpreter that has it, "
        "with numpy (onnxruntime and openvino also need onnx); may be given several times",
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--kernels", action="store_true", help="single operations over a grid of shapes")
    modes.add_argument("--scaling", action="store_true", help="cost against batch, image side, channels and threads")
    add("--threads", type=positive(int), default=1, help="threads of each library (%(default)s)")
    add(
        "--rounds",
        type=positive(int),
        default=5,
        help="turns of each, of which the fastest counts (%(default)s)",
    )
    seconds = ", ".join(f"{kind} {default:g}" for kind, default in SECONDS.items())
    add("--seconds", type=positive(float), help=f"length of a turn ({seconds})")
    add(
        "--only",
        metavar="TEXT",
        help="leave out all lines that do not contain TEXT, such as 'vgg' or 'b1 predict'",
    )
    add("--json", metavar="FILE", help="write all numbers to FILE too")
    add("--plot", metavar="FILE.png", help="with --scaling: draw it (needs matplotlib)")
    return parser


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """Return a function that parses positive numbers."""

    def read(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
        return value

    read.__name__ = kind.__name__  # argparse uses this name in "invalid int value"
    return read


def _check(options: argparse.Namespace, kind: str, peers: list[contestants.Contestant]) -> None:
    """Raise ValueError for options that contradict each other."""
    names = [peer.name for peer in peers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--peer: expected each NAME once, got {name} several times")
    if peers and kind != "compare":
        raise ValueError(f"--peer: expected a comparison, got --{kind}; leave one of them out")
    if options.plot and kind != "scaling":
        raise ValueError("--plot: expected --scaling with it, which is what can be drawn; add --scaling")
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot: expected matplotlib to be installed; pip install matplotlib")
    for name in ("json", "plot"):
        file = getattr(options, name)
        if file and not Path(file).absolute().parent.is_dir():
            raise ValueError(f"--{name}: expected a file in a folder that is there, got {file!r}; make the folder")
    if options.threads > machine.processors():
        raise ValueError(
            f"--threads: expected at most the {machine.processors()} processors here, got {options.threads}"
        )
    if not list(selected(kind, options)):
        raise ValueError(f"--only: expected a part of a line's name, got {options.only!r}, which is in none")


def selected(kind: str, options: argparse.Namespace) -> Iterator[Any]:
    """Yield the items to measure that match --only."""

    def wanted(text: str) -> bool:
        return options.only is None or options.only in text

    if kind == "compare":
        pairs = ((workload, mode) for workload in workloads.WORKLOADS for mode in workloads.MODES)
        yield from (pair for pair in pairs if wanted(f"{pair[0].name} {pair[1]}"))
    elif kind == "kernels":
        yield from (case for case in kernel_cases.grid() if wanted(f"{case.group} {case.op} {case.text}"))
    else:
        sweeps = (*scaling.SWEEPS, scaling.sweep(range(1, machine.processors() + 1)))
        yield from (line for line in sweeps if wanted(line.field))


@contextmanager
def watched(total: int, options: argparse.Namespace, folder: Path) -> Iterator[tuple[Tick, machine.Peak]]:
    """Show a progress bar on standard error, and measure the machine's peak in between.

    Yields the function that advances the bar, and the peak.
    """
    from tqdm.auto import tqdm

    pause = 0.1 if sys.stderr.isatty() else 5  # no bars in files
    with (
        contestants.GWUCNN.start(options.threads, folder) as process,
        tqdm(total=total, file=sys.stderr, leave=False, mininterval=pause) as bar,
    ):
        peak = machine.Peak(process)
        begun = False

        def tick(text: str) -> None:
            nonlocal begun
            peak.look()
            bar.set_description(text, refresh=False)
            bar.update(int(begun))
            begun = True

        yield tick, peak


def describe(kind: str, options: argparse.Namespace, peak: machine.Peak) -> Report:
    """Return machine and settings for the report; without paths, since reports are published."""
    return {
        "kind": kind,
        "version": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "isa": kernels.isa(),
        "processor": machine.processor(),
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "peak_gflops": peak.gflops,
    }


def run_compare(options: argparse.Namespace, peers: list[contestants.Contestant], folder: Path) -> Report:
    """Compare on all workloads."""
    chosen = list(selected("compare", options))
    everyone = [contestants.GWUCNN, *peers]
    settings = compare.Settings(options.threads, options.rounds, options.seconds, folder)
    rows = []
    with watched(len(chosen) * len(everyone) * (1 + options.rounds), options, folder) as (tick, peak):
        for workload, mode in chosen:
            operations = workloads.operations(workload, mode)
            made = compare.compare(workload, mode, operations, everyone, contestants.REFERENCE, settings, tick)
            rows.append(made)
    best = max(peak.gflops.values())
    for result in (result for row in rows for result in row["results"].values() if "gflops" in result):
        result["share_of_peak"] = result["gflops"] / best
    versions = {name: r["version"] for row in rows for name, r in row["results"].items() if "version" in r}
    return describe("compare", options, peak) | {"libraries": versions, "rows": rows}


def run_kernels(options: argparse.Namespace, peers: list[contestants.Contestant], folder: Path) -> Report:
    """Time single kernels."""
    cases = list(selected("kernels", options))
    before = kernels.get_num_threads()
    kernels.set_num_threads(options.threads)
    try:
        with watched(len(cases) * options.rounds, options, folder) as (tick, peak):
            rows = kernel_grid.time_kernels(cases, options.rounds, options.seconds, tick)
    finally:
        kernels.set_num_threads(before)
    return describe("kernels", options, peak) | {"rows": rows}


def run_scaling(options: argparse.Namespace, peers: list[contestants.Contestant], folder: Path) -> Report:
    """Time work of increasing size."""
    sweeps = list(selected("scaling", options))
    base = scaling.Point(threads=options.threads)
    with watched(options.rounds * sum(len(line.values) for line in sweeps), options, folder) as (tick, peak):
        rows = scaling.time_sweeps(sweeps, base, options.rounds, options.seconds, tick)
    made = {"base": asdict(base), "rows": rows, "exponents": list(scaling.exponents(rows))}
    return describe("scaling", options, peak) | made


RUN = {"compare": run_compare, "kernels": run_kernels, "scaling": run_scaling}


if __name__ == "__main__":
    raise SystemExit(main())
