"""The scenarios that depend on Slurm's own rules.

Each asserts that its run resumed without loss, and returns what was observed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.observation import Observed, Scenario, at_rest, held, observed
from tests.slurm.survival import (
    EVERY,
    STEPS,
    assert_ended,
    assert_whole,
    begun,
    causes,
    completes,
    hurry,
    preempt,
    preempt_nodes,
    reaches,
    story,
    survive,
    trained,
)

# Exits with 0 at the TERM of a preemption, as long as preemptions follow.
POLITE = """#!/bin/bash
srun bash -c 'trap "exit 0" TERM; echo started >> polite.started; while sleep 0.1; do [ ! -e polite.enough ] || exit 0; done'
"""


def on(*names: str, **words: object) -> dict[str, object]:
    return {"nodelist": ",".join(names), **words}


def describe_attempts(run: Submitted) -> str:
    """Describe how the run continued: its attempts and its repeated steps."""
    repeated = sum(trained(run.folder).lost())
    attempts = len(begun(run))
    return f"{attempts} attempt{'s' * (attempts > 1)}, {repeated} steps repeated"


def preempted(desk: Desk) -> Observed:
    """A training on two nodes is preempted."""
    run = survive(desk, "preempted", slurm=on("n1", "n2"), args={"slow_at": [10]})
    reaches(run, 1, 10)
    preempt(desk, run)
    completes(desk, run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert_ended(desk, run, "preemption", "finished")
    assert_whole(run)
    return seen


def preempted_five_times(desk: Desk) -> Observed:
    """A run that is preempted often is not held, although Slurm counts jobs that exit in their
    grace.
    """
    slow_at = [10, 20, 30, 40, 50]
    run = survive(desk, "preempted-five-times", ranks=1, slurm=on("n6"), args={"slow_at": slow_at})
    for attempt, step in enumerate(slow_at, start=1):
        reaches(run, attempt, step)
        preempt(desk, run)
    completes(desk, run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert_ended(desk, run, *["preemption"] * 5, "finished")
    assert_whole(run, ranks=1)
    return seen


def finishes_in_the_grace(desk: Desk) -> Observed:
    """A training that is preempted after its last step finishes in the grace, and trains no further
    step.
    """
    run = survive(desk, "finishes", ranks=1, slurm=on("n5"), args={"linger": True})
    reaches(run, 1, STEPS)
    until((run.folder / "output" / "weights").exists, 60, "all is trained")
    preempt(desk, run)
    until(
        lambda: "asking the training processes to save and exit" in run.log(),
        60,
        "a stop is requested",
    )
    hurry(run)
    completes(desk, run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert causes(run) == ["finished"], story(run)
    assert_whole(run, ranks=1)
    assert desk.status(run)["state"] == "COMPLETED"
    return seen


def time_limit(desk: Desk) -> Observed:
    """A run longer than its time limit saves in time and requests its requeue."""
    run = survive(
        desk, "limited", ranks=1, slurm=on("n3", partition="main", time=2), args={"slow_at": [1]}
    )
    completes(desk, run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    # on a busy machine a second attempt can reach the limit, too
    assert_ended(desk, run, *["time-limit"] * max(1, len(begun(run)) - 1), "finished")
    assert_whole(run, ranks=1)
    return seen


def crashed(desk: Desk) -> Observed:
    """A run that crashes requests its requeue after a pause."""
    run = survive(desk, "crashed", ranks=1, slurm=on("n4"), args={"crash_step": EVERY + 10})
    completes(desk, run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert_ended(desk, run, "crash", "finished")
    assert_whole(run, ranks=1, lost=EVERY)
    return seen


def crashed_for_good(desk: Desk) -> Observed:
    """A run without a crash budget ends with its job, which does not stay in the queue."""
    run = survive(
        desk,
        "crashed-for-good",
        ranks=1,
        slurm=on("n11"),
        args={"crash_step": 5},
        requeue={"crashes": 0},
    )
    assert desk.wait(run, 300) == "FAILED", story(run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert_ended(desk, run, "crash")
    assert not held(desk, run.job_id), story(run)
    return seen


def killed_on_the_second_node(desk: Desk) -> Observed:
    """A rank on the second of two nodes dies of SIGKILL; newer Slurm explains on the first node why
    it ends that.
    """
    args = {"crash_step": EVERY + 5, "crash_rank": 1, "crash_how": "sigkill", "hang_others": True}
    run = survive(desk, "killed-second", slurm=on("n12", "n13", partition="main"), args=args)
    completes(desk, run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert_ended(desk, run, "crash", "finished")
    assert_whole(run, lost=EVERY)
    return seen


def preempted_in_the_setup(desk: Desk) -> Observed:
    """A job that is preempted by CANCEL before its step starts continues as another job."""
    setup = 'echo staging; [ "$attempt" != 0001 ] || sleep 40'
    run = survive(
        desk, "staging", ranks=1, slurm=on("n14", partition="lowc"), environment={"setup": [setup]}
    )
    log = run.folder / "logs" / "attempt-0001.log"
    until(lambda: log.exists() and "staging" in log.read_text(), 120, "the setup has started")
    preempt(desk, run)
    completes(desk, run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert_ended(desk, run, "preemption", "finished")
    assert_whole(run, ranks=1)
    assert len(desk.status(run)["job_ids"]) == 2
    return seen


def node_failed(desk: Desk) -> Observed:
    """The head node of a training on two nodes loses its power, and is booted once Slurm has
    noticed.
    """
    run = survive(desk, "node-failed", slurm=on("n7", "n8"), args={"slow_at": [EVERY + 5]})
    reaches(run, 1, EVERY + 5)
    desk.cluster.crash("n7")
    try:
        until(lambda: desk.cluster.state(run.job_id) != "RUNNING", 180, "Slurm ends the job")
    finally:
        desk.cluster.boot("n7")
    completes(desk, run)
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert_ended(desk, run, "node-failure", "finished")
    assert_whole(run, lost=EVERY)
    return seen


def finished_and_requeued(desk: Desk) -> Observed:
    """A finished run whose job is requeued by hand trains no further step."""
    run = survive(desk, "finished", ranks=1, slurm=on("n9"))
    completes(desk, run)
    before = trained(run.folder)
    desk.cluster.wait_state(run.job_id, "COMPLETED")
    desk.cluster.run_as("alice", ["scontrol", "requeue", run.job_id])
    desk.cluster.wait_state(run.job_id, "RUNNING", "PENDING")
    seen = observed(desk, run.job_id, describe_attempts(run))
    assert trained(run.folder) == before
    assert causes(run) == ["finished"]
    assert desk.status(run)["state"] == "COMPLETED"
    return seen


def polite(desk: Desk) -> Observed:
    """A bare script, without clusterrun, whose task exits with 0 in the grace of every preemption."""
    script, started_file = (
        desk.write("polite.sh", POLITE),
        desk.cluster.home("alice") / "polite.started",
    )
    argv = [
        "sbatch",
        "--parsable",
        "--partition=low",
        "--nodelist=n10",
        "--gpus-per-node=1",
        "--open-mode=append",
    ]
    job = desk.cluster.run_as("alice", [*argv, script]).stdout.strip()

    def begins() -> int:
        return len(started_file.read_text().splitlines()) if started_file.exists() else 0

    for times in range(1, 7):
        until(
            lambda times=times: begins() == times or at_rest(desk, job),
            90,
            f"run {times} starts, or none does",
        )
        if begins() < times:
            break
        preempt_nodes(desk, "n10")
        until(lambda: desk.cluster.state(job) != "RUNNING", 60, "the preempted job exits")
    seen = observed(desk, job, f"its task began {begins()} time{'s' * (begins() > 1)}")
    return (
        replace(seen, outcome=f"{seen.outcome}; {describe_release(desk, job, begins)}")
        if held(desk, job)
        else seen
    )


def describe_release(desk: Desk, job: str, begins: Callable[[], int]) -> str:
    """Describe what happens when its user releases a held job."""
    before = begins()
    answer = desk.cluster.run_as("alice", ["scontrol", "release", job], check=False)
    if answer.returncode:
        return f"its user cannot release it: {answer.stderr.splitlines()[0]}"
    until(lambda: begins() > before or held(desk, job), 60, "a released job runs, or is held")
    desk.write("polite.enough", "")
    return (
        "it begins once more when its user releases it"
        if begins() > before
        else "a release does not help"
    )


SCENARIOS: dict[str, Scenario] = {
    "a bare script exits with 0 in the grace of every preemption": polite,
    "preempted": preempted,
    "preempted five times in a row": preempted_five_times,
    "preempted after its last step, finishes in the grace": finishes_in_the_grace,
    "time limit": time_limit,
    "crashes, and asks for its requeue itself": crashed,
    "crashes for good": crashed_for_good,
    "a rank on the second of two nodes is killed": killed_on_the_second_node,
    "preempted by CANCEL during the setup": preempted_in_the_setup,
    "the head node fails": node_failed,
    "finished, and requeued by hand": finished_and_requeued,
}
