"""The class of a failure, by the line of a log or by the signal that ended a process."""

from __future__ import annotations

import re

from clusterrun.diagnosis.failures import FAILURES, Failure

EXCEPTION = Failure(
    "exception",
    "the script raised an error",
    "the traceback above the line says where; a mistake in the script comes again with each "
    "attempt",
)
EXITED = Failure(
    "exit",
    "it left with an exit code, and without an error in the log",
    "look at the last lines of the log: `clusterrun logs`",
)
KILLED = Failure(
    "killed",
    "a rank was ended by SIGKILL: mostly by the kernel, because the memory was used up; also by a "
    "person or an administrator",
    "more `slurm.mem`, fewer data loading workers; `sacct -j JOB -o JobID,State,MaxRSS` shows "
    "what it took",
)
ABORTED = Failure(
    "aborted",
    "a library ended the process (SIGABRT)",
    "the lines above it say which; with NCCL it is mostly the watchdog",
)
_SAYS = re.compile("|".join(one.says for one in FAILURES if one.says))
_NAMED = {one.name: one for one in FAILURES}
SIGNALS = {6: ABORTED, 7: _NAMED["shared-memory"], 9: KILLED, 11: _NAMED["segmentation-fault"]}


def classify_exception(message: str) -> Failure:
    """Return the class of an uncaught exception, from its line and those that follow it."""
    return next(
        (one for one in FAILURES if one.raised and re.search(one.raised, message)), EXCEPTION
    )


def classify_output(line: str) -> Failure | None:
    """Return the class of a line that a program other than Python printed; None for other lines."""
    if not _SAYS.search(line):
        return None
    return next((one for one in FAILURES if one.says and re.search(one.says, line)), None)
