"""A network as bytes, and back.

- `snapshot.py`: the state of a network as a document (dicts, lists, numbers) with arrays
- `safetensors_file.py`: such a document as the bytes of one safetensors file
- `restoring.py`: a network from a document, every part of which is checked first; `functions.py`: the user's functions
  that it names
- `weights.py`: the weights alone, for a network that has the same layers

What is read may come from anywhere: nothing is executed or imported, and no memory is taken for sizes that a file
merely declares. `network/saving.py` has the methods `save`, `load`,
`save_weights` and `load_weights`.
"""

from gwucnn.files.restoring import from_document
from gwucnn.files.safetensors_file import decode, encode, opened, read
from gwucnn.files.snapshot import own_classes, own_functions, to_document
from gwucnn.files.weights import to_weights, trained_on, weights_from

__all__ = [
    "decode",
    "encode",
    "from_document",
    "opened",
    "own_classes",
    "own_functions",
    "read",
    "to_document",
    "to_weights",
    "trained_on",
    "weights_from",
]
