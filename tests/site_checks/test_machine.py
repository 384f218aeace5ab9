"""`clusterrun doctor` on the login node and on compute nodes: disks, quotas, Python, clocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterrun.job_spec.model import Environment
from clusterrun.site_checks import disk, software
from clusterrun.site_checks.node_rules import judge_visit
from clusterrun.site_checks.on_nodes import Exchange, Visit
from tests.support.sites import by_topic


def place(kind: str, **changed: Any) -> disk.RunRootFacts:
    scratch = Path("/scratch/alice")
    return disk.RunRootFacts(**{"folder": scratch / "runs", "there": scratch, "mount": Path("/scratch"), "kind": kind,
                         "free": 10**12, "files": 10**6, "writable": True, **changed})  # fmt: skip


@pytest.mark.parametrize(("found", "verdicts"), [
    (place("nfs"), {"run root": "ok", "space": "ok"}),
    (place("lustre", files=None), {"run root": "ok", "space": "ok"}),
    (place("ext2/ext3"), {"run root": "warning", "space": "ok"}),
    (place("tmpfs"), {"run root": "problem", "space": "ok"}),
    (place("xfs", there=Path("/tmp/x"), mount=Path("/")), {"run root": "problem", "space": "ok"}),
    (place("xfs", there=Path("/tmp/x"), mount=Path("/tmp")), {"run root": "problem", "space": "ok"}),
    (place("nfs", there=Path("/tmp/x"), mount=Path("/tmp/x")), {"run root": "ok", "space": "ok"}),
    (place("nfs", free=10**9), {"run root": "ok", "space": "warning"}),
    (place("nfs", files=12), {"run root": "ok", "space": "ok", "files": "warning"}),
    (place("nfs", writable=False), {"run root": "problem"}),
])  # fmt: skip
def test_the_folder_of_runs(found, verdicts):
    """A folder local to each machine is a problem, also if only a parent is local."""
    assert {
        topic: one.verdict for topic, one in by_topic(disk.judge_run_root(found)).items()
    } == verdicts


def test_this_machines_own_disks():
    """`stat`, mounts and free space are read; tmpfs is detected, a missing folder uses its parent."""
    shm = disk.inspect_folder(Path("/dev/shm/clusterrun/none"))
    assert (shm.there, shm.kind, shm.writable) == (Path("/dev/shm"), "tmpfs", True)
    assert shm.free > 0
    assert disk.check_run_root(shm.folder)[0].verdict == "problem"
    (long,) = disk.check_run_root(Path("/dev/shm") / ("x" * 300))
    assert (long.verdict, long.message.endswith(": file name too long")) == ("problem", True)


def test_quotas():
    """quota(1) prints rows in blocks of 1024 bytes; an asterisk marks an exceeded limit."""
    text = """Disk quotas for user alice (uid 20001):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
