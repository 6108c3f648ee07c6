"""Benchmarks: programs that check results before they time anything. No other package imports this one.

``python -m gwucnn.bench`` compares with other libraries, times single kernels, and measures scaling;
``python -m gwucnn.bench.slides`` times the slides' own loops.
"""
