"""How many processors this process may use: its affinity mask, limited by the CPU quota of its control groups.

A container that is granted two of 64 processors sees all 64. With a thread for each, it would use up its quota at the
beginning of every period of 100 ms and then stand still for the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil

__all__ = ["available"]


def available(proc: str = "/proc/self/cgroup", mounts: str = "/sys/fs/cgroup") -> int:
    """Return the number of processors that this process may use, at least 1.

    A quota of one and a half processors counts as two. `proc` and `mounts` are where Linux describes control groups;
    other systems have none.
    """
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        processors = os.cpu_count() or 1
    return max(1, min([processors, *map(ceil, _quotas(proc, mounts))]))


def _quotas(proc: str, mounts: str) -> Iterator[float]:
    """Yield the quotas, in processors, of the groups of this process and of all groups above them."""
    try:
        memberships = _text(proc).splitlines()
    except OSError:
        return
    for line in memberships:
        # number:controllers:path, see cgroups(7); version 2 has number 0 and names no controllers
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            roots, quota_of = (mounts, f"{mounts}/unified"), _quota_of_version_2
        elif "cpu" in controllers.split(","):
            roots, quota_of = (f"{mounts}/{controllers}", f"{mounts}/cpu"), _quota_of_version_1
        else:
            continue
        # From the group up to the root. In a container the path may be the host's, which does not exist below the
        # mounted root; the root then has the container's own quota.
        names = group.strip("/").split("/")
        for root in roots:
            for depth in range(len(names), -1, -1):
                try:
                    quota = quota_of("/".join([root, *names[:depth]]))
                except (OSError, ValueError, ZeroDivisionError):
                    continue  # no such group, no limit ("max"), or the host's root group, which has none
                if quota > 0:
                    yield quota


def _quota_of_version_1(group: str) -> float:
    """Return the quota by the files of cgroups version 1, where -1 means no limit."""
    return int(_text(f"{group}/cpu.cfs_quota_us")) / int(_text(f"{group}/cpu.cfs_period_us"))


def _quota_of_version_2(group: str) -> float:
    quota, period = _text(f"{group}/cpu.max").split()
    return int(quota) / int(period)


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
