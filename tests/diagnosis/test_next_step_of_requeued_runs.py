"""What `why` says comes next after a requeue or a preemption, until training continues."""

from __future__ import annotations

import pytest

from clusterrun.diagnosis.next_step import what_next
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.single_run import ENDING, read_single_status
from clusterrun.run_status.slurm_snapshot import SlurmSnapshot
from clusterrun.slurm.queue import QueuedJob
from clusterrun.slurm.states import State
from clusterrun.training.checkpointing import manifest


@pytest.fixture
def paths(tmp_path) -> RunPaths:
    """A run of two attempts whose newest checkpoint is from step 22."""
    run = RunPaths(tmp_path / "tiny")
    run.events.mkdir(parents=True)
    saved = run.checkpoints / "step-00000022-0001"
    saved.mkdir(parents=True)
    manifest.seal(saved, {"step": 22, "attempt": 1})
    write_record(run.saves, {"checkpoint": saved.name})
    for name in ("0001", "0002"):
        write_record(run.begin(name), {"job_id": "7", "began": 1})
    return run


def status(paths: RunPaths, state: State, reason: str = "") -> RunStatus:
    return RunStatus("tiny", state, reason, "7", 2, 22, 300, None, "", None, str(paths.folder))


def summary(paths: RunPaths, state: State, reason: str = "", last: Attempt | None = None) -> str:
    return what_next(paths, status(paths, state, reason), last, local=False).summary


@pytest.mark.parametrize(("state", "reason", "words"), [
    (State.PENDING, "BeginTime",
     "the run waits in the queue as job 7; attempt 3 resumes from step 22 when the job starts"),
    (State.PENDING, "between two attempts",
     "the run waits in the queue as job 7; attempt 3 resumes from step 22 when the job starts"),
    (State.RUNNING, "requeue requested",
     "the run saves a checkpoint, exits, waits in the queue as job 7, and resumes from that "
     "checkpoint as attempt 3"),
    (State.RUNNING, ENDING,
     "Slurm is ending job 7; if it is requeued, attempt 3 resumes from step 22"),
    (State.RUNNING, "", "training continues"),
])  # fmt: skip
def test_training_continues_only_while_it_trains(paths, state, reason, words):
    """A run in the queue waits, with its job and the step from which it resumes."""
    assert summary(paths, state, reason) == words


def test_an_attempt_that_has_ended_names_the_step(paths):
    """The job is still shown as running, and what follows is recorded."""
    last = Attempt(2, "7", "n1", 1, 2, 1, "preemption", "", None, None, None, "", 1, "continue")
    words = "the run continues from step 22 as attempt 3"
    assert summary(paths, State.RUNNING, "", last) == words
    assert summary(paths, State.RUNNING, "requeue requested", last) == words


def test_without_a_usable_checkpoint_the_step_is_not_promised(paths):
    """A damaged checkpoint is skipped; without one, the library starts at step 0."""
    waits = "the run waits in the queue as job 7; attempt 3 {} when the job starts"
    sealed = paths.checkpoints / "step-00000022-0001" / "manifest.json"
    sealed.unlink()
    assert summary(paths, State.PENDING) == waits.format(
        "resumes from the newest complete checkpoint"
    )
    paths.saves.unlink()
    assert summary(paths, State.PENDING) == waits.format("starts")
    write_record(paths.resumed("0001"), {"state": "fresh"})
    assert summary(paths, State.PENDING) == waits.format("restarts from step 0")


def test_a_script_that_cannot_save_is_not_said_to_save(paths):
    """Such a script may train to its end."""
    write_record(paths.settings, {"handles_stop": 0})
    next_step = what_next(
        paths, status(paths, State.RUNNING, "requeue requested"), None, local=False
    )
    assert next_step.summary == "the script may not handle the requeue, and may train to its end"
    assert next_step.command == "clusterrun cancel tiny"


@pytest.mark.parametrize(("slurm", "requested", "state", "reason"), [
    ("COMPLETING", "", State.RUNNING, "ending"),
    ("COMPLETING", "requeue", State.RUNNING, "requeue requested"),
    ("RUNNING", "", State.RUNNING, ""),
    ("PENDING", "requeue", State.PENDING, "BeginTime"),
])  # fmt: skip
def test_a_job_that_slurm_is_ending_does_not_just_run(paths, slurm, requested, state, reason):
    """Slurm shows a preempted job as COMPLETING until it is pending again."""
    if requested:
        write_record(paths.requeue, {"by": "alice"})
    why = "BeginTime" if slurm == "PENDING" else "None"
    job = QueuedJob("7", "7", "7", slurm, why, "N/A N/A", "n1", "/job.sbatch")
    found = read_single_status(RunRef("tiny", paths, "7"), SlurmSnapshot({"7": job}, {}))
    assert (found.state, found.reason) == (state, reason)
