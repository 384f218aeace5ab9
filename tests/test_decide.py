"""The fixed bash functions of every script, one by one: what is decided after an attempt, and what that rests on."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parent.parent / "templates" / "functions"
LOAD = 'for file in "$0"/*.sh; do . "$file"; done'
CAUSES = ("preemption", "time-limit", "node-failure", "crash", "hang")


def bash(text: str, *words: object, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run shell text below the functions, with words as its arguments and variables in its environment."""
    environment = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in variables.items()}}
    command = ["bash", "-c", f"{LOAD}\n{text}", FUNCTIONS, *map(str, words)]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


def said(text: str, *words: object, **variables: object) -> str:
    """What shell text prints; it must succeed and have nothing to complain of."""
    done = bash(text, *words, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def decisions(questions: list[tuple[object, ...]], **variables: object) -> list[str]:
    """Ask `decide` many times in one shell; each question is its five arguments."""
    words = [str(word) for question in questions for word in question]
    loop = 'while [ $# -gt 0 ]; do decide "$1" "$2" "$3" "$4" "$5"; shift 5; done'
    return said(loop, *words, **variables).splitlines()


def expected(cause: str, crashes: int, idle: int, causes: tuple[str, ...], most: int) -> str:
    """The table of the documentation, in Python."""
    if cause == "requeue":
        return "continue"
    if cause not in causes or idle >= 3:
        return "end"
    if cause == "node-failure":
        return "by-slurm"
    return "end" if cause in ("crash", "hang") and crashes > most else "continue"


def test_the_decision_is_the_table():
    """Every cause below, at and beyond the crash budget and the patience with idle attempts, for every requeue.on."""
    subsets = [chosen for count in range(6) for chosen in itertools.combinations(CAUSES, count)]
    endings = (*CAUSES, "finished", "stop", "cancel", "failed-start", "no-restart", "requeue", "something-new")
    questions = list(itertools.product(endings, (0, 1, 3, 4), (0, 2, 3, 4), subsets, (0, 3)))
    answers = decisions([(cause, n, idle, " ".join(on), most) for cause, n, idle, on, most in questions])
    wrong = {
        question: answer for question, answer in zip(questions, answers, strict=True) if answer != expected(*question)
    }
    assert wrong == {}


READ_BY_EYE = [
    # cause, crashes, idle attempts, requeue.on, budget: answer
    ("finished", 0, 0, "crash", 3, "end"),
    ("stop", 0, 0, "preemption", 3, "end"),
    ("cancel", 0, 0, "preemption crash", 3, "end"),
    ("no-restart", 1, 0, "crash", 3, "end"),
    ("preemption", 0, 0, "preemption", 3, "continue"),
    ("preemption", 9, 2, "preemption", 3, "continue"),
    ("preemption", 0, 3, "preemption", 3, "end"),
    ("preemption", 0, 0, "time-limit crash", 3, "end"),
    ("time-limit", 0, 0, "preemption time-limit", 3, "continue"),
    ("node-failure", 0, 0, "node-failure", 0, "by-slurm"),
    ("bad-node", 0, 0, "node-failure", 0, "continue"),
    ("bad-node", 0, 3, "node-failure", 0, "end"),
    ("bad-node", 0, 0, "preemption", 0, "end"),
    ("crash", 1, 1, "crash", 3, "continue"),
    ("crash", 3, 2, "crash", 3, "continue"),
    ("crash", 3, 3, "crash", 3, "end"),
    ("crash", 4, 0, "crash", 3, "end"),
    ("crash", 1, 0, "crash", 0, "end"),
    ("crash", 1, 0, "", 3, "end"),
    ("hang", 3, 2, "hang", 3, "continue"),
    ("hang", 4, 0, "hang", 3, "end"),
    ("hang", 1, 0, "crash", 3, "end"),
    ("requeue", 0, 0, "", 0, "continue"),
    ("", 0, 0, "preemption crash", 3, "end"),
]


def test_the_decisions_that_matter_most():
    """The cases that a person would look up, each written out."""
    assert decisions([case[:5] for case in READ_BY_EYE]) == [case[5] for case in READ_BY_EYE]


def test_a_batch_shell_that_heard_term_leaves_the_requeue_to_slurm():
    """Slurm takes a preempted, failed or requeued job back by itself; after a time limit it never does."""
    questions = [(cause, 0, 0, " ".join(CAUSES), 3) for cause in (*CAUSES, "requeue")]
    answers = ["by-slurm", "continue", "by-slurm", "continue", "continue", "by-slurm"]
    assert decisions(questions, batch_heard="TERM") == answers


@pytest.mark.parametrize(("version", "answer"), [
    ("slurm 22.05.8", "continue"), ("slurm 23.11.10", "continue"), ("slurm 24.05.0", "by-slurm"),
    ("slurm 24.11.5", "by-slurm"), ("slurm 26.05.5-1", "by-slurm"), ("", "continue"),
    ("slurm-wlm 22.05.8", "continue"), ("slurm-wlm 24.11.5", "by-slurm"),
])  # fmt: skip
def test_newer_slurm_holds_what_leaves_politely(version, answer):
    """From 24.05 on a preempted job is held after five ends within its grace: it stays until it is killed."""
    text = f"scontrol() {{ echo '{version}'; }}\ndecide preemption 0 0 preemption 3"
    assert said(text) == f"{answer}\n"


@pytest.mark.parametrize(("crashes", "seconds"), [(1, 5), (2, 15), (3, 45), (4, 135), (5, 300), (50, 300)])
def test_the_pause_after_a_crash_grows(crashes, seconds):
    """Three times as long each time, and never more than five minutes."""
    assert said("pause_after $1", crashes) == f"{seconds}\n"


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
def test_an_attempt_begins_only_after_an_end_that_requeue_on_names(run_dir, cause, on, allowed, told):
    """Slurm may start a job again that its user wanted ended; such an attempt writes why, and leaves."""
    if cause:
        (run_dir / "events" / "attempt-0001.end").write_text(f"cause={cause}\nnext=continue\n")
    done = bash("settle 0001; allowed_after 0001", run_dir=run_dir, attempt="0002", requeue_on=on, most_crashes=3)
    end = run_dir / "events" / "attempt-0002.end"
    assert (done.returncode == 0) is allowed
    assert end.exists() is not allowed
    if told:
        reason = f"the last attempt ended by {told}, which requeue.on leaves out"
        assert end.read_text().splitlines()[:4] == [f"cause={told}", "next=end", f"reason={reason}", "exit_code=1"]
        assert done.stderr == f"clusterrun: {reason}\n"


def test_an_attempt_that_a_person_wanted_begins_after_any_end(run_dir):
    """Another job than the last one is a person's `resume`: what requeue.on says of Slurm's requeues does not bind it."""
    (run_dir / "events" / "attempt-0001.begin").write_text("job_id=10\n")
    (run_dir / "events" / "attempt-0001.end").write_text("cause=preemption\nnext=end\n")
    asked = [
        bash("allowed_after 0001", run_dir=run_dir, attempt="0002", requeue_on="", SLURM_JOB_ID=job) for job in (10, 11)
    ]
    assert [done.returncode for done in asked] == [1, 0]


def test_an_attempt_that_said_nothing_was_lost_with_its_node(run_dir):
    """What the dead could not write is written by their successor, and counted like any other end."""
    (run_dir / "progress").write_text("step=12\n")
    assert said("settle 0001", run_dir=run_dir) == ""
    end = (run_dir / "events" / "attempt-0001.end").read_text().splitlines()
    assert end[:4] == ["cause=node-failure", "next=continue", "reason=it was ended before it could say why", "step=12"]
    assert "furthest=12" in (run_dir / "ledger").read_text().splitlines()


PREEMPTED = "slurmstepd-n1: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO PREEMPTION ***"
NEW_SLURM = "slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO TIME LIMIT ***"
NODE_FAILED = (
    "slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 DUE TO NODE FAILURE, SEE SLURMCTLD ***"
)
STAMP = "[2026-03-25T10:34:07.531] error: *** JOB 7 ON n1 CANCELLED AT 2026-03-25T10:34:07 DUE TO {} ***"
BAR = " 12%|##        | 114/450 [00:12<00:31, 10.8it/s]"
SCANCEL = "slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 ***"
SIGNALLED = (
    "[2026-03-25T10:34:07.531] error: *** JOB 7 ON n1 CANCELLED AT 2026-03-25T10:34:07 DUE to SIGNAL Terminated ***"
)
TORN = "subprocess.CalledProcessError: Command '['python', 'train.py']' returned non-zero exit status 93."
REFUSED = "srun: error: Task launch for StepId=30.0 failed on node n4: Communication connection failure"
ENDS = [
    # the trainer's word, (exit code, what was asked) of each node, srun's exit code, the log, more; the cause
    ("finished", [(0, "")], 0, "", {}, "finished"),
    ("finished", [(1, "")], 1, "", {}, "finished"),  # a launcher that aborts after the end
    ("finished", [(0, "TERM")], 0, PREEMPTED, {}, "finished"),
    ("", [(0, "")], 0, "", {}, "finished"),
    ("", [(0, "TERM")], 0, "", {}, "preemption"),
    ("stopped", [(0, "TERM"), (0, "TERM")], 0, "", {}, "preemption"),
    ("stopped", [(0, "time-limit")], 0, "", {}, "time-limit"),
    ("stopped", [(0, "USR1")], 0, "", {}, "time-limit"),  # no limit is known: USR1 is the warning before it
    ("stopped", [(0, "USR1")], 0, "", {"left": 100}, "time-limit"),
    ("stopped", [(0, "USR1")], 0, "", {"left": 5000}, "preemption"),  # preempt_send_user_signal
    ("stopped", [(0, "USR1")], 0, "", {"requeue": True}, "requeue"),
    ("stopped", [(0, "stop")], 0, "", {"stop": True}, "stop"),
    ("stopped", [(0, "TERM")], 0, "", {"batch_heard": "TERM"}, "cancel"),
    ("stopped", [(0, "TERM")], 0, "", {"batch_heard": "TERM", "left": -1}, "time-limit"),
    ("", [(137, "TERM")], 137, PREEMPTED, {"batch_heard": "TERM"}, "preemption"),
    ("", [(137, "TERM")], 137, NEW_SLURM, {"batch_heard": "TERM"}, "time-limit"),
    ("", [(1, ""), None], 137, NODE_FAILED, {"batch_heard": "TERM"}, "node-failure"),
    ("", [(0, ""), None], 0, "srun: error: Node failure on n2", {}, "node-failure"),
    ("", [(0, ""), None], 0, f"{BAR}srun: error: Node failure on n2", {}, "node-failure"),  # glued to a progress bar
    ("", [(0, ""), None], 0, "", {}, "node-failure"),  # srun is content, and a node has left no word
    ("trained", [(0, "")], 0, "", {}, "finished"),
    ("trained", [(0, "TERM")], 0, PREEMPTED, {}, "finished"),
    ("trained", [(1, "")], 1, "", {}, "crash"),  # sys.exit(1) after the training
    ("trained", [(143, "TERM")], 143, PREEMPTED, {"batch_heard": "TERM"}, "preemption"),
    ("", [(137, "TERM")], 137, STAMP.format("PREEMPTION"), {"batch_heard": "TERM"}, "preemption"),  # newer Slurm
    ("", [(137, "TERM")], 137, STAMP.format("TIME LIMIT"), {"batch_heard": "TERM"}, "time-limit"),
    ("", [(137, "TERM")], 137, STAMP.format("JOB REQUEUE"), {"batch_heard": "TERM"}, "requeue"),
    ("", [(137, "TERM")], 137, BAR + STAMP.format("NODE FAILURE"), {"batch_heard": "TERM"}, "node-failure"),
    ("stopped", [(0, "TERM")], 0, SCANCEL, {"batch_heard": "TERM", "left": -1}, "cancel"),  # the limit was raised
    ("stopped", [(0, "TERM")], 0, SIGNALLED, {"batch_heard": "TERM", "left": -1}, "cancel"),
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
    ("", [(137, "")], 137, NODE_FAILED, {"hang": "end", "batch_heard": "TERM"}, "node-failure"),
    ("stopped", [(0, "TERM")], 0, "", {"current": "0003"}, "fenced"),
    ("stopped", [(0, "TERM")], 0, "", {"current": ""}, "preemption"),  # `current` cannot be read now
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "nodes", "step_exit", "log", "more", "cause"), ENDS)
def test_the_cause_of_an_end(run_dir, outcome, nodes, step_exit, log, more, cause):
    """The trainer's word goes first, then Slurm's, then how each node's task ended."""
    (run_dir / "current").write_text(f"attempt={more.get('current', '0002')}\n")
    (run_dir / "stop").write_text("asked\n" if more.get("stop") else "")
    (run_dir / "logs").mkdir()
    (run_dir / "logs" / "attempt-0002.log").write_text(f"{log}\n")
    if more.get("requeue"):
        (run_dir / "requeue").touch()
    (run_dir / "events" / "attempt-0002.hang").write_text(f"order={more.get('hang', '')}\n")
    if outcome:
        (run_dir / "events" / "attempt-0002.trainer").write_text(f"outcome={outcome}\n")
    for number, node in enumerate(nodes):
        if node:
            file = run_dir / "events" / f"attempt-0002.node-{number}"
            file.write_text(f"exit_code={node[0]}\nasked={node[1]}\n")
    ends = int(time.time()) + more["left"] if "left" in more else ""
    answer = said(
        "why_ended", run_dir=run_dir, attempt="0002", step_exit=step_exit, SLURM_JOB_NUM_NODES=len(nodes),
        job_ends=ends, signal_lead=60, batch_heard=more.get("batch_heard", ""), slurm_log="/dev/null", slurm_log_start=0,
    )  # fmt: skip
    assert answer == f"{cause}\n"


