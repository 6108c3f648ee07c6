"""Benchmarks, each a program (``python -m gwucnn.bench.slides``) that checks its answer before it times."""
