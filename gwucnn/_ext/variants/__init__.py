"""One module of kernels per instruction set, all compiled from the same sources with different compiler flags.

kernels.pxi includes the kernels of all families, and kernels.h explains how the C headers are compiled for float and
for double. cpu.pyx detects which variants this processor can run; gwucnn/kernels.py selects the fastest at import.
"""
