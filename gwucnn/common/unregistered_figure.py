"""A matplotlib Figure that pyplot does not know. A module of its own, because it imports matplotlib."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure

__all__ = ["UnregisteredFigure"]


class UnregisteredFigure(Figure):
    """A figure that a notebook shows once, as the value of a cell, and that need not be closed."""

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
