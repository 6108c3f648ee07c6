"""Compile the kernels. Everything else about the package is in pyproject.toml.

Environment:
    GWUCNN_DEBUG=1      build with the sanitizers for addresses and undefined behaviour (gcc or clang)
    GWUCNN_OPENMP=0     build without OpenMP: kernels then use one thread
    CC                  the C compiler, where setuptools reads it (not on Windows)
"""

import os
import platform
import re
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("gwucnn/_ext")
DEBUG = os.environ.get("GWUCNN_DEBUG") == "1"
OPENMP = os.environ.get("GWUCNN_OPENMP") != "0"
X86_64 = platform.machine().lower() in {"x86_64", "amd64"}

# The same kernels for each level of the processor; kernels.py chooses when the package is imported.
VARIANTS = {"baseline": {"unix": ["-O3"], "msvc": []}}
if X86_64:
    VARIANTS["x86_64_v3"] = {"unix": ["-O3", "-march=x86-64-v3"], "msvc": ["/arch:AVX2"]}
    VARIANTS["x86_64_v4"] = {
        "unix": ["-O3", "-march=x86-64-v4", "-mprefer-vector-width=512"],
        "msvc": ["/arch:AVX512"],
    }
# The other modules hold no fast loops: -O2 takes a third off their time to compile.
OTHERS = {"unix": ["-O2"], "msvc": []}

# Longest first, so that two processors are busy to the end: x86_64_v4 takes as long as all the others
# together.
MODULES = [*(f"variants.{name}" for name in reversed(VARIANTS)), "naive", "step", "sweep", "variants.cpu"]

# No -ffast-math: NaN must stay NaN. These two only drop errno and floating-point exceptions, which nothing
# reads.
OPTIMIZE = {"unix": ["-g0", "-fno-math-errno", "-fno-trapping-math"], "msvc": ["/O2", "/std:c11"]}
# -fno-wrapv: CPython's own flags would hide signed overflow from the sanitizer.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv", "-fstrict-overflow", *SANITIZERS]


class BuildKernels(build_ext):
    """Translate and compile, in parallel, with the flags that the compiler at hand understands."""

    def build_extensions(self):
        from Cython.Build import cythonize  # here, as an sdist or metadata need no translation

        translated = cythonize(self.extensions)
        for extension, made in zip(self.extensions, translated, strict=True):
            extension.sources = made.sources
        self.parallel = self.parallel or os.cpu_count()
        kind = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        compile_openmp, link_openmp = self.openmp(kind)
        for extension in self.extensions:
            variant = VARIANTS.get(extension.name.rpartition(".")[2], OTHERS)[kind]
            optimize = SANITIZE if DEBUG and kind == "unix" else OPTIMIZE[kind]
            extension.extra_compile_args = [*variant, *optimize, *compile_openmp]
            extension.extra_link_args = [*link_openmp]
            if kind == "unix":
                extension.extra_link_args += SANITIZERS if DEBUG else stripped()
        super().build_extensions()

    def openmp(self, kind):
        """Return the flags for OpenMP, or none where a trial program does not compile (Apple's clang)."""
        if not OPENMP:
            return [], []
        flags = (["/openmp"], []) if kind == "msvc" else (["-fopenmp"], ["-fopenmp"])
        with tempfile.TemporaryDirectory() as folder:
            trial = Path(folder, "trial.c")
            trial.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([str(trial)], output_dir=folder, extra_postargs=flags[0])
                self.compiler.link_executable(objects, str(Path(folder, "trial")), extra_postargs=flags[1])
            except Exception as error:  # distutils raises its own kinds, by platform
                print(f"gwucnn: building without OpenMP, kernels will use one thread ({error})")
                return [], []
        return flags


def stripped():
    """Symbols would double the size of a module; Apple's linker has another word for leaving them out."""
    return [] if platform.system() == "Darwin" else ["-Wl,-s"]


def extensions():
    included = [str(path) for kind in ("*.pxi", "*.pxd", "*.h") for path in sorted(SOURCES.rglob(kind))]
    for name in MODULES:
        source = SOURCES.joinpath(*name.split(".")).with_suffix(".pyx")
        yield Extension(f"gwucnn._ext.{name}", [source.as_posix()], include_dirs=[SOURCES.as_posix()], depends=included)


def build_folder():
    """Name a folder for each way to build, so that what one left there does not pass for the other's."""
    ways = ["debug" if DEBUG else "release", "" if OPENMP else "serial", os.environ.get("CC", "")]
    return "build/" + re.sub(r"\W+", "_", "_".join(filter(None, ways)))


setup(
    ext_modules=list(extensions()),
    cmdclass={"build_ext": BuildKernels},
    options={"build": {"build_base": build_folder()}},
)
