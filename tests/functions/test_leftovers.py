"""What a dead launcher, or a dead node task, leaves on a node without cgroups: all of its processes
end, and no others.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.support.bash_functions import FUNCTIONS, LOAD, bash

# A training process in its own session, whose launcher is gone.
ORPHAN = "setsid bash -c 'echo $$ > \"$run_dir/orphan\"; exec sleep 300' &"
TASK = """
export node_dir=$run_dir CLUSTERRUN_STOP_FILE=$run_dir/stop
: > "$run_dir/stop_requests"
hostname() { echo h; }; host=h stop_request=
(bash -c "$orphan sleep 300" ) & launcher=$!
watch_for_stop & echo $! > "$run_dir/watcher"
wait
"""


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def number_in(file: Path) -> int:
    end = time.monotonic() + 20
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < end, file
        time.sleep(0.02)
    return int(file.read_text())


def ends(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.1)
    return not is_alive(pid)


def test_a_dead_launcher_leaves_no_process(tmp_path: Path) -> None:
    """A rank whose launcher was killed would continue training; another attempt's process on the
    node is left alone.
    """
    other = subprocess.Popen(
        ["sleep", "300"],
        env={"CLUSTERRUN_STOP_FILE": "/tmp/other/stop", "PATH": os.environ["PATH"]},
    )
    try:
        text = f"""
        node_dir=$run_dir; export CLUSTERRUN_STOP_FILE=$node_dir/stop
        {ORPHAN}
        until [ -s "$run_dir/orphan" ]; do sleep 0.05; done
        kill_leftover_processes; echo done
        """
        done = bash(text, run_dir=tmp_path)
        assert done.stdout == "done\n", done.stderr
        assert ends(number_in(tmp_path / "orphan"), 5)
        assert is_alive(other.pid)
    finally:
        other.kill()
        other.wait()


def test_a_dead_node_task_leaves_no_process(tmp_path: Path) -> None:
    """Its watcher ends the ranks and exits; it sends no signal to a process that has reused the
    task's number.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "run_dir": str(tmp_path),
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "orphan": ORPHAN,
        "attempt": "0001",
    }
    task = subprocess.Popen(["bash", "-c", f"{LOAD}\n{TASK}", str(FUNCTIONS)], env=environment)
    orphan, watcher = number_in(tmp_path / "orphan"), number_in(tmp_path / "watcher")
    time.sleep(0.5)
    task.send_signal(signal.SIGKILL)
    task.wait()
    assert ends(orphan, 15)
    assert ends(watcher, 15)
