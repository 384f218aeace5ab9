"""Ask a warm Python (warm_python.py) to run a training script; there is one for each set of
modules, started when needed.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

SERVER = Path(__file__).parent / "warm_python.py"
_STARTING = threading.Lock()
STARTING_SECONDS = 180.0  # alone it takes five, together with all other tests more
TRAINING = (
    "torch._dynamo",
    "torch.distributed.run",
    "accelerate.commands.launch",
    "deepspeed",
)  # for accelerate's saves import it
TRANSFORMERS = (*TRAINING, "transformers.trainer", "transformers.models.gpt2.modeling_gpt2")


class WarmProcess:
    """A process that a warm Python started, with the part of subprocess.Popen that the tests need."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("r")
        self.pid = int(self._file.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float) -> int:
        """Return the exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self.returncode = int(self._file.readline())
            self._file.close()
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None while the process is alive."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Send SIGTERM to a live process."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def start_warm(
    argv: Sequence[str], *, environment: dict[str, str], log: Path, launch: bool, heavy: bool
) -> WarmProcess:
    """Start `python ARGV...`, or with `launch` `accelerate launch ARGV...`; `heavy` scripts import transformers."""
    modules = TRANSFORMERS if heavy else TRAINING
    request = {
        "argv": argv,
        "environment": environment,
        "log": str(log),
        "cwd": str(Path.cwd()),
        "launch": launch,
    }
    connection = socket.socket(socket.AF_UNIX)
    with _STARTING:
        place = _server(modules)
    connection.connect(place)
    connection.sendall(json.dumps(request).encode() + b"\n")
    return WarmProcess(connection)


@lru_cache
def _server(modules: tuple[str, ...]) -> str:
    """Return the socket of a warm Python, which ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    place = Path(folder.name, "socket")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "ACCELERATE_"))
    }
    environment |= {
        "HF_HOME": folder.name,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    process = subprocess.Popen(
        [sys.executable, SERVER, place, *modules], env=environment, stdin=subprocess.PIPE
    )
    end = time.monotonic() + STARTING_SECONDS
    while not place.exists():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"a warm Python did not start: exit code {process.poll()}")
        time.sleep(0.05)

    def stop() -> None:
        assert process.stdin
        process.stdin.close()
        process.wait()
        folder.cleanup()

    atexit.register(stop)
    return str(place)
