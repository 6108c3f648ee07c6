"""Graphs of layers: `tensor.py` is how users connect layers, `graph.py` how connected layers run. `merge.py` has the
layers that combine several inputs, and `nested.py` (on `rows.py`) those that contain others and are graphs underneath.
"""
