"""The sdist, built from the checkout or the unpacked sdist that these tests lie in."""

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EPOCH = 1_700_000_000

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="no setup.py beside the tests")


def build(folder, mtime):
    """Copy the checkout, give every file the same odd time and tight permissions, and return the sdist of it."""
    skipped = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__", "tests", "*.so", "*.pyd", "*.c"
    )
    tree = shutil.copytree(ROOT, folder / "tree", ignore=skipped)
    for path in tree.rglob("*"):
        if path.is_file():
            path.chmod(0o600 if mtime % 2 else 0o644)
        os.utime(path, (mtime, mtime))
    subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist", "--formats", "gztar", "--dist-dir", folder / "dist"],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
        check=True,
        capture_output=True,
    )
    (made,) = (folder / "dist").glob("gwucnn-*.tar.gz")
    return made


def test_sdist_depends_on_the_files_and_on_source_date_epoch_only(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = build(tmp_path / "one", 1_600_000_001)
    two = build(tmp_path / "two", 1_650_000_000)
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()
    with tarfile.open(one) as archive:
        entries = archive.getmembers()
    assert {entry.mtime for entry in entries} == {EPOCH}
    assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, "", "")}
    names = {entry.name.partition("/")[2] for entry in entries}
    assert {"setup.py", "PKG-INFO", "gwucnn/_ext/step.pyx"} <= names
    with gzip.open(one) as packed:
        packed.read(1)
        assert packed.mtime == EPOCH