nfs:/home 95000000  100000000 110000000            1000       0       0
/dev/sdb1 2000* 1000 3000 6days 5 0 0
/dev/sdc1 2000 0 0 5 0 0
"""
    found = disk.check_quota(text)
    assert [(one.verdict, one.message) for one in found] == [
        ("warning", "nfs:/home: 97.3 of 102.4 GB"),
        ("problem", "/dev/sdb1: 0.0 of 0.0 GB: used up"),
    ]
    assert disk.check_quota("Disk quotas for user alice (uid 20001): none\n") == []


def test_versions_in_an_environment():
    """A missing package is a problem; one older than the `train` extra requires is a warning."""
    assert set(software.required_versions()) == {"torch", "accelerate", "transformers"}
    good = {
        "python": "3.11.2",
        "torch": "2.13.0+cpu",
        "accelerate": "1.15.0",
        "transformers": "5.18.0",
        "clusterrun": None,
    }
    (one,) = software.check_versions("x", good)
    assert (one.verdict, one.message) == (
        "ok",
        "x: python 3.11.2, torch 2.13.0+cpu, accelerate 1.15.0, transformers 5.18.0",
    )
    (one,) = software.check_versions("x", {**good, "accelerate": None})
    assert (one.verdict, one.message.endswith("has no accelerate")) == ("problem", True)
    (one,) = software.check_versions("x", {**good, "accelerate": "1.9.5"})
    assert (one.verdict, "accelerate>=1.13" in one.fix) == ("warning", True)


def test_which_python_is_checked(monkeypatch):
    """It is that of a venv, a conda folder or a named conda environment; else only the nodes know."""
    monkeypatch.setenv("CONDA_EXE", "/opt/conda/bin/conda")
    work = Path("/project")
    assert software.find_python(Environment(venv=".venv"), work) == Path(
        "/project/.venv/bin/python"
    )
    assert software.find_python(Environment(conda="/opt/envs/a"), work) == Path(
        "/opt/envs/a/bin/python"
    )
    assert software.find_python(Environment(conda="a"), work) == Path(
        "/opt/conda/envs/a/bin/python"
    )
    assert software.find_python(Environment(modules=("python",)), work) is None
    based = Environment(conda="a", conda_base="/scratch/mini")
    assert software.find_python(based, work) == Path("/scratch/mini/envs/a/bin/python")
    assert software.find_python(Environment(uv="."), work) == Path("/project/.venv/bin/python")
    (one,) = software.check_python(Path("/nowhere/bin/python"))
    assert one.verdict == "problem"


def report(**changed: str) -> dict[str, str]:
    versions = json.dumps(
        {"python": "3.11.2", "torch": "2.13.0", "accelerate": "1.15.0", "transformers": "5.18.0"}
    )
    return {"host": "n1", "nodes": "2", "address": "10.0.0.1:12345", "tmp": "9000000", "shm": "9000000", "gpus": "0",
            "given": "", "python": "/venv/bin/python", "versions": versions, "met": "met", **changed}  # fmt: skip


def verdicts(visit: Visit) -> dict[str, str]:
    """The worst verdict on each topic."""
    order = ("ok", "warning", "problem")
    found: dict[str, str] = {}
    for one in judge_visit(visit):
        found[one.topic] = max(found.get(one.topic, "ok"), one.verdict, key=order.index)
    return found


WELL = {
    "shared folder": "ok",
    "clock": "ok",
    "python": "ok",
    "node disk": "ok",
    "gpus": "ok",
    "rendezvous": "ok",
}


@pytest.mark.parametrize(("changed", "expected"), [
    ({}, {}),
    ({"shm": "65536"}, {"node disk": "warning"}),
    ({"tmp": ""}, {"node disk": "warning"}),
    ({"given": "8", "gpus": "8"}, {}),
    ({"given": "4", "gpus": "8"}, {"gpus": "warning"}),
    ({"given": "4", "gpus": "0"}, {"gpus": "warning"}),
    ({"versions": "bash: line 1: -c: command not found", "python": ""}, {"python": "problem"}),
    ({"met": "bash: connect: Connection timed out"}, {"rendezvous": "problem"}),
])  # fmt: skip
def test_reports_of_nodes(changed, expected):
    """Each thing that one node lacks is reported for that node."""
    visit = Visit("doctor-1", "/x", "COMPLETED", "", {0: Exchange(100.0, 101.0, 100.5), 1: Exchange(100.0, 100.4, 100.3)},
                  {0: report(), 1: report(**{"host": "n2", **changed})})  # fmt: skip
    assert verdicts(visit) == {**WELL, **expected}


def test_clocks_and_slow_folders():
    """The skew is the node's clock minus the middle of the exchange; a shorter one is accepted."""
    assert Exchange(100.0, 102.0, 111.0).skew == 10.0
    for exchange, expected in (
        (Exchange(100.0, 102.0, 111.0), {"clock": "warning"}),
        (Exchange(100.0, 130.0, 111.0), {"shared folder": "warning"}),
        (Exchange(100.0), {"shared folder": "problem"}),
    ):
        found = verdicts(
            Visit(
                "doctor-1",
                "/x",
                "COMPLETED",
                "",
                {0: exchange},
                {0: report(nodes="1", met="alone")},
            )
        )
        assert {topic: verdict for topic, verdict in found.items() if verdict != "ok"} == expected


def test_a_job_without_a_report():
    """Never started is a warning; ended without a file: not shared; failed: the log is named."""
    for state, topic, verdict in (("TIMEOUT", "on nodes", "warning"), ("COMPLETED", "shared folder", "problem"),
                                  ("FAILED", "on nodes", "problem")):  # fmt: skip
        (finding,) = judge_visit(Visit("doctor-1", "/x", state, "why"))
        assert (finding.topic, finding.verdict) == (topic, verdict)
