"""The exit code of a job whose run does not continue: 0 only if the run finished, and none that Slurm acts on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bash_functions import bash

SCONTROL = 'job_is_expedited() { return 1; }; scontrol() { printf "%s" "$config"; }\n'
LISTED = [
    ("RequeueExit             = (null)\nRequeueExitHold         = (null)\n", 75),
    ("RequeueExit             = 99\nRequeueExitHold         = 93\n", 75),
    ("RequeueExit             = 75\nRequeueExitHold         = 76-78,93\n", 79),
    ("RequeueExitHold         = 1-200\n", 75),  # all codes are listed
    ("", 75),  # Slurm is not responding
]


@pytest.mark.parametrize(("config", "code"), LISTED)
def test_a_stopped_run_exits_with_a_code_that_slurm_does_not_act_on(config: str, code: int) -> None:
    """RequeueExit would start it again, RequeueExitHold hold it in the queue."""
    assert bash(SCONTROL + "exit_unfinished", config=config).returncode == code


@pytest.mark.parametrize(("code", "exits"), [(0, 0), (1, 1), (7, 76), (75, 76), (137, 137)])
def test_other_ends_exit_with_their_own_code(code: int, exits: int) -> None:
    """Unless the site lists it; the exit code of a finished run is always 0."""
    done = bash(SCONTROL + f"exit_for_good {code}", config="RequeueExit = 0,5-7,75\n")
    assert done.returncode == exits


BEGIN = """
job_is_expedited() { return 1; }; scontrol() { :; }; squeue() { echo "7 RUNNING"; }
array_job= SLURM_JOB_ID=8 requeue_by=auto SLURM_JOB_NODELIST=n1
"""
ENDED = {
    "it was cancelled": ("cancelled", "now", "exit_if_run_is_over"),
    "a task's array was cancelled": (
        "../cancelled",
        "now",
        "array_job=8_1 && exit_if_run_is_over",
    ),
    "another job trains it": ("events/attempt-0001.begin", "job_id=7\n", "claim_attempt"),
    "it was stopped": (
        "events/attempt-0001.end",
        "cause=stop\nnext=end\n",
        "CLUSTERRUN_FIRST_JOB=7 && exit_if_run_has_ended 0001",
    ),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_job_that_starts_in_vain_is_no_success(tmp_path: Path, name: str) -> None:
    """A job that depends on it with afterok must not start, as the run has not finished."""
    file, text, call = ENDED[name]
    folder = tmp_path / "run"
    (folder / "events").mkdir(parents=True)
    (folder / file).write_text(text)
    done = bash(BEGIN + call, run_dir=folder, run_id="r")
    assert done.returncode == 75, done.stderr
