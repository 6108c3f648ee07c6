"""Networks as ONNX files, for other runtimes and from other libraries: needs the package `onnx`.

`export_onnx` and `import_onnx`, and `gwucnn.onnx.backend`, ONNX's own interface for runtimes.

`pip install gwucnn[onnx]` installs it. It is imported when a function of this folder is called.
"""

from gwucnn.onnx.export import export_onnx, to_model
from gwucnn.onnx.importer import import_onnx

__all__ = ["export_onnx", "import_onnx", "to_model"]
