"""GPUs of a type whose name starts with a digit are used; GPUs that a spec does not request are
reported.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.desk import Desk

SCRIPT = """import os, sys
sys.stdout.write(f"WORLD {os.environ['WORLD_SIZE']} {os.environ.get('ACCELERATE_USE_CPU')}\\n")
"""


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A node with four GPUs that Slurm calls 3090."""
    with Cluster.start(accounting=False, nodes=1, gpus=4, gpu_type="3090") as cluster:
        yield Desk(cluster, "alice")


def test_gpus_of_a_type_that_starts_with_a_digit(desk: Desk) -> None:
    """As many ranks as GPUs, in each of sbatch's notations, and none of them on CPUs."""
    script = desk.write("world.py", SCRIPT)
    runs = [desk.submit(f"gpus-{number}", script=str(script), slurm=slurm) for number, slurm in enumerate(
        [{"gres": "gpu:3090:2"}, {"gpus-per-node": "3090:2"}, {"gpus": "3090:2"}])]  # fmt: skip
    for run in runs:
        assert desk.wait(run) == "COMPLETED"
        assert run.log().count("WORLD 2 None") == 2
        assert "WARNING" not in run.log()


def test_a_job_on_cpus_that_holds_gpus(desk: Desk) -> None:
    """An exclusive job has the node's GPUs: a note says that it does not use them, unless CPUs are
    requested.
    """
    script = desk.write("world.py", SCRIPT)
    idle = desk.submit("idle", script=str(script), slurm={"exclusive": True})
    meant = desk.submit(
        "meant", script=str(script), slurm={"exclusive": True}, accelerate={"use_cpu": True}
    )
    assert [desk.wait(run) for run in (idle, meant)] == ["COMPLETED", "COMPLETED"]
    assert "WARNING: training runs on CPUs, but Slurm allocated GPUs on n1: 4" in idle.log()
    assert "WARNING" not in meant.log()


def test_slurms_own_reading_of_gpu_requests(desk: Desk) -> None:
    """A type without a count is a count to Slurm, and a list of two types is one request."""
    for request, taken in [("--gres=gpu:3090", False), ("--gres=gpu:3090:1,gpu:3090:1", True), ("--gres=gpu", True),
                           ("--gres=gpu:3090:2", True), ("--gpus=3090:2", True), ("--gpus=3090", False)]:  # fmt: skip
        argv = ["sbatch", "--test-only", "--time=1", request, "--wrap=true"]
        assert (desk.cluster.run_as("alice", argv, check=False).returncode == 0) == taken, request
