"""Reading image files that state their own size: the statement is checked before memory is taken for it.

A damaged or hostile file may declare any shape. Each reader here compares the declared size with what the
file can hold, reads exactly that much, and raises `FormatError` for the rest.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gwucnn.common import FormatError

__all__ = ["Dataset", "Part", "as_images", "as_labels", "read_idx", "read_npz"]

Part: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64]]
Dataset: TypeAlias = tuple[Part, Part]

# The most that one byte of deflate can become: 258 bytes in 2 bits (zlib, "Technical Details").
MAX_INFLATION = 1032
AGAIN = "the file is damaged or incomplete, copy or download it again"
OTHER = "this is another data set"
IDX_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def read_idx(path: str | os.PathLike[str], item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, the format in which MNIST is published.

    Parameters
    ----------
    path : path
        The file, plain or gzip; which of the two is told by its first bytes, not by its name.
    item_shape : tuple of int
        Shape of one item: (28, 28) for MNIST's images, () for labels.

    Returns
    -------
    ndarray of uint8, shape (N, *item_shape)

    Raises
    ------
    FormatError
        If the file is no IDX file, holds another type or shape, is truncated, damaged or longer than it says.
    OSError
        If it cannot be opened.

    Notes
    -----
    The header is two zero bytes, a byte for the type (8: unsigned byte), a byte for the number of
    dimensions, and one big-endian uint32 a dimension; the values follow in row order. At most as much is
    unpacked from gzip as the header declares, and it may not declare more than gzip could have packed into
    the file.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
    """
    caller = f"read_idx: {os.fspath(path)}"
    size = os.path.getsize(path)
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if packed else open(path, "rb") as handle:
            shape = _idx_shape(caller, handle, item_shape)
            _check_room(caller, shape, size, packed)
            return _read_exactly(caller, handle, shape)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(f"{caller}: expected a whole gzip file, got a damaged one ({error}); {AGAIN}") from error


def _idx_shape(caller: str, handle: io.BufferedIOBase, item_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that the header declares, after checking all of it but the number of items."""
    ndim = 1 + len(item_shape)
    header = handle.read(4 + 4 * ndim)
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in IDX_TYPES:
        raise FormatError(
            f"{caller}: expected an IDX file, which begins 00 00 08 {ndim:02x}, "
            f"got {header[:4].hex(' ') or 'nothing'}; give the file as published, plain or gzip"
        )
    if header[2] != 0x08:
        raise FormatError(f"{caller}: expected uint8 values, got {IDX_TYPES[header[2]]}; convert them")
    if header[3] != ndim:
        raise FormatError(
            f"{caller}: expected {ndim} dimensions, got {header[3]}; an image file has 3 and a label file 1, "
            "check that they are not mixed up"
        )
    if len(header) < 4 + 4 * ndim:
        raise FormatError(f"{caller}: expected a header of {4 + 4 * ndim} bytes, got {len(header)}; {AGAIN}")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    if shape[1:] != item_shape:
        raise FormatError(f"{caller}: expected items of shape {item_shape}, got {shape[1:]}; {OTHER}")
    return shape


def _check_room(caller: str, shape: tuple[int, ...], size: int, packed: bool) -> None:
    """Refuse a shape that a file of this size cannot hold."""
    declared = 4 + 4 * len(shape) + math.prod(shape)
    if packed and declared > size * MAX_INFLATION:
        raise FormatError(f"{caller}: expected {declared} bytes for {shape}, got {size}, packed; {AGAIN}")
    if not packed and declared != size:
        raise FormatError(f"{caller}: expected {declared} bytes for {shape}, got {size}; {AGAIN}")


def _read_exactly(caller: str, handle: io.BufferedIOBase, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read as many bytes as the shape has, and see that there are no more."""
    expected = math.prod(shape)
    data = handle.read(expected)
    # The read behind the end is also what makes gzip compare its checksum.
    found = len(data) + len(handle.read(1))
    if found != expected:
        more = " or more" if found > expected else ""
        raise FormatError(f"{caller}: expected {expected} values for {shape}, got {found}{more}; {AGAIN}")
    # A bytearray, because arrays made over bytes cannot be written to.
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)


