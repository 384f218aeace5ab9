"""bash 5.2 takes a trap that runs between two substitutions of one command for a syntax error, and ends the script."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.test_decide import FUNCTIONS, LOAD

TRAPPING = tuple(sorted(path.name for path in FUNCTIONS.glob("[4-9]*.sh")))
# What is inside of a substitution is run by a child, where nothing is trapped.
INNERMOST = re.compile(r"\$\((?!\()[^()]*\)")


def substitutions(command: str) -> int:
    """How many command substitutions stand beside each other in a command."""
    flat = 0
    while INNERMOST.search(command):
        flat = len(INNERMOST.findall(command))
        command = INNERMOST.sub("", command)
    return flat


@pytest.mark.parametrize("name", TRAPPING)
def test_no_command_under_a_trap_has_two_substitutions(name: str) -> None:
    """Two assignments on a line are one command, too."""
    text = (FUNCTIONS / name).read_text().replace("\\\n", " ")
    commands = [part for line in text.splitlines() for part in re.split(r"; |&&|\|\||^\s*#.*", line)]
    assert [command for command in commands if substitutions(command) > 1] == []


def test_the_end_is_written_under_a_rain_of_signals(tmp_path: Path) -> None:
    """Slurm repeats its TERM, and no one may break the record of the end off."""
    (tmp_path / "events").mkdir()
    text = """
    trap 'heard=1 batch_heard=TERM' TERM; : > "$run_dir/ready"
    for ((i = 0; i < 60; i++)); do find_next; end_record preemption by-slurm ''; done; echo written
    """
    given = {"run_dir": str(tmp_path), "attempt": "0001", "cause": "preemption", "step_exit": "0", "requeue_on": "",
             "most_crashes": "3", "PATH": os.environ["PATH"]}  # fmt: skip
    command = ["bash", "-c", f"{LOAD}\n{text}", str(FUNCTIONS)]
    started = subprocess.Popen(command, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    while started.poll() is None:
        started.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    assert started.communicate()[0].endswith("written\n")
