"""A document with arrays as the bytes of one safetensors file, and back, independently of what they mean.

::

    length of the header    8 bytes, little endian
    header                  {"__metadata__": {"gwucnn": text}, name: {dtype, shape, data_offsets}, ...}
    arrays                  one after another, without gaps

The text is JSON: the document, with the number of the format and a checksum of the document and all arrays. Arrays
inside the document are represented as {"$array": name}, numbers that JSON cannot represent as {"$float": "nan"}.

Reading trusts nothing: every length is compared with the size of the file before memory is allocated for it, and the
result consists of dicts, lists, numbers, strings and arrays only.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator, Mapping
from math import isfinite, prod
from typing import Any, BinaryIO

import numpy as np

from gwucnn.common import FormatError

__all__ = ["FORMAT", "decode", "encode", "opened", "read"]

# Incremented when older versions of the package would misunderstand new files.
FORMAT = 2

KEY = "gwucnn"

# Headers describe a network, they hold no data. The parsed header takes about thirty times its length in memory.
LONGEST_HEADER = 2**24

DTYPES = {
    "U8": "<u1",
    "I8": "<i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}


# ------------------------------------------------------------------------------------------------- writing


def encode(caller: str, document: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file with a document and named arrays.

    Raises TypeError for values that a file cannot hold, ValueError if the document is too long, ModuleNotFoundError
    without safetensors.
    """
    import json  # imported where it is used, because it takes 1.5 ms

    try:
        from safetensors.numpy import save  # takes longer to import than all of this package
    except ModuleNotFoundError:
        # A dependency of this package, but it may have no wheel yet for a new or free-threaded Python.
        raise ModuleNotFoundError(
            f"{caller}: expected the package safetensors, which writes files, got none; pip install safetensors, or "
            "pip install --pre safetensors on free-threaded Python 3.14 (nothing else needs it)"
        ) from None

    arrays = {name: _as_stored(caller, name, array) for name, array in arrays.items()}
    plain = {"format": FORMAT, **_plain(caller, document, "", arrays)}
    text = json.dumps(plain | {"checksum": _checksum(plain, arrays)})
    data = save(arrays, {KEY: text})
    if int.from_bytes(data[:8], "little") > LONGEST_HEADER:
        raise ValueError(
            f"{caller}: expected a description of less than {LONGEST_HEADER} bytes, got {len(text)}; keep "
            "long lists of numbers in arrays"
        )
    return data


