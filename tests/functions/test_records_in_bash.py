"""The job script's functions, one by one: records, and a wait in which no signal loses the exit
code.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.bash_functions import FUNCTIONS, LOAD, said


@pytest.mark.parametrize(
    "value", ["word", "two words", "a=b", "", "back\\slash", "$HOME `ls` 'x'", "*", "naïve"]
)
def test_a_record_returns_the_written_values(tmp_path, value):
    """A value is read as written, is readable by its owner only, and no draft is left."""
    file = tmp_path / "a record"
    text = 'write_record "$1" "other=1" "key=$2" "keys=no"; read_value key "$1"'
    assert said(text, file, value) == f"{value}\n"
    assert file.read_text() == f"other=1\nkey={value}\nkeys=no\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_record_has_no_values(tmp_path):
    """Neither a missing file nor a missing key is an error."""
    (tmp_path / "file").write_text("key=1\nkey=2\n")
    assert said('read_value key "$1/gone"; read_value gone "$1/file"', tmp_path) == ""
    assert said('read_value key "$1/file"', tmp_path) == "1\n"


WAIT = """
trap 'signal_seen=1; echo received' TERM USR1
(trap '' TERM USR1; echo ready > "$1"; read -r < "$2"; exit 7) &
wait_for_exit $!
echo "$child_exit_code"
"""


@pytest.fixture
def waiting(tmp_path):
    """A shell in wait_for, and the end of its child's pipe: a line written there lets the child
    exit with 7.
    """
    ready, release = tmp_path / "ready", tmp_path / "release"
    for path in (ready, release):
        os.mkfifo(path)
    process = subprocess.Popen(
        ["bash", "-c", f"{LOAD}\n{WAIT}", FUNCTIONS, ready, release],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ready.read_text() == "ready\n"
    yield process, release
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_signal_during_the_wait_does_not_lose_the_exit_code(waiting):
    """A trap interrupts bash's `wait`; the child's own exit code is returned anyway."""
    process, release = waiting
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        process.send_signal(number)
        assert process.stdout.readline() == "received\n"
    release.write_text("go\n")
    assert process.stdout.readline() == "7\n"


def test_a_signal_together_with_the_end_does_not_lose_the_exit_code(waiting):
    """The child ends and a signal arrives while the shell does not run: both are handled, and the
    exit code is 7.
    """
    process, release = waiting
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    release.write_text("go\n")
    while Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
        os.sched_yield()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.stdout.readline() == "received\n"
    assert process.stdout.readline() == "7\n"


def test_a_signal_right_after_the_end_does_not_lose_the_exit_code():
    """A trap between the end of `wait` and the next line makes the shell wait again; a bash that
    has forgotten the child returns 127 then (POSIX, wait), and 7 is still the result.
    """
    trapped = 'wait() { [ -z "${asked:-}" ] || return 127; builtin wait "$1"; set -- $?; signal_seen=1 asked=1; return "$1"; }'
    assert said(f"{trapped}\n(exit 7) &\nwait_for_exit $!\necho $child_exit_code") == "7\n"


@pytest.mark.parametrize(("squeue", "variable", "answer"), [
    ("2099-01-02T03:04:05", "", "4071006245"), ("2099-01-02T03:04:05", "4070900000", "4071006245"),
    ("", "4070900000", "4070900000"), ("N/A", "4070900000", "4070900000"), ("N/A", "", ""), ("", "", ""),
    ("2020-01-02T03:04:05", "", ""),
])  # fmt: skip
def test_the_end_of_a_job_is_squeues(squeue, variable, answer):
    """A limit that was raised counts; without an answer Slurm's variable does; a job without a
    limit has no end.
    """
    text = f"squeue() {{ echo '{squeue}'; }}\nfind_job_end"
    assert said(text, SLURM_JOB_ID=7, SLURM_JOB_END_TIME=variable, TZ="UTC") == answer
