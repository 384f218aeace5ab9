"""The example of a script without clusterrun, run as accelerate runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

SCRIPT = Path(__file__).parents[2] / "examples" / "train_plain.py"


def start(run_dir: Path, *words: object) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "CLUSTERRUN_RUN_DIR": str(run_dir),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen([sys.executable, SCRIPT, *map(str, words)], env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)  # fmt: skip


def until(there: Callable[[], object]) -> None:
    """Wait for an event that is certain to happen."""
    while not there():
        time.sleep(0.05)


def checkpoints(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "output").glob("checkpoint-*"))


def test_a_signal_lets_it_save_and_it_resumes_exactly(tmp_path):
    """SIGUSR1 ends it with a checkpoint and exit code 0; a run that resumes from that ends with the
    weights of an uninterrupted one.
    """
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    first = start(stopped, "--max_steps", 10**9, "--save_steps", 10)
    until(lambda: checkpoints(stopped) or first.poll() is not None)
    first.send_signal(signal.SIGUSR1)
    printed, _ = first.communicate()
    assert first.returncode == 0, printed
    newest = checkpoints(stopped)[-1]
    step = int(newest.stem.partition("-")[2])
    assert printed.splitlines()[-1] == f"saved {newest}"
    second = start(stopped, "--max_steps", step + 5, "--resume_from_checkpoint", newest)
    third = start(whole, "--max_steps", step + 5, "--save_steps", 10**9)
    printed, _ = second.communicate()
    third.communicate()
    assert (second.returncode, third.returncode) == (0, 0)
    assert f"resumed at step {step}\n" in printed
    one, other = (
        torch.load(checkpoints(run_dir)[-1], weights_only=True) for run_dir in (stopped, whole)
    )
    assert one["step"] == other["step"] == step + 5
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in other["model"])