def _as_stored(caller: str, name: str, array: Any) -> Any:
    array = np.asarray(array, order="C")
    if array.dtype.newbyteorder("<") not in map(np.dtype, DTYPES.values()):
        raise TypeError(f"{caller}: expected {name} to be an array of numbers, got {array.dtype}")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _plain(caller: str, value: Any, place: str, arrays: dict[str, Any]) -> Any:
    """Return `value` in a form that JSON can represent; arrays in it are moved to `arrays`, named by their place."""
    if isinstance(value, np.ndarray):
        name = place
        while name in arrays:  # {'a.0': x, 'a': [y]} would give one name to two places
            name += "'"
        arrays[name] = _as_stored(caller, place, value)
        return {"$array": name}
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else {"$float": str(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(caller, item, f"{place}.{number}", arrays) for number, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(k, str) and not k.startswith("$") for k in value):
        return {key: _plain(caller, item, f"{place}.{key}" if place else key, arrays) for key, item in value.items()}
    raise TypeError(
        f"{caller}: expected {place} to be numbers, texts, None, arrays, and lists and dicts of these, got {value!r}"
    )


def _checksum(document: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """Return a checksum of the contents of a file, independent of the order of its entries."""
    import hashlib  # takes 2.7 ms to import
    import json

    found = hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return f"sha256:{found.hexdigest()}"


# ------------------------------------------------------------------------------------------------- reading


def read(caller: str, path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the document and arrays of a file. Raises FormatError that names what is wrong."""
    with opened(caller, path) as (file, size):
        return _read(caller, file, size)


@contextlib.contextmanager
def opened(caller: str, path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file for reading; yield it and its length in bytes. Raises FormatError for anything but a regular file."""
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if os.path.isdir(path):
        raise FormatError(f"{caller}: expected a file, got a folder")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{caller}: expected a file, got none; check the path")
    with open(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise FormatError(f"{caller}: expected a file, got a device or a pipe")
        yield file, found.st_size


def decode(caller: str, data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the document and arrays from bytes that `encode` returned."""
    return _read(caller, io.BytesIO(data), len(data))


def _read(caller: str, file: BinaryIO, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    length = int.from_bytes(_take(caller, file, 8, size, "the header's length"), "little")
    if length > LONGEST_HEADER:
        raise FormatError(
            f"{caller}: expected a header of at most {LONGEST_HEADER} bytes, got {length}; this is no file of "
            "gwucnn, or it is damaged"
        )
    header = _json(caller, "the header", _take(caller, file, length, size - 8, "header"))
    entries = _entries(caller, header, size - 8 - length)
    document = _document(caller, header)
    body = np.frombuffer(_take(caller, file, size - 8 - length, size - 8 - length, "arrays"), np.uint8)
    arrays = {name: body[begin:end].view(dtype).reshape(shape) for name, (dtype, shape, begin, end) in entries.items()}
    said = document.pop("checksum", None)
    try:
        found = _checksum(document, arrays)
    except ValueError as error:  # a number too large for a float
        raise FormatError(f"{caller}: expected finite numbers in the document, got {error}") from None
    if said != found:
        raise FormatError(f"{caller}: expected the checksum {said!r}, got {found!r}; the file is damaged")
    # Copies, which own their memory, are aligned and in native byte order.
    arrays = {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    used: set[str] = set()
    try:
        document = _revived(caller, document, arrays, used)
    except RecursionError:
        raise FormatError(f"{caller}: expected a document of some hundred levels at most, got more") from None
    return document, {name: array for name, array in arrays.items() if name not in used}


def _take(caller: str, file: BinaryIO, length: int, there: int, what: str) -> bytes:
    if length > there:
        raise FormatError(f"{caller}: expected {length} bytes of {what}, got {there}; the file is cut off")
    data = file.read(length)
    if len(data) != length:
        raise FormatError(f"{caller}: expected {length} bytes of {what}, got {len(data)}; the file has changed")
    return data


def _json(caller: str, what: str, text: bytes | str) -> dict[str, Any]:
    import json

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                raise ValueError(f"the name {_brief(key)} occurs twice")
            made[key] = value
        return made

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not valid JSON")

    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        if not text.startswith("{"):
            raise ValueError(f"it begins with {text[:1]!r}")
        found = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{caller}: expected {what} to be a JSON object, but {error}; this is no file of gwucnn, or it is damaged"
        ) from None
    return found


def _entries(caller: str, header: dict[str, Any], there: int) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
    """Return dtype, shape, begin and end of each array; together they cover all bytes of the file exactly."""
    entries = {name: _entry(caller, name, e) for name, e in header.items() if name != "__metadata__"}
    reached = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != reached:
            raise FormatError(
                f"{caller}: expected {name} to begin at byte {reached}, where the array before ends, got {begin}"
            )
        reached = end
    if reached != there:
        cut = "the file is cut off" if reached > there else "something else follows"
        raise FormatError(f"{caller}: expected {reached} bytes of arrays, got {there}; {cut}")
    return entries


def _entry(caller: str, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{caller}: expected dtype, shape and data_offsets of {name}, got {_brief(entry)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        known = ", ".join(DTYPES)
        raise FormatError(f"{caller}: expected the dtype of {name} to be one of {known}, got {_brief(dtype)}")
    if not _are_sizes(shape) or len(shape) > 32:
        raise FormatError(f"{caller}: expected the shape of {name} to be a list of sizes, got {_brief(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise FormatError(f"{caller}: expected two offsets of {name}, got {_brief(offsets)}")
    begin, end = offsets
    itemsize = np.dtype(DTYPES[dtype]).itemsize
    if prod(max(size, 1) for size in shape) * itemsize >= 2**63:
        raise FormatError(f"{caller}: expected an array that memory could hold, got {name} of shape {shape}")
    wanted = prod(shape) * itemsize
    if end - begin != wanted:
        raise FormatError(
            f"{caller}: expected {wanted} bytes for {name}, {dtype} of shape {tuple(shape)}, got {end - begin}"
        )
    return DTYPES[dtype], tuple(shape), begin, end


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _document(caller: str, header: dict[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.keys() != {KEY} or not isinstance(metadata[KEY], str):
        raise FormatError(
            f"{caller}: expected a file that `network.save` wrote, got safetensors whose metadata is not {KEY!r} alone"
        )
    document = _json(caller, f"the text {KEY!r}", metadata[KEY])
    version = document.get("format")
    if type(version) is not int or version < 1:
        raise FormatError(f"{caller}: expected the number of a format, got {_brief(version)}")
    if version > FORMAT:
        raise FormatError(
            f"{caller}: expected format {FORMAT} at most, got {_brief(version)}; a newer gwucnn wrote this, "
            "update yours"
        )
    return document


def _revived(caller: str, value: Any, arrays: Mapping[str, Any], used: set[str]) -> Any:
    if isinstance(value, list):
        return [_revived(caller, item, arrays, used) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$array"} and isinstance(value["$array"], str) and value["$array"] in arrays:
        used.add(value["$array"])
        return arrays[value["$array"]]
    if value.keys() == {"$float"} and value["$float"] in ("nan", "inf", "-inf"):
        return float(value["$float"])
    strange = [key for key in value if key.startswith("$")]
    if strange:
        raise FormatError(f"{caller}: expected an array or a number by its name, got {_brief(value)}")
    return {key: _revived(caller, item, arrays, used) for key, item in value.items()}
