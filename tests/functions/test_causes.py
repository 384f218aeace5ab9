"""The fixed bash functions, one by one: how the cause of an attempt's end is found, and what the ledger makes of it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import get_args

import pytest

from clusterrun.diagnosis.attempt_end import why_stopped
from clusterrun.job_spec.model import Requeue
from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.causes import MEANINGS, Cause
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.file_status import status_from_files
from clusterrun.slurm.states import State
from tests.support.bash_functions import FUNCTIONS, bash, said
from tests.support.bash_text import read_bash


@pytest.fixture
def run_dir(tmp_path) -> Path:
    (tmp_path / "events").mkdir()
    return tmp_path


ALLOWED = [
    # what the last attempt wrote, requeue.on, whether another may begin, the cause that is told when it may not
    (None, "node-failure", True, ""),
    (None, "preemption crash", False, "node-failure"),
    ("preemption", "preemption", True, ""),
    ("preemption", "crash", False, "preemption"),
    ("time-limit", "time-limit crash", True, ""),
    ("time-limit", "", False, "time-limit"),
    ("crash", "", True, ""),  # it asked for its requeue itself, when that was allowed
    ("requeue", "", True, ""),
]


@pytest.mark.parametrize(("cause", "on", "allowed", "told"), ALLOWED)
def test_an_attempt_begins_only_after_an_end_that_requeue_on_names(
    run_dir, cause, on, allowed, told
):
    """Slurm may restart a job that its user wanted ended; such an attempt records why, and exits."""
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
    if told:
        reason = f"the previous attempt ended with {told}, which requeue.on does not include"
        assert end.read_text().splitlines()[:4] == [
            f"cause={told}",
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
    ("cause=cancel\nnext=end\n", 7, "", True),  # Slurm restarts no cancelled job, so it was none
    ("cause=cancel\nnext=end\n", 12, "3", False),
    ("cause=crash\nnext=continue\n", 7, "", True),
    ("cause=crash\nnext=continue\n", 12, "3", True),
    ("cause=preemption\nnext=by-slurm\n", 7, "", True),
    ("", 7, "", True),  # it could not record its end
]


@pytest.mark.parametrize(("end", "job", "first", "trains"), ENDED)
def test_after_its_end_a_run_restarts_only_if_a_person_wants_it(run_dir, end, job, first, trains):
    """What Slurm, or a job that was queued earlier, starts later exits at once, and changes no record."""
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
def test_a_script_that_was_piped_into_sbatch_is_restarted_by_a_requeue(run_dir, job, trains):
    """It has no record of `submit`, so it cannot be resumed: `scontrol requeue` of its job restarts it."""
    (run_dir / "events" / "attempt-0001.begin").write_text("job_id=3\n")
    (run_dir / "events" / "attempt-0001.end").write_text("cause=stop\nnext=end\n")
    text = "scontrol() { :; }; exit_if_run_has_ended 0001; echo trains"
    done = bash(text, run_dir=run_dir, SLURM_JOB_ID=job, CLUSTERRUN_FIRST_JOB="3", run_id="r")
    assert (done.stdout == "trains\n") is trains, done.stderr


def test_a_task_of_an_array_is_recorded_in_the_folder_of_its_array(run_dir):
    """A task that has ended does not train again when Slurm restarts its job: the array can be resumed."""
    task = run_dir / "task-3"
    (task / "events").mkdir(parents=True)
    (run_dir / "events" / "submit.intent").touch()
    (task / "events" / "attempt-0001.begin").write_text("job_id=7\n")
    (task / "events" / "attempt-0001.end").write_text("cause=crash\nnext=end\n")
    text = "scontrol() { :; }; exit_if_run_has_ended 0001; echo trains"
    done = bash(text, run_dir=task, SLURM_JOB_ID=7, array_job="5_3", run_id="r")
    assert (done.stdout, done.returncode) == ("", 1), done.stderr


def test_an_attempt_that_a_person_wanted_begins_after_any_end(run_dir):
    """Another job than the last one is a person's `resume`: what requeue.on says of Slurm's requeues does not bind it."""
    (run_dir / "events" / "attempt-0001.begin").write_text("job_id=10\n")
    (run_dir / "events" / "attempt-0001.end").write_text("cause=preemption\nnext=continue\n")
    asked = [
        bash(
            "may_continue_after 0001",
            run_dir=run_dir,
            attempt="0002",
            requeue_on="",
            SLURM_JOB_ID=job,
        )
        for job in (10, 11)
    ]
    assert [done.returncode for done in asked] == [1, 0]


def test_an_attempt_that_said_nothing_was_lost_with_its_node(run_dir):
    """What the dead could not write is written by their successor, and counted like any other end."""
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


PREEMPTED = "slurmstepd-n1: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO PREEMPTION ***"
NEW_SLURM = (
    "slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO TIME LIMIT ***"
)
NODE_FAILED = "slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO NODE FAILURE, SEE SLURMCTLD ***"
STAMP = "[2026-03-25T10:34:07.531] error: *** JOB 7 ON n1 CANCELLED AT 2026-03-25T10:34:07 DUE TO {} ***"
TASK_FAILED = "[2026-11-30T16:15:15.476] error: *** STEP 7.0 ON n1 CANCELLED AT 2026-11-30T16:15:15 DUE TO TASK FAILURE ***"
BAR = " 12%|##        | 114/450 [00:12<00:31, 10.8it/s]"
SCANCEL = "slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 ***"
SIGNALLED = "[2026-03-25T10:34:07.531] error: *** JOB 7 ON n1 CANCELLED AT 2026-03-25T10:34:07 DUE to SIGNAL Terminated ***"
TORN = "subprocess.CalledProcessError: Command '['python', 'train.py']' returned non-zero exit status 93."
REFUSED = (
    "srun: error: Task launch for StepId=30.0 failed on node n4: Communication connection failure"
)
ENDS = [
    # the trainer's word, (exit code, what was asked) of each node, srun's exit code, the log, more; the cause
    ("finished", [(0, "")], 0, "", {}, "finished"),
    ("finished", [(1, "")], 1, "", {}, "finished"),  # a launcher that aborts after the end
    ("finished", [(0, "TERM")], 0, PREEMPTED, {}, "finished"),
    ("", [(0, "")], 0, "", {}, "finished"),
    ("", [(0, "TERM")], 0, "", {}, "finished"),  # it did not handle the request: test_stop_handling.py
    ("stopped", [(0, "TERM"), (0, "TERM")], 0, "", {}, "preemption"),
    ("stopped", [(0, "time-limit")], 0, "", {}, "time-limit"),
    ("stopped", [(0, "USR1")], 0, "", {}, "time-limit"),  # no limit is known: USR1 is the warning before it
    ("stopped", [(0, "USR1")], 0, "", {"left": 100}, "time-limit"),
    ("stopped", [(0, "USR1")], 0, "", {"left": 5000}, "preemption"),  # preempt_send_user_signal
    ("stopped", [(0, "USR1")], 0, "", {"left": 5000, "shortened": 100}, "time-limit"),
    ("stopped", [(0, "USR1")], 0, "", {"left": 100, "shortened": 5000}, "preemption"),  # it was raised
    ("stopped", [(0, "USR1")], 0, "", {"requeue": True}, "requeue"),
    ("stopped", [(0, "stop")], 0, "", {"stop": True}, "stop"),
    ("stopped", [(0, "TERM")], 0, "", {"term_seen": "TERM"}, "cancel"),
    ("stopped", [(0, "TERM")], 0, "", {"term_seen": "TERM", "left": -1}, "time-limit"),
    ("", [(137, "TERM")], 137, PREEMPTED, {"term_seen": "TERM"}, "preemption"),
    ("", [(137, "TERM")], 137, NEW_SLURM, {"term_seen": "TERM"}, "time-limit"),
    ("", [(1, ""), None], 137, NODE_FAILED, {"term_seen": "TERM"}, "node-failure"),
    ("", [(0, ""), None], 0, "srun: error: Node failure on n2", {}, "node-failure"),
    ("", [(0, ""), None], 0, f"{BAR}srun: error: Node failure on n2", {}, "node-failure"),  # glued to a progress bar
    ("", [(0, ""), None], 0, "", {}, "node-failure"),  # srun is content, and a node has left no word
    ("", [None, (0, "")], 0, "", {}, "node-failure"),
    ("stopped", [(0, "USR1"), (0, "USR1")], 0, "", {}, "time-limit"),  # each node has heard of it
    ("trained", [(0, "")], 0, "", {}, "finished"),
    ("trained", [(0, "TERM")], 0, PREEMPTED, {}, "finished"),
    ("trained", [(1, "")], 1, "", {}, "crash"),  # sys.exit(1) after the training
    ("trained", [(143, "TERM")], 143, PREEMPTED, {"term_seen": "TERM"}, "preemption"),
    ("", [(137, "TERM")], 137, STAMP.format("PREEMPTION"), {"term_seen": "TERM"}, "preemption"),  # newer Slurm
    ("", [(137, "TERM")], 137, STAMP.format("TIME LIMIT"), {"term_seen": "TERM"}, "time-limit"),
    ("", [(137, "TERM")], 137, STAMP.format("JOB REQUEUE"), {"term_seen": "TERM"}, "requeue"),
    ("", [(137, "TERM")], 137, STAMP.format("NODE FAILURE"), {"term_seen": "TERM"}, "node-failure"),
    ("", [(137, "TERM")], 137, STAMP.format("SOLAR FLARE"), {"term_seen": "TERM"}, "unknown"),
    ("", [(137, "TERM")], 137, f"{STAMP.format('NODE FAILURE')}\r", {"term_seen": "TERM"}, "node-failure"),
    # Slurm's words on the step: from 26.05 on, it says so of the nodes whose tasks had to follow another's
    ("", [(137, ""), (137, "")], 137, TASK_FAILED, {}, "crash"),
    ("", [(137, "", 1), (137, "")], 137, TASK_FAILED, {}, "crash"),
    ("", [(137, "", 1), (1, "")], 137, TASK_FAILED.replace("TASK FAILURE", "SOLAR FLARE"), {}, "crash"),
    ("", [None, (93, "")], 137, TASK_FAILED, {}, "no-restart"),
    ("", [None, None], 137, TASK_FAILED, {}, "crash"),
    ("stopped", [(0, "TERM"), (137, "TERM")], 137, TASK_FAILED, {}, "preemption"),  # one rank died while it saved
    ("", [(137, "", 1), (137, "")], 137, TASK_FAILED, {"term_seen": "TERM", "job": SCANCEL}, "cancel"),
    ("", [(137, "", 1), (137, "")], 137, TASK_FAILED, {"term_seen": "TERM", "job": NODE_FAILED}, "node-failure"),
    ("", [(1, ""), (137, "", 1)], 1, PREEMPTED, {}, "crash"),  # it had failed before it was preempted
    ("", [(1, ""), None], 1, NODE_FAILED.replace("JOB 7", "STEP 7.0"), {}, "node-failure"),  # the node's end failed the rank
    ("", [None, None], 1, PREEMPTED, {}, "preemption"),
    ("", [None, None], 1, f"{PREEMPTED}\n{PREEMPTED}", {}, "preemption"),  # a line from each node
    ("", [None], 137, "", {"term_seen": "TERM", "job": f"{STAMP.format('PREEMPTION')}\n{SCANCEL}"}, "preemption"),
    # what a script prints is not Slurm's word: amid a line, of another job, or in the place of the job's own log
    ("", [(1, "")], 1, f"rank 0: {PREEMPTED}", {}, "crash"),
    ("", [None], 1, f"rank 0: {PREEMPTED}", {}, "crash"),
    ("", [None], 1, PREEMPTED.replace("STEP 7.0", "STEP 77.0"), {}, "crash"),
    ("", [None], 1, PREEMPTED.replace("STEP 7.0", "STEP 6.0"), {}, "crash"),
    ("", [None], 1, f"{PREEMPTED} was in the log", {}, "crash"),
    ("", [None], 1, STAMP.format("PREEMPTION"), {"job": "nothing"}, "crash"),
    ("stopped", [(0, "TERM")], 0, SCANCEL, {"term_seen": "TERM", "left": -1}, "cancel"),  # the limit was raised
    ("stopped", [(0, "TERM")], 0, SIGNALLED, {"term_seen": "TERM", "left": -1}, "cancel"),
    ("", [(1, "")], 1, "slurmstepd-n1: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-02T03:04:05 ***", {}, "crash"),
    ("", [(1, "")], 1, "", {}, "crash"),
    ("", [(1, ""), (1, "TERM")], 137, "", {}, "crash"),  # srun ended the other node's task with TERM
    ("", [None], 1, "", {}, "crash"),
    ("", [None, None], 233, f"{BAR}{REFUSED}", {}, "bad-node"),
    ("", [(1, "TERM"), (143, "TERM")], 143, "", {}, "preemption"),  # a script that dies of the signal it asked for
    ("", [(93, "")], 93, "", {}, "no-restart"),
    ("", [(1, "")], 1, TORN, {}, "no-restart"),
    ("no-restart", [(1, "")], 1, "", {}, "no-restart"),
    ("", [(137, ""), (137, "")], 137, "", {"hang": "end"}, "hang"),
    ("", [(1, ""), None], 137, "", {"hang": "end"}, "hang"),  # its other node was rebooted
    ("", [(0, ""), (0, "")], 137, "", {"hang": "end"}, "finished"),  # srun alone did not see the end
    ("", [(1, ""), (137, "")], 1, "", {"hang": "stacks"}, "crash"),  # ended by itself before it was ended
    ("finished", [(137, "")], 137, "", {"hang": "end"}, "finished"),
    ("stopped", [(137, "TERM")], 137, "", {"hang": "end"}, "preemption"),
    ("", [(137, "")], 137, NODE_FAILED, {"hang": "end", "term_seen": "TERM"}, "node-failure"),
    ("stopped", [(0, "TERM")], 0, "", {"current": "0003"}, "fenced"),
    ("stopped", [(0, "TERM")], 0, "", {"current": ""}, "preemption"),  # `current` cannot be read now
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "nodes", "step_exit", "log", "more", "cause"), ENDS)
def test_the_cause_of_an_end(run_dir, outcome, nodes, step_exit, log, more, cause):
    """The trainer's word goes first, then Slurm's, then how each node's task ended."""
    (run_dir / "current").write_text(f"attempt={more.get('current', '0002')}\n")
    (run_dir / "stop").write_text("asked\n" if more.get("stop") else "")
    (run_dir / "logs").mkdir()
    (run_dir / "logs" / "attempt-0002.log").write_text(
        "" if "*** JOB" in log and "job" not in more else f"{log}\n"
    )
    (run_dir / "slurm.out").write_text(
        "{}\n".format(more.get("job", log if "*** JOB" in log else ""))
    )
    if more.get("requeue"):
        (run_dir / "requeue").touch()
    (run_dir / "events" / "attempt-0002.hang").write_text(f"order={more.get('hang', '')}\n")
    if outcome:
        (run_dir / "events" / "attempt-0002.trainer").write_text(f"outcome={outcome}\n")
    for number, node in enumerate(nodes):
        if node:
            file = run_dir / "events" / f"attempt-0002.node-{number}"
            file.write_text(
                f"exit_code={node[0]}\nstop_request={node[1]}\nanother_node_failed={node[2] if node[2:] else ''}\n"
            )
    ends = int(time.time()) + more["left"] if "left" in more else ""
    limit = int(time.time()) + more["shortened"] if "shortened" in more else ""
    answer = said(
        'squeue() { [ -z "$limit" ] || date -d "@$limit" +%FT%T; }; find_end_cause', limit=limit, run_dir=run_dir, attempt="0002", step_exit=step_exit, SLURM_JOB_NUM_NODES=len(nodes),
        job_end_time=ends, signal_lead=60, term_seen=more.get("term_seen", ""), slurm_log=run_dir / "slurm.out",
        slurm_log_start=0, SLURM_JOB_ID=7,
    )  # fmt: skip
    assert answer == f"{cause}\n"


