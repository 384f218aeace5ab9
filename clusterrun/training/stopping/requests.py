"""Requests to a training process from outside: to stop, or to dump its stacks."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from clusterrun.files.reading import open_regular

_CHECK_INTERVAL_S = 2.0  # because the person's file may be on a network file system
_MAX_REQUEST_BYTES = 4096  # of the stop file, which teammates may write
# A real-time signal: not one of Slurm (TERM, CONT, USR1, XCPU), of torch (INT, HUP, QUIT, CHLD,
# BUS), or of users (USR1, USR2). Counted from the end of the range, because the C libraries reserve
# different ones at its beginning; the very last ones are used, too (valgrind).
# `templates/functions/65-hang.sh` sends it.
STACKS_SIGNAL = signal.SIGRTMAX - 7
_open_files: list[IO[bytes]] = []  # kept until the process ends, because the handler writes there


class StopRequest:
    """The two sources of a stop: a signal on this node, and a line that a person wrote.

    `signal_file` is local to the node, and exists once the node has received a signal;
    `person_file` is on the shared file system, and None on all ranks but the main one.
    """

    def __init__(self, signal_file: Path, person_file: Path | None) -> None:
        self._signal_file = str(signal_file)  # a str, because it is checked at every step
        self._person_file = person_file
        self._next_check = 0.0
        self._requested = False
        _shield_children()

    def requested(self) -> bool:
        """Return whether a stop was requested; once True, always True."""
        self._requested = (
            self._requested or os.access(self._signal_file, os.F_OK) or self._person_requested()
        )
        return self._requested

    def _person_requested(self) -> bool:
        if self._person_file is None or time.monotonic() < self._next_check:
            return False
        self._next_check = time.monotonic() + _CHECK_INTERVAL_S
        try:
            # NFS queries the server when a file is opened, not when it is only looked up.
            with open_regular(self._person_file) as file:
                return bool(file.read(_MAX_REQUEST_BYTES).strip())
        except OSError:
            return False  # a file server that is briefly unavailable must not end the training


def _shield_children() -> None:
    """Block SIGTERM if this process ignores it, so that it does not end its children either.

    Slurm's linuxproc tracking signals every process of a step, and torch installs a handler in the
    workers of a DataLoader that ends them: training would crash instead of saving. Children inherit
    the mask, which delays their handlers.
    """
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def dump_stacks_on_request(folder: Path, rank: int) -> None:
    """Write the stacks of all threads to a file in `folder` at each STACKS_SIGNAL.

    The existence of the file, `stacks-<rank>-<process id>`, means that the signal may be sent: it
    would kill another process. The handler is written in C and does not wait for Python. Processes
    that are forked later inherit it.
    """
    if signal.getsignal(STACKS_SIGNAL) is not signal.SIG_DFL:
        return  # the script itself uses the signal
    with suppress(OSError):  # training continues despite a full disk
        file = (folder / f"stacks-{rank}-{os.getpid()}").open("ab", buffering=0)
        faulthandler.register(STACKS_SIGNAL, file=file, all_threads=True)
        _open_files.append(file)
