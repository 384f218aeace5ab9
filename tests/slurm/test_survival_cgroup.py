"""The same with cgroup tracking, as on most real clusters: a signal reaches only a step's task, not
its children.

Budget: 2 minutes. A run reaches its time limit during the tests, in a partition without preemption.
"""

from __future__ import annotations

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    UNPREEMPTED,
    assert_ended,
    assert_whole,
    begun,
    completes,
    preempt,
    processes_of,
    reaches,
    survive,
)

BACKGROUND = ("limited",)


@pytest.fixture(scope="module")
def desk(cluster_with_cgroup: Cluster) -> Desk:
    return Desk(cluster_with_cgroup, "alice")


@pytest.fixture(scope="module")
def limited(desk: Desk) -> Submitted:
    """A run with a time limit of two minutes, whose first attempt would take longer."""
    return survive(desk, "limited", slurm={**UNPREEMPTED, "time": 2}, args={"slow_at": [1]})


@pytest.mark.parametrize(
    "partition",
    ["low", pytest.param("low0", marks=pytest.mark.extended)],
    ids=["grace", "no-grace"],
)
def test_a_preempted_run_resumes(desk: Desk, partition: str) -> None:
    """With a grace and without one, a preempted run saves and resumes from that step."""
    run = survive(
        desk,
        f"preempted-{partition}",
        slurm={"partition": partition},
        args={"slow_at": [10]},
        real_launch=True,
    )
    reaches(run, 1, 10)
    preempt(desk, run)

    completes(desk, run)
    assert_ended(desk, run, "preemption", "finished")
    assert_whole(run)


@pytest.mark.extended
def test_one_rank_crashes_while_the_other_hangs(desk: Desk) -> None:
    """srun's signal to the other node after a crash is not taken for a preemption."""
    args = {"crash_step": EVERY + 10, "crash_rank": 1, "hang_others": True}
    run = survive(desk, "crash", args=args)
    completes(desk, run)
    assert_ended(desk, run, "crash", "finished")
    assert_whole(run, lost=EVERY)


def test_a_plain_scancel(desk: Desk) -> None:
    """A cancelled run ends at once, for good, and leaves no process."""
    run = survive(desk, "cancelled", args={"slow_at": [10]})
    reaches(run, 1, 10)
    desk.cluster.run_as("alice", ["scancel", run.job_id])

    desk.cluster.wait_state(run.job_id, "CANCELLED", timeout=90)
    until(lambda: not processes_of(run, 1), 60, "its processes end")
    assert desk.status(run)["state"] == "CANCELLED"
    assert len(begun(run)) == 1
    assert_ended(desk, run, "cancel")


@pytest.mark.extended
def test_a_time_limit(desk: Desk, limited: Submitted) -> None:
    """A run longer than its time limit saves in time, requests its requeue, and resumes from that
    step.
    """
    completes(desk, limited)
    assert_ended(desk, limited, "time-limit", "finished")
    assert_whole(limited)


def test_a_script_can_end_its_helpers(desk: Desk) -> None:
    """No training process starts with SIGTERM ignored, which its children would inherit: they could
    not be ended by it.
    """
    run = desk.submit(
        "helped",
        script=str(SCRIPTS / "helped.py"),
        slurm=UNPREEMPTED,
        accelerate={"use_cpu": True},
    )
    completes(desk, run)
    assert "the server ended with -15" in run.log()