def test_what_slurm_says_is_read_where_there_is_no_log_and_no_job(run_dir):
    """A log that is gone is no reason and no noise; without a job's number every job's line counts."""
    assert said("find_job_cause", slurm_log=run_dir / "none", slurm_log_start=0) == ""
    assert said("find_launch_failure", run_dir=run_dir, attempt="0002") == ""
    line = SCANCEL.replace("JOB 7", "JOB 4070")
    assert said(f"read_causes JOB <<< '{line}'") == "cancel\n"
    assert said(f"read_causes JOB <<< '{line}'", SLURM_JOB_ID=4070) == "cancel\n"
    assert said(f"read_causes JOB <<< '{line}'", SLURM_JOB_ID=407) == ""


def test_the_first_node_whose_launch_failed_is_named(run_dir):
    """It becomes the reason of the end, which is one line."""
    (run_dir / "logs").mkdir()
    log = f"{REFUSED}\n{REFUSED.replace('n4', 'n5')}\n"
    (run_dir / "logs" / "attempt-0002.log").write_text(log)
    words = "the launch failed on n4: Communication connection failure\n"
    assert said("find_launch_failure", run_dir=run_dir, attempt="0002") == words


LEDGERS = [
    # crashes, idle attempts, furthest step and checkpoint so far; the step and the checkpoint now; the cause; the new counts
    (None, (None, None), "crash", (1, 1, 0)),
    (
        None,
        (None, None),
        "preemption",
        (0, 0, 0),
    ),  # a script that tells nothing is not judged by its progress
    (None, (7, None), "preemption", (0, 0, 7)),
    ((0, 0, 7, ""), (7, None), "preemption", (0, 1, 7)),
    ((0, 2, 7, ""), (5, None), "node-failure", (0, 3, 7)),
    ((0, 2, 7, ""), (8, None), "node-failure", (0, 0, 8)),
    ((1, 0, 7, ""), (9, None), "crash", (2, 0, 9)),
    ((2, 1, 10, "step-00000010-0001"), (10, "step-00000010-0001"), "crash", (3, 2, 10)),
    ((2, 1, 10, "step-00000010-0001"), (10, "step-00000010-0001"), "hang", (3, 2, 10)),
    ((2, 1, 10, "step-00000010-0001"), (25, "step-00000020-0002"), "hang", (1, 0, 25)),
    ((2, 1, 10, "step-00000010-0001"), (10, "step-00000010-0001"), "preemption", (2, 2, 10)),
    ((2, 1, 10, "step-00000010-0001"), (25, "step-00000020-0002"), "crash", (1, 0, 25)),
    ((2, 1, 10, "step-00000010-0001"), (25, "step-00000020-0002"), "preemption", (0, 0, 25)),
]