LEDGERS = [
    # crashes, idle attempts, furthest step and checkpoint so far; the step and the checkpoint now; the cause; the new counts
    (None, (None, None), "crash", (1, 1, 0)),
    (None, (None, None), "preemption", (0, 0, 0)),  # a script that tells nothing is not judged by its progress
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
    text = 'keep_ledger 0002 $1; keep_ledger 0002 $1; for key in crashes idle furthest; do value $key "$run_dir/ledger"; done'
    assert tuple(map(int, said(text, cause, run_dir=run_dir).split())) == after


def test_a_script_with_checkpoints_of_its_own_advances_by_them(run_dir):
    """A newer match of checkpoint.path is progress, for the crash budget and for the idle attempts alike."""
    own = run_dir / "own 1"
    own.write_text("state")
    text = 'keep_ledger $1 crash; for key in crashes idle; do value $key "$run_dir/ledger"; done'
    counts = []
    for attempt in ("0001", "0002", "0003"):
        counts.append(said(text, attempt, run_dir=run_dir, checkpoint_path=f"{run_dir}/own *").split())
        if attempt == "0002":
            (run_dir / "own 2").write_text("state")
    assert counts == [["1", "0"], ["2", "1"], ["1", "0"]]


WHYS = [
    ("crash", 4, 0, "4 crashes without a new checkpoint, and requeue.crashes is 3\n"),
    ("hang", 4, 0, "4 crashes or hangs without a new checkpoint, and requeue.crashes is 3\n"),
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
    assert said("why_no_more $1", cause, run_dir=run_dir, most_crashes=3) == words


def test_the_newest_of_a_scripts_own_checkpoints(run_dir):
    """By the time of the last change; what is empty is no checkpoint, and spaces in names are nothing special."""
    for number, name in enumerate(("own 3", "own 1", "own 2", "own empty")):
        (run_dir / name).write_text("" if name == "own empty" else "state")
        os.utime(run_dir / name, (1_000_000 + number, 1_000_000 + number))
    (run_dir / "own folder").mkdir()
    pattern = f"{run_dir}/own *"
    assert said("newest_match", run_dir=run_dir, checkpoint_path=pattern) == f"{run_dir}/own 2"
    assert said('newest_match "$1"', f"{run_dir}/own 2", checkpoint_path=pattern) == f"{run_dir}/own 1"
    assert said("newest_match", checkpoint_path=f"{run_dir}/none *") == ""


@pytest.mark.parametrize("value", ["word", "two words", "a=b", "", "back\\slash", "$HOME `ls` 'x'", "*", "naïve"])
def test_a_record_gives_back_what_was_written(tmp_path, value):
    """A value comes back as it was, is readable by its owner only, and no draft stays beside it."""
    file = tmp_path / "a record"
    text = 'record "$1" "other=1" "key=$2" "keys=no"; value key "$1"'
    assert said(text, file, value) == f"{value}\n"
    assert file.read_text() == f"other=1\nkey={value}\nkeys=no\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_record_that_is_not_there_has_no_values(tmp_path):
    """Neither a missing file nor a missing key is a mistake."""
    (tmp_path / "file").write_text("key=1\nkey=2\n")
    assert said('value key "$1/gone"; value gone "$1/file"', tmp_path) == ""
    assert said('value key "$1/file"', tmp_path) == "1\n"


WAIT = """
trap 'heard=1; echo heard' TERM USR1
(trap '' TERM USR1; echo ready > "$1"; read -r < "$2"; exit 7) &
wait_for $!
echo "$waited"
"""


@pytest.fixture
def waiting(tmp_path):
    """A shell in wait_for, and the end of its child's pipe: what is written there lets the child exit with 7."""
    ready, release = tmp_path / "ready", tmp_path / "release"
    for path in (ready, release):
        os.mkfifo(path)
    process = subprocess.Popen(
        ["bash", "-c", f"{LOAD}\n{WAIT}", FUNCTIONS, ready, release], stdout=subprocess.PIPE, text=True
    )
    assert ready.read_text() == "ready\n"
    yield process, release
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_signal_during_the_wait_does_not_lose_the_exit_code(waiting):
    """A trap interrupts bash's `wait`; the child's own exit code is found all the same."""
    process, release = waiting
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        process.send_signal(number)
        assert process.stdout.readline() == "heard\n"
    release.write_text("go\n")
    assert process.stdout.readline() == "7\n"


def test_a_signal_together_with_the_end_does_not_lose_the_exit_code(waiting):
    """The child ends and a signal comes while the shell does not run: both are seen, and the exit code is 7."""
    process, release = waiting
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    release.write_text("go\n")
    while Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
        os.sched_yield()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.stdout.readline() == "heard\n"
    assert process.stdout.readline() == "7\n"


def test_a_signal_right_after_the_end_does_not_lose_the_exit_code():
    """A trap between the end of `wait` and the next line makes the shell ask again; a bash that forgot the child
    says 127 then (POSIX, wait), and 7 is still the answer."""
    trapped = (
        'wait() { [ -z "${asked:-}" ] || return 127; builtin wait "$1"; set -- $?; heard=1 asked=1; return "$1"; }'
    )
    assert said(f"{trapped}\n(exit 7) &\nwait_for $!\necho $waited") == "7\n"


@pytest.mark.parametrize(("squeue", "variable", "answer"), [
    ("2099-01-02T03:04:05", "", "4071006245"), ("2099-01-02T03:04:05", "4070900000", "4071006245"),
    ("", "4070900000", "4070900000"), ("N/A", "4070900000", "4070900000"), ("N/A", "", ""), ("", "", ""),
    ("2020-01-02T03:04:05", "", ""),
])  # fmt: skip
def test_the_end_of_a_job_is_what_squeue_says_now(squeue, variable, answer):
    """A limit that was raised counts; without an answer Slurm's variable does; a job without a limit has no end."""
    text = f"squeue() {{ echo '{squeue}'; }}\nend_of_job"
    assert said(text, SLURM_JOB_ID=7, SLURM_JOB_END_TIME=variable, TZ="UTC") == answer


def free_port(**variables: object) -> int:
    given = {"SLURM_JOB_ID": 4711, "attempt": "0001", "main_process_ip": "127.0.0.2", **variables}
    return int(said("free_port", **given))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_a_port_that_something_listens_on_is_passed_over(address):
    """The port depends on job and attempt only, unless it is taken on the head node; it is never an ephemeral one."""
    first = free_port()
    with socket.create_server((address, first)):
        other = free_port()
    assert other != first == free_port()
    assert {10000 <= port < 30000 for port in (first, other)} == {True}


def test_jobs_and_attempts_have_ports_of_their_own():
    """Two jobs on one node, and an attempt whose predecessor's port lingers, do not meet; arrays have an id with `_`."""
    assert free_port() != free_port(SLURM_JOB_ID=4712)
    assert free_port() != free_port(attempt="0002")
    assert free_port(attempt="0008") != free_port(attempt="0009")
    assert 10000 <= free_port(SLURM_JOB_ID="4711_3") < 30000
    assert 10000 <= free_port(SLURM_JOB_ID=4294967294, attempt="9999") < 30000


HEADS = [
    # own addresses, what scontrol says, what names stand for, nodes, the address (None: it cannot be known)
    ("10.0.0.5 192.168.1.5", "n1 10.0.0.5", {}, 2, "10.0.0.5"),
    ("10.0.0.5 192.168.1.5", "n1 node-ib", {"node-ib": "192.168.1.5"}, 2, "192.168.1.5"),
    ("10.0.0.5", "", {"n1": "127.0.1.1"}, 2, "10.0.0.5"),  # Debian's /etc/hosts
    ("10.0.0.5 192.168.1.5", "", {"n1": "192.168.1.5"}, 2, "192.168.1.5"),
    ("10.0.0.5", "n1 203.0.113.9", {"n1": "10.0.0.5"}, 2, "10.0.0.5"),  # the address that others see is not its own
    ("127.0.0.1 10.0.0.5", "n1 127.0.0.1", {"n1": "127.0.0.1"}, 2, "10.0.0.5"),
    ("fe80::1 fd00::5", "", {}, 2, "fd00::5"),
    ("", "", {"n1": "127.0.1.1"}, 1, "127.0.0.1"),
    ("", "", {"n1": "127.0.1.1"}, 2, None),
]
MACHINE = """
hostname() { if [ "${1:-}" = -I ]; then echo "$ADDRESSES "; else echo n1; fi; }
scontrol() { [ -z "$NODE" ] || echo "   NodeAddr=${NODE#* } NodeHostName=n1"; }
getent() {
  case $2 in *[0-9].*[0-9].* | *:*) echo "$2 STREAM"; return ;; esac
  for pair in $NAMES; do [ "${pair%%=*}" != "$2" ] || echo "${pair#*=} STREAM"; done
}
head_address
"""


@pytest.mark.parametrize(("own", "node", "names", "nodes", "address"), HEADS)
def test_the_head_nodes_address_is_its_own_and_never_loopback(own, node, names, nodes, address):
    """The other nodes must reach it: an address of this machine that Slurm or its own name stands for."""
    known = " ".join(f"{name}={place}" for name, place in names.items())
    done = bash(MACHINE, ADDRESSES=own, NODE=node, NAMES=known, SLURM_JOB_NUM_NODES=nodes, SLURMD_NODENAME="n1")
    assert (done.stdout or None, done.returncode) == (address, 0 if address else 1)


@pytest.mark.parametrize(("address", "fit"), [("127.0.0.1", False), ("127.0.1.1", False), ("::1", False),
                                              ("fe80::a", False), ("10.127.0.1", True), ("fd00::1", True)])  # fmt: skip
def test_addresses_that_only_this_machine_reaches(address, fit):
    """Loopback and link-local addresses are not for other nodes."""
    assert bash("not_loopback $1", address).stdout == (address if fit else "")


@pytest.mark.parametrize(("variables", "count"), [
    ({"SLURM_GPUS_ON_NODE": "4"}, "4"), ({"SLURM_GPUS_ON_NODE": "a100:8"}, "8"),
    ({"SLURM_JOB_GPUS": "0,1,5"}, "3"), ({"SLURM_STEP_GPUS": "2", "SLURM_JOB_GPUS": "1,2"}, "1"),
    ({"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b"}, "2"), ({"ROCR_VISIBLE_DEVICES": "0"}, "1"), ({}, "0"),
])  # fmt: skip
def test_gpus_are_counted_in_every_way_that_slurm_names_them(variables, count):
    """What a node was given is counted from the first of Slurm's variables that says so."""
    assert bash("gpus_here", **variables).stdout.strip() == count
