"""Saves that fail or are killed leave the old file or the new one, complete, and no debris for long."""

import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import saver
from gwucnn import Dense, GWUNetwork
from gwucnn.common import atomic_file as atomic

posix = pytest.mark.skipif(os.name == "nt", reason="of POSIX systems")


def network(seed, size=300):
    made = GWUNetwork([Dense(size, input_size=size)], seed=seed)
    made.build(size)
    return made


@pytest.fixture
def old(tmp_path):
    """Return a path with a network of seed 0."""
    path = tmp_path / "net.safetensors"
    network(0).save(path)
    return path


def seed_of(path):
    """Return the seed of the network in a file, after a look at its weights."""
    found = GWUNetwork.load(path)
    np.testing.assert_array_equal(found.get_weights()[0], network(found.seed).get_weights()[0])
    return found.seed


def names(path):
    return sorted(file.name for file in path.parent.iterdir())


# ------------------------------------------------------------------------------------------- failing calls


def fails_at(monkeypatch, call, number, error):
    """Let call number `number` of a function of os raise; return the list of calls so far."""
    calls, real = [], getattr(os, call)

    def failing(*args, **kwargs):
        calls.append(args)
        if len(calls) == number:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, failing)
    return calls


FULL = OSError(errno.ENOSPC, "No space left on device")


@posix
@pytest.mark.parametrize(
    "error", [FULL, OSError(errno.EIO, "broken"), KeyboardInterrupt()], ids=["full", "io", "ctrl-c"]
)
@pytest.mark.parametrize(
    ("call", "number"),
    [("open", 1), ("write", 1), ("fsync", 1), ("replace", 1), ("fchmod", 1), ("scandir", 1)],
)
def test_a_failing_call_leaves_the_old_file(call, number, error, old, monkeypatch):
    calls = fails_at(monkeypatch, call, number, error)
    if call == "scandir" and isinstance(error, OSError):
        network(1).save(old)  # only left-overs would have been looked for
        assert seed_of(old) == 1
        return
    with pytest.raises(type(error)) as caught:
        network(1).save(old)
    monkeypatch.undo()
    assert caught.value is error and len(calls) == number
    assert seed_of(old) == 0 and names(old) == [old.name]
    network(1).save(old)
    assert seed_of(old) == 1


@posix
def test_after_the_rename_the_new_file_is_in_place(old, monkeypatch):
    """The folder's fsync may fail: then nobody knows whether it is on the disk, but it is whole."""
    for call, number in (("fsync", 2), ("open", 2)):
        fails_at(monkeypatch, call, number, FULL)
        with pytest.raises(OSError, match="No space"):
            network(1).save(old)
        monkeypatch.undo()
        assert seed_of(old) == 1 and names(old) == [old.name]


def test_a_disk_that_gets_full_in_the_middle(old, monkeypatch):
    """A write may take a part, and the next one fail."""
    real, calls = os.write, []

    def write(file, data):
        calls.append(len(data))
        if len(calls) > 3:
            raise FULL
        return real(file, data[:1000])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        network(1).save(old)
    assert len(calls) == 4 and calls[0] - calls[3] == 3000
    assert seed_of(old) == 0 and names(old) == [old.name]


def test_writes_in_small_parts(old, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:7777]))
    network(1).save(old)
    assert seed_of(old) == 1


