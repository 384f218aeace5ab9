"""Run Python scripts on a login machine as forks of a warm Python (warm_login.py), one for a user."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.slurm.cluster import process

SERVER = Path(__file__).with_name("warm_login.py")
STARTING_SECONDS = 120.0  # alone it takes one; with all other tests running it takes longer
_servers: dict[Path, process.UserProcess] = {}
_starting = threading.Lock()


def run_warm(
    login: Sequence[str],
    place: Path,
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    check: bool,
) -> subprocess.CompletedProcess[str]:
    """Run a Python script with an empty stdin; `login` are the words before a command there.

    Raises `CommandTimedOut` after `timeout` seconds, when it and its session are ended, and
    `CommandFailed` on a nonzero exit if `check`.
    """
    with _starting:
        if place not in _servers:
            _servers[place] = process.start([*login, sys.executable, str(SERVER), str(place)])
            process.wait_until(place.exists, STARTING_SECONDS, f"{place} of a warm Python")
    with (
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
    ):
        connection.connect(str(place))
        request = {"argv": argv, "env": dict(env), "cwd": str(cwd)}
        _send(connection, json.dumps(request).encode(), stdout, stderr)
        if not select.select([connection], [], [], timeout)[0]:
            connection.shutdown(socket.SHUT_RDWR)
            raise process.CommandTimedOut(argv, timeout, _text(stdout) + _text(stderr))
        code = int(connection.recv(64) or b"1")
        done = subprocess.CompletedProcess(argv, code, _text(stdout), _text(stderr))
    if check and code:
        raise process.CommandFailed(code, argv, done.stdout, done.stderr)
    return done


def _send(connection: socket.socket, text: bytes, stdout: IO[bytes], stderr: IO[bytes]) -> None:
    stdin, empty = os.pipe()
    os.close(empty)
    socket.send_fds(connection, [text], [stdin, stdout.fileno(), stderr.fileno()])
    os.close(stdin)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "backslashreplace").replace("\r\n", "\n")
