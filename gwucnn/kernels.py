"""The choice of compiled kernels for this processor, made once at import.

There is one module with the same kernels for each instruction set: AVX-512 (x86-64-v4), AVX2 with FMA (x86-64-v3),
NEON of 64-bit Arm (armv8-a), and what every processor of its kind has (baseline). The best one that the processor *and*
the operating system support is used, unless the environment variable ``GWUCNN_ISA`` names another one (an unknown or
unsupported name is an error).
There is no fallback to slow Python: a missing module is an error that says how to build it.
"""

from __future__ import annotations

import importlib
import os
from numbers import Integral
from types import ModuleType

from gwucnn import processors

__all__ = ["get_num_threads", "isa", "select", "set_num_threads", "show_config", "supported"]

# The module in gwucnn._ext for each instruction set, best first.
MODULES = {
    "x86-64-v4": "variants.x86_64_v4",
    "x86-64-v3": "variants.x86_64_v3",
    "armv8-a": "variants.armv8_a",
    "baseline": "variants.baseline",
}

# More than any machine can use; OpenMP aborts the process if it cannot start a thread.
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
    """Load the module that loads OpenMP, with a setting that makes idle threads sleep instead of spinning.

    By default, idle threads of GNU's OpenMP spin for milliseconds. If any other program is busy, the threads then wait
    for each other: with one core occupied, training was measured to be up to 40 times slower. The library reads its
    settings when it is loaded, so the variable is set for that moment only, and not at all if the user has set one.
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

# OpenMP knows the affinity mask, but no quotas. It is not asked to use more than it would by itself.
if "OMP_NUM_THREADS" not in os.environ:
    _step.set_num_threads(min(_step.get_num_threads(), processors.available()))

# The module in use. Ops look up kernels here each time they bind one.
active: ModuleType
_isa: str


def supported() -> tuple[str, ...]:
    """Return the instruction sets that this machine supports, best first."""
    return tuple(name for name in MODULES if name in _cpu.supported())


def isa() -> str:
    """Return the name of the instruction set in use: 'baseline', 'armv8-a', 'x86-64-v3' or 'x86-64-v4'."""
    return _isa


def select(name: str) -> None:
    """Switch to the kernels of another instruction set.

    Raises ValueError if the name is unknown or the machine does not support it.
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

    Raises ValueError unless n is an integer from 1 to 1024. Small amounts of work use one thread anyway. For the same
    number of threads, results are bit-identical from run to run. The initial number is the value of the environment
    variable OMP_NUM_THREADS or, without it, the number of processors that the process may use: those of its affinity
    mask, limited by the CPU quota of its container. A limit set later by threadpoolctl is honoured as well.
    """
    if not isinstance(n, Integral) or isinstance(n, bool) or not 1 <= n <= MOST_THREADS:
        raise ValueError(f"set_num_threads: expected an integer from 1 to {MOST_THREADS}, got {n!r}")
    _step.set_num_threads(int(n))


def get_num_threads() -> int:
    """Return the number of threads that a large kernel uses."""
    return _step.get_num_threads()


def show_config() -> None:
    """Print versions, instruction set and number of threads in use, for bug reports."""
    import platform

    import numpy

    from gwucnn._version import __version__

    if _step.OPENMP:
        threads = f"{get_num_threads()} ({processors.available()} of {os.cpu_count()} processors may be used)"
    else:
        threads = "1 (built without OpenMP)"
    print(f"gwucnn {__version__}, numpy {numpy.__version__}, Python {platform.python_version()}")
    print(f"system: {platform.platform()}")
    print(f"instruction set: {isa()} (supported here: {', '.join(supported())})")
    print(f"threads: {threads}")


# OpenMP's threads do not exist in a forked child, where starting a parallel region would wait for them forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _step.set_num_threads(1))

select(os.environ.get("GWUCNN_ISA") or supported()[0])