@posix
def test_a_real_limit(old):
    """The system itself stops the write, in a process that may write no more than 100 kB."""
    program = (
        "import resource, signal, sys; from gwucnn import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "network = GWUNetwork([Dense(300, input_size=300)], seed=1)\n"
        "try:\n    network.save(sys.argv[1])\nexcept OSError as error:\n    print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program, old], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EFBIG)]
    assert seed_of(old) == 0 and names(old) == [old.name]


def test_a_network_that_cannot_be_written_down_touches_no_file(old, monkeypatch):
    calls = fails_at(monkeypatch, "open", 99, FULL)
    made = network(1)
    made._loaded_states = (("Own", {"seen": object()}),)
    with pytest.raises(TypeError, match=r"^save: expected callbacks\.0\.state\.seen to be numbers"):
        made.save(old)
    assert calls == [] and seed_of(old) == 0


def test_invalid_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^save: expected a folder '.*no' to save in, got none; make it"):
        network(0).save(tmp_path / "no" / "net")
    with pytest.raises(IsADirectoryError, match=r"^save: expected the path of a file, got the folder"):
        network(0).save(tmp_path)


@posix
def test_devices_and_pipes_are_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    for path in (pipe, link):
        with pytest.raises(OSError, match=r"^save: expected the path of a file, got the device or pipe"):
            network(0).save(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert names(pipe) == ["null", "pipe"]


@posix
def test_a_folder_that_may_only_be_read():
    """Root may write everywhere: it becomes nobody for the time of the test."""
    folder = Path(tempfile.mkdtemp())
    network(0).save(folder / "net")
    os.chmod(folder, 0o555)
    user = os.geteuid()
    if user == 0:
        os.chmod(folder / "net", 0o644)
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match="save: expected a folder to write in, got one that you may only"):
            network(1).save(folder / "net")
        assert seed_of(folder / "net") == 0
    finally:
        os.seteuid(user)
        os.chmod(folder, 0o755)
        shutil.rmtree(folder)


@posix
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders(number, old, monkeypatch):
    calls = fails_at(monkeypatch, "fsync", 2, OSError(number, "not here"))
    network(1).save(old)
    assert len(calls) == 2 and seed_of(old) == 1 and names(old) == [old.name]


# ------------------------------------------------------------------------------------------------- Windows


@pytest.fixture
def as_on_windows(monkeypatch):
    """Let the module take itself to be on Windows, and os refuse there what Windows does; return calls."""
    opened, calls = {}, []
    real = {name: getattr(os, name) for name in ("open", "close", "replace", "unlink")}

    def open_(path, *args):
        file = real["open"](path, *args)
        opened[file] = os.fspath(path)
        return file

    def close(file):
        opened.pop(file, None)
        real["close"](file)

    def closed_only(name):
        def call(*paths):
            calls.append((name, *paths))
            if set(map(os.fspath, paths)) & set(opened.values()):
                raise PermissionError(errno.EACCES, "in use")
            return real[name](*paths)

        return call

    def missing(*_):
        raise AssertionError("there is no such call on Windows")

    monkeypatch.setattr(atomic, "WINDOWS", True)
    monkeypatch.setattr(atomic, "RETRY_SECONDS", (0.0, 0.0))
    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it raises ImportError
    for name, call in (("open", open_), ("close", close), ("fchmod", missing)):
        monkeypatch.setattr(os, name, call)
    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, closed_only(name))
    return calls, opened


def test_windows_a_file_is_closed_before_it_is_moved(old, as_on_windows):
    calls, opened = as_on_windows
    network(1).save(old)
    network(2).save(old.with_name("new"))
    assert [name for name, *_ in calls] == ["replace", "replace"] and not opened
    assert seed_of(old) == 1 and seed_of(old.with_name("new")) == 2
    assert names(old) == ["net.safetensors", "new"]


def test_windows_a_target_that_is_read_meanwhile_is_waited_for(old, as_on_windows, monkeypatch):
    calls, opened = as_on_windows
    reader = os.open(old, os.O_RDONLY)
    monkeypatch.setattr(atomic.time, "sleep", lambda _: len(calls) == 2 and os.close(reader))
    network(1).save(old)
    assert len(calls) == 3 and not opened and seed_of(old) == 1 and names(old) == [old.name]


def test_windows_a_target_that_stays_open_keeps_the_old_file(old, as_on_windows):
    calls, _ = as_on_windows
    reader = os.open(old, os.O_RDONLY)
    with pytest.raises(PermissionError, match="in use"):
        network(1).save(old)
    os.close(reader)
    assert [name for name, *_ in calls] == ["replace"] * 3 + ["unlink"]
    assert seed_of(old) == 0 and names(old) == [old.name]


@pytest.mark.usefixtures("as_on_windows")
@pytest.mark.parametrize(("call", "number"), [("write", 1), ("fsync", 1)])
def test_windows_failing_calls(call, number, old, monkeypatch):
    fails_at(monkeypatch, call, number, FULL)
    with pytest.raises(OSError, match="No space"):
        network(1).save(old)
    assert seed_of(old) == 0 and names(old) == [old.name]


@pytest.mark.usefixtures("as_on_windows")
def test_windows_left_overs(old):
    """Of a minute ago and older, unless they are open; what is younger may be about to take its name."""
    young, aged, held = (old.with_name(f".gwucnn-{letter * 16}.tmp") for letter in "abc")
    for left in (young, aged, held):
        left.write_bytes(b"half")
    for left in (aged, held):
        os.utime(left, (0, 0))
    file = os.open(held, os.O_RDONLY)
    network(1).save(old)
    os.close(file)
    assert names(old) == [young.name, held.name, old.name]
    network(1).save(old)
    assert names(old) == [young.name, old.name]


# ------------------------------------------------------------------------------------- links, rights, names


@posix
def test_a_link_stays_one(old, tmp_path):
    (tmp_path / "sub").mkdir()
    link = tmp_path / "sub" / "link"
    link.symlink_to(old)
    network(1).save(link)
    assert link.is_symlink() and seed_of(old) == 1 and names(link) == ["link"]


