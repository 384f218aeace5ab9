"""Long operations show a progress bar, on a terminal only."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun.training.checkpointing.manifest import seal
from tests.support.cli_desk import Desk

MB = 1_000_000


@pytest.fixture
def checkpoint(desk: Desk) -> Path:
    """A complete checkpoint of an ended run: two files, of three and five MB."""
    folder = (
        desk.run("good", job_id="local", cause="finished", next="end").checkpoints
        / "step-00000003-0001"
    )
    folder.mkdir(parents=True)
    for name, size in (("model.safetensors", 3 * MB), ("optimizer.bin", 5 * MB)):
        (folder / name).write_bytes(bytes(size))
    seal(folder, {"attempt": 1, "step": 3})
    return folder


def on_a_terminal(desk: Desk, *words: str, **environment: str) -> tuple[str, str]:
    """Run a command whose stderr is a terminal; return stdout and what the terminal received."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "clusterrun", *words]
    env = {**desk.environment, "TERM": "xterm", "COLUMNS": "100", **environment}
    done = subprocess.run(
        argv, env=env, cwd=desk.folder, stdout=subprocess.PIPE, stderr=theirs, check=True
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 1 << 16):
            shown += block
    except OSError:  # how the end of a terminal is reported
        pass
    os.close(ours)
    return done.stdout.decode(), shown.decode()


def test_verifying_a_checkpoint(desk: Desk, checkpoint: Path) -> None:
    """The bar counts bytes, ends full and disappears; stdout is the same as in a pipe."""
    piped = desk.type("checkpoints", "good", "--verify")
    stdout, shown = on_a_terminal(desk, "checkpoints", "good", "--verify")
    assert piped.stderr == ""
    assert [re.sub(r"\d+ s ", "", text) for text in (piped.stdout, stdout)] == [
        re.sub(r"\d+ s ", "", stdout)
    ] * 2
    assert "step-00000003-0001" in stdout
    assert "verifying" in shown
    assert "8.0/8.0 MB" in shown
    assert shown.rstrip().endswith("\x1b[2K"), "its line is empty again"


def test_removing_runs(desk: Desk, checkpoint: Path) -> None:
    """`clean` shows how much of the total it has removed."""
    _, shown = on_a_terminal(desk, "clean", "--keep", "0", "--yes")
    assert "removing" in shown
    assert not checkpoint.exists()


@pytest.mark.parametrize(("words", "environment"), [
    (("checkpoints", "good"), {}), (("checkpoints", "good", "--verify"), {"TERM": "dumb"}),
])  # fmt: skip
def test_no_bar_without_need(
    desk: Desk, checkpoint: Path, words: tuple[str, ...], environment: dict[str, str]
) -> None:
    """Without bytes to read, or on a terminal that cannot draw, no bar is shown."""
    assert on_a_terminal(desk, *words, **environment)[1] == ""
