"""Axes to draw on: new ones in a figure of their own, or those that the caller gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np

__all__ = ["new_figure", "panels"]


def new_figure(**options: Any) -> Any:
    """Return a matplotlib Figure that pyplot does not know; raise an ImportError that says how to install matplotlib.

    pyplot keeps each of its figures until it is closed, and a notebook shows all of them at the end of a cell, the
    one in the cell's last line twice.
    """
    return figure_class()(layout="constrained", **options)


@cache
def figure_class() -> Any:
    """Return the class of the figures, which is made when matplotlib is first needed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plotting: expected matplotlib, which is not installed; pip install matplotlib") from error

    class UnregisteredFigure(Figure):
        """A figure that a notebook shows once, as the value of a cell, and that need not be closed."""

        __qualname__ = "UnregisteredFigure"  # found by pickle, through the module's __getattr__

        def _repr_png_(self) -> bytes:
            """Return the picture for notebooks."""
            file = BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

        def show(self, warn: bool = True) -> None:
            """Open a window with the figure, and wait until it is closed unless pyplot is interactive."""
            from matplotlib import pyplot

            # pyplot.figure registers what its FigureClass makes.
            pyplot.figure(FigureClass=lambda *args, **options: self)  # type: ignore[arg-type]
            pyplot.show()

    return UnregisteredFigure


def __getattr__(name: str) -> Any:
    if name == "UnregisteredFigure":
        return figure_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def panels(
    caller: str,
    ax: Any,
    names: Sequence[str],
    figsize: tuple[float, float],
    *,
    rows: int = 1,
    **options: Any,
) -> tuple[Any, list[Any]]:
    """Return a figure and its axes, one for each name: those in `ax`, or new ones in so many rows.

    options : for `Figure.subplots`

    Raises
    ------
    TypeError
        If `ax` is something else than axes; ValueError for another number of them.
    """
    count = len(names)
    shape = rows, count // rows
    if ax is None:
        figure = new_figure(figsize=figsize)
        return figure, list(figure.subplots(*shape, squeeze=False, **options).flat)
    axes = list(np.ravel(np.asarray(ax, object)))
    if not all(hasattr(axis, "imshow") for axis in axes):
        raise TypeError(f"{caller}: expected ax to be matplotlib Axes, got {type(ax).__name__}; see pyplot.subplots")
    if len(axes) != count:
        what = ", ".join(dict.fromkeys(names))
        raise ValueError(
            f"{caller}: expected {count} Axes in ax, for {what}, got {len(axes)}; make them with "
            f"pyplot.subplots({shape[0]}, {shape[1]})"
        )
    return axes[0].figure, axes