@pytest.mark.parametrize(("before", "now", "cause", "after"), LEDGERS)
def test_the_ledger_counts_crashes_and_idle_attempts(run_dir, before, now, cause, after):
    """Crashes in a row count until a new checkpoint, attempts without a new step until one; each attempt once."""
    if before:
        crashes, idle, furthest, checkpoint = before
        lines = f"attempt=0001\ncrashes={crashes}\nidle={idle}\nfurthest={furthest}\ncheckpoint={checkpoint}\n"
        (run_dir / "ledger").write_text(lines)
    step, newest = now
    if step is not None:
        (run_dir / "progress").write_text(f"step={step}\n")
    if newest:
        (run_dir / "saves").write_text(f"checkpoint={newest}\n")
    text = 'update_ledger 0002 $1 && update_ledger 0002 $1; for key in crashes idle furthest; do read_value $key "$run_dir/ledger"; done'
    assert tuple(map(int, said(text, cause, run_dir=run_dir).split())) == after


def test_a_script_with_checkpoints_of_its_own_advances_by_them(run_dir):
    """A newer match of checkpoint.path is progress, for the crash budget and for the idle attempts alike."""
    own = run_dir / "own 1"
    own.write_text("state")
    text = 'update_ledger $1 crash; for key in crashes idle; do read_value $key "$run_dir/ledger"; done'
    counts = []
    for attempt in ("0001", "0002", "0003"):
        counts.append(
            said(text, attempt, run_dir=run_dir, checkpoint_path=f"{run_dir}/own *").split()
        )
        if attempt == "0002":
            (run_dir / "own 2").write_text("state")
    assert counts == [["1", "0"], ["2", "1"], ["1", "0"]]


