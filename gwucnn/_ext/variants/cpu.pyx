# cython: language_level=3, freethreading_compatible=True
"""Detection of the instruction sets that this processor and its operating system support; see cpu.h."""

cdef extern from "variants/cpu.h":
    enum: IS_AARCH64
    int x86_64_level()


def supported():
    """Return the names of the variants that can run here, fastest first; 'baseline' is always among them."""
    level = x86_64_level()
    names = [name for name, required in (("x86-64-v4", 4), ("x86-64-v3", 3)) if level >= required]
    if IS_AARCH64:
        names.append("armv8-a")
    return (*names, "baseline")
