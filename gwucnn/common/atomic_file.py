"""Files that are replaced atomically: whatever goes wrong, there is either the old file or the new one.

The data are written to a temporary file in the same folder and flushed to disk; then the temporary file is renamed to
the target. It is removed if anything fails. A killed process leaves it behind, and the next save in that folder removes
it: the process that writes a temporary file holds a lock on it, which ends with the process, so an unlocked one is
garbage.

On Windows an open file can be neither renamed nor removed. There the temporary file is closed before the rename, one
that is younger than a minute counts as in use, and if another process has the target open, the rename is retried.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from typing import Any

__all__ = ["check_target", "write_atomically"]

# The names of temporary files, which no other files have.
TEMPORARY_NAME = re.compile(r"\.gwucnn-[0-9a-f]{16}\.tmp")

WINDOWS = os.name == "nt"

# On Windows, in seconds: the waits before retrying the rename, and how long a temporary file counts as in use.
RETRY_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0)
IN_USE_SECONDS = 60


def write_atomically(caller: str, path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to a file, replacing it, or leave it as it was and raise OSError.

    Links are followed, and an existing file keeps its permissions.
    """
    target, folder = check_target(caller, path)
    if os.path.exists(target) and not os.path.isfile(target):
        # The rename would replace it by a regular file, even /dev/null.
        raise OSError(f"{caller}: expected the path of a file, got the device or pipe {target!r}")
    _remove_garbage(folder)
    temporary, file = _create(caller, folder)
    try:
        try:
            if not WINDOWS and os.path.exists(target):
                os.fchmod(file, stat.S_IMODE(os.stat(target).st_mode) & 0o777)
            _write(file, data)
            os.fsync(file)
            if not WINDOWS:
                os.replace(temporary, target)
        finally:
            os.close(file)
        if WINDOWS:
            _replace_closed(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def check_target(caller: str, path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the path to write to, with links resolved, and its folder; raise OSError if no file can be there.

    Callbacks call this before training, so that nobody trains for hours before the first save fails.
    """
    # Links are resolved because the rename would replace the link itself.
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{caller}: expected a folder {folder!r} to save in, got none; make it first")
    if os.path.isdir(target):
        raise IsADirectoryError(f"{caller}: expected the path of a file, got the folder {target!r}; add a name")
    return target, folder


def _replace_closed(temporary: str, target: str) -> None:
    """Rename a closed file; retry if another process is reading or replacing the target."""
    for seconds in RETRY_SECONDS:
        try:
            return os.replace(temporary, target)
        except PermissionError:
            time.sleep(seconds)
    return os.replace(temporary, target)


def _create(caller: str, folder: str) -> tuple[str, int]:
    """Return path and descriptor of a new temporary file, locked."""
    while True:
        path = os.path.join(folder, f".gwucnn-{os.urandom(8).hex()}.tmp")
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
        try:
            file = os.open(path, flags, 0o666)
        except PermissionError as error:
            why = f"{caller}: expected a folder to write in, got one that you may only read"
            raise PermissionError(error.errno, why, folder) from None
        try:
            _lock(file)
            # Another process may have removed it as garbage between these two calls.
            if os.path.exists(path):
                return path, file
        except BaseException:
            os.close(file)
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        os.close(file)


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_folder(folder: str) -> None:
    """Flush the rename to disk, where the file system supports that."""
    if WINDOWS:
        return
    try:
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def _lock(file: int, *, wait: bool = True) -> bool:
    """Lock a file as long as it is open; return whether that worked. False where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove_garbage(folder: str) -> None:
    """Remove temporary files of processes that no longer exist."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_unused(entry.path)


def _remove_unused(path: Any) -> None:
    with contextlib.suppress(OSError):
        if WINDOWS:
            if time.time() - os.stat(path).st_mtime > IN_USE_SECONDS:
                os.unlink(path)  # fails while it is open
            return
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            if _lock(file, wait=False):
                os.unlink(path)
        finally:
            os.close(file)
