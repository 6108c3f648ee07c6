"""Compiled kernels: loops over pointers and sizes, without Python objects inside.

naive.pyx explains the memory layout and includes the textbook version of every main kernel; start there.
step.pyx describes Step, the protocol that all fast kernels implement, and sweep.pyx trains on many small batches in one
compiled loop. The fast kernels are in folders by family (conv, winograd, depthwise, pool, dense, norm, elementwise), on
top of the vectors and register tiles in simd. `variants` compiles all of them once for each instruction set.
"""
