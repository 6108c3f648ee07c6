"""Takes network files apart, and writes and loads altered ones, with code independent of the package."""

import hashlib
import json
import os
import struct
import warnings

import pytest

from gwucnn import FormatError, GWUNetwork


def split(data):
    """Return header and bytes of arrays."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header, body, *, sign=True):
    """Return the file of a header, with the checksum made right as far as that can be."""
    if sign:
        header = {**header, "__metadata__": {"gwucnn": signed(header, body)}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def signed(header, body):
    document = json.loads(header["__metadata__"]["gwucnn"])
    document.pop("checksum", None)
    names = {"F32": "float32", "F64": "float64", "I64": "int64", "U8": "uint8", "I32": "int32"}
    found = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name in sorted(header.keys() - {"__metadata__"}):
        entry = header[name]
        found.update(json.dumps([name, names[entry["dtype"]], entry["shape"]]).encode())
        found.update(body[slice(*entry["data_offsets"])])
    return json.dumps(document | {"checksum": f"sha256:{found.hexdigest()}"})


def rewritten(data, change):
    """Return the file after `change(document)`, checksum and all."""
    header, body = split(data)
    document = json.loads(header["__metadata__"]["gwucnn"])
    document = change(document) or document
    return joined({**header, "__metadata__": {"gwucnn": json.dumps(document)}}, body)


def rearranged(data, change, *, sign=True):
    """Return the file after `change(header)`, with its arrays as they are."""
    header, body = split(data)
    made = change(header)
    return joined(header if made is None else made, body, sign=sign)


def pruned(data):
    """Return the file without the arrays of the document itself that the document does not name."""
    header, body = split(data)
    document, kept, parts, reached = json.loads(header["__metadata__"]["gwucnn"]), {}, [], 0
    for name, entry in sorted(header.items(), key=lambda item: item[1].get("data_offsets", [])):
        if name == "__metadata__" or (
            name.startswith(("callbacks", "history")) and f'"{name}"' not in json.dumps(document)
        ):
            continue
        part = body[slice(*entry["data_offsets"])]
        kept[name] = {**entry, "data_offsets": [reached, reached + len(part)]}
        parts.append(part)
        reached += len(part)
    return joined({"__metadata__": header["__metadata__"], **kept}, b"".join(parts))


def set_in(*place, value):
    """Return a change of a document that puts a value there."""

    def change(document):
        for key in place[:-1]:
            document = document[key]
        document[place[-1]] = value

    return change


def complaint(path, data):
    """Load these bytes; return what the FormatError says."""
    path.write_bytes(data)
    with warnings.catch_warnings(), pytest.raises(FormatError) as caught:
        GWUNetwork.load(path)
    message = str(caught.value)
    assert message.startswith(f"load {os.fspath(path)!r}: ") and len(message) < 2000
    assert "Error" not in message.removeprefix(f"load {os.fspath(path)!r}: ")[:20], message
    return message
