"""The fixed bash functions of every script, one by one: what is decided after an attempt, and what that rests on."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parent.parent / "templates" / "functions.sh"
CAUSES = ("preemption", "time-limit", "node-failure", "crash")


def bash(text: str, *words: object, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run shell text below the functions, with words as its arguments and variables in its environment."""
    environment = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in variables.items()}}
    command = ["bash", "-c", f'. "$0"\n{text}', FUNCTIONS, *map(str, words)]
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


def expected(cause: str, crashes: int, checkpoint: str, causes: tuple[str, ...], most: int) -> str:
    """The table of the documentation, in Python."""
    if cause == "requeue":
        return "by-slurm"
    if cause not in causes:
        return "end"
    return "end" if cause == "crash" and (not checkpoint or crashes > most) else "continue"


def test_the_decision_is_the_table():
    """Every cause with and without checkpoint, below, at and beyond the crash budget, for every requeue.on."""
    subsets = [chosen for count in range(5) for chosen in itertools.combinations(CAUSES, count)]
    endings = (*CAUSES, "finished", "stop", "cancel", "failed-start", "requeue", "something-new")
    questions = list(itertools.product(endings, (0, 1, 3, 4), ("", "step-00000010-0001"), subsets, (0, 3)))
    answers = decisions([(cause, n, saved, " ".join(on), most) for cause, n, saved, on, most in questions])
    wrong = {
        question: answer for question, answer in zip(questions, answers, strict=True) if answer != expected(*question)
    }
    assert wrong == {}


READ_BY_EYE = [
    # cause, crashes, checkpoint, requeue.on, budget: answer
    ("finished", 0, "step-00000010-0001", "crash", 3, "end"),
    ("stop", 0, "step-00000010-0001", "preemption", 3, "end"),
    ("cancel", 0, "step-00000010-0001", "preemption crash", 3, "end"),
    ("preemption", 0, "", "preemption", 3, "continue"),
    ("preemption", 9, "", "preemption", 3, "continue"),
    ("preemption", 0, "step-00000010-0001", "time-limit crash", 3, "end"),
    ("time-limit", 0, "", "preemption time-limit", 3, "continue"),
    ("node-failure", 0, "", "node-failure", 0, "continue"),
    ("crash", 1, "", "crash", 3, "end"),
    ("crash", 1, "step-00000010-0001", "crash", 3, "continue"),
    ("crash", 3, "step-00000010-0001", "crash", 3, "continue"),
    ("crash", 4, "step-00000010-0001", "crash", 3, "end"),
    ("crash", 1, "step-00000010-0001", "crash", 0, "end"),
    ("crash", 1, "step-00000010-0001", "", 3, "end"),
    ("requeue", 0, "", "", 0, "by-slurm"),
    ("", 0, "step-00000010-0001", "preemption crash", 3, "end"),
]


def test_the_decisions_that_matter_most():
    """The cases that a person would look up, each written out."""
    assert decisions([case[:5] for case in READ_BY_EYE]) == [case[5] for case in READ_BY_EYE]


def test_a_batch_shell_that_heard_term_leaves_the_requeue_to_slurm():
    """Slurm takes a preempted or failed job back by itself; only after a time limit it never does."""
    questions = [(cause, 0, "step-00000010-0001", " ".join(CAUSES), 3) for cause in CAUSES]
    assert decisions(questions, batch_heard="TERM") == ["by-slurm", "continue", "by-slurm", "continue"]


@pytest.fixture
def run_dir(tmp_path) -> Path:
    for name in ("events", "checkpoints"):
        (tmp_path / name).mkdir()
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
    done = bash("allowed_after 0001", run_dir=run_dir, attempt="0002", requeue_on=on)
    end = run_dir / "events" / "attempt-0002.end"
    assert (done.returncode == 0) is allowed
    assert end.exists() is not allowed
    if told:
        lines = end.read_text().splitlines()
        assert lines[:3] == [f"cause={told}", "next=end", "exit_code=1"]
        assert done.stderr == f"clusterrun: the last attempt ended by {told}, which requeue.on leaves out\n"


LEDGERS = [
    # attempt, crashes and checkpoint in the ledger, the newest checkpoint now, the cause, the count
    (None, "", "crash", 1),
    (None, "", "preemption", 0),
    (("0001", 1, ""), "", "crash", 2),
    (("0001", 2, "step-00000010-0001"), "step-00000010-0001", "crash", 3),
    (("0001", 2, "step-00000010-0001"), "step-00000010-0001", "preemption", 2),
    (("0001", 2, "step-00000010-0001"), "step-00000020-0002", "crash", 1),
    (("0001", 2, "step-00000010-0001"), "step-00000020-0002", "preemption", 0),
    (("0002", 2, "step-00000010-0001"), "step-00000010-0001", "crash", 2),  # counted already, in this attempt
]


@pytest.mark.parametrize(("ledger", "newest", "cause", "count"), LEDGERS)
def test_crashes_are_counted_until_a_new_checkpoint(run_dir, ledger, newest, cause, count):
    """Crashes in a row count, each once; a checkpoint between two begins the count again."""
    if ledger:
        attempt, crashes, checkpoint = ledger
        (run_dir / "ledger").write_text(f"attempt={attempt}\ncrashes={crashes}\ncheckpoint={checkpoint}\n")
    if newest:
        (run_dir / "checkpoints" / newest).mkdir()
        (run_dir / "checkpoints" / newest / "manifest.json").touch()
    assert said("crashes_so_far $1", cause, run_dir=run_dir, attempt="0002") == str(count)


def test_the_newest_checkpoint_is_a_whole_one_of_the_latest_attempt(run_dir):
    """A folder without its manifest is not there; a fenced attempt's later step does not count."""
    for name in ("step-00000100-0001", "step-00000040-0002", "step-00000050-0002", "step-00000060-0002"):
        (run_dir / "checkpoints" / name).mkdir()
        if name != "step-00000060-0002":
            (run_dir / "checkpoints" / name / "manifest.json").touch()
    assert said("newest_checkpoint", run_dir=run_dir) == "step-00000050-0002"
    assert said("newest_checkpoint", run_dir=run_dir / "nowhere") == ""


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
        ["bash", "-c", f'. "$0"\n{WAIT}', FUNCTIONS, ready, release], stdout=subprocess.PIPE, text=True
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
