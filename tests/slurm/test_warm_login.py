"""A command that is a fork of a warm Python runs as one that a user starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, CommandFailed, CommandTimedOut
from tests.slurm.desk import CLUSTERRUN, Desk

SHOWN = """\
import os, sys
print(dict(sorted(os.environ.items())), os.getcwd(), os.getuid(), os.getgroups(), sys.argv)
print(os.umask(0), repr(sys.stdin.read()), sys.path[0], __name__)
print(sys.stdout.isatty(), sorted(os.listdir("/proc/self/fd")), file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


def script(desk: Desk, text: str) -> Path:
    return desk.write("shown.py", text)


def test_a_warm_command_sees_what_a_started_one_sees(desk: Desk) -> None:
    """Environment, folder, user, arguments and streams are the same, and so is the exit code."""
    shown, env = script(desk, SHOWN), {"ONE": "a 'b'", "PATH": "/usr/bin"}
    started = desk.cluster.run_as("alice", [sys.executable, shown, "7"], env=env, check=False)
    warm = desk.cluster.run_warm("alice", [shown, "7"], env=env, check=False)
    assert (warm.returncode, started.returncode) == (7, 7)
    assert (warm.stdout, warm.stderr) == (started.stdout, started.stderr)
    for words in (["--version"], ["status", "no-such-run"], ["submit"]):
        pair = [
            run("alice", [CLUSTERRUN, *words], check=False)
            for run in (desk.cluster.run_warm, desk.cluster.run_as)
        ]
        assert len({(one.returncode, one.stdout, one.stderr) for one in pair}) == 1


def test_a_warm_command_that_fails_or_takes_too_long(cluster: Cluster, desk: Desk) -> None:
    """A nonzero exit raises; after the time limit the command and its children have ended."""
    with pytest.raises(CommandFailed, match="exit status 3"):
        cluster.run_warm("alice", [script(desk, "import sys; sys.exit(3)")])
    sleeps = "import subprocess; print('started', flush=True); subprocess.run(['sleep', '613'])"
    with pytest.raises(CommandTimedOut, match="started"):
        cluster.run_warm("alice", [script(desk, sleeps)], timeout=6)
    assert not [line for line in cluster.processes("login") if line == "sleep 613"]
