"""Files that are replaced as a whole: whatever goes wrong, there is the old one or the new one.

The bytes go into a temporary file beside the target, and to the disk, before that takes the target's name. It
is removed if anything fails. A process that is killed leaves it behind, for the next save in that folder to
clear: whoever writes one holds a lock on it, which ends with the process, so that what is locked is in use.

On Windows an open file can be neither moved nor removed. There it is closed before it takes the name, what is
younger than a minute counts as in use, and whoever has the target open at that moment is waited for.
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

# What temporary files are called, and nothing else is.
LEFT_OVER = re.compile(r"\.gwucnn-[0-9a-f]{16}\.tmp")

WINDOWS = os.name == "nt"

# Seconds, on Windows: between tries to take the target's name; how long a closed file counts as in use.
WAITS = (0.01, 0.03, 0.1, 0.3, 1.0)
IN_USE = 60


def write_atomically(caller: str, path: str | os.PathLike[str], data: bytes) -> None:
    """Make `data` the contents of a file, or leave what is there and raise the OSError that came.

    A link keeps pointing to where it does, and a file that is there keeps its permissions.
    """
    target, folder = check_target(caller, path)
    if os.path.exists(target) and not os.path.isfile(target):
        # Its name would go to the new file, also that of /dev/null.
        raise OSError(f"{caller}: expected the path of a file, got the device or pipe {target!r}")
    _clear(folder)
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
    _sync(folder)


def check_target(caller: str, path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return where a file is to be written, links followed, and its folder; raise OSError where none can lie.

    Callbacks ask before training, so that nobody trains for hours for a file that cannot be written.
    """
    # Not through a link: it would be replaced, and what it points to stay as it was.
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{caller}: expected a folder {folder!r} to save in, got none; make it first")
    if os.path.isdir(target):
        raise IsADirectoryError(f"{caller}: expected the path of a file, got the folder {target!r}; add a name")
    return target, folder


def _replace_closed(temporary: str, target: str) -> None:
    """Give a file its name, after a wait if someone else is reading or replacing what is there."""
    for seconds in WAITS:
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
            # Someone who cleared the folder between these two calls took it for a left-over.
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


def _sync(folder: str) -> None:
    """Have the new name on the disk too, where a folder can be read and a file system knows of that."""
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
    """Lock a file for as long as it is open; return whether that worked, False where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _clear(folder: str) -> None:
    """Remove temporary files that nobody writes any more."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if LEFT_OVER.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_unused(entry.path)


def _remove_unused(path: Any) -> None:
    with contextlib.suppress(OSError):
        if WINDOWS:
            if time.time() - os.stat(path).st_mtime > IN_USE:
                os.unlink(path)  # fails while it is open
            return
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            if _lock(file, wait=False):
                os.unlink(path)
        finally:
            os.close(file)
