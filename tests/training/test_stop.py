"""Which processes a stop's signal reaches: none that works for a training process."""

from __future__ import annotations

import subprocess
import sys

# As under linuxproc: the process was started ignoring SIGTERM, and all its descendants are signalled.
WORKERS = """
import multiprocessing, os, signal, sys, time
from pathlib import Path
from torch.utils.data import DataLoader
from clusterrun.training.stopping.requests import StopRequest

if sys.argv[1] == "ignored":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
request = StopRequest(Path("signal"), None)
taken = 0
for batch in DataLoader(range(400), batch_size=4, num_workers=2):
    taken += 1
    if taken == 10:
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGTERM) if sys.argv[1] == "ignored" else None
print(taken, signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def outcome(signals: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, signals],
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_signal_to_all_leaves_loader_workers_alone() -> None:
    """They keep providing batches, so that the training processes save the step they agreed on."""
    assert outcome("ignored") == "100 True"


def test_nothing_changes_if_the_signal_is_not_ignored() -> None:
    """With cgroup tracking only the node shell receives it, and helpers can be ended by it."""
    assert outcome("not ignored") == "100 False"
