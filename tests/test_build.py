"""What setup.py and the headers say to processors that are not supported."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_setup_refuses_a_big_endian_processor():
    pytest.importorskip("setuptools")
    program = (
        "import runpy, sys; import setuptools; sys.byteorder = 'big'; sys.argv = ['setup.py', 'build_ext']; "
        "runpy.run_path('setup.py', run_name='__main__')"
    )
    done = run(sys.executable, "-c", program)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "gwucnn: expected a little-endian processor, got a big-endian one; random numbers and saved files rely on "
        "little-endian numbers, so the package cannot be built here"
    )


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
@pytest.mark.parametrize(("order", "status"), [("LITTLE", 0), ("BIG", 1)])
def test_the_headers_refuse_a_big_endian_processor(order, status, tmp_path):
    program = tmp_path / "empty.c"
    program.write_text('#include "simd/target.h"\n')
    defined = ["-U__BYTE_ORDER__", f"-D__BYTE_ORDER__=__ORDER_{order}_ENDIAN__"]
    done = run("gcc", *defined, "-Igwucnn/_ext", "-fsyntax-only", str(program))
    assert done.returncode == status, done.stderr
    assert ("big-endian processors are not supported" in done.stderr) == (status == 1)
