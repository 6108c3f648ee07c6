"""List the operators of an ONNX model, and whether `import_onnx` and the backend know them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from gwucnn.onnx.base import library
from gwucnn.onnx.folding import FOLDED
from gwucnn.onnx.importer import KNOWN, import_onnx
from gwucnn.onnx.loading import load
from gwucnn.onnx.operators import OPERATORS


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the list; return 0 if the model can be imported, 1 if not."""
    parser = argparse.ArgumentParser("python -m gwucnn.onnx", description=__doc__)
    parser.add_argument("model", help="an ONNX file")
    sizes = "sizes of one sample that the model leaves open, such as 3 224 224"
    parser.add_argument("--input-shape", type=int, nargs="+", metavar="SIZE", help=sizes)
    given = parser.parse_args(arguments)
    try:
        model = load(library("gwucnn.onnx"), given.model)
    except (OSError, ImportError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    counts = Counter((node.domain, node.op_type) for node in model.graph.node)
    print(f"{'operator':24} {'nodes':>6}  {'import':12}  backend")
    for (domain, kind), count in sorted(counts.items()):
        name, ours = (f"{domain}.{kind}" if domain else kind), domain in ("", "ai.onnx")
        constant = "of constants" if ours and (kind in FOLDED or kind == "Shape") else "no"
        imported, backend = ("yes" if ours and kind in known else "" for known in (KNOWN, OPERATORS))
        print(f"{name:24} {count:6}  {imported or constant:12}  {backend or 'no'}")
    try:
        network = import_onnx(given.model, input_shape=given.input_shape)
    except (OSError, ValueError) as error:
        print(f"\nnot imported: {error}")
        return 1
    print(f"\nimported: {len(network.layers)} layers, {network.count_params()} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
