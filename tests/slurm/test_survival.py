"""A run survives the signals that end a job, and loses no step by them.

Budget: 2 1/2 minutes. Two runs are active during the tests: one that is preempted five times, and
one that reaches its time limit, in a partition without preemption.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.survival import (
    EPOCH,
    UNPREEMPTED,
    assert_ended,
    assert_whole,
    begun,
    completes,
    preempt,
    reaches,
    survive,
    trained,
)

BACKGROUND = ("limited", "preempted")
ASIDE = {"exclude": "n[1-2]"}  # the partition in which runs are preempted


@pytest.fixture(scope="module")
def limited(desk: Desk) -> Submitted:
    """A run with a time limit of two minutes, whose first attempt would take longer."""
    return survive(desk, "limited", slurm={**UNPREEMPTED, "time": 2}, args={"slow_at": [1]})


@pytest.fixture(scope="module")
def preempted(desk: Desk) -> Iterator[Future[Submitted]]:
    """A run that is preempted five times: twice in its first epoch, then in the evaluation that
    follows it.
    """
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(preempted_five_times, desk)


def preempted_five_times(desk: Desk) -> Submitted:
    slow_at = [10, 20, EPOCH, EPOCH + 10, 2 * EPOCH - 20]  # from EPOCH on: in the evaluation
    run = survive(desk, "preempted", slurm={"exclude": "n[3-4]"}, args={"slow_at": slow_at})
    for attempt, step in enumerate(slow_at, start=1):
        reaches(run, attempt, step)
        preempt(desk, run)
    completes(desk, run)
    return run


def test_a_preemption_without_grace(desk: Desk) -> None:
    """If Slurm kills a preempted job at once, the few seconds before SIGKILL are enough for a save."""
    run = survive(desk, "graceless", slurm={**ASIDE, "partition": "low0"}, args={"slow_at": [10]})
    reaches(run, 1, 10)
    preempt(desk, run)

    completes(desk, run)
    assert_ended(desk, run, "preemption", "finished")
    assert_whole(run)


@pytest.mark.extended
def test_a_requeue_by_hand(desk: Desk) -> None:
    """A run that is requeued by hand saves, restarts once, and resumes from that step."""
    run = survive(desk, "requeued", slurm=ASIDE, args={"slow_at": [10]})
    reaches(run, 1, 10)
    desk.cluster.run_as("alice", ["scontrol", "requeue", run.job_id])

    completes(desk, run)
    assert_ended(desk, run, "requeue", "finished")
    assert_whole(run)


def test_a_finished_run_that_is_started_again_exits_at_once(desk: Desk) -> None:
    """A finished run whose job is requeued trains no further step, and its job completes again."""
    run = survive(desk, "finished", ranks=1, slurm=ASIDE)
    completes(desk, run)
    before = trained(run.folder)
    desk.cluster.wait_state(run.job_id, "COMPLETED")
    desk.cluster.run_as("alice", ["scontrol", "requeue", run.job_id])

    def completed_again() -> bool:
        shown = desk.cluster.run_as("alice", ["scontrol", "show", "job", run.job_id]).stdout
        return "Restarts=1" in shown and "JobState=COMPLETED" in shown

    until(completed_again, 90, "the requeued job completes")
    assert trained(run.folder) == before
    assert len(begun(run)) == 1
    assert desk.status(run)["state"] == "COMPLETED"


def test_five_preemptions_change_nothing(desk: Desk, preempted: Future[Submitted]) -> None:
    """Preempted five times, two of them in one epoch, a run ends with the weights of an
    uninterrupted one.
    """
    run = preempted.result()
    assert_ended(desk, run, *["preemption"] * 5, "finished")
    assert_whole(run)
    ends = [steps[-1].step for steps in trained(run.folder).by_attempt().values()]
    assert ends[1] < EPOCH, "the second preemption came after the first epoch"


def test_a_time_limit(desk: Desk, limited: Submitted) -> None:
    """A run longer than its time limit saves in time, requests its requeue, and resumes from that
    step.
    """
    completes(desk, limited)
    assert_ended(desk, limited, "time-limit", "finished")
    assert_whole(limited)
