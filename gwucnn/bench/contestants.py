"""The contestants of a comparison: a library, the interpreter that it is installed in, and its process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gwucnn
from gwucnn.common import look_up

__all__ = ["GWUCNN", "LIBRARIES", "REFERENCE", "Contestant", "Library", "Process", "ProcessError", "peer"]

WORKER = Path(__file__).parent / "peers" / "worker.py"

# Seconds to wait for a reply: XLA may compile for a minute, and nothing here computes for longer.
PATIENCE = 600.0


class ProcessError(RuntimeError):
    """Raised when a contestant's process ends, does not reply, or reports an error."""


class Library(NamedTuple):
    """The properties of a library.

    Attributes
    ----------
    module : str
        ``peers/with_<module>.py`` is its adapter.
    forms : tuple of str
        Ways to run the network; the fastest one is compared.
    trains : bool
    tolerance : float
        Largest accepted relative difference from the reference.
    float32 : bool
        Whether it computes in float32, as gwucnn does, so that times are comparable.
    """

    module: str
    forms: tuple[str, ...] = ("float32",)
    trains: bool = True
    tolerance: float = 1e-4
    float32: bool = True


LIBRARIES = {
    "torch": Library("torch"),
    # bfloat16 has 8 bits: 0.4% per rounding, and a network of seven layers rounds many times.
    "torch-bf16": Library("torch", ("bf16",), tolerance=5e-2, float32=False),
    "tensorflow": Library("tensorflow", ("graph", "xla")),
    "jax": Library("jax"),
    "onnxruntime": Library("onnxruntime", trains=False),
    "openvino": Library("openvino", trains=False),
}


@dataclass(frozen=True)
class Contestant:
    """A library, its name in the table, and its interpreter."""

    name: str
    library: Library
    python: str
    worker: Path = WORKER

    def start(self, threads: int, folder: Path) -> Process:
        """Start its process, which writes to `folder`; the folder must exist as long as the process."""
        command = [self.python, str(self.worker), self.library.module, str(threads)]
        return Process(self.name, command, _environment(self.library, threads), folder)


GWUCNN = Contestant("gwucnn", Library("gwucnn"), sys.executable)
REFERENCE = Contestant("reference", Library("gwucnn", ("reference",)), sys.executable)


def peer(text: str) -> Contestant:
    """Parse ``NAME=PYTHON``, the value of the option --peer. Raises ValueError for what cannot be run."""
    name, equals, python = text.partition("=")
    if not equals or not python:
        raise ValueError(f"--peer: expected NAME=PYTHON such as torch=venv/bin/python, got {text!r}")
    library = look_up("--peer", "NAME", name, LIBRARIES)
    # Not resolved: the interpreter of a virtual environment is a link, and finds its packages by the link's path.
    found = shutil.which(os.path.abspath(python) if os.sep in python else python)
    if found is None:
        raise ValueError(f"--peer: expected a Python interpreter for {name}, got {python!r}; check the path")
    return Contestant(name, library, found)


def _environment(library: Library, threads: int) -> Mapping[str, str]:
    """Return environment variables that restrict every library to `threads` threads and to the CPU."""
    count = str(threads)
    told = {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}",
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    if library.module == "gwucnn":
        # The package that runs this benchmark, wherever it is installed.
        told["PYTHONPATH"] = str(Path(gwucnn.__file__).parents[1])
    return inherited | told


class Process:
    """The process of a contestant: requests and replies are JSON objects, one per line (see peers/worker.py).

    Raises ProcessError, here and in `ask`, if it does not start or reply. Close it after use, or use ``with``.
    """

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._errors = (folder / f"{name}.{os.urandom(4).hex()}.stderr").open("w+", encoding="utf-8", errors="replace")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
                cwd=folder,
                encoding="utf-8",
            )
        except OSError as error:
            self._errors.close()
            raise ProcessError(f"{name}: expected {command[0]} to start, got {error}") from None
        self._replies: queue.Queue[str] = queue.Queue()
        # Reading a pipe with a time limit is not portable; reading a queue that a thread fills is.
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._reply("its start", PATIENCE)
        except ProcessError:
            self.close()
            raise

    def _listen(self) -> None:
        for line in self._process.stdout:  # type: ignore[union-attr]
            self._replies.put(line)
        self._replies.put("")

    def ask(self, do: str, *, patience: float = PATIENCE, **details: Any) -> dict[str, Any]:
        """Send a request and return the reply to it, or raise ProcessError after `patience` seconds."""
        try:
            self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            pass  # it has ended, as the missing reply will show
        return self._reply(f"{do!r}", patience)

    def _reply(self, to: str, patience: float) -> dict[str, Any]:
        try:
            line = self._replies.get(timeout=patience)
        except queue.Empty:
            raise ProcessError(f"{self.name}: expected a reply to {to}, got none in {patience:g} s") from None
        if not line:
            status = self._process.wait()
            self._replies.put("")  # for the next call
            raise ProcessError(f"{self.name}: expected a reply to {to}, got exit status {status}{self._last_words()}")
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise ProcessError(f"{self.name}: expected a JSON object as reply to {to}, got {line.strip()[:200]!r}")
        if "error" in reply:
            raise ProcessError(f"{self.name}: expected a reply to {to}, got {reply['error']}")
        return reply

    def _last_words(self) -> str:
        """Return the last line of the process's standard error."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return f"; its last words: {lines[-1][:300]}" if lines else ""

    def close(self) -> None:
        """End the process, by request or by force."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._errors.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
