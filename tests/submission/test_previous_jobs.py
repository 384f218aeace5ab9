"""The jobs that an ended run has left in Slurm, when `resume` is typed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.submission.previous_jobs import refuse_started_job, wait_for_end

FACTS = "JobId=7 JobName=x UserId=me({}) JobState={} Command={} WorkDir=/"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRef:
    """A run with one attempt, in job 7."""
    paths = RunPaths(tmp_path / "one")
    paths.events.mkdir(parents=True)
    paths.begin("0001").write_text("job_id=7\n")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    command(tmp_path, "scancel", f'echo "$@" >> {tmp_path}/scancelled; echo > {tmp_path}/queue')
    command(tmp_path, "squeue", f"cat {tmp_path}/queue")
    return RunRef("one", paths, "7")


def command(folder: Path, name: str, text: str) -> None:
    """Write a stand-in for one of Slurm's commands."""
    (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / "bin" / name).chmod(0o755)


def queue(run: RunRef, state: str, job: int = 7) -> None:
    """Put a job of the run's script into the queue."""
    folder = run.paths.folder.parent
    (folder / "queue").write_text(f"{job}|{job}|{job}|{state}|None|N/A|n1|{run.paths.script}\n")
    facts = FACTS.format(os.getuid(), state, run.paths.script)
    command(folder, "scontrol", f"echo '{facts}'")


def test_a_pending_job_of_an_ended_run_is_cancelled(run: RunRef) -> None:
    """A person has requeued and held it, or Slurm has requeued it after a preemption."""
    queue(run, "PENDING", job=9)  # a successor, which no record names
    wait_for_end(run)
    scancelled = run.paths.folder.parent / "scancelled"
    assert scancelled.read_text() == "--state=PENDING -- 9\n"


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING"])
def test_a_job_that_starts_again_is_not_overtaken(run: RunRef, state: str) -> None:
    """It has started after `resume` found the run ended, and before it called sbatch."""
    queue(run, state)
    with pytest.raises(ClusterError, match="job 7 of one has just started again"):
        refuse_started_job(run, "0001")


def test_an_attempt_that_has_begun_meanwhile_is_not_overtaken(run: RunRef) -> None:
    """It may even be in the queue again: the run continues by itself."""
    queue(run, "PENDING")
    refuse_started_job(run, "0001")
    run.paths.begin("0002").write_text("job_id=7\n")
    with pytest.raises(ClusterError, match="job 7 of one has just started again"):
        refuse_started_job(run, "0001")
