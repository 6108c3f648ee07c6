"""Benchmarks: programs that check their answers before they time anything. Imported by nothing else.

``python -m gwucnn.bench`` compares with other libraries, looks at single kernels and at growing work;
``python -m gwucnn.bench.slides`` times the slides' own loops.
"""
