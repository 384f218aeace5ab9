"""A job that depends on a run's success (`afterok`) does not start if the run was stopped or cancelled, on each Slurm.

Budget: 20 s; the other generations, with sites that requeue or hold jobs by their exit code, by `make extended`.
Of the same kind: a job that starts after its run was cancelled, one that yields to another job of its run, and one whose
run was stopped before its first attempt (tests/functions/test_exit_codes.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.cluster.suites import Unavailable, suite_with
from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.light import light, put, trains
from tests.slurm.survival import story

REQUEUE_EXIT = ("RequeueExit=75,99", "RequeueExitHold=76-78,93")
EXPEDITED = "SlurmctldParameters=enable_expedited_requeue"
CELLS = [("22.05", 79, REQUEUE_EXIT), ("24.11", 79, REQUEUE_EXIT), ("26.05", 75, (EXPEDITED,)),
         ("26.05", 79, (EXPEDITED, *REQUEUE_EXIT))]  # fmt: skip


def shown(desk: Desk, job: str) -> str:
    return desk.cluster.run_as("alice", ["scontrol", "show", "job", job]).stdout


def start_when_it_succeeds(desk: Desk, run: Submitted) -> str:
    """Queue a job that depends on the success of the run's job."""
    dependency = f"--dependency=afterok:{run.job_id}"
    argv = ["sbatch", "--parsable", dependency, "--output=/dev/null", "--wrap=true"]
    return desk.cluster.run_as("alice", argv).stdout.strip()


def exits_with(desk: Desk, run: Submitted, code: int) -> None:
    """Wait until the run's job has failed with an exit code; Slurm neither requeues nor holds it, and nothing follows."""
    dependent = start_when_it_succeeds(desk, run)
    try:
        until(lambda: f"ExitCode={code}:0" in shown(desk, run.job_id), 60, "the job has ended")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{shown(desk, run.job_id)}\n{story(run)}") from None
    desk.cluster.wait_state(run.job_id, "FAILED")
    until(lambda: "DependencyNeverSatisfied" in shown(desk, dependent), 60, "it never starts")
    assert "JobState=FAILED" in shown(desk, run.job_id)
    assert "Restarts=0" in shown(desk, run.job_id)
    desk.cluster.run_as("alice", ["scancel", dependent])


def stopped(desk: Desk, code: int) -> None:
    """`clusterrun stop` of a run that trains, and of one whose job has not started an attempt: both exit so."""
    run = light(desk, "stopped", slurm={"nodes": 1})
    trains(run)
    desk.cli("stop", run.run_id)
    exits_with(desk, run, code)
    assert desk.status(run)["state"] == "STOPPED"
    assert "stop was requested" in desk.cli("why", run.run_id).stdout
    assert "stopped on request" in desk.cli("report", run.run_id).stdout


def cancelled_by_file(desk: Desk, code: int) -> None:
    """A job that starts although its run was cancelled (Slurm had forgotten the scancel) exits so."""
    run = light(desk, "cancelled", slurm={"nodes": 1, "begin": "now+2"})
    put(desk, run, "cancelled", "now")
    exits_with(desk, run, code)
    assert desk.status(run)["state"] == "CANCELLED"


def test_stopped_and_cancelled_runs_are_no_success(desk: Desk) -> None:
    """The job exits with 75, and status, why and report show how the run ended."""
    stopped(desk, 75)
    cancelled_by_file(desk, 75)


@contextmanager
def cluster_of(generation: str, config: tuple[str, ...]) -> Iterator[Desk]:
    try:
        suite = suite_with(generation).folder
    except Unavailable as error:
        pytest.skip(str(error))
    with Cluster.start(
        nodes=1, cgroup=generation != "24.11", suite=suite, accounting=False, config_extra=config
    ) as cluster:
        desk = Desk(cluster, "alice")
        desk.write_site()
        yield desk


@pytest.mark.extended
@pytest.mark.skipif("SLURM_GENERATION" in os.environ, reason="starts clusters of its own")
@pytest.mark.parametrize(("generation", "code", "config"), CELLS)
def test_slurm_neither_requeues_nor_holds_them(generation: str, code: int, config: tuple[str, ...]) -> None:  # fmt: skip
    """Neither if jobs may be expedited, nor if the site lists exit codes that it requeues and holds."""
    with cluster_of(generation, config) as desk:
        stopped(desk, code)
        cancelled_by_file(desk, code)
