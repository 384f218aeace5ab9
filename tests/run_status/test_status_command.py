"""`clusterrun status` in a pipe and on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.run_status.conftest import Machine


def output_of(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    """Return what `clusterrun` prints into a pipe."""
    environment = {**os.environ, "HOME": str(machine.folder), "XDG_STATE_HOME": ""}
    return subprocess.run(
        [sys.executable, "-m", "clusterrun", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def on_a_terminal(machine: Machine, *words: str, columns: int = 80) -> str:
    """Return what it shows on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {
        **os.environ,
        "HOME": str(machine.folder),
        "XDG_STATE_HOME": "",
        "TERM": "xterm-256color",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "clusterrun", *words], env=environment, stdout=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal closed with its process
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_without_a_run_status_shows_all_active_runs(machine):
    """One is shown in full, several as a list; without any the most recent, with a note."""
    machine.run("old", "1", cause="finished")
    shown = output_of(machine, "status")
    assert shown.stdout.startswith("run              old\n")
    assert shown.stderr == "no active runs; showing the most recent\n"
    machine.run("first", "2")
    machine.queue("2 RUNNING", "3 PENDING")
    machine.run("done", "4", cause="crash")
    assert output_of(machine, "status").stdout.startswith("run              first\n")
    machine.run("second", "3")
    lines = output_of(machine, "status").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["RUN", "STATE"],
        ["second", "PENDING"],
        ["first", "RUNNING"],
    ]
    shown = json.loads(output_of(machine, "status", "--json").stdout)
    assert (shown["run_id"], [one["run_id"] for one in shown["active_runs"]]) == (
        "second",
        ["second", "first"],
    )
    assert {"attempts", "losses", "seconds_left", "last_checkpoint", "time_limit_at"} <= set(shown)


def test_a_watch_of_an_ended_run_ends(machine):
    """In a pipe it is one line, or one JSON object; on a terminal the full status."""
    machine.run("done", "1", cause="finished")
    (line,) = output_of(machine, "status", "--watch", "done").stdout.splitlines()
    assert line[8:] == "  done  COMPLETED (finished)  attempt 1"
    assert (
        json.loads(output_of(machine, "status", "--watch", "--json", "done").stdout)["state"]
        == "COMPLETED"
    )
    shown = on_a_terminal(machine, "status", "--watch", "done")
    assert "COMPLETED (finished)" in shown
    assert "ATTEMPT" in shown
    assert output_of(machine, "status", "--watch").stdout == ""


def test_a_terminal_has_a_bar_and_a_line_for_the_loss(machine):
    """They are drawn on a terminal, not in a pipe."""
    paths = machine.run("runs", "1")
    machine.queue("1 RUNNING")
    paths.progress.write_text("step=60\ntotal=80\nloss=0.5\n")
    paths.metrics("0001").parent.mkdir()
    lines = [{"time": step, "step": step, "loss": 1 / step} for step in range(1, 61)]
    paths.metrics("0001").write_text("\n".join(map(json.dumps, lines)))
    shown = on_a_terminal(machine, "status", "runs")
    assert "60 of 80  ██████████████████░░░░░░ 75%" in shown
    assert "0.5000  █" in shown
    assert "█" not in output_of(machine, "status", "runs").stdout
    assert "\x1b[" not in output_of(machine, "status", "runs").stdout
