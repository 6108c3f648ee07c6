"""setup.py and the headers: unsupported processors, and the flags for compilers on Windows (nothing is compiled)."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_setup_refuses_a_big_endian_processor():
    pytest.importorskip("setuptools", minversion="77")
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


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="the levels are those of x86-64")
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v3", "x86-64-v4"])
def test_the_headers_need_no_extension_of_the_language(level, tmp_path):
    """As MSVC sees them, except for what only MSVC has."""
    program = tmp_path / "kernels.c"
    program.write_text('#include "variants/kernels.h"\n')
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
    done = run(
        "gcc",
        "-std=c11",
        f"-march={level}",
        "-DGWUCNN_AS_MSVC",
        *warnings,
        "-Igwucnn/_ext",
        "-fsyntax-only",
        str(program),
    )
    assert done.returncode == 0, done.stderr


WINDOWS = """
import os, runpy, sys, types
import setuptools
module = runpy.run_path('setup.py')
command = module['BuildKernels'](setuptools.Distribution())
class Compiler:
    compiler_type, cc = 'msvc', 'cl'
    initialize = compile = link_executable = lambda self, *args, **options: None
command.compiler = Compiler()
command.extensions, command.parallel = list(module['extensions']()), 1
cythonized = types.ModuleType('Cython.Build')
cythonized.cythonize = lambda extensions, nthreads: extensions
sys.modules['Cython.Build'] = cythonized
module['build_ext'].build_extensions = lambda self: None
command.build_extensions()
print(command.compiler.cc, *command.extensions[0].extra_compile_args, *command.extensions[0].extra_link_args, sep='\\n')
"""


def windows(monkeypatch, **environment):
    pytest.importorskip("setuptools", minversion="77")
    for name in ("GWUCNN_CLANG_CL", "GWUCNN_DEBUG", "GWUCNN_OPENMP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return run(sys.executable, "-c", WINDOWS)


def test_on_windows_msvc_is_told_to_be_slow(monkeypatch):
    """With a compiler that does nothing: only the flags are looked at."""
    done = windows(monkeypatch)
    assert "/O2" in done.stdout.split() and "-O3" not in done.stdout, done.stderr
    assert "set GWUCNN_CLANG_CL=1 to build with clang-cl" in done.stderr
    assert "with 1 processes; this takes about two minutes" in done.stderr


def test_on_windows_clang_cl_takes_the_place_of_msvc(monkeypatch, tmp_path):
    program = tmp_path / "LLVM" / "bin" / "clang-cl"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    done = windows(monkeypatch, GWUCNN_CLANG_CL="1", PATH=str(program.parent))
    printed = done.stdout.split("\n")
    assert printed[0] == str(program), done.stderr
    assert {"/clang:-O3", "/openmp", str(tmp_path / "LLVM" / "lib" / "libomp.lib")} <= set(printed)
    assert "/O2" not in printed and "-Wl,-s" not in printed
    assert "MSVC" not in done.stderr


def test_clang_cl_that_is_missing_is_an_error(monkeypatch, tmp_path):
    done = windows(monkeypatch, GWUCNN_CLANG_CL="1", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "gwucnn: expected clang-cl on the PATH, got none; install LLVM, or unset GWUCNN_CLANG_CL"
    )


APPLE = """
import platform, runpy, setuptools
platform.system = lambda: 'Darwin'
module = runpy.run_path('setup.py')
command = module['BuildKernels'](setuptools.Distribution())
command.builds = lambda program, compile_flags, link_flags: BUILDS
print(*map(' '.join, command.openmp('unix')), sep='\\n')
"""


@pytest.mark.parametrize(
    ("builds", "flags"),
    [
        ("'-Xpreprocessor' in compile_flags and '-L/usr/local/opt/libomp/lib' in link_flags",
         ["-Xpreprocessor -fopenmp -I/usr/local/opt/libomp/include", "-L/usr/local/opt/libomp/lib -lomp"]),
        ("True", ["-fopenmp", "-fopenmp"]),
        ("False", ["", ""]),
    ],
)  # fmt: skip
def test_openmp_with_the_compiler_of_apple(builds, flags, monkeypatch):
    pytest.importorskip("setuptools", minversion="77")
    monkeypatch.delenv("GWUCNN_OPENMP", raising=False)
    done = run(sys.executable, "-c", APPLE.replace("BUILDS", builds))
    assert done.stdout.split("\n")[:2] == flags, done.stderr
    assert ("one thread; 'brew install libomp' brings it" in done.stderr) == (builds == "False")
