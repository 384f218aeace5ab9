"""Processes in other namespaces: run with a time limit, identified, signalled."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


class CommandFailed(subprocess.CalledProcessError):
    """A command exited with a nonzero code; the message has its output."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stdout}{self.stderr}"


class CommandTimedOut(subprocess.TimeoutExpired):
    """A command timed out; the message has its output until then."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.output}"


class UserProcess(subprocess.Popen[str]):
    """A process that `nsenter` started: signals go to the process, not to `nsenter`."""

    def send_signal(self, sig: int) -> None:
        """Send `sig` to the process, unless it has ended."""
        for child in _children(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, sig)

    def kill_group(self) -> None:
        """Kill the process and every descendant that stayed in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def entered(self, uid: int) -> bool:
        """Return whether the process now belongs to the user `uid`, or has ended."""
        return self.poll() is not None or any(_uid(child) == uid for child in _children(self.pid))


def start(argv: Sequence[str]) -> UserProcess:
    """Start `argv` in its own session, with pipes for its three streams."""
    pipe = subprocess.PIPE
    return UserProcess(
        argv,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        encoding="utf-8",
        errors="backslashreplace",
        start_new_session=True,
        umask=0o022,
    )


def run(
    argv: Sequence[str], *, timeout: float, check: bool = True, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end.

    Raises `CommandTimedOut` after `timeout` seconds, when it and its session are killed, and
    `CommandFailed` on a nonzero exit code if `check`.
    """
    with start(argv) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            process.kill_group()
            raise CommandTimedOut(argv, timeout, _rest(process)) from None
    if check and process.returncode:
        raise CommandFailed(process.returncode, argv, stdout, stderr)
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def _rest(process: UserProcess) -> str:
    try:
        return "".join(process.communicate(timeout=5))
    except subprocess.TimeoutExpired:  # a descendant in another session keeps the pipes open
        return ""


def wait_until(condition: Callable[[], bool], timeout: float = 60, what: str = "") -> None:
    """Wait until `condition` is true. Raises TimeoutError after `timeout` seconds.

    The pause is twice as long as the check took: many tests wait at once, on few CPUs.
    """
    end = time.monotonic() + timeout
    while True:
        started = time.monotonic()
        if condition():
            return
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout:g} s: {what or condition}")
        time.sleep(max(0.05, 2 * (time.monotonic() - started)))


@dataclass(frozen=True)
class Process:
    """A live process: its pid in this process's namespace, its name, its command line."""

    pid: int
    name: str
    command: str


def processes_in_namespace(init: int) -> list[Process]:
    """List all live processes of the pid namespace of process `init`."""
    namespace = _namespace(init)
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    found = (_process(pid) for pid in pids if namespace and _namespace(pid) == namespace)
    return [process for process in found if process is not None]


def _process(pid: int) -> Process | None:
    folder = Path("/proc", str(pid))
    try:
        name = (folder / "comm").read_text().strip()
        command = (folder / "cmdline").read_bytes().decode(errors="backslashreplace")
    except OSError:
        return None
    # a zombie has no command line
    return Process(pid, name, " ".join(command.rstrip("\0").split("\0"))) if command else None


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in children.split()]


def _uid(pid: int) -> int:
    try:
        return Path("/proc", str(pid)).stat().st_uid
    except OSError:
        return -1
