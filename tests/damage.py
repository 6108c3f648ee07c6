"""Files of networks taken apart and put together again, by code that shares nothing with the package."""

import hashlib
import json
import struct


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
