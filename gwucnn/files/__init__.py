"""A network as bytes, and back.

- `snapshot.py`: the state of a network as a document (dicts, lists, numbers) with arrays
- `safetensors_file.py`: such a document as the bytes of one safetensors file
- `restoring.py`: a network from a document, every part of which is checked first; `functions.py`: the user's functions
  that it names

What is read may come from anywhere: nothing is executed or imported, and no memory is taken for sizes that a file
merely declares. `network/saving.py` has the methods `save` and `load`.
"""

from gwucnn.files.restoring import from_document
from gwucnn.files.safetensors_file import decode, encode, opened, read
from gwucnn.files.snapshot import own_classes, own_functions, to_document

__all__ = [
    "decode",
    "encode",
    "from_document",
    "opened",
    "own_classes",
    "own_functions",
    "read",
    "to_document",
]
