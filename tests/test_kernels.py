"""Which compiled kernels run, on how many threads: detection, environment variables, errors, forks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gwucnn
from gwucnn import kernels

PACKAGE = Path(gwucnn.__file__).parent

needs_openmp = pytest.mark.skipif(not kernels._step.OPENMP, reason="built without OpenMP")


def run(program, **environment):
    """Run a Python program in a process of its own, with these environment variables."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("GWUCNN_ISA", "OMP_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def last_line(done):
    return done.stderr.strip().splitlines()[-1]


# ------------------------------------------------------------------------------------------ instruction sets


def test_the_best_is_taken():
    assert set(kernels.supported()) <= set(kernels.MODULES)
    assert "baseline" in kernels.supported()
    done = run("from gwucnn.kernels import isa; print(isa())")
    assert (done.stdout, done.stderr) == (f"{kernels.supported()[0]}\n", "")


@pytest.mark.parametrize("name", kernels.supported())
def test_the_environment_chooses(name):
    program = "from gwucnn import kernels as k; print(k.isa(), k.active.__name__, k.active is k._extension(k.MODULES[k.isa()]))"
    done = run(program, GWUCNN_ISA=name)
    assert done.stdout == f"{name} gwucnn._ext.{kernels.MODULES[name]} True\n", done.stderr


def test_an_empty_environment_variable_is_none():
    assert run("import gwucnn.kernels as k; print(k.isa())", GWUCNN_ISA="").stdout.strip() in kernels.MODULES


@pytest.mark.parametrize("name", ["avx2", "V4", "x86-64-v5", "Baseline", " baseline"])
def test_an_unknown_name_is_an_error(name):
    done = run("import gwucnn", GWUCNN_ISA=name)
    assert done.returncode == 1
    assert last_line(done) == (
        f"ValueError: GWUCNN_ISA: expected one of 'baseline', 'armv8-a', 'x86-64-v3', 'x86-64-v4', got {name!r}"
    )


def test_an_unsupported_name_is_an_error(monkeypatch):
    before = kernels.isa()
    monkeypatch.setattr(kernels, "supported", lambda: ("baseline",))
    with pytest.raises(ValueError) as caught:
        kernels.select("x86-64-v4")
    assert str(caught.value) == (
        "GWUCNN_ISA: expected one of 'baseline', which this processor and its operating system support, got "
        "'x86-64-v4'; unset GWUCNN_ISA to take the best"
    )
    assert kernels.isa() == before


def test_a_missing_extension_says_how_to_build_it(tmp_path):
    """What one sees who imports the source folder."""
    shutil.copytree(PACKAGE, tmp_path / "gwucnn", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    done = run("import gwucnn", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert last_line(done) == (
        "ImportError: gwucnn: the compiled module gwucnn._ext.variants.cpu is missing; build and install the package with "
        "'pip install .' and import it from outside its source folder"
    )


# --------------------------------------------------------------------------------------------------- threads


@needs_openmp
@pytest.mark.parametrize("n", [1, 2, 3])
def test_omp_num_threads_is_honoured(n):
    program = "import gwucnn; print(gwucnn.get_num_threads())"
    assert run(program, OMP_NUM_THREADS=str(n)).stdout == f"{n}\n"


@needs_openmp
def test_without_it_there_are_as_many_as_processors():
    program = "import gwucnn, os; print(gwucnn.get_num_threads() == len(os.sched_getaffinity(0)))"
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("cannot count the processors that this process may use")
    assert run(program).stdout == "True\n"


def test_set_num_threads(threads):
    for n in (1, np.int64(1)):
        threads(n)
        assert gwucnn.get_num_threads() == 1
    threads(3)
    assert gwucnn.get_num_threads() == (3 if kernels._step.OPENMP else 1)


@pytest.mark.parametrize("n", [0, -1, 1.0, "2", None, True, 1025, 10**12])
def test_invalid_number_of_threads(n):
    before = gwucnn.get_num_threads()
    with pytest.raises(ValueError) as caught:
        gwucnn.set_num_threads(n)
    assert str(caught.value) == f"set_num_threads: expected an integer from 1 to 1024, got {n!r}"
    assert gwucnn.get_num_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_after_two_threads_does_not_hang():
    """The child of a process whose OpenMP has threads would wait for ever for threads that it does not have."""
    program = """if True:
        import os, sys, warnings
        import numpy as np
        import gwucnn
        warnings.simplefilter("ignore")
        gwucnn.set_num_threads(2)
        x, weight = np.ones((16, 30, 30, 8), "float32"), np.ones((3, 3, 8, 16), "float32")
        expected = gwucnn.ops.conv2d(x, weight)
        child = os.fork()
        if child == 0:
            same = np.array_equal(gwucnn.ops.conv2d(x, weight), expected)
            os._exit(0 if same and gwucnn.get_num_threads() == 1 else 1)
        status = os.waitpid(child, 0)[1]
        assert np.array_equal(gwucnn.ops.conv2d(x, weight), expected)
        print(os.waitstatus_to_exitcode(status), gwucnn.get_num_threads())
    """
    done = run(program)
    assert done.stdout == f"0 {2 if kernels._step.OPENMP else 1}\n", done.stderr


# ------------------------------------------------------------------------------------------------ the report


def test_show_config_prints_what_a_bug_report_needs(capsys, threads, isa):
    threads(1)
    assert gwucnn.show_config() is None
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[0] == (
        f"gwucnn {gwucnn.__version__}, numpy {np.__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}"
    )
    assert printed[1].startswith("system: ")
    assert printed[2] == f"instruction set: {isa} (supported here: {', '.join(kernels.supported())})"
    assert printed[3].startswith("threads: 1 ")
