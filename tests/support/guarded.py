"""Arrays placed against an inaccessible page of memory.

    at="end"      [ free space | array ][ no access ]     reading one number too far kills the process
    at="start"    [ no access ][ array | free space ]     so does reading one number too early

A kernel that reads or writes out of bounds often goes unnoticed: the neighbouring memory exists, and what is read is
multiplied by zero or discarded. Here it ends the process, so use these arrays in a subprocess, as test_bounds.py does.
"""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

# Where there is no mprotect, tests that need it skip themselves.
AVAILABLE = sys.platform in {"linux", "darwin"}


def guarded(array, at):
    """Return a copy of `array` whose end, or start, touches a page without access."""
    span = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, span + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    first, guard = (span - array.nbytes, span) if at == "end" else (mmap.PAGESIZE, 0)
    protect_none = 0
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address + guard), ctypes.c_size_t(mmap.PAGESIZE), protect_none):
        raise OSError(ctypes.get_errno(), "mprotect refused")
    copy = np.frombuffer(pages, array.dtype, array.size, first).reshape(array.shape)
    copy[...] = array
    return copy


def run_apart(*arguments):
    """Run Python in a process of its own, which may die, and which finds the helpers beside this file."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
