"""What a training process is requested to do from outside: to stop, or to dump its stacks."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from clusterrun.files.reading import open_regular

_PATIENCE = 2.0  # seconds between two looks at the person's file, which may lie on a network
_MAX_REQUEST_BYTES = 4096  # of the stop file, which teammates may write
# A real-time signal: not Slurm's (TERM, CONT, USR1, XCPU), torch's (INT, HUP, QUIT, CHLD, BUS), nor
# one that people ask for (USR1, USR2). Counted from the end of the range, because the C libraries
# reserve different ones at its beginning; the last ones themselves have takers (valgrind).
# `templates/functions/65-hang.sh` sends it.
STACKS_SIGNAL = signal.SIGRTMAX - 7
_open: list[IO[bytes]] = []  # until the process ends: the handler writes there


class StopRequest:
    """The two roads of a stop: a signal heard on this node, and a line that a person wrote.

    `signal_file` is local to the node, and exists once a signal was heard; `person_file` is on the
    shared disk, and None on all ranks but the main one.
    """

    def __init__(self, signal_file: Path, person_file: Path | None) -> None:
        self._signal_file = str(signal_file)  # looked up at every step: no Path, no exception
        self._person_file = person_file
        self._next_look = 0.0
        self._requested = False
        _shield_children()

    def requested(self) -> bool:
        """Whether a stop was asked for; once True, always True."""
        self._requested = (
            self._requested or os.access(self._signal_file, os.F_OK) or self._person_requested()
        )
        return self._requested

    def _person_requested(self) -> bool:
        if self._person_file is None or time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + _PATIENCE
        try:
            # NFS asks the server anew when a file is opened, not when it is only looked up.
            with open_regular(self._person_file) as file:
                return bool(file.read(_MAX_REQUEST_BYTES).strip())
        except OSError:
            return False  # a file server that is away for a moment must not end a training run


def _shield_children() -> None:
    """See that a SIGTERM that this process was started to ignore does not end its children.

    Slurm's linuxproc tracking signals every process of a step, and torch gives the workers of a
    DataLoader a handler that ends them: training would crash in place of saving. Children inherit
    the mask, and handlers wait behind it.
    """
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def dump_stacks_on_request(folder: Path, rank: int) -> None:
    """Write the stacks of all threads into a file of `folder` at each STACKS_SIGNAL.

    The file, `stacks-<rank>-<process id>`, is the sign that it may be sent: it would end another
    process. A handler in C does it, which waits for nothing that Python does. Processes that are
    forked later do the same.
    """
    if signal.getsignal(STACKS_SIGNAL) is not signal.SIG_DFL:
        return  # the script has a use for it
    with suppress(OSError):  # a full disk is no reason not to train
        file = (folder / f"stacks-{rank}-{os.getpid()}").open("ab", buffering=0)
        faulthandler.register(STACKS_SIGNAL, file=file, all_threads=True)
        _open.append(file)
