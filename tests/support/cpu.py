"""The CPU time of this process and of everything that it starts, with daemons of a test cluster."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def total_cpu_clock() -> Callable[[], float]:
    """Return a clock of CPU seconds: this process, its children, and daemons that outlive them.

    A cgroup counts all of them. Without permission to create one, only this process and the
    children that it waited for are counted, not the processes of a test cluster.
    """
    for folder, read in ((CGROUPS / "cpuacct", _usage_v1), (_own_cgroup_v2(), _usage_v2)):
        with contextlib.suppress(OSError, IndexError, ValueError):
            return _clock_of(folder, read)
    return _waited_for


def _clock_of(folder: Path, read: Callable[[Path], float]) -> Callable[[], float]:
    """Move this process into a new cgroup below `folder`. Raises OSError."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    group = folder / f"tests-{os.getpid()}"
    group.mkdir(exist_ok=True)
    (group / "cgroup.procs").write_text(str(os.getpid()))
    read(group)
    return lambda: read(group)


def _own_cgroup_v2() -> Path:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return CGROUPS / own.lstrip("/")


def _usage_v1(group: Path) -> float:
    return int((group / "cpuacct.usage").read_text()) / 1e9


def _usage_v2(group: Path) -> float:
    fields = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(fields["usage_usec"]) / 1e6


def _waited_for() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
