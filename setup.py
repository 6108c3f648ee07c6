"""Compile the kernels. Everything else about the package is configured in pyproject.toml.

Environment variables:
    GWUCNN_DEBUG=1      build with the address and undefined-behaviour sanitizers (gcc or clang)
    GWUCNN_WERROR=1     warnings of gcc and clang are errors
    GWUCNN_OPENMP=0     build without OpenMP: kernels then use one thread
    GWUCNN_CLANG_CL=1   on Windows, compile with clang-cl in place of MSVC, which lacks the vector types of the kernels
    CC                  the C compiler, on platforms where setuptools reads this variable (not on Windows)
    SOURCE_DATE_EPOCH   the time, in seconds since 1970, that sdist and wheel give to every file in them
"""

import gzip
import os
import platform
import re
import shutil
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

SOURCES = Path("gwucnn/_ext")
DEBUG = os.environ.get("GWUCNN_DEBUG") == "1"
WERROR = os.environ.get("GWUCNN_WERROR") == "1"
OPENMP = os.environ.get("GWUCNN_OPENMP") != "0"
CLANG_CL = os.environ.get("GWUCNN_CLANG_CL") == "1"
# One wheel serves Python 3.11 and every later version, because it uses only CPython's stable interface. Free-threaded
# Python has none yet.
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")
OLDEST = (3, 11)

# The processor that Python itself was compiled for: a 32-bit Python on a 64-bit kernel is told the kernel's name, and
# Pyodide's compiler runs beside this machine's Python.
MACHINE, WIDE = platform.machine().lower(), sys.maxsize > 2**32
if sysconfig.get_platform().endswith("wasm32"):
    MACHINE = "wasm32"
X86_64 = WIDE and MACHINE in {"x86_64", "amd64"}
X86_32 = not WIDE and MACHINE in {"x86_64", "amd64", "x86", "i386", "i486", "i586", "i686"}
AARCH64 = WIDE and MACHINE in {"aarch64", "arm64"}

# The same kernels, compiled for each level of the instruction set; gwucnn/kernels.py selects one at import.
VARIANTS = {"baseline": {"unix": ["-O3"], "msvc": []}}
if X86_64:
    VARIANTS["x86_64_v3"] = {"unix": ["-O3", "-march=x86-64-v3"], "msvc": ["/arch:AVX2"]}
    VARIANTS["x86_64_v4"] = {
        "unix": ["-O3", "-march=x86-64-v4", "-mprefer-vector-width=512"],
        "msvc": ["/arch:AVX512"],
    }
if AARCH64:
    # GCC's first scheduling pass moves loads of a register tile ahead of the multiply-adds, as if registers were
    # plenty; sums are then kept in memory (GCC 12: 67 instructions, six of them loads and stores of sums, for the 28
    # multiply-adds of a tile of convolutions; 61 without the pass, which touch no memory but image and weights). Clang
    # does not know the option. No newer level: the dot products of ARMv8.2 are of integers, and whether the wider
    # vectors of SVE pay has to be measured on a processor that has them.
    VARIANTS["armv8_a"] = {
        "unix": ["-O3", "-fno-schedule-insns", "-Wno-ignored-optimization-argument"],
        "msvc": [],
    }
# The other modules contain no performance-critical loops; -O2 shortens their compile time by a third. The textbook's
# loops are there to be read: -Os makes them a third smaller and a seventh slower.
OTHERS = {"unix": ["-O2"], "msvc": []}
FLAGS = {**VARIANTS, "naive": {"unix": ["-Os"], "msvc": []}}

# Slowest to compile first, so that two processors stay busy to the end: x86_64_v4 takes as long as all others together.
MODULES = [*(f"variants.{name}" for name in reversed(VARIANTS)), "naive", "step", "sweep", "variants.cpu"]

# No -ffast-math, because NaN must stay NaN. These two flags only give up errno and floating-point exceptions, which
# nothing reads. /fp:contract lets MSVC fuse multiply-adds, as gcc and clang do.
OPTIMIZE = {"unix": ["-g0", "-fno-math-errno", "-fno-trapping-math"], "msvc": ["/O2", "/std:c11", "/fp:contract"]}
if X86_32:
    # Without SSE2, GCC computes in the registers of the 8087, which round to 64 bits, and to 24 or 53 when they are
    # stored: results would depend on what the compiler keeps in registers. Processors have had SSE2 since 2001.
    OPTIMIZE["unix"] += ["-msse2", "-mfpmath=sse"]
# -fno-wrapv, because CPython's own flags include -fwrapv, which hides signed overflow from the sanitizer.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv", "-fstrict-overflow", *SANITIZERS]

# Without the two that complain about what Cython writes.
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-type-limits"] if WERROR else []


