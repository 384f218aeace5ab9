"""What `why` says about a run's next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.diagnosis.next_step import what_next
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.file_status import RunStatus
from clusterrun.slurm.states import State


@pytest.fixture
def paths(tmp_path) -> RunPaths:
    made = RunPaths(tmp_path / "tiny")
    made.events.mkdir(parents=True)
    write_record(made.settings, {"max_crashes": 3})
    return made


def status(paths: RunPaths, state: State, reason: str = "") -> RunStatus:
    return RunStatus(
        "tiny", state, reason, "7", 2, None, None, None, "", None, str(Path(paths.folder))
    )


def ended(cause: str, decision: str) -> Attempt:
    return Attempt(2, "7", "n1", 1, 2, 1, cause, cause, None, None, None, "", 1, decision)


@pytest.mark.parametrize(("cause", "decision", "summary"), [
    ("preemption", "continue", "the run continues as attempt 3"),
    ("preemption", "by-slurm", "the run continues as attempt 3 when Slurm has requeued the job"),
    ("crash", "continue", "after a pause of 5 s the run continues as attempt 3"),
    ("cancel", "end", "nothing: the run is ending"),
])  # fmt: skip
def test_after_an_attempt_of_an_active_job(paths, cause, decision, summary):
    """The recorded decision is a sentence, not a word of the protocol."""
    found = status(paths, State.RUNNING)
    assert what_next(paths, found, ended(cause, decision), local=False).summary == summary


def test_after_a_resume_the_decision_of_the_last_attempt_is_void(paths):
    """The attempt before a `resume` had decided to end the run."""
    write_record(paths.intent, {"after": "0002", "number": 2})
    found = status(paths, State.RUNNING)
    assert what_next(paths, found, ended("stop", "end"), local=False).summary == "attempt 3 starts"


def test_the_crash_budget_is_shown_only_after_a_crash(paths):
    """A run without crashes does not mention the budget."""
    found = status(paths, State.RUNNING)
    assert what_next(paths, found, None, local=False).summary == "training continues"
    write_record(paths.ledger, {"crashes": 1})
    assert what_next(paths, found, None, local=False).summary == (
        "training continues; crash budget: 1 of 3 used since the last new checkpoint"
    )


def test_a_requested_stop_comes_next(paths):
    """The command that resumes the run afterwards is shown at once."""
    next_step = what_next(paths, status(paths, State.RUNNING, "stop requested"), None, local=False)
    assert (next_step.summary, next_step.command) == (
        "the run saves a checkpoint and exits",
        "clusterrun resume tiny",
    )
