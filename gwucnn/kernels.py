"""The choice of compiled kernels, made once, when the package is imported.

Each instruction set has one module with the same kernels. The best that the processor *and* its operating
system support is taken; the environment variable ``GWUCNN_ISA`` overrides (an unknown or unsupported name is
an error). There is no fallback to slow Python: a missing module is an error that says how to build it.
"""

from __future__ import annotations

import importlib
import os
from numbers import Integral
from types import ModuleType

__all__ = ["get_num_threads", "isa", "select", "set_num_threads", "show_config", "supported"]

# Instruction set to module of gwucnn._ext.variants, best first.
MODULES = {
    "x86-64-v4": "variants.x86_64_v4",
    "x86-64-v3": "variants.x86_64_v3",
    "baseline": "variants.baseline",
}

# More than any machine has processors for; OpenMP would die of what cannot be started.
MOST_THREADS = 1024


def _extension(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"gwucnn._ext.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"gwucnn: the compiled module gwucnn._ext.{name} is missing; build and install the package with "
            "'pip install .' and import it from outside its source folder"
        ) from error


def _load_openmp() -> ModuleType:
    """Load the module that brings OpenMP in, and let idle threads sleep instead of waiting awake.

    GNU's OpenMP lets a thread without work spin for milliseconds. Beside any other busy program the threads
    then take turns in waiting for each other: measured with one core busy, training is up to 40 times slower.
    It reads its settings once, while it loads, so they are set for that moment only; a user's own settings
    are left alone.
    """
    if any(name in os.environ for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")):
        return _extension("step")
    os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        return _extension("step")
    finally:
        del os.environ["GOMP_SPINCOUNT"]


_cpu = _extension("variants.cpu")
_step = _load_openmp()

# The module in use; ops look kernels up here each time they bind one.
active: ModuleType
_isa: str


def supported() -> tuple[str, ...]:
    """Return the instruction sets that can run here, best first."""
    return tuple(name for name in MODULES if name in _cpu.supported())


def isa() -> str:
    """Return the name of the instruction set in use: 'baseline', 'x86-64-v3' or 'x86-64-v4'."""
    return _isa


def select(name: str) -> None:
    """Use the kernels of another instruction set from now on.

    Raises ValueError if there is no such name or this machine does not support it.
    """
    global active, _isa
    if name not in MODULES:
        raise ValueError(f"GWUCNN_ISA: expected one of {', '.join(map(repr, reversed(MODULES)))}, got {name!r}")
    if name not in supported():
        raise ValueError(
            f"GWUCNN_ISA: expected one of {', '.join(map(repr, supported()))}, which this processor and its "
            f"operating system support, got {name!r}; unset GWUCNN_ISA to take the best"
        )
    active, _isa = _extension(MODULES[name]), name


def set_num_threads(n: int) -> None:
    """Let kernels use at most `n` threads (one where the package was built without OpenMP).

    Raises ValueError unless n is an integer from 1 to 1024. Small work is done on one thread all the same.
    Results are bit-identical from run to run for the same number of threads. The number at import is OpenMP's
    own: the environment variable OMP_NUM_THREADS or the number of processors.
    """
    if not isinstance(n, Integral) or isinstance(n, bool) or not 1 <= n <= MOST_THREADS:
        raise ValueError(f"set_num_threads: expected an integer from 1 to {MOST_THREADS}, got {n!r}")
    _step.set_num_threads(int(n))


def get_num_threads() -> int:
    """Return how many threads a large kernel uses."""
    return _step.get_num_threads()


def show_config() -> None:
    """Print versions, instruction set and number of threads in use, for bug reports."""
    import platform

    import numpy

    from gwucnn._version import __version__

    threads = f"{get_num_threads()} of {os.cpu_count()} processors" if _step.OPENMP else "1 (built without OpenMP)"
    print(f"gwucnn {__version__}, numpy {numpy.__version__}, Python {platform.python_version()}")
    print(f"system: {platform.platform()}")
    print(f"instruction set: {isa()} (supported here: {', '.join(supported())})")
    print(f"threads: {threads}")


# After a fork, OpenMP's threads do not exist in the child: to start a team there is to wait for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _step.set_num_threads(1))

select(os.environ.get("GWUCNN_ISA") or supported()[0])
