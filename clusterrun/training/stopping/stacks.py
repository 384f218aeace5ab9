"""Dump a rank's Python stacks at a signal, even if it hangs in a collective."""

from __future__ import annotations

import faulthandler
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import IO

# A real-time signal: not Slurm's (TERM, CONT, USR1, XCPU), torch's (INT, HUP, QUIT, CHLD, BUS), nor
# one that people ask for (USR1, USR2). Counted from the end of the range, because the C libraries
# reserve different ones at its beginning; the last ones themselves have takers (valgrind).
# `templates/functions/65-hang.sh` sends it.
STACKS_SIGNAL = signal.SIGRTMAX - 7
_open: list[IO[bytes]] = []  # until the process ends: the handler writes there


def dump_stacks_on_request(folder: Path, rank: int) -> None:
    """Write the stacks of all threads of this process into a file of `folder` at each SIGNAL.

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
