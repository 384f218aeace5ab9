"""Whether an attempt may start after the previous one ended."""

from __future__ import annotations

import pytest

from tests.support.bash_functions import bash, said

ALLOWED = [
    # the end record of the previous attempt, requeue.on, whether another may start, the cause in the message if it may not
    (None, "node-failure", True, ""),
    (None, "preemption crash", False, "node-failure"),
    ("preemption", "preemption", True, ""),
    ("preemption", "crash", False, "preemption"),
    ("time-limit", "time-limit crash", True, ""),
    ("time-limit", "", False, "time-limit"),
    ("crash", "", True, ""),  # it requested its requeue itself, while that was allowed
    ("requeue", "", True, ""),
]


@pytest.mark.parametrize(("cause", "on", "allowed", "cause_in_message"), ALLOWED)
def test_an_attempt_starts_only_after_a_cause_of_requeue_on(
    run_dir, cause, on, allowed, cause_in_message
):
    """Slurm may restart a job that its user wanted to end; such an attempt records why, and exits."""
    (run_dir / "events" / "attempt-0001.begin").write_text("job_id=7\n")
    if cause:
        (run_dir / "events" / "attempt-0001.end").write_text(f"cause={cause}\nnext=continue\n")
    done = bash(
        "record_end_of_previous_attempt 0001; may_continue_after 0001",
        run_dir=run_dir,
        attempt="0002",
        requeue_on=on,
        max_crashes=3,
        SLURM_JOB_ID=7,
    )
    end = run_dir / "events" / "attempt-0002.end"
    assert (done.returncode == 0) is allowed
    assert end.exists() is not allowed
    if cause_in_message:
        reason = (
            f"the previous attempt ended with {cause_in_message}, which requeue.on does not include"
        )
        assert end.read_text().splitlines()[:4] == [
            f"cause={cause_in_message}",
            "next=end",
            f"reason={reason}",
            "exit_code=1",
        ]
        assert done.stderr == f"clusterrun: {reason}\n"


ENDED = [
    # how the run ended, which job starts then, the variable of a job that an attempt has queued; whether it trains
    ("cause=crash\nnext=end\n", 7, "", False),  # restarted by Slurm, or with `scontrol requeue`
    ("cause=crash\nnext=end\n", 3, "", False),  # the job of an earlier attempt
    ("cause=crash\nnext=end\n", 12, "3", False),  # a successor or smaller job of any attempt
    ("cause=preemption\nnext=end\n", 7, "", False),
    ("cause=stop\nnext=end\n", 12, "3", False),
    ("cause=no-restart\nnext=end\n", 7, "", False),
    ("cause=failed-start\nnext=end\n", 7, "", False),
    ("cause=crash\nnext=end\n", 99, "", True),  # `clusterrun resume`
    ("cause=cancel\nnext=end\n", 99, "", True),
    (
        "cause=cancel\nnext=end\n",
        7,
        "",
        True,
    ),  # Slurm restarts no cancelled job, so this one was not cancelled
    ("cause=cancel\nnext=end\n", 12, "3", False),
    ("cause=crash\nnext=continue\n", 7, "", True),
    ("cause=crash\nnext=continue\n", 12, "3", True),
    ("cause=preemption\nnext=by-slurm\n", 7, "", True),
    ("", 7, "", True),  # it could not record its end
]


@pytest.mark.parametrize(("end", "job", "first", "trains"), ENDED)
def test_an_ended_run_restarts_only_on_request(run_dir, end, job, first, trains):
    """A job that Slurm restarts, or that was queued earlier, exits at once and changes no record."""
    (run_dir / "events" / "attempt-0001.begin").write_text("job_id=3\n")
    (run_dir / "events" / "attempt-0002.begin").write_text("job_id=7\n")
    (run_dir / "events" / "submit.intent").touch()
    if end:
        (run_dir / "events" / "attempt-0002.end").write_text(end)
    text = "scontrol() { :; }; exit_if_run_has_ended 0002; echo trains"
    words = {"SLURM_JOB_ID": job, "CLUSTERRUN_FIRST_JOB": first, "run_id": "r"}
    done = bash(text, run_dir=run_dir, **words)
    assert (done.stdout == "trains\n", done.returncode == 0) == (trains, trains), done.stderr
    assert ("clusterrun resume r" in done.stderr) is not trains


@pytest.mark.parametrize(("job", "trains"), [(3, True), (7, False)])
def test_a_script_piped_into_sbatch_restarts_by_a_requeue(run_dir, job, trains):
    """It has no record of `submit`, so it cannot be resumed: `scontrol requeue` of its job restarts
    it.
    """
    (run_dir / "events" / "attempt-0001.begin").write_text("job_id=3\n")
    (run_dir / "events" / "attempt-0001.end").write_text("cause=stop\nnext=end\n")
    text = "scontrol() { :; }; exit_if_run_has_ended 0001; echo trains"
    done = bash(text, run_dir=run_dir, SLURM_JOB_ID=job, CLUSTERRUN_FIRST_JOB="3", run_id="r")
    assert (done.stdout == "trains\n") is trains, done.stderr


def test_a_task_is_recorded_in_the_folder_of_its_array(run_dir):
    """A task that has ended does not train again when Slurm restarts its job: the array can be
    resumed.
    """
    task = run_dir / "task-3"
    (task / "events").mkdir(parents=True)
    (run_dir / "events" / "submit.intent").touch()
    (task / "events" / "attempt-0001.begin").write_text("job_id=7\n")
    (task / "events" / "attempt-0001.end").write_text("cause=crash\nnext=end\n")
    text = "scontrol() { :; }; exit_if_run_has_ended 0001; echo trains"
    done = bash(text, run_dir=task, SLURM_JOB_ID=7, array_job="5_3", run_id="r")
    assert (done.stdout, done.returncode) == ("", 1), done.stderr


def test_a_resumed_run_starts_after_any_end(run_dir):
    """Another job than the last one is the user's `resume`, which is not subject to requeue.on."""
    (run_dir / "events" / "attempt-0001.begin").write_text("job_id=10\n")
    (run_dir / "events" / "attempt-0001.end").write_text("cause=preemption\nnext=continue\n")
    answers = [
        bash(
            "may_continue_after 0001",
            run_dir=run_dir,
            attempt="0002",
            requeue_on="",
            SLURM_JOB_ID=job,
        )
        for job in (10, 11)
    ]
    assert [done.returncode for done in answers] == [1, 0]


def test_an_attempt_without_an_end_was_lost_with_its_node(run_dir):
    """The next attempt records its end, and it counts like any other."""
    (run_dir / "progress").write_text("step=12\n")
    assert said("record_end_of_previous_attempt 0001", run_dir=run_dir) == ""
    end = (run_dir / "events" / "attempt-0001.end").read_text().splitlines()
    assert end[:4] == [
        "cause=node-failure",
        "next=continue",
        "reason=it was killed before it could record its end",
        "step=12",
    ]
    assert "furthest=12" in (run_dir / "ledger").read_text().splitlines()
