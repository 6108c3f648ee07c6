"""Programs for a peer's interpreter, where gwucnn is not installed: started by path, never imported.

``worker.py`` talks to the benchmark; each ``with_*.py`` is one library's way to build, train and run a
network.
"""
