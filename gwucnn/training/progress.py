"""What people see while a network trains. tqdm is loaded when the first bar is shown."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Progress", "make_progress"]


def _interactive() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def make_progress(caller: str, verbose: Any, unit: str = "images", *, shown: bool = True) -> Progress:
    """Return what `verbose` asks for: 0 nothing, 1 a bar, 2 a line an epoch, 'auto' a bar on a terminal.

    Nothing where it is not to be `shown`, as other processes show the same.
    """
    if verbose not in (0, 1, 2, "auto"):
        raise ValueError(f"{caller}: expected verbose to be 0, 1, 2 or 'auto', got {verbose!r}")
    if not shown:
        return Progress(unit)
    if verbose == "auto":
        verbose = 1 if _interactive() else 0
    return (Progress, Bar, Lines)[int(verbose)](unit)


class Progress:
    """Shows nothing; the base of what shows something."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def begin(self, name: str, samples: int) -> None:
        """Start something, such as 'epoch 1/10', of about so many samples."""

    def advance(self, samples: int, totals: Any) -> None:
        """Take note of a batch; `totals.record()` gives the epoch's numbers so far."""

    def end(self, record: dict[str, Any], samples: int) -> None:
        """Finish an epoch, which had exactly so many samples."""

    def close(self) -> None:
        """Leave the terminal in order, whatever happened."""


def _numbers(record: dict[str, Any]) -> dict[str, str]:
    return {key: f"{value:.4f}" for key, value in record.items() if key not in ("epoch", "seconds", "lr")}


class Bar(Progress):
    """A tqdm bar for each epoch, with loss, accuracy, images a second and the time left."""

    _bar: Any = None

    def begin(self, name: str, samples: int) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=samples, desc=name, unit=f" {self.unit}", unit_scale=True)

    def advance(self, samples: int, totals: Any) -> None:
        # Numbers are put into words only when tqdm has drawn, some times a second: a batch may take 50 us.
        if self._bar.update(samples):
            self._bar.set_postfix(_numbers(totals.record()), refresh=False)

    def end(self, record: dict[str, Any], samples: int) -> None:
        self._bar.total = samples
        self._bar.set_postfix(_numbers(record))
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Lines(Progress):
    """One line an epoch, for log files."""

    def begin(self, name: str, samples: int) -> None:
        self._name = name

    def end(self, record: dict[str, Any], samples: int) -> None:
        numbers = ", ".join(f"{key} {value}" for key, value in _numbers(record).items())
        seconds = record["seconds"]
        speed = f"{samples / max(seconds, 1e-9):.0f} {self.unit}/s"
        print(f"{self._name}: {numbers} ({seconds:.1f} s, {speed})", flush=True)
