"""What users do to a run: cancel it at any moment, stop a teammate's, run many as an array.

Budget: 1 minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    assert_ended,
    assert_whole,
    begun,
    causes,
    checkpoints,
    hurry,
    preempt,
    processes_of,
    reaches,
    story,
    survive,
    trained,
)

BACKGROUND = ("array",)
ASIDE = {"exclude": "n[1-2]"}  # the partition in which a task of the array is preempted


def gone_for_good(desk: Desk, run: Submitted) -> None:
    """Assert that nothing of a cancelled run remains, and nothing will restart."""
    desk.cluster.wait_state(run.job_id, "CANCELLED", timeout=90)
    until(lambda: not processes_of(run, 1), 60, "its processes end")
    assert desk.status(run)["state"] == "CANCELLED"
    assert len(begun(run)) == 1, story(run)
    assert_ended(desk, run, "cancel")


def test_a_plain_scancel(desk: Desk) -> None:
    """A run that is cancelled while it trains ends at once, for good, although its processes
    receive the signal of a preemption.
    """
    run = survive(desk, "cancelled", slurm=ASIDE, args={"slow_at": [10]})
    reaches(run, 1, 10)
    desk.cluster.run_as("alice", ["scancel", run.job_id])
    gone_for_good(desk, run)


def test_scancel_in_the_pause_after_a_crash(desk: Desk) -> None:
    """A run that is cancelled between a crash and its next attempt has no next attempt."""
    run = survive(desk, "cancelled-in-pause", ranks=1, slurm=ASIDE, args={"crash_step": EVERY + 1})
    until(lambda: causes(run) == ["crash"], 120, "it crashes")
    desk.cluster.run_as("alice", ["scancel", run.job_id])
    gone_for_good(desk, run)


@pytest.mark.extended
def test_scancel_during_a_save(desk: Desk) -> None:
    """A run that is cancelled while it saves ends for good; complete checkpoints stay complete."""
    run = survive(desk, "cancelled-in-save", ranks=1, slurm=ASIDE, args={"slow_save": 60})
    until((run.folder / "output" / "saving").exists, 120, "a save is running")
    desk.cluster.run_as("alice", ["scancel", run.job_id])
    gone_for_good(desk, run)
    assert checkpoints(run) == [f"step-{EVERY:08d}-0001"]


def test_a_teammate_stops_a_run(desk: Desk) -> None:
    """With `share: group` a teammate reads the log and stops the run, which saves and exits;
    nothing else is open.
    """
    run = survive(desk, "shared", ranks=1, slurm=ASIDE, args={"slow_at": [10]}, share="group")
    reaches(run, 1, 10)
    bob = Desk(desk.cluster, "bob")
    refused = [run.folder / "checkpoints", run.folder / "spec.yaml", run.folder / "job.sbatch"]
    for path in refused:
        assert desk.cluster.run_as("bob", ["cat", path], check=False).returncode != 0, path
    assert (
        "starting at step 0"
        in desk.cluster.run_as("bob", ["cat", run.folder / "logs" / "attempt-0001.log"]).stdout
    )
    bob.cli("stop", str(run.folder))

    assert desk.wait(run, 90) == "STOPPED", story(run)
    assert_ended(desk, run, "stop")
    last = trained(run.folder).steps[-1].step
    assert checkpoints(run)[-1] == f"step-{last:08d}-0001"


def test_one_task_of_an_array_is_preempted(desk: Desk, array: Future[list[Submitted]]) -> None:
    """Each task is a separate run: the preempted one resumes alone, and all are exact."""
    kept, preempted = array.result()
    assert_ended(desk, kept, "finished")
    assert_ended(desk, preempted, "preemption", "finished")
    assert_whole(kept, ranks=1)
    assert_whole(preempted, ranks=1)


@pytest.fixture(scope="module")
def array(desk: Desk) -> Iterator[Future[list[Submitted]]]:
    """Two tasks on a node each, of which the second is preempted."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(preempted_task, desk)


def preempted_task(desk: Desk) -> list[Submitted]:
    slurm = {"exclude": "n[3-4]", "gpus-per-node": None, "exclusive": True, "array": "0-1"}
    run = survive(desk, "array", ranks=1, slurm=slurm, args={"slow_at": [10]})
    tasks = [
        Submitted(f"{run.run_id}-{number}", f"{run.job_id}_{number}", task_folder(run, number))
        for number in (0, 1)
    ]
    for task in tasks:
        reaches(task, 1, 10)
    preempt(desk, tasks[1])
    reaches(tasks[1], 2, 10)
    hurry(tasks[0])
    completes_all(desk, run)
    return tasks


def task_folder(run: Submitted, number: int) -> Path:
    return run.folder / f"task-{number}"


def completes_all(desk: Desk, run: Submitted) -> None:
    assert desk.wait(run, 240) == "COMPLETED", story(run)
