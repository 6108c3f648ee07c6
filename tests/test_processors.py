"""The default number of threads: affinity masks, CPU quotas of control groups, environment variables, threadpoolctl."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from gwucnn import kernels, processors

needs_openmp = pytest.mark.skipif(not kernels._step.OPENMP, reason="built without OpenMP")
needs_linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")


@pytest.fixture
def machine(monkeypatch):
    """A machine on which this process may use eight processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def control_groups(tmp_path, memberships, files):
    """Write the files that describe control groups, and return how many processors may be used."""
    proc, mounts = tmp_path / "cgroup", tmp_path / "mounts"
    proc.write_text(memberships)
    for name, text in files.items():
        path = mounts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return processors.available(str(proc), str(mounts))


CASES = {
    "version 2, no limit": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, 8),
    "version 2": ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n"}, 2),
    "version 2, half a processor": ("0::/a\n", {"a/cpu.max": "50000 100000\n"}, 1),
    "version 2, one and a half": ("0::/a\n", {"a/cpu.max": "150000 100000\n"}, 2),
    "version 2, more than there are": ("0::/a\n", {"a/cpu.max": "1600000 100000\n"}, 8),
    "version 2, a group above": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
    "version 2, the smallest of several": (
        "0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "500000 100000\n"}, 4),
    "version 2, the path of the host": ("0::/docker/1234\n", {"cpu.max": "200000 100000\n"}, 2),
    "version 2, mounted beside version 1": ("3:memory:/m\n0::/a\n", {"unified/a/cpu.max": "200000 100000\n"}, 2),
    "version 1, no limit": (
        "4:cpu,cpuacct:/a\n",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"}, 8),
    "version 1": (
        "4:cpu,cpuacct:/a\n5:cpuset:/\n",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"}, 3),
    "version 1, mounted as cpu": (
        "4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    "another group's quota": ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, 8),
    "files that make no sense": ("0::/a\nnonsense\n\n", {"a/cpu.max": "many\n", "cpu.max": "100000 0\n"}, 8),
    "no control groups": ("", {}, 8),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_quotas_of_control_groups(machine, tmp_path, case):
    memberships, files, wanted = CASES[case]
    assert control_groups(tmp_path, memberships, files) == wanted


def test_without_control_groups_the_affinity_mask_counts(machine, tmp_path):
    assert processors.available(str(tmp_path / "absent"), str(tmp_path)) == 8


def test_without_an_affinity_mask_all_processors_count(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processors.available(str(tmp_path), str(tmp_path)) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors.available(str(tmp_path), str(tmp_path)) == 1


# ------------------------------------------------------------------------------------------- in a new process

PROGRAM = "import gwucnn; print(gwucnn.get_num_threads())"


def threads_in(program=PROGRAM, before="", **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{before}\n{program}"], env=inherited | environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@needs_openmp
@needs_linux
def test_a_process_on_one_processor_uses_one_thread():
    assert threads_in(before="import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])") == 1


@needs_openmp
@needs_linux
def test_a_quota_that_the_kernel_enforces():
    """In a control group made for the occasion, where this process has the right to do so."""
    name = f"gwucnn-{uuid.uuid4().hex}"
    for group, file, text in (
        (Path("/sys/fs/cgroup/cpu") / name, "cpu.cfs_quota_us", "100000"),
        (Path("/sys/fs/cgroup") / name, "cpu.max", "100000 100000"),
    ):
        if not group.parent.is_dir() or not (group.parent / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / file).exists():
                (group / file).write_text(text)
                join = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
                assert threads_in(before=join) == 1
                assert threads_in(before=join, OMP_NUM_THREADS="2") == 2  # the user's word counts
                return
        finally:
            group.rmdir()
    pytest.skip("this process may not create control groups with a CPU quota")


@needs_openmp
def test_threadpoolctl_limits_threads():
    pytest.importorskip("threadpoolctl")
    program = (
        "import gwucnn, threadpoolctl\n"
        "with threadpoolctl.threadpool_limits(1):\n"
        "    within = gwucnn.get_num_threads()\n"
        "print(10 * gwucnn.get_num_threads() + within)\n"
    )
    assert threads_in(program, OMP_NUM_THREADS="3") == 31
