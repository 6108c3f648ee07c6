"""A plot of the scaling, by matplotlib (the extra ``plot``), which is imported on use."""

from __future__ import annotations

from typing import Any

__all__ = ["plot"]

COLOURS = {"train": "#b2182b", "predict": "#2166ac"}


def plot(report: dict[str, Any], path: str) -> None:
    """Draw a panel for each sweep: ms against size, both logarithmic, beside a line of exact proportion.

    Raises ImportError, with what to install, if there is no matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"--plot: expected matplotlib, got {error}; pip install matplotlib") from None

    rows = report["rows"]
    names = list(dict.fromkeys(row["sweep"] for row in rows))
    figure = Figure(figsize=(3.6 * len(names), 3.7), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    panels[0].set_ylabel("ms a step")
    for axes, name in zip(panels, names, strict=True):
        _panel(axes, [row for row in rows if row["sweep"] == name], report["exponents"])
    version, threads = report["version"], report["threads"]
    figure.suptitle(f"gwucnn {version}, {report['isa']}, threads: {threads}", fontsize=11)
    figure.savefig(path, dpi=150)


def _panel(axes: Any, points: list[dict[str, Any]], exponents: list[dict[str, Any]]) -> None:
    sizes = [point["size"] for point in points]
    falls = points[0]["sweep"] == "threads"  # time falls with threads and rises with everything else
    for mode, colour in COLOURS.items():
        times = [point["ms"][mode] for point in points]
        fitted = [e["exponent"] for e in exponents if (e["sweep"], e["mode"]) == (points[0]["sweep"], mode)]
        label = f"{mode}: exponent {fitted[0]:.2f}" if fitted else mode
        label = f"{mode}: {times[0] / times[-1]:.2f} times as fast" if falls else label
        axes.plot(sizes, times, "o-", color=colour, label=label, markersize=4)
        # Through the largest size, where the cost of calls is negligible; for threads through the first.
        at = 0 if falls else -1
        power = -1 if falls else 1
        exact = [times[at] * (size / sizes[at]) ** power for size in sizes]
        axes.plot(sizes, exact, ":", color=colour, alpha=0.6, linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45, ha="right", fontsize=7)
    axes.minorticks_off()
    axes.set_xlabel(points[0]["quantity"])
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize=8, title="dotted: exactly linear", title_fontsize=7)