WHYS = [
    ("crash", 4, 0, "4 crashes without a new checkpoint; requeue.crashes is 3\n"),
    ("hang", 4, 0, "4 crashes or hangs without a new checkpoint; requeue.crashes is 3\n"),
    ("crash", 3, 2, ""),
    ("crash", 3, 3, "3 attempts in a row without a new step\n"),
    ("preemption", 0, 3, "3 attempts in a row without a new step\n"),
    ("preemption", 9, 0, ""),
    ("finished", 9, 9, ""),
]


@pytest.mark.parametrize(("cause", "crashes", "idle", "words"), WHYS)
def test_the_end_of_all_attempts_has_a_reason(run_dir, cause, crashes, idle, words):
    """Who finds a run that was given up reads why."""
    (run_dir / "ledger").write_text(f"crashes={crashes}\nidle={idle}\n")
    assert said("explain_end $1", cause, run_dir=run_dir, max_crashes=3) == words


def test_the_newest_of_a_scripts_own_checkpoints(run_dir):
    """By the time of the last change; what is empty is no checkpoint, and spaces in names are nothing special."""
    for number, name in enumerate(("own 3", "own 1", "own 2", "own empty")):
        (run_dir / name).write_text("" if name == "own empty" else "state")
        os.utime(run_dir / name, (1_000_000 + number, 1_000_000 + number))
    (run_dir / "own folder").mkdir()
    pattern = f"{run_dir}/own *"
    assert said("find_newest_match", run_dir=run_dir, checkpoint_path=pattern) == f"{run_dir}/own 2"
    assert (
        said('find_newest_match "$1"', f"{run_dir}/own 2", checkpoint_path=pattern)
        == f"{run_dir}/own 1"
    )
    assert said("find_newest_match", checkpoint_path=f"{run_dir}/none *") == ""


