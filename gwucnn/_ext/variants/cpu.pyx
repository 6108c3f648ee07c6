# cython: language_level=3, freethreading_compatible=True
"""What this processor and its operating system support; see cpu.h."""

cdef extern from "variants/cpu.h":
    int x86_64_level()


def supported():
    """Return the names of the instruction sets that can run here, best first; 'baseline' is always there."""
    level = x86_64_level()
    names = [name for name, needs in (("x86-64-v4", 4), ("x86-64-v3", 3)) if level >= needs]
    return (*names, "baseline")
