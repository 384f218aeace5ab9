"""Stops that need two ranks on two nodes, or a second job; the light script keeps them short.

Budget: 2 minutes. SLURM_GENERATION=24.11 or 26.05 runs them on another Slurm.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.slurm.desk import Desk, until
from tests.slurm.light import counted, ends, finishes, jobs, light, put, task_of, trains
from tests.slurm.survival import preempt, story, trainers_of


@pytest.mark.parametrize(
    "how",
    [
        "preempted",
        pytest.param("requeue", marks=pytest.mark.extended),
        pytest.param("requeuehold", marks=pytest.mark.extended),
    ],
)
def test_a_job_that_slurm_has_requeued_has_no_successor(desk: Desk, how: str) -> None:
    """For every requeue.by, one job continues the run if Slurm has requeued it before its script
    could act.
    """
    run = light(desk, how, slurm={"partition": "low0"}, requeue={"by": "successor"})
    trains(run)
    if how == "preempted":
        preempt(desk, run)
    else:
        desk.cluster.run_as("alice", ["scontrol", how, run.job_id])
    until(lambda: ends(run) != [], 30, "the attempt has ended")
    desk.cluster.wait_state(run.job_id, "PENDING", "RUNNING", "REQUEUE_HOLD", "SPECIAL_EXIT")
    assert jobs(desk, run) == {run.job_id}, story(run)
    if how == "requeuehold":
        desk.cluster.wait_state(run.job_id, "PENDING", "REQUEUE_HOLD")
        desk.cluster.run_as("alice", ["scontrol", "release", run.job_id])
    finishes(desk, run, 2)
    assert desk.status(run)["job_ids"] == [run.job_id]


def test_a_job_that_starts_after_its_run_gave_up_does_not_train(desk: Desk) -> None:
    """Neither Slurm's requeue of its job nor a user's restarts the run, but `resume` does."""
    run = light(desk, "gave-up", slurm={"partition": "low0"}, requeue={"crashes": 0})
    put(desk, run, "crash-0001", "1")
    assert desk.wait(run, 90) == "FAILED", story(run)
    desk.cluster.wait_state(run.job_id, "FAILED")
    desk.cluster.run_as("alice", ["scontrol", "requeue", run.job_id])

    def failed_again() -> bool:
        shown = desk.cluster.run_as("alice", ["scontrol", "show", "job", run.job_id]).stdout
        return "Restarts=1" in shown and "JobState=FAILED" in shown

    until(failed_again, 60, "the requeued job exits")
    assert ends(run) == ["crash end"], story(run)
    assert {attempt for attempt, _ in counted(run)} == {1}
    assert desk.status(run)["state"] == "FAILED"
    time.sleep(1)
    desk.cli("resume", run.run_id)
    finishes(desk, run, 2)


@pytest.mark.parametrize("partition", ["lowc0", pytest.param("lowc", marks=pytest.mark.extended)])
def test_a_task_of_an_array_survives_a_preemption_by_cancel(desk: Desk, partition: str) -> None:
    """It continues as another job, or requeues itself in the grace if Slurm allows that; the other
    task continues.
    """
    slurm = {"partition": partition, "array": "0-1", "nodes": 1, "gpus-per-node": 8}
    run = light(desk, f"array-{partition}", slurm=slurm)
    tasks = [task_of(run, number) for number in (0, 1)]
    for task in tasks:
        trains(task)
    preempt(desk, tasks[1])
    trains(tasks[1], 2)
    assert ends(tasks[0]) == []
    assert ends(tasks[1])[0].startswith("preemption "), story(tasks[1])
    status = desk.status(run)
    assert [task["state"] for task in status["tasks"]] == ["RUNNING", "RUNNING"]
    desk.cli("cancel", run.run_id)
    assert desk.wait(run, 60) == "CANCELLED", story(tasks[1])
    until(lambda: desk.jobs() == [], 30, "no job is left")


def test_a_run_with_requeue_by_requeue_survives_a_preemption_by_cancel(desk: Desk) -> None:
    """`requeue.by: requeue` asks for one job; Slurm ends that job for good, and the run continues
    in another.
    """
    run = light(desk, "by-requeue", slurm={"partition": "lowc0"}, requeue={"by": "requeue"})
    trains(run)
    preempt(desk, run)
    finishes(desk, run, 2)
    assert ends(run)[0].startswith("preemption "), story(run)


@pytest.mark.parametrize("name", ["TERM", pytest.param("USR1", marks=pytest.mark.extended)])
def test_a_signal_without_a_preemption_holds_no_nodes(desk: Desk, name: str) -> None:
    """A run that saved and exited restarts within the cluster's longest grace, here 15 s, and a
    check of slurmctld.
    """
    run = light(desk, f"signal-{name.lower()}")
    trains(run)
    desk.cluster.run_as("alice", ["scancel", "-s", name, run.job_id])
    until(lambda: ends(run) != [], 30, "the attempt has ended")
    if ends(run)[0].endswith("by-slurm"):
        until(  # the wait's reason is recorded after the end
            lambda: "GraceTime is 15 s" in desk.cli("why", run.run_id).stdout,
            10,
            "the wait is explained",
        )
    finishes(desk, run, 2, 90)


@pytest.mark.extended
def test_a_dead_launcher_leaves_no_rank(desk: Desk) -> None:
    """The rank of a dead launcher ends with the task, also without cgroups; the run restarts."""
    run = light(desk, "dead-launcher", slurm={"partition": "main"})
    trains(run)
    rank = trainers_of(run, 1)[0]
    launcher = int(Path(f"/proc/{rank}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(launcher, signal.SIGKILL)
    until(lambda: not trainers_of(run, 1), 30, "no rank of the first attempt is left")
    finishes(desk, run, 2)
    assert ends(run)[0] == "crash continue", story(run)


@pytest.mark.extended
def test_preemptions_during_the_start_end_no_run(desk: Desk) -> None:
    """After it has trained, a run is preempted three times before its first step, and continues."""
    setup = '[ "$attempt" -lt 2 ] || [ "$attempt" -gt 4 ] || export SLOW_START=1'
    run = light(desk, "start", slurm={"partition": "low0"}, environment={"setup": [setup]})
    trains(run)
    for attempt in range(1, 5):
        begun = run.folder / "events" / f"attempt-{attempt:04d}.here-1"
        until(begun.exists, 90, f"attempt {attempt} has started")
        time.sleep(1)
        preempt(desk, run)
        until(lambda attempt=attempt: len(ends(run)) >= attempt, 30, "it is preempted")
    finishes(desk, run, 5)
    assert {attempt for attempt, _ in counted(run)} == {1, 5}


@pytest.mark.extended
def test_a_wrong_clock_of_the_first_node_is_detected(desk: Desk) -> None:
    """Both others differ from it, so it is the one excluded."""
    real = shutil.copy("/usr/bin/date", desk.cluster.scratch / "date.real")
    fake = desk.cluster.scratch / "date"
    fake.write_text(
        f'#!/bin/sh\n[ "$*" = +%s ] || exec {real} "$@"\necho $(($({real} +%s) + 600))\n'
    )
    fake.chmod(0o755)
    desk.cluster.run_on("n1", ["mount", "--bind", str(fake), "/usr/bin/date"])
    try:
        run = light(desk, "clock", slurm={"partition": "main", "nodes": 3})
        finishes(desk, run, 2)
    finally:
        desk.cluster.run_on("n1", ["umount", "/usr/bin/date"])
    assert ends(run)[0] == "bad-node continue", story(run)
    (excluded,) = desk.status(run)["excluded_nodes"]
    assert re.match(r"n1 \(its clock differs from the other nodes' by (599|60\d) s", excluded), (
        excluded
    )
