"""The class of a failure, from a log line or the signal that killed a process."""

from __future__ import annotations

import re

from clusterrun.diagnosis.failures import FAILURES, Failure

EXCEPTION = Failure(
    "exception",
    "the script raised an error",
    "see the traceback above this line; a mistake in the script recurs with each attempt",
)
EXITED = Failure(
    "exit",
    "the process exited with an error code, without an error in the log",
    "look at the end of the log: `clusterrun logs`",
)
KILLED = Failure(
    "killed",
    "a rank was killed by SIGKILL: usually by the kernel because memory was used "
    "up, or by a person or an administrator",
    "increase `slurm.mem` or use fewer data loading workers; `sacct -j JOB -o "
    "JobID,State,MaxRSS` shows the peak",
)
ABORTED = Failure(
    "aborted",
    "a library aborted the process (SIGABRT)",
    "the lines above show which; with NCCL it is usually the watchdog",
)
_SAYS = re.compile("|".join(one.says for one in FAILURES if one.says))
_NAMED = {one.name: one for one in FAILURES}
SIGNALS = {6: ABORTED, 7: _NAMED["shared-memory"], 9: KILLED, 11: _NAMED["segmentation-fault"]}


def classify_exception(message: str) -> Failure:
    """Return the class of an uncaught exception, from its line and the following ones."""
    return next(
        (one for one in FAILURES if one.raised and re.search(one.raised, message)), EXCEPTION
    )


def classify_output(line: str) -> Failure | None:
    """Return the class of a line that a program other than Python printed; None if unknown."""
    if not _SAYS.search(line):
        return None
    return next((one for one in FAILURES if one.says and re.search(one.says, line)), None)
