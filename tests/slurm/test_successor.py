"""A run continues as another job if Slurm would not requeue it, if it should start at once, or to
exclude a node.

Budget: 3 minutes. The runs are active at the same time, each on its own nodes; a successor waits
for nobody.
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from clusterrun.run_folder.records import read_record
from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    UNPREEMPTED,
    assert_ended,
    assert_whole,
    begins,
    begun,
    completes,
    ended,
    preempt,
    reaches,
    story,
    survive,
)

ASIDE = {"exclude": "n1,n2"}  # whose GPUs are taken away for a moment by each preemption
STEP = EVERY + EVERY // 2
BACKGROUND = ("crashes_twice", "unfit", "forbidden", "followed")


@pytest.fixture(scope="module")
def crashes_twice(desk: Desk) -> Submitted:
    """A run on two nodes; on the second one a rank dies in the first two attempts, while the other
    rank waits.
    """
    args = {"crash_step": STEP, "crash_rank": 1, "crash_attempts": 2, "hang_others": True}
    return survive(desk, "crashes-twice", slurm=UNPREEMPTED, args=args)


@pytest.fixture(scope="module")
def unfit(desk: Desk) -> Submitted:
    """A run whose own check rejects n1; it requests n1 until it is excluded."""
    check = 'echo "$SLURMD_NODENAME has had it"\n[ "$SLURMD_NODENAME" != n1 ]'
    return survive(
        desk, "unfit", ranks=1, slurm={"partition": "main", "exclude": "n3,n4"}, node_check=check
    )


@pytest.fixture(scope="module")
def forbidden(desk: Desk) -> Submitted:
    """A run that requests a successor in a partition that soon accepts jobs from one machine only."""
    run = survive(desk, "forbidden", ranks=1, slurm={"partition": "fixed"}, args={"crash_step": STEP},
                  requeue={"by": "successor"})  # fmt: skip
    begins(run, 1)  # a pending job would stay in the partition for ever
    only(desk, "login")
    return run


def only(desk: Desk, machine: str) -> None:
    """Set whose jobs the partition accepts. By their munged, which is ctl's, Slurm sees all
    machines here as ctl.
    """
    desk.cluster.run_on(
        "ctl", ["scontrol", "update", "partitionname=fixed", f"allocnodes={machine}"]
    )


@pytest.fixture(scope="module")
def followed(desk: Desk) -> tuple[Submitted, str]:
    """A run with successors that crashes once, and a job that starts only if the run succeeds."""
    run = survive(desk, "followed", ranks=1, slurm={"partition": "main"}, args={"crash_step": STEP},
                  requeue={"by": "successor"})  # fmt: skip
    words = [
        "sbatch",
        "--parsable",
        f"--dependency=afterok:{run.job_id}",
        "--output=/dev/null",
        "--wrap=true",
    ]
    return run, desk.cluster.run_as("alice", words).stdout.strip()


@pytest.mark.parametrize(
    "partition",
    ["lowc", pytest.param("lowc0", marks=pytest.mark.extended)],
    ids=["grace", "no-grace"],
)
def test_a_run_that_is_preempted_by_cancel_continues(desk: Desk, partition: str) -> None:
    """If Slurm cancels the jobs it preempts, the run continues as another job, with a grace and
    without one.
    """
    run = survive(
        desk,
        f"cancelled-{partition}",
        slurm={"partition": partition, **ASIDE},
        args={"slow_at": [10]},
    )
    reaches(run, 1, 10)
    preempt(desk, run)

    completes(desk, run)
    assert_ended(desk, run, "preemption", "finished")
    assert_whole(run)
    status = desk.status(run)
    assert status["job_ids"] == [run.job_id, status["job_id"]]
    assert {desk.status(replace(run, run_id=job))["run_id"] for job in status["job_ids"]} == {
        run.run_id
    }


@pytest.mark.parametrize(
    ("partition", "jobs"),
    [
        ("lowc", 2),
        pytest.param("lowc0", 2, marks=pytest.mark.extended),
        pytest.param("low0", 1, marks=pytest.mark.extended),
    ],
)
def test_a_preemption_during_the_setup(desk: Desk, partition: str, jobs: int) -> None:
    """A run that is preempted before srun starts continues: as another job, or, if Slurm requeues
    it, in the same one.
    """
    setup = 'echo staging; [ "$attempt" != 0001 ] || sleep 40'
    run = survive(
        desk,
        f"staging-{partition}",
        ranks=1,
        slurm={"partition": partition, **ASIDE},
        environment={"setup": [setup]},
    )
    log = run.folder / "logs" / "attempt-0001.log"
    until(lambda: log.exists() and "staging" in log.read_text(), 120, "the setup has started")
    preempt(desk, run)

    completes(desk, run)
    assert_ended(desk, run, "preemption", "finished")
    assert_whole(run, ranks=1)
    assert len(desk.status(run)["job_ids"]) == jobs


def test_a_job_that_may_not_be_requeued(desk: Desk) -> None:
    """If the site forbids requeues of a job (JobRequeue=0, a job_submit plugin), a successor
    continues.
    """
    run = survive(desk, "not-requeued", slurm={"partition": "main"}, args={"slow_at": [10]})
    reaches(run, 1, 10)
    desk.cluster.run_on("ctl", ["scontrol", "update", f"jobid={run.job_id}", "requeue=0"])
    desk.cli("requeue", run.run_id)

    completes(desk, run)
    assert_ended(desk, run, "requeue", "finished")
    assert_whole(run)
    assert len(desk.status(run)["job_ids"]) == 2


def test_dependents_of_a_run_wait_for_its_successor(
    desk: Desk, followed: tuple[Submitted, str]
) -> None:
    """A crash ends the job, not the run: a dependent of the first job starts when the last one has
    succeeded.
    """
    run, dependent = followed
    completes(desk, run)
    assert_ended(desk, run, "crash", "finished")
    assert_whole(run, ranks=1, lost=EVERY)
    desk.cluster.wait_state(dependent, "COMPLETED", timeout=60)
    assert f"job {dependent} now depends on job {desk.status(run)['job_id']}" in run.log()


def test_a_site_that_refuses_jobs_from_nodes(desk: Desk, forbidden: Submitted) -> None:
    """If sbatch is refused on the nodes, the log says so, and the run continues by a requeue."""
    words = "(partition fixed accepts jobs only from login: AllocNodes)"
    until(
        lambda: (
            (forbidden.folder / "logs" / "attempt-0001.log").exists() and words in forbidden.log()
        ),
        240,
        words,
    )
    only(desk, "ALL")
    completes(desk, forbidden)
    assert_ended(desk, forbidden, "crash", "finished")
    assert_whole(forbidden, ranks=1, lost=EVERY)
    assert desk.status(forbidden)["job_ids"] == [forbidden.job_id]


def test_cancel_ends_a_run_with_a_pending_successor(desk: Desk) -> None:
    """`cancel` follows a run to the job that should continue it."""
    run = survive(desk, "cancelled-amid", ranks=1, slurm={"partition": "main"}, args={"slow_at": [10]},
                  requeue={"by": "successor"})  # fmt: skip
    reaches(run, 1, 10)
    desk.cluster.run_on("ctl", ["scontrol", "update", "partitionname=main", "state=down"])
    try:
        desk.cli("requeue", run.run_id)
        until(lambda: desk.status(run)["state"] == "PENDING", 60, "the successor is pending")
        assert len(desk.status(run)["job_ids"]) == 2
        desk.cli("cancel", run.run_id)
        assert desk.wait(run, 60) == "CANCELLED"
    finally:
        desk.cluster.run_on("ctl", ["scontrol", "update", "partitionname=main", "state=up"])
    time.sleep(3)
    assert len(begun(run)) == 1, story(run)
    assert not [job for job in desk.jobs() if str(run.folder) in job]


def test_a_node_that_fails_the_check_is_excluded(desk: Desk, unfit: Submitted) -> None:
    """The next job excludes it and names it, with the check's last line."""
    completes(desk, unfit)
    assert_ended(desk, unfit, "bad-node", "finished")
    assert_whole(unfit, ranks=1)
    assert [read_record(path)["nodes"] for path in begun(unfit)] == ["n1", "n2"]
    assert "n1: n1 has had it" in ended(unfit, 1)["reason"]
    assert "excluded nodes   n1 (n1 has had it)" in desk.cli("status", unfit.run_id).stdout


def test_a_node_that_crashes_twice_is_excluded(desk: Desk, crashes_twice: Submitted) -> None:
    """A node whose rank was the first to die in two attempts is excluded by the third."""
    completes(desk, crashes_twice)
    assert_ended(desk, crashes_twice, "crash", "crash", "finished")
    assert_whole(crashes_twice, lost=EVERY)
    first, second, third = (read_record(path)["nodes"] for path in begun(crashes_twice))
    assert first == second, story(crashes_twice)
    left_out = desk.status(crashes_twice)["excluded_nodes"]
    assert [words.partition(" ")[2] for words in left_out] == ["(crashed first in 2 attempts)"]
    words = ["scontrol", "show", "hostnames", third]
    assert left_out[0].split()[0] not in desk.cluster.run_as("alice", words).stdout.split()