@posix
def test_rights_stay_and_new_files_follow_the_umask(old):
    os.chmod(old, 0o640)
    network(1).save(old)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    mask = os.umask(0o027)
    try:
        network(1).save(old.with_name("new"))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(old.with_name("new").stat().st_mode) == 0o640


@posix
def test_a_link_to_a_file_that_is_not_there_yet(tmp_path):
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    network(1).save(link)
    assert link.is_symlink() and not target.is_symlink() and seed_of(target) == 1


@posix
def test_a_file_that_may_only_be_read_is_replaced_and_stays_so(old):
    os.chmod(old, 0o444)
    network(1).save(old)
    assert stat.S_IMODE(old.stat().st_mode) == 0o444 and seed_of(old) == 1


def test_over_the_file_that_the_weights_are_mapped_from(old):
    """safetensors itself once filled such weights with zeros."""
    header = 8 + int.from_bytes(old.read_bytes()[:8], "little")
    mapped = np.memmap(old, np.float32, "r", header, (300, 300))
    want, made = np.array(mapped), network(1)
    made.set_weights([mapped])
    made.save(old)
    np.testing.assert_array_equal(mapped, want)
    np.testing.assert_array_equal(GWUNetwork.load(old).get_weights()[0], want)


def test_long_names_and_strange_ones(tmp_path):
    for name in ("n" * 255, "ü\n*", ".hidden", "a b.safetensors", "{epoch}"):
        network(1).save(tmp_path / name)
        assert seed_of(tmp_path / name) == 1
    assert len(names(tmp_path / "x")) == 5


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network(1).save("net")
    assert seed_of("net") == 1


# ------------------------------------------------------------------------------------------------ left-overs


def test_left_overs_are_cleared_and_nothing_else(old):
    left = old.with_name(".gwucnn-0123456789abcdef.tmp")
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    others = [
        ".gwucnn-0123456789abcde.tmp",
        ".gwucnn-0123456789abcdef.tmp.txt",
        "gwucnn-0123456789abcdef.tmp",
    ]
    for name in others:
        old.with_name(name).write_bytes(b"mine")
    folder = old.with_name(".gwucnn-00000000000000ff.tmp")
    folder.mkdir()
    network(1).save(old)
    assert names(old) == sorted([old.name, *others, folder.name])


@posix
def test_links_called_like_left_overs_are_not_followed(old):
    target, link = old.with_name("target"), old.with_name(".gwucnn-0123456789abcdef.tmp")
    target.write_bytes(b"mine")
    link.symlink_to(target)
    network(1).save(old)
    assert target.read_bytes() == b"mine" and link.is_symlink()


@posix
def test_what_another_save_is_writing_stays(old):
    path, file = atomic._create("save", str(old.parent))
    try:
        network(1).save(old)
        assert os.path.exists(path)
    finally:
        os.close(file)
    network(2).save(old)
    assert names(old) == [old.name]


@posix
def test_a_temporary_file_that_was_cleared_before_it_was_locked(old, monkeypatch):
    """Someone else's clearing falls between a save's first two calls: it takes another file."""
    real, cleared = atomic._lock, []

    def lock(file, *, wait=True):
        if wait and not cleared:
            (left,) = old.parent.glob(".gwucnn-*")
            left.unlink()
            cleared.append(left)
        return real(file, wait=wait)

    monkeypatch.setattr(atomic, "_lock", lock)
    network(1).save(old)
    assert cleared and seed_of(old) == 1 and names(old) == [old.name]


# ------------------------------------------------------------------------------------------------------ kill


def kill_while_saving(path, files, trials, seed=0):
    """Kill as many processes that save; return how often which seed was there, and how many left something."""
    draw, found, left = random.Random(seed), [], 0
    for _ in range(trials):
        process = subprocess.Popen([sys.executable, saver.__file__, path, *files], stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(draw.uniform(0.001, 0.03))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        found.append(seed_of(path))
        more = set(names(path)) - {path.name, *(file.name for file in files)}
        assert len(more) <= 1 and all(atomic.TEMPORARY_NAME.fullmatch(name) for name in more)
        left += len(more)
    return found, left


@posix
@pytest.mark.parametrize("trials", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_kill_9(trials, old):
    """The old file or the new one; what a killed process left, the next one clears."""
    files = [old.with_name(f"net-{seed}") for seed in (1, 2)]
    for seed, file in zip((1, 2), files, strict=True):
        network(seed).save(file)
    found, left = kill_while_saving(old, files, trials)
    assert set(found) <= {0, 1, 2}
    if trials > 50:
        assert {1, 2} <= set(found) and left > 0, "no process was killed while it saved"
    network(0).save(old)
    assert names(old) == sorted([old.name, *(file.name for file in files)])
