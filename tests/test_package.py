"""The installed package: its contents, the cost of importing it, and its metadata."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import gwucnn
import gwucnn.layers.base as layers

FOLDER = Path(gwucnn.__file__).parent
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())
# Compiled modules have no docstrings of ours, and the benchmark's peers run in interpreters of their own.
APART = ("gwucnn._ext", "gwucnn.bench.peers.")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(FOLDER)], "gwucnn.")
    if not module.name.startswith(APART) and not module.name.endswith("__main__")
)
# What users see; a benchmark is read, not called.
LIBRARY = ["gwucnn", *(name for name in MODULES if not name.startswith("gwucnn.bench."))]
COMPILED = ["step", "sweep", "naive", "variants.cpu", *gwucnn.kernels.MODULES.values()]


def public(module):
    """Yield (name, object) of what a module defines and offers."""
    for name in getattr(module, "__all__", []):
        found = getattr(module, name)
        if getattr(found, "__module__", module.__name__) == module.__name__:
            yield name, found


# ------------------------------------------------------------------------------------------------------ files


def test_the_tests_run_on_the_installed_package():
    """Not on the folder beside them, which holds nothing compiled."""
    assert not (FOLDER / "_ext" / "step.pyx").exists()
    assert Path(__file__).parents[1] / "gwucnn" != FOLDER


def test_types_are_there():
    assert "py.typed" in FILES
    for name in ("variants.cpu", "step", "naive"):
        stub = f"_ext/{name.replace('.', '/')}.pyi"
        assert stub in FILES
        module = importlib.import_module(f"gwucnn._ext.{name}")
        text = (FOLDER / stub).read_text()
        for function in (name for name in vars(module) if not name.startswith("_") and name.islower()):
            if callable(getattr(module, function)):
                assert f"def {function}(" in text, f"{stub} lacks {function}"


def test_compiled_modules_are_there_and_what_they_were_compiled_from_is_not():
    suffixes = {Path(name).suffix for name in FILES if "__pycache__" not in name}
    assert suffixes <= {".py", ".pyi", ".so", ".pyd", ".dylib", ".typed", ".npz"}
    assert not [name for name in FILES if name.endswith((".pyx", ".pxd", ".pxi", ".c", ".h"))]
    compiled = [Path(name).relative_to("_ext") for name in FILES if name.endswith((".so", ".pyd"))]
    present = {".".join([*path.parts[:-1], path.name.partition(".")[0]]) for path in compiled}
    assert {"step", "sweep", "naive", "variants.cpu", "variants.baseline"} <= present <= set(COMPILED)


def test_the_wheel_stays_small():
    """At most 3 MB packed; unpacked it is about three times as much."""
    assert sum((FOLDER / name).stat().st_size for name in FILES if "__pycache__" not in name) < 9_000_000


def test_the_version_is_that_of_the_metadata():
    assert gwucnn.__version__ == metadata.version("gwucnn")
    about = metadata.metadata("gwucnn")
    assert about["Name"] == "gwucnn"
    assert about["License-Expression"] == "MIT"
    needed = {
        requirement.split(">")[0].split(";")[0].strip()
        for requirement in metadata.requires("gwucnn") or []
        if "extra ==" not in requirement
    }
    assert needed == {"numpy", "tqdm", "safetensors"}


# ------------------------------------------------------------------------------------------------------ import


def test_import_is_silent_and_its_cost_is_printed():
    program = (
        "import sys, time, numpy\n"
        "start = time.perf_counter()\n"
        "import gwucnn\n"
        "print(1000 * (time.perf_counter() - start), file=sys.__stdout__)\n"
    )
    runs = [
        subprocess.run([sys.executable, "-P", "-W", "error", "-c", program], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert {run.stderr for run in runs} == {""}
    assert all(len(run.stdout.splitlines()) == 1 for run in runs)
    # Printed, not asserted: other work on the machine is no mistake of the package.
    print(f"import gwucnn costs {min(float(run.stdout) for run in runs):.1f} ms beyond numpy")


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported_by_itself(name):
    """A circle of imports may be hidden by the order in which the package imports them."""
    if name in (
        "gwucnn.datasets",
        "gwucnn.gwu_network",
        "gwucnn.kernels",
        "gwucnn.layers.conv",
        "gwucnn.ops",
    ):
        subprocess.run([sys.executable, "-P", "-W", "error", "-c", f"import {name}"], check=True)
    assert importlib.import_module(name).__name__ == name


# ------------------------------------------------------------------------------------------------------- names


def test_all_names_exist_once():
    for name in ("gwucnn", *MODULES):
        module = importlib.import_module(name)
        names = getattr(module, "__all__", [])
        assert len(set(names)) == len(names), name
        missing = [each for each in names if not hasattr(module, each)]
        assert missing == [], name
    assert set(gwucnn.__all__) <= set(dir(gwucnn))


def test_star_import_brings_what_is_offered():
    namespace = {}
    exec("from gwucnn import *", namespace)
    assert set(gwucnn.__all__) <= set(namespace)


@pytest.mark.parametrize("name", LIBRARY)
def test_everything_public_has_a_docstring(name):
    module = importlib.import_module(name)
    undocumented = [] if (module.__doc__ or "").strip() else [name]
    for offered, found in public(module):
        if not (inspect.isclass(found) or callable(found)):
            continue
        if not (inspect.getdoc(found) or "").strip():
            undocumented.append(f"{name}.{offered}")
        if inspect.isclass(found):
            own = ((key, value) for key, value in vars(found).items() if not key.startswith("_"))
            for key, value in own:
                documented = isinstance(value, (property, classmethod, staticmethod)) or inspect.isfunction(value)
                if documented and not inspect.getdoc(getattr(found, key)):
                    undocumented.append(f"{name}.{offered}.{key}")
    assert undocumented == []


def test_docstrings_begin_with_one_line_that_ends():
    """The first line stands alone in every list of functions."""
    for name in LIBRARY:
        for offered, found in public(importlib.import_module(name)):
            text = inspect.getdoc(found) if inspect.isclass(found) or callable(found) else None
            if text:
                first, *rest = text.splitlines()
                assert first.rstrip().endswith((".", ":", "?")), f"{name}.{offered}: {first}"
                assert not rest or not rest[0], f"{name}.{offered}: a blank line after the first"


# ---------------------------------------------------------------------------------------------------- doctests


def examples():
    """Yield every doctest of the package; those of ops hang on objects that doctest would pass by."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in ("gwucnn", *MODULES):
        module = importlib.import_module(name)
        names = {"np": np, **vars(module)}
        if (module.__doc__ or "").find(">>>") >= 0:
            yield doctest.DocTestParser().get_doctest(module.__doc__, names, name, module.__file__, 0)
        for offered, found in public(module):
            function = getattr(found, "__wrapped__", found)
            if inspect.isclass(function) or inspect.isfunction(function):
                found_tests = finder.find(function, f"{name}.{offered}", module, globs=names)
                yield from (test for test in found_tests if test.examples)


EXAMPLES = list(examples())


def test_there_are_doctests():
    assert {"gwucnn", "gwucnn.gwu_network.GWUNetwork", "gwucnn.ops.conv.conv2d"} <= {test.name for test in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=[test.name for test in EXAMPLES])
def test_doctests(example, monkeypatch):
    # A layer that an example defines counts as the package's own, as far as its module tells.
    monkeypatch.setattr(layers, "CLASSES", dict(layers.CLASSES))
    if example.name.startswith("gwucnn.plotting"):
        pytest.importorskip("matplotlib")
    if example.name.startswith("gwucnn.onnx"):
        pytest.importorskip("onnx")
    report = []
    result = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert result.failed == 0, "".join(report)
