"""The parts of a `.keras` file, as Keras 3 writes it with `model.save('name.keras')`.

::

    metadata.json       the version of Keras
    config.json         the layers
    model.weights.h5    the weights, as `save_weights` writes them

The file is a zip archive. It is read in memory: nothing is extracted to disk, and since Keras stores the parts without
compression, neither is anything decompressed, so that no part can be larger than the file.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from gwucnn.common import FormatError

__all__ = ["config_in_archive", "is_archive", "weights_in_archive"]


def is_archive(path: Any) -> bool:
    """Whether a file is a zip archive."""
    return zipfile.is_zipfile(path)


def weights_in_archive(caller: str, path: Any) -> io.BytesIO:
    """Return the file of weights in a .keras file. Raises FormatError if there is none."""
    return io.BytesIO(_part(caller, path, "model.weights.h5"))


def config_in_archive(caller: str, path: Any) -> dict[str, Any]:
    """Return the config of the model in a .keras file.

    Raises FormatError if the file is damaged, or was not written by Keras 3.
    """
    version = _json(caller, path, "metadata.json").get("keras_version")
    if not isinstance(version, str) or not version.startswith("3."):
        raise FormatError(f"{caller}: expected a file of Keras 3, got version {version!r} in {path}; save it again")
    return _json(caller, path, "config.json")


def _json(caller: str, path: Any, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_part(caller, path, name))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{caller}: expected JSON in {name} of {path}, got something else: {error}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{caller}: expected an object in {name} of {path}, got {type(found).__name__}")
    return found


def _part(caller: str, path: Any, name: str) -> bytes:
    """Return the contents of one part, which must be stored as it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise FormatError(
                    f"{caller}: expected {name} in {path} stored without compression, as Keras does, got it "
                    "compressed; save the model again"
                )
            return archive.read(info)
    except KeyError:
        raise FormatError(f"{caller}: expected a file of Keras with {name}, got {path}, which has none") from None
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError, OverflowError) as error:
        # zipfile raises all of these for damaged files.
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{caller}: expected a file of Keras, got {path}: {error}") from None
