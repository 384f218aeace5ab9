"""How the job script's functions find the cause of an attempt's end."""

from __future__ import annotations

import time

import pytest

from tests.support.bash_functions import bash, said

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
    # the recorded outcome, (exit code, stop request) of each node, srun's exit code, the log, more; the cause
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
    ("", [(0, ""), None], 0, f"{BAR}srun: error: Node failure on n2", {}, "node-failure"),  # on the same line as a progress bar
    ("", [(0, ""), None], 0, "", {}, "node-failure"),  # srun succeeds, and a node has no record
    ("", [None, (0, "")], 0, "", {}, "node-failure"),
    ("stopped", [(0, "USR1"), (0, "USR1")], 0, "", {}, "time-limit"),  # each node has received it
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
    # Slurm's line on the step: from 26.05 on, also on nodes whose tasks had to end because of another's
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
    # a line that the script prints is not Slurm's: inside a line, of another job, or in place of the job's own log
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
    ("", [(0, ""), (0, "")], 137, "", {"hang": "end"}, "finished"),  # srun alone did not notice the end
    ("", [(1, ""), (137, "")], 1, "", {"hang": "stacks"}, "crash"),  # ended by itself before it was terminated
    ("finished", [(137, "")], 137, "", {"hang": "end"}, "finished"),
    ("stopped", [(137, "TERM")], 137, "", {"hang": "end"}, "preemption"),
    ("", [(137, "")], 137, NODE_FAILED, {"hang": "end", "term_seen": "TERM"}, "node-failure"),
    ("stopped", [(0, "TERM")], 0, "", {"current": "0003"}, "fenced"),
    ("stopped", [(0, "TERM")], 0, "", {"current": ""}, "preemption"),  # `current` cannot be read now
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "nodes", "step_exit", "log", "more", "cause"), ENDS)
def test_the_cause_of_an_end(run_dir, outcome, nodes, step_exit, log, more, cause):
    """The recorded outcome has precedence, then Slurm's lines, then how each node's task ended."""
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


def test_slurms_lines_without_a_log_or_a_job_id(run_dir):
    """A missing log gives neither a cause nor an error message; without a job id every job's line counts."""
    assert said("find_job_cause", slurm_log=run_dir / "none", slurm_log_start=0) == ""
    assert said("find_launch_failure", run_dir=run_dir, attempt="0002") == ""
    line = SCANCEL.replace("JOB 7", "JOB 4070")
    assert said(f"read_causes JOB <<< '{line}'") == "cancel\n"
    assert said(f"read_causes JOB <<< '{line}'", SLURM_JOB_ID=4070) == "cancel\n"
    assert said(f"read_causes JOB <<< '{line}'", SLURM_JOB_ID=407) == ""


def test_the_first_node_with_a_failed_launch_is_named(run_dir):
    """It becomes the reason of the end, in one line."""
    (run_dir / "logs").mkdir()
    log = f"{REFUSED}\n{REFUSED.replace('n4', 'n5')}\n"
    (run_dir / "logs" / "attempt-0002.log").write_text(log)
    words = "the launch failed on n4: Communication connection failure\n"
    assert said("find_launch_failure", run_dir=run_dir, attempt="0002") == words


LAST_WORDS = [
    # the recorded outcome, Slurm's line at its final kill: the end record
    ("finished", PREEMPTED.replace("STEP 7.0", "JOB 7"), "finished", "end"),
    ("finished", PREEMPTED.replace("STEP 7.0", "JOB 7").replace(" DUE TO PREEMPTION", ""), "finished", "end"),
    ("no-restart", PREEMPTED.replace("STEP 7.0", "JOB 7"), "no-restart", "end"),
    ("trained", PREEMPTED.replace("STEP 7.0", "JOB 7"), "preemption", "by-slurm"),  # a task may still fail
    ("stopped", PREEMPTED.replace("STEP 7.0", "JOB 7"), "preemption", "by-slurm"),
    ("", PREEMPTED.replace("STEP 7.0", "JOB 7"), "preemption", "by-slurm"),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "line", "cause", "next_"), LAST_WORDS)
def test_a_run_that_finished_before_the_final_kill_has_finished(
    run_dir, outcome, line, cause, next_
):
    """Its record is read first, and no job is queued for it, whatever Slurm then does to the job."""
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
