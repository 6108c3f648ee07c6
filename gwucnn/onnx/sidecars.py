"""Weights in files beside the model, as exporters write them.

The model is not trusted, and names the files: they are opened only inside of its own folder, and never through links.
The numbers of a model may not exceed the files that hold them, so that they cannot ask for more memory than there is
data.
"""

from __future__ import annotations

import os
from math import prod
from typing import Any

from gwucnn.common import FormatError

__all__ = ["take_sidecars"]


def take_sidecars(onnx: Any, model: Any, folder: str) -> None:
    """Read the constants of a model that are in other files of this folder."""
    outside = [tensor for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    left: dict[str, int] = {}  # the bytes of each file that may still be taken
    for tensor in outside:
        given = {entry.key: entry.value for entry in tensor.external_data}
        path = _inside(folder, given.get("location", ""), tensor.name)
        data = _read(path, given, _length(onnx, tensor), left, tensor.name)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.raw_data = data


def _inside(folder: str, location: str, name: str) -> str:
    """Return the path of a file inside of the folder, or raise FormatError."""
    parts = location.replace("\\", "/").split("/")
    wrong = os.path.isabs(location) or "\0" in location or ":" in location or any(p in ("", ".", "..") for p in parts)
    path = folder
    for part in parts if not wrong else ():
        path = os.path.join(path, part)
        wrong = wrong or os.path.islink(path)
    if wrong:
        raise FormatError(
            f"import_onnx: expected the numbers of tensor {name!r} in a file of the model's own folder, without links, "
            f"got {location!r}"
        )
    if not os.path.isfile(path):
        raise FormatError(f"import_onnx: expected the file {location!r} of weights beside the model; copy it too")
    return path


def _length(onnx: Any, tensor: Any) -> int:
    """Return the number of bytes that the shape of a tensor states."""
    try:
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError:
        raise FormatError(f"import_onnx: expected a known type of tensor {tensor.name!r}") from None
    return prod(tensor.dims) * kind.itemsize if min(tensor.dims, default=0) >= 0 else -1


def _read(path: str, given: dict[str, str], length: int, left: dict[str, int], name: str) -> bytes:
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            offset, stated = int(given.get("offset", 0)), int(given.get("length", length))
        except ValueError:
            offset, stated = -1, -1
        rest = left.get(path, size) - length
        if offset < 0 or length < 0 or stated != length or offset + length > size or rest < 0:
            raise FormatError(
                f"import_onnx: expected {length} bytes of tensor {name!r} inside of a file of {size}, got offset="
                f"{given.get('offset', 0)} and length={given.get('length', length)}"
            )
        left[path] = rest
        file.seek(offset)
        return file.read(length)