BASH = "\n".join(path.read_text() for path in sorted(FUNCTIONS.glob("*.sh")))
BODIES = read_bash(BASH).bodies


def judges() -> set[str]:
    """The bash functions whose output becomes a cause, and those that they leave the answer to."""
    found = set(re.findall(r"\bcause=\$\((\w+)", BASH)) - {"read_value", "quote_text"}
    while (
        more := {
            name
            for one in found
            for name in re.findall(r"^\s+(\w+)$", BODIES[one], re.MULTILINE)
            if name in BODIES
        }
        - found
    ):
        found |= more
    return found


def test_bash_and_python_know_the_same_causes() -> None:
    """What the functions and the training library write as a cause is a Cause; and each Cause is written by one of them."""
    echoed = {word for name in judges() for word in re.findall(r"\becho ([a-z-]+)", BODIES[name])}
    written = set(re.findall(r"\bcause=([a-z][a-z-]+)\b", BASH)) | set(
        re.findall(r"\brecord_end ([a-z-]+) ", BASH)
    )
    marked = {"finished", "no-restart"}  # the trainer's outcomes that are handed on as they are
    known = {cause.value for cause in Cause}
    assert len(echoed) > 8
    assert echoed | written | marked <= known
    assert known - (echoed | written | marked) <= {"unknown"}