def read_npz(path: str | os.PathLike[str], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read named arrays from an npz file, and nothing that would have to be unpickled.

    Parameters
    ----------
    path : path
        The file, as `numpy.savez` or `numpy.savez_compressed` writes it.
    names : tuple of str
        The arrays wanted; others are left alone.

    Returns
    -------
    dict of ndarray

    Raises
    ------
    FormatError
        If the file is no npz or damaged, or an array is missing, of objects, or not of its declared size.
    OSError
        If the file cannot be opened.
    """
    # Imported on use: 12 ms that `import gwucnn` should not pay.
    import zipfile

    caller = f"read_npz: {os.fspath(path)}"
    try:
        with zipfile.ZipFile(path) as archive:
            held = archive.namelist()
            missing = [name for name in names if f"{name}.npy" not in held]
            if missing:
                raise FormatError(
                    f"{caller}: expected the arrays {', '.join(names)}, got {', '.join(held) or 'none'}; "
                    f"save it with numpy.savez(path, {', '.join(f'{name}=...' for name in names)})"
                )
            return {name: _read_member(f"{caller}: {name}", archive, f"{name}.npy") for name in names}
    except FormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise FormatError(f"{caller}: expected an npz file, got an unreadable one ({error}); {AGAIN}") from error


def _read_member(caller: str, archive: Any, name: str) -> NDArray[Any]:
    """Read one array of a zip file, if its header agrees with the size of its entry."""
    from numpy.lib import format as npy

    entry = archive.getinfo(name)
    with archive.open(entry) as handle:
        version = npy.read_magic(handle)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(handle)
        start = handle.tell()
    if dtype.hasobject:
        raise FormatError(f"{caller}: expected numbers, got {dtype}; save an array of integers")
    declared = start + math.prod(shape) * dtype.itemsize
    if declared != entry.file_size or declared > entry.compress_size * MAX_INFLATION:
        raise FormatError(
            f"{caller}: expected {declared} bytes for {shape}, "
            f"got {entry.file_size}, packed {entry.compress_size}; {AGAIN}"
        )
    with archive.open(entry) as handle:
        return np.asarray(npy.read_array(handle, allow_pickle=False))


def as_images(caller: str, x: NDArray[Any]) -> NDArray[np.uint8]:
    """Return whole numbers 0 to 255 of shape (N, 784) or (N, 28, 28) as uint8 images (N, 28, 28).

    Raises
    ------
    FormatError
        If the shape or a value does not fit.
    """
    if x.shape[1:] not in {(784,), (28, 28), (28, 28, 1)}:
        raise FormatError(f"{caller}: expected images of 28 x 28 = 784 pixels, got {x.shape}; {OTHER}")
    if x.dtype != np.uint8:
        # NaN fails both comparisons.
        if x.dtype.kind not in "iuf" or (x.size and not (x.min() >= 0 and x.max() <= 255)) or (x % 1).any():
            raise FormatError(
                f"{caller}: expected whole grey values 0 to 255, got {_span(x)}; give the pixels unscaled, as integers"
            )
        x = x.astype(np.uint8)
    return x.reshape(-1, 28, 28)


def as_labels(caller: str, y: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return `count` labels 0 to 9, given as integers, whole floats or text, as int64 of shape (count,).

    Raises
    ------
    FormatError
        If there are more or fewer, or one is no digit.
    """
    if y.size != count or y.ndim not in (1, 2):
        raise FormatError(f"{caller}: expected one label for each of {count} images, got {y.shape}; {AGAIN}")
    try:
        labels = np.asarray(y.reshape(-1), np.float64)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{caller}: expected labels 0 to 9, got {error}; correct them") from error
    if not np.isin(labels, np.arange(10)).all():
        raise FormatError(f"{caller}: expected labels 0 to 9, got {_span(labels)}; correct them")
    return labels.astype(np.int64)


def _span(values: NDArray[Any]) -> str:
    """Describe what an array holds, for an error message."""
    if values.dtype.kind not in "iuf" or not values.size:
        return f"an array of {values.dtype}"
    return f"{values.dtype} from {values.min():g} to {values.max():g}"
