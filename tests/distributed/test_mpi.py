"""Ranks as processes, through mpi4py and the installed MPI library. They run `mpi_program`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mpi_program

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
# Of the same environment first: an MPI library of another kind would start each rank as a team of one.
MPIEXEC = shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or shutil.which("mpiexec")
if MPIEXEC is None:
    pytest.skip("no mpiexec", allow_module_level=True)

PROGRAM = Path(mpi_program.__file__)
# For Open MPI, versions 4 and 5: more ranks than processors, and as root, as in a container.
ALLOWED = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMP_NUM_THREADS": "1",
}


def mpiexec(size, *program):
    """Return what came of a program on so many ranks, started as the documentation says."""
    command = [MPIEXEC, "-n", str(size), sys.executable, "-m", "mpi4py", *map(str, program)]
    return subprocess.run(command, env={**os.environ, **ALLOWED}, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module", params=[1, 2, 4])
def found(request, tmp_path_factory):
    """What each rank of a team of 1, 2 or 4 wrote down."""
    folder = tmp_path_factory.mktemp("ranks")
    done = mpiexec(request.param, PROGRAM, folder)
    assert done.returncode == 0, done.stderr
    ranks = [dict(np.load(folder / f"{rank}.npz")) for rank in range(request.param)]
    assert [int(rank["size"]) for rank in ranks] == [request.param] * request.param
    return ranks


@pytest.mark.parametrize("name", ["plain", "adam", "drawing", "again"])
def test_all_ranks_have_the_same_bits(found, name):
    for part in (f"{name} weights", f"{name} numbers"):
        assert len({rank[part].tobytes() for rank in found}) == 1


@pytest.mark.parametrize("name, options", [("plain", ()), ("adam", ("adam", 0.01))])
def test_ranks_together_train_as_one_does(found, name, options, threads):
    threads(1)  # as on the ranks: bits may depend on their number
    alone, losses = mpi_program.trained(None, *options)
    moved = found[0][f"{name} weights"]
    assert abs(moved - alone).max() <= 1e-12 * abs(alone).max()
    np.testing.assert_allclose(found[0][f"{name} numbers"], losses, rtol=1e-11)
    if len(found) == 1:
        assert moved.tobytes() == alone.tobytes()


def test_layers_that_draw_do_so_in_the_same_way_in_each_run(found, threads):
    threads(1)
    assert found[0]["drawing weights"].tobytes() == found[0]["again weights"].tobytes()
    alone, draws = mpi_program.drawing()
    assert found[0]["drawing numbers"].tolist() == draws
    if len(found) == 1:
        assert found[0]["drawing weights"].tobytes() == alone.tobytes()


@pytest.mark.parametrize("name, text", [("error", "OSError: torn page"), ("interrupted", "KeyboardInterrupt: ")])
def test_an_error_on_one_rank_ends_fit_on_all(found, name, text):
    *others, last = (str(rank[name]) for rank in found)
    assert last == text
    expected = (
        f"RuntimeError: fit: expected all ranks to finish, but rank {len(others)} failed with {text}; see its output"
    )
    assert others == [expected] * len(others)


def test_numbers_that_are_not_finite_end_fit_on_all_with_weights_as_they_were(found):
    *others, last = (str(rank["not finite"]) for rank in found)
    assert last.startswith("True: fit: epoch 1, batch 1: expected finite numbers")
    assert others == [f"{last} (on rank {len(others)})"] * len(others)


def test_a_team_continues_after_several_errors(found):
    assert all(rank["afterwards"].tobytes() == rank["plain weights"].tobytes() for rank in found)


def test_an_error_outside_of_fit_ends_all_ranks(tmp_path):
    """By `-m mpi4py`: the other rank would wait in `fit` for ever."""
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\n"
        "from gwucnn import Dense, GWUNetwork\n"
        "from gwucnn.distributed import DataParallel\n"
        "team = DataParallel()\n"
        "if team.rank:\n"
        "    raise ZeroDivisionError('one by none')\n"
        "network = GWUNetwork([Dense(1)])\n"
        "network.compile('mse')\n"
        "network.fit(np.ones((4, 2)), np.ones(4), distributed=team)\n"
        "print('trained')\n"
    )
    done = mpiexec(2, program)
    assert done.returncode != 0
    assert "one by none" in done.stderr
    assert "trained" not in done.stdout