STARTS = [
    # the cause, the attempts that made a step; whether the second attempt counts as idle
    ("preemption", ["0001"], False),  # preempted during its start
    ("requeue", ["0001"], False),
    ("node-failure", ["0001"], False),
    ("preemption", ["0001", "0002"], True),  # it repeated steps, and made no new one
    ("node-failure", ["0001", "0002"], True),
    ("time-limit", ["0001"], True),  # its start is longer than the job may be
    ("crash", ["0001"], True),
    ("unknown", ["0001"], True),
    ("preemption", [], True),  # a script without the training library
]


@pytest.mark.parametrize(("cause", "stepped", "counts"), STARTS)
def test_an_attempt_that_could_make_no_step_is_not_idle(run_dir, cause, stepped, counts):
    """However often Slurm takes a run during its start, it has not failed."""
    (run_dir / "ledger").write_text("attempt=0001\ncrashes=0\nidle=0\nfurthest=7\ncheckpoint=\n")
    (run_dir / "progress").write_text("step=7\n")
    (run_dir / "metrics").mkdir()
    for name in stepped:
        (run_dir / "metrics" / f"attempt-{name}.times").write_text("first_step=1\n")
    text = 'update_ledger 0002 $1; read_value idle "$run_dir/ledger"'
    assert said(text, cause, run_dir=run_dir) == f"{int(counts)}\n"