class BuildKernels(build_ext):
    """Translate to C and compile in parallel, with flags for the compiler in use."""

    def build_extensions(self):
        if sys.byteorder == "big":
            raise SystemExit(
                "gwucnn: expected a little-endian processor, got a big-endian one; random numbers and saved files rely "
                "on little-endian numbers, so the package cannot be built here"
            )
        from Cython.Build import cythonize  # imported here, because building an sdist or metadata does not need Cython

        self.parallel = self.parallel or os.cpu_count()
        print(
            f"gwucnn: compiling the kernels for {len(VARIANTS)} instruction sets with {self.parallel} processes; "
            "this takes about two minutes of processor time",
            file=sys.stderr,
        )
        translated = cythonize(self.extensions, nthreads=self.parallel)
        for extension, result in zip(self.extensions, translated, strict=True):
            extension.sources = result.sources
        kind = self.kind_of_compiler()
        compile_openmp, link_openmp = self.openmp(kind)
        for extension in self.extensions:
            options = "msvc" if kind == "msvc" else "unix"
            variant = FLAGS.get(extension.name.rpartition(".")[2], OTHERS)[options]
            optimize = SANITIZE if DEBUG and kind == "unix" else OPTIMIZE[options]
            flags = [*variant, *optimize]
            if kind == "clang-cl":
                flags = [f"/clang:{flag}" for flag in flags]  # it takes the flags of clang in this form
            if kind == "unix":
                flags += WARNINGS
            extension.extra_compile_args = [*flags, *compile_openmp]
            extension.extra_link_args = [*link_openmp]
            if kind == "unix":
                extension.extra_link_args += SANITIZERS if DEBUG else stripped()
        super().build_extensions()

    def kind_of_compiler(self):
        """Return 'unix' (gcc or clang), 'msvc' or 'clang-cl', which takes the place of MSVC."""
        if self.compiler.compiler_type != "msvc":
            return "unix"
        if not CLANG_CL:
            print(
                "gwucnn: building with MSVC, which lacks the vector types of gcc and clang: kernels will be about four "
                "times slower; install LLVM and set GWUCNN_CLANG_CL=1 to build with clang-cl",
                file=sys.stderr,
            )
            return "msvc"
        found = shutil.which("clang-cl") or shutil.which("clang-cl", path=r"C:\Program Files\LLVM\bin")
        if found is None:
            raise SystemExit("gwucnn: expected clang-cl on the PATH, got none; install LLVM, or unset GWUCNN_CLANG_CL")
        self.compiler.initialize()
        self.compiler.cc = found
        return "clang-cl"

    def openmp(self, kind):
        """Return the compiler and linker flags for OpenMP, or none if a test program builds with none of them."""
        if not OPENMP:
            return [], []
        if kind == "msvc":
            choices = [(["/openmp"], [])]
        elif kind == "clang-cl":  # MSVC's linker has to be told where LLVM's library is
            choices = [(["/openmp"], [str(Path(self.compiler.cc).parents[1] / "lib" / "libomp.lib")])]
        else:
            choices = [(["-fopenmp"], ["-fopenmp"]), *apple_openmp()]
        for compile_flags, link_flags in choices:
            if self.builds(
                "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n", compile_flags, link_flags
            ):
                return compile_flags, link_flags
        advice = "; 'brew install libomp' brings it" if platform.system() == "Darwin" else ""
        print(f"gwucnn: the compiler has no OpenMP, so kernels will use one thread{advice}", file=sys.stderr)
        return [], []

    def builds(self, program, compile_flags, link_flags):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "trial.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                self.compiler.link_executable(objects, str(Path(folder, "trial")), extra_postargs=link_flags)
            except Exception:  # its type depends on the platform
                return False
        return True


def apple_openmp():
    """Yield flags for Apple's clang, which knows OpenMP as an option of its preprocessor only and brings no library.

    Homebrew's library is looked for where it installs it, on Apple's processors and on Intel's.
    """
    if platform.system() == "Darwin":
        for prefix in ("/opt/homebrew/opt/libomp", "/usr/local/opt/libomp"):
            yield ["-Xpreprocessor", "-fopenmp", f"-I{prefix}/include"], [f"-L{prefix}/lib", "-lomp"]


class ReproducibleSdist(sdist):
    """With SOURCE_DATE_EPOCH set, make the same archive of the same files on every machine.

    setuptools honours the variable for wheels only. Its sdist records when the files were checked out, who did it, the
    umask, and when they were packed.
    """

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)

        def normalized(entry):
            entry.mtime = int(epoch)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            return entry

        self.mkpath(os.path.dirname(base_name) or ".")
        with (
            open(f"{base_name}.tar.gz", "wb") as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=int(epoch)) as packed,
            tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(Path(root_dir or ".", base_dir), base_dir, filter=normalized)  # sorted by name
        return file.name


def stripped():
    """Return the linker flag that omits symbols, which would double a module's size; Apple's linker lacks it."""
    return [] if platform.system() == "Darwin" else ["-Wl,-s"]


def extensions():
    """Yield the extension modules. Each is rebuilt if any of the included files changes."""
    included = [str(path) for kind in ("*.pxi", "*.pxd", "*.h") for path in sorted(SOURCES.rglob(kind))]
    for name in MODULES:
        source = SOURCES.joinpath(*name.split(".")).with_suffix(".pyx")
        yield Extension(
            f"gwucnn._ext.{name}",
            [source.as_posix()],
            include_dirs=[SOURCES.as_posix()],
            depends=included,
            py_limited_api=STABLE,
            define_macros=[("Py_LIMITED_API", "0x{:02x}{:02x}0000".format(*OLDEST))] if STABLE else [],
        )


def build_folder():
    """Return a separate build folder for each configuration, so that object files of different ones are not mixed."""
    options = ["debug" if DEBUG else "release", "" if OPENMP else "serial", os.environ.get("CC", "")]
    return "build/" + re.sub(r"\W+", "_", "_".join(filter(None, options)))


if __name__ == "__main__":  # the processes that translate import this file again, where processes cannot be forked
    setup(
        ext_modules=list(extensions()),
        cmdclass={"build_ext": BuildKernels, "sdist": ReproducibleSdist},
        options={
            "build": {"build_base": build_folder()},
            "bdist_wheel": {"py_limited_api": "cp{}{}".format(*OLDEST)} if STABLE else {},
        },
    )
