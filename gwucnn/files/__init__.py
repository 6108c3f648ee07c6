"""TODO."""

from gwucnn.files.restoring import restored
from gwucnn.files.safetensors_file import decode, encode, opened, read
from gwucnn.files.snapshot import described, own_classes

__all__ = [
    "decode",
    "described",
    "encode",
    "opened",
    "own_classes",
    "read",
    "restored",
]
