"""Networks as ONNX files, for other runtimes and from other libraries: needs the package `onnx`.

`export_onnx` and `import_onnx`, and `gwucnn.onnx.backend`, ONNX's own interface for runtimes.

The extra `onnx` installs it. It is imported when a function of this folder is called.

Import starts in `importer.py`: `import_functions.py`, `import_shapes.py`, `import_weighted.py` and `import_merges.py`
turn nodes into layers, and `assembly.py` connects those. `python -m gwucnn.onnx MODEL` lists a file's operators. The
backend, `backend.py`, runs the operators of `operators.py` one by one. Export starts in `export.py`:
`layer_nodes.py` and `activation_nodes.py` write the nodes of each layer.
"""

from gwucnn.onnx.export import export_onnx, to_model
from gwucnn.onnx.importer import import_onnx

__all__ = ["export_onnx", "import_onnx", "to_model"]
