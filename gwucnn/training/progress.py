"""Progress display during training: none, a bar, or a line per epoch. tqdm is imported when the first bar is shown."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Progress", "make_progress"]


def _is_interactive() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def make_progress(caller: str, verbose: Any, unit: str = "images", *, shown: bool = True) -> Progress:
    """Return the display for `verbose`: 0 none, 1 a bar, 2 a line per epoch, 'auto' a bar where someone watches.

    With `shown=False` nothing is displayed: in data-parallel training one process shows the progress of all.
    """
    if verbose not in (0, 1, 2, "auto"):
        raise ValueError(f"{caller}: expected verbose to be 0, 1, 2 or 'auto', got {verbose!r}")
    if not shown:
        return Progress(unit)
    if verbose == "auto":
        verbose = 1 if _is_interactive() else 0
    return (Progress, Bar, Lines)[int(verbose)](unit)


class Progress:
    """Shows nothing; the base class of the displays."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def begin(self, name: str, samples: int) -> None:
        """Start a section, such as 'epoch 1/10', of about `samples` samples."""

    def advance(self, samples: int, totals: Any) -> None:
        """Count a batch; `totals.record(quick=True)` returns the loss and metrics of the epoch so far."""

    def end(self, record: dict[str, Any], samples: int) -> None:
        """Finish the section, which had exactly `samples` samples."""

    def close(self) -> None:
        """Clean up the terminal, also after an exception."""


def _formatted(record: dict[str, Any]) -> dict[str, str]:
    return {key: f"{value:.4f}" for key, value in record.items() if key not in ("epoch", "seconds", "lr")}


class Bar(Progress):
    """A tqdm bar for each epoch, with loss, accuracy, images per second and the time left."""

    _bar: Any = None

    def begin(self, name: str, samples: int) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=samples, desc=name, unit=f" {self.unit}", unit_scale=True)

    def advance(self, samples: int, totals: Any) -> None:
        # `update` is true when tqdm has redrawn, a few times per second. Formatting for every batch, which may take
        # only 50 us, would slow down training.
        if self._bar.update(samples):
            self._bar.set_postfix(_formatted(totals.record(quick=True)), refresh=False)

    def end(self, record: dict[str, Any], samples: int) -> None:
        self._bar.total = samples
        self._bar.set_postfix(_formatted(record))
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Lines(Progress):
    """One line per epoch, for log files."""

    def begin(self, name: str, samples: int) -> None:
        self._name = name

    def end(self, record: dict[str, Any], samples: int) -> None:
        numbers = ", ".join(f"{key} {value}" for key, value in _formatted(record).items())
        seconds = record["seconds"]
        speed = f"{samples / max(seconds, 1e-9):.0f} {self.unit}/s"
        print(f"{self._name}: {numbers} ({seconds:.1f} s, {speed})", flush=True)
