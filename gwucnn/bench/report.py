"""Reports as text. A report is what --json writes; each kind has its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["tables"]

NOTHING = "-"
# The text in place of a time, by status.
STATUS = {"mismatch": "wrong", "failed": "failed", "not offered": NOTHING}

# Processors per thread that a library may keep busy before the report mentions it.
TOO_MANY = 1.1


def tables(report: dict[str, Any]) -> str:
    """Return a report as lines of text."""
    return "\n".join([*_head(report), "", *TABLES[report["kind"]](report)])


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return rows of a table as lines: the first `left` columns flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if place < left else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def number(value: float | None) -> str:
    """Write a number above zero with about three digits."""
    if value is None:
        return NOTHING
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 4
    return f"{value:,.{digits}f}"


def share(gflops: float | None, report: dict[str, Any]) -> str:
    """Write a rate as part of the machine's peak."""
    return NOTHING if gflops is None else f"{gflops / max(report['peak_gflops'].values()):.0%}"


def _head(report: dict[str, Any]) -> Iterable[str]:
    yield (
        f"gwucnn {report['version']} ({report['isa']} kernels), numpy {report['numpy']}, "
        f"{report['processor']}; threads: {report['threads']}"
    )
    peaks = ", ".join(f"{name} {rate:.0f}" for name, rate in report["peak_gflops"].items())
    yield f"float32 peak by a large matrix product, GF/s: {peaks}"
    yield f"fastest of {report['rounds']} rounds of {report['seconds']:g} s"


def _compared(report: dict[str, Any]) -> Iterable[str]:
    rows = report["rows"]
    names = list(dict.fromkeys(name for row in rows for name in row["results"]))
    heads = [(name, report["libraries"].get(name, "")) for name in names]
    yield "ms a step; ratio: time of the fastest float32 peer by gwucnn's; GF/s: gwucnn's, if direct"
    first = ["workload", *names, "fastest peer", "ratio", "GF/s", "of peak"]
    second = ["", *(version for _, version in heads), "", "", "", ""]
    yield from aligned([first, second, *(_compared_row(row, names, report) for row in rows)], 1)
    yield ""
    yield "peak memory of the process, MB"
    yield from aligned([["workload", *names], *(_memory_row(row, names) for row in rows)], 1)
    yield from _notes(rows, names, report["threads"])


def _notes(rows: Sequence[dict[str, Any]], names: Sequence[str], threads: int) -> Iterable[str]:
    """Yield notes on the reliability of the times, and on single rows."""
    turns = [r["ms_of_rounds"] for row in rows for r in row["results"].values() if "ms_of_rounds" in r]
    if turns:
        spread = sorted(max(times) / min(times) for times in turns)
        median = spread[len(spread) // 2]
        yield f"noise, slowest round by fastest: median {median:.2f}, at most {spread[-1]:.2f}"
    for name in names:
        forms = {_label(row): row["results"].get(name, {}).get("form") for row in rows}
        if len(set(forms.values()) - {None}) > 1:
            chosen = ", ".join(f"{label} {form}" for label, form in forms.items() if form)
            yield f"{name}, fastest form: {chosen}"
    for row in rows:
        for name, result in row["results"].items():
            if result.get("message"):
                yield f"{_label(row)}: {result['status']}: {result['message']}"
            if result.get("processors", 0) > TOO_MANY * threads:
                yield f"{_label(row)}: {name} kept {result['processors']:.2f} processors busy"


def _label(row: dict[str, Any]) -> str:
    return f"{row['workload']} {row['mode']}"


def _compared_row(row: dict[str, Any], names: Sequence[str], report: dict[str, Any]) -> list[str]:
    results = [row["results"].get(name, {"status": "not offered"}) for name in names]
    times = [number(r["ms"]) if "ms" in r else STATUS[r["status"]] for r in results]
    rate = row["results"].get("gwucnn", {}).get("gflops")
    ratio = NOTHING if row["ratio"] is None else f"{row['ratio']:.2f}"
    return [_label(row), *times, row["fastest_peer"] or NOTHING, ratio, number(rate), share(rate, report)]


def _memory_row(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    held = [row["results"].get(name, {}).get("peak_memory_mb") for name in names]
    return [_label(row), *(NOTHING if mb is None else f"{mb:.0f}" for mb in held)]


def _kernels(report: dict[str, Any]) -> Iterable[str]:
    yield "images NxHxWxC * filters KHxKWxCxF; operations of direct convolution, of pooling comparisons"
    heads = ["", "op", "shape", "ms", "GF/s", "of peak"]
    yield from aligned(
        [
            heads,
            *(
                [
                    row["group"],
                    row["op"],
                    row["shape"],
                    number(row["ms"]),
                    number(row["gflops"]),
                    NOTHING if row["group"] == "pooling" else share(row["gflops"], report),
                ]
                for row in report["rows"]
            ),
        ],
        3,
    )


def _scaling(report: dict[str, Any]) -> Iterable[str]:
    base = ", ".join(f"{name} {value}" for name, value in report["base"].items())
    yield f"ms a step of two convolutions, pooling and a dense layer; what does not vary: {base}"
    heads = ["", "", "size", "train", "predict"]
    yield from aligned(
        [
            heads,
            *(
                [
                    f"{row['sweep']} {row['value']}",
                    row["quantity"],
                    f"{row['size']:,}",
                    number(row["ms"]["train"]),
                    number(row["ms"]["predict"]),
                ]
                for row in report["rows"]
            ),
        ],
        2,
    )
    yield ""
    yield "fitted: ms ~ size**exponent, last between the two largest; 1 is linear, for threads -1 ideal"
    fits = [[e["quantity"], e["mode"], f"{e['exponent']:.2f}", f"{e['last']:.2f}"] for e in report["exponents"]]
    yield from aligned([["", "", "exponent", "last"], *fits], 2)


TABLES = {"compare": _compared, "kernels": _kernels, "scaling": _scaling}
