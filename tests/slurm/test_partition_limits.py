"""`validate` on a login node refuses what no partition can run, before sbatch accepts it for good.

Budget: 10 s.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.desk import Desk

# sbatch accepts the first two, and the jobs stay pending (`why` explains PartitionTimeLimit).
REFUSED = {
    "time": ("2:00:00", "2:00:00 (2 h) exceeds the time limit of partition short, 01:00:00"),
    "nodes": (3, "a job in partition short may have at most 2 nodes, not 3"),
    "mem": ("600G", "600G of memory per node, but the nodes of partition short have at most 500G"),
    "cpus-per-task": (200, "200 CPUs per node, but the nodes of partition short have at most 128"),
    "gpus-per-node": ("fake:9", "9 GPUs per node, but the nodes of partition short have at most 8"),
    "partition": ("shrot", "partition 'shrot' does not exist"),
}
OTHERS = "or a partition that can run it: main, low, low0, lowc, lowc0, fixed, high"


@pytest.fixture(scope="module")
def limited(desk: Desk) -> Iterator[Desk]:
    words = ["Nodes=ALL", "State=UP", "MaxTime=60", "MaxNodes=2"]
    desk.cluster.run_on("ctl", ["scontrol", "create", "PartitionName=short", *words])
    yield desk
    desk.cluster.run_on("ctl", ["scontrol", "delete", "PartitionName=short"])


@pytest.mark.parametrize("key", REFUSED)
def test_a_request_beyond_the_partition(limited: Desk, key: str) -> None:
    """With the line of the spec, and the partitions that would do."""
    value, message = REFUSED[key]
    slurm = {"partition": "short", "gpus-per-node": 1, key: value}
    spec = limited.spec("beyond", command="true", slurm=slurm)
    for command in (["validate"], ["submit"], ["submit", "--dry-run"])[: 1 + 2 * (key == "time")]:
        refused = limited.cli(*command, str(spec), check=False)
        assert refused.returncode == 2, refused
        assert f"slurm.{key}: {message}\n" in refused.stderr
        hint = "did you mean short?" if key == "partition" else OTHERS
        assert (hint in refused.stderr) is (key in ("time", "nodes", "partition")), refused.stderr
    assert limited.jobs() == []


def test_a_request_within_the_partition(limited: Desk) -> None:
    slurm = {"partition": "short", "time": 60, "nodes": 2, "mem": "500G", "gpus-per-node": 8}
    spec = limited.spec("within", command="true", slurm=slurm)
    assert "valid" in limited.cli("validate", str(spec)).stderr
