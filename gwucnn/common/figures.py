"""Axes to draw on: new ones in a figure of their own, or those that the caller gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["new_figure", "panels"]


def new_figure(**options: Any) -> Any:
    """Return a matplotlib Figure that pyplot does not know; raise an ImportError that says how to install matplotlib.

    pyplot keeps each of its figures until it is closed, and a notebook shows all of them at the end of a cell, the
    one in the cell's last line twice.
    """
    try:
        from gwucnn.common.unregistered_figure import UnregisteredFigure
    except ImportError as error:
        raise ImportError("plotting: expected matplotlib, which is not installed; pip install matplotlib") from error
    return UnregisteredFigure(layout="constrained", **options)


def panels(
    caller: str,
    ax: Any,
    names: Sequence[str],
    figsize: tuple[float, float],
    *,
    in_a_column: bool = False,
    **options: Any,
) -> tuple[Any, list[Any]]:
    """Return a figure and its axes, one for each name: those in `ax`, or new ones beside (or under) each other.

    options : for `Figure.subplots`

    Raises
    ------
    TypeError
        If `ax` is something else than axes; ValueError for another number of them.
    """
    count = len(names)
    if ax is None:
        shape = (count, 1) if in_a_column else (1, count)
        figure = new_figure(figsize=figsize)
        return figure, list(figure.subplots(*shape, squeeze=False, **options).flat)
    axes = list(np.ravel(np.asarray(ax, object)))
    if not all(hasattr(axis, "imshow") for axis in axes):
        raise TypeError(f"{caller}: expected ax to be matplotlib Axes, got {type(ax).__name__}; see pyplot.subplots")
    if len(axes) != count:
        make = f"pyplot.subplots({f'{count}, 1' if in_a_column else f'1, {count}'})"
        raise ValueError(
            f"{caller}: expected {count} Axes in ax, for {', '.join(names)}, got {len(axes)}; make them with {make}"
        )
    return axes[0].figure, axes