LAST_WORDS = [
    # what the training process has recorded, what Slurm logs at its final kill: the record of the end
    ("finished", PREEMPTED.replace("STEP 7.0", "JOB 7"), "finished", "end"),
    ("finished", PREEMPTED.replace("STEP 7.0", "JOB 7").replace(" DUE TO PREEMPTION", ""), "finished", "end"),
    ("no-restart", PREEMPTED.replace("STEP 7.0", "JOB 7"), "no-restart", "end"),
    ("trained", PREEMPTED.replace("STEP 7.0", "JOB 7"), "preemption", "by-slurm"),  # a task may yet fail
    ("stopped", PREEMPTED.replace("STEP 7.0", "JOB 7"), "preemption", "by-slurm"),
    ("", PREEMPTED.replace("STEP 7.0", "JOB 7"), "preemption", "by-slurm"),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "line", "cause", "next_"), LAST_WORDS)
def test_a_run_that_finished_before_the_final_kill_has_finished(
    run_dir, outcome, line, cause, next_
):
    """Its record is read first, and no job is queued for it, whatever Slurm does to the job then."""
    (run_dir / "logs").mkdir()
    (run_dir / "logs" / "attempt-0001.log").touch()
    (run_dir / "slurm.out").write_text(f"{line}\n")
    if outcome:
        (run_dir / "events" / "attempt-0001.trainer").write_text(f"outcome={outcome}\n")
    text = """
    scontrol() { [ "$2" != partition ] || echo PreemptMode=CANCEL; }
    sbatch() { echo submitted; echo 12; }
    record_end_at_term
    """
    done = bash(
        text, run_dir=run_dir, attempt="0001", slurm_log=run_dir / "slurm.out", slurm_log_start=0, SLURM_JOB_ID=7,
        SLURM_JOB_NUM_NODES=1, requeue_on="preemption", work_dir=run_dir, SLURM_SUBMIT_DIR=run_dir,
    )  # fmt: skip
    end = (run_dir / "events" / "attempt-0001.end").read_text().splitlines()
    assert end[:2] == [f"cause={cause}", f"next={next_}"], done.stderr
    assert (run_dir / "events" / "attempt-0001.successor").exists() is (cause == "preemption")


def test_the_trainers_outcomes_that_are_causes() -> None:
    """`find_end_cause` hands on two of the trainer's outcomes; the library writes no other word that is a cause."""
    source = "".join(
        path.read_text()
        for path in (FUNCTIONS.parent.parent / "clusterrun" / "training").glob("*.py")
    )
    outcomes = set(re.findall(r'(?:write_marker\([^"]*|_end\()"([a-z-]+)"', source))
    assert {"finished", "no-restart"} <= outcomes
    assert outcomes & {cause.value for cause in Cause} == {"finished", "no-restart"}


def test_the_decision_knows_every_cause_it_names() -> None:
    """requeue.on, and the patterns of the decision, are spelled as the causes are."""
    known = {cause.value for cause in Cause}
    assert set(get_args(get_args(Requeue.model_fields["on"].annotation)[0])) <= known
    patterns = re.findall(
        r"^\s+((?:[a-z-]+ \| )+[a-z-]+)\)",
        BODIES["decide_next"] + BODIES["may_continue_after"] + BODIES["explain_end"],
        re.MULTILINE,
    )
    assert {word for pattern in patterns for word in pattern.split(" | ")} <= known


def test_every_cause_has_words() -> None:
    """Each has its place in the one table, and a state of a run."""
    assert set(MEANINGS) == set(Cause)
    assert {meaning.state for meaning in MEANINGS.values()} <= set(State.__members__)


@pytest.mark.parametrize("word", ["something-new", "", "CRASH", "fin\ufffdshed", "x" * 5000])
def test_a_word_that_is_no_cause_is_shown_as_it_is(tmp_path, word) -> None:
    """A record of a newer version, or a damaged one, is no traceback."""
    paths = RunPaths(tmp_path / "run-1")
    paths.events.mkdir(parents=True)
    write_record(paths.begin("0001"), {"job_id": 7, "began": 1})
    write_record(paths.end("0001"), {"cause": word, "next": "end", "exit_code": 1, "ended": 2})
    (attempt,) = list_attempts(paths)
    found = status_from_files(RunRef("run-1", paths))
    assert (attempt.cause, attempt.summary, found.reason, found.state) == (
        word,
        word,
        word,
        State.FAILED,
    )
    assert why_stopped(paths, attempt).meaning == word
