"""Tables and curves in HTML, for notebooks. Everything that is shown is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import isfinite, log10
from typing import Any

__all__ = ["html_curves", "html_table"]

# Size of a panel in pixels, and the room for its labels: left, top, right, bottom.
WIDTH, HEIGHT, MARGINS = 300, 190, (48, 22, 10, 30)
COLORS = ("#1f77b4", "#ff7f0e")  # readable on white and on black


def html_table(head: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> str:
    """Return a table; numbers are aligned right, and strings keep their blanks. Lines of the note follow it."""
    cells = "".join(
        f'<th style="text-align: {_side(rows, place)}">{_escape(name)}</th>' for place, name in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = "".join(f"<div>{_escape(line)}</div>" for line in note.splitlines())
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>{below}"


def _side(rows: Sequence[Sequence[Any]], place: int) -> str:
    return "left" if rows and isinstance(rows[0][place], str) else "right"


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f'<td style="text-align: left; white-space: pre">{_escape(value)}</td>'
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f'<td style="text-align: right">{text}</td>'


def html_curves(
    title: str, xs: Sequence[float], curves: Mapping[str, Sequence[float]], *, xlabel: str, log_x: bool = False
) -> str:
    """Return an SVG picture with a line for each of at most two curves over the same places `xs`.

    Lines are interrupted where a value is not finite.
    """
    places = [log10(x) for x in xs] if log_x else list(xs)
    low, high = _span([value for values in curves.values() for value in values])
    left, right = _span(places)
    start, top, stop, bottom = MARGINS[0], MARGINS[1], WIDTH - MARGINS[2], HEIGHT - MARGINS[3]

    def point(place: float, value: float) -> str:
        x = start + (stop - start) * (place - left) / (right - left)
        y = bottom - (bottom - top) * (value - low) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<rect x="{start}" y="{top}" width="{stop - start}" height="{bottom - top}" fill="none" stroke="#999"/>',
        _text(start, top - 7, title, "start"),
        _text((start + stop) // 2, HEIGHT - 5, xlabel, "middle"),
        *(_text(start - 5, y, f"{value:.3g}", "end") for y, value in ((top + 9, high), (bottom, low))),
        *(
            _text(x, bottom + 13, f"{10**place if log_x else place:.3g}", anchor)
            for x, place, anchor in ((start, left, "start"), (stop, right, "end"))
        ),
    ]
    for number, (name, values) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        for finite, run in groupby(zip(places, values, strict=True), key=lambda pair: isfinite(pair[1])):
            if finite:
                points = " ".join(point(*pair) for pair in run)
                parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        if len(curves) > 1:
            parts.append(_text(stop - 95 * (len(curves) - 1 - number), top - 7, name, "end", color))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{_escape(title)}">{"".join(parts)}</svg>'
    )


def _escape(text: str) -> str:
    from html import escape  # takes longer to import than this module

    return escape(text)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest finite value; some distance apart, also if there is one value or none."""
    finite = [value for value in values if isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _text(x: float, y: float, text: str, anchor: str, color: str = "currentColor") -> str:
    style = f'font-size="11" font-family="sans-serif" fill="{color}" text-anchor="{anchor}"'
    return f'<text x="{x}" y="{y}" {style}>{_escape(text)}</text>'
