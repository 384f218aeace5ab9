"""The trainer's records in a run's `events/`; the job script acts on them.

`attempt-<n>.resume` names the checkpoint that an attempt loads, and whether it came through.
`attempt-<n>.trainer`, the marker, tells how the trainer exited.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from clusterrun.errors import TrainingError
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record

P = ParamSpec("P")
R = TypeVar("R")
EXIT_NO_RESTART = (
    93  # for a look at the process; the script goes by the marker, because launchers lose the code
)


def write_marker(paths: RunPaths, attempt: str, outcome: str, values: Mapping[str, object]) -> None:
    """Write how the attempt ended, with `step`, `epoch`, `checkpoint` and `reason` where known.

    `outcome` is `finished`, `trained` (finished, if the script exits with 0), `stopped` or
    `no-restart`. An attempt that another one has taken over writes nothing. Where the disk does not
    take it, that is said, and the job script goes by exit codes.
    """
    blank = {"step": "", "epoch": "", "checkpoint": ""}
    one_line = {key: " ".join(str(value).split()) for key, value in values.items()}
    try:
        if read_record(paths.current).get("attempt", attempt) == attempt:
            write_record(paths.trainer(attempt), {"outcome": outcome, **blank, **one_line})
    except OSError as error:
        sys.stderr.write(
            f"clusterrun: warning: how this attempt ended could not be written down: {error}\n"
        )


def mark_refusals(
    environment: Mapping[str, str] = os.environ,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function to mark its attempt `no-restart` on TrainingError, which would recur.

    Without clusterrun nothing is written. It goes by the bare environment, because that may be what
    is refused.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def marked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TrainingError as error:
                _mark_refusal(environment, error.what)
                raise

        return marked

    return decorate


def _mark_refusal(environment: Mapping[str, str], reason: str) -> None:
    folder, attempt = environment.get("CLUSTERRUN_RUN_DIR"), environment.get("CLUSTERRUN_ATTEMPT")
    if environment.get("CLUSTERRUN_PROTOCOL") and folder and attempt:
        write_marker(RunPaths(Path(folder)), attempt, "no-restart", {"reason": reason})


def find_crashed_resumes(paths: RunPaths, attempt: str) -> dict[str, str]:
    """Return the checkpoints that killed an earlier attempt while loading, each with that attempt.

    A preemption or a dead node amid a load says nothing about the checkpoint: only a crash does.
    """
    crashed = {}
    for earlier in paths.attempts():
        record = read_record(paths.resumed(earlier))
        died = (
            record.get("state") == "loading"
            and read_record(paths.end(earlier)).get("cause") == Cause.CRASH
        )
        if died and int(earlier) < int(attempt) and record.get("checkpoint"):
            crashed[record["checkpoint"]] = earlier
    return crashed


def write_resume(
    paths: RunPaths, attempt: str, checkpoint: str, step: int, *, loaded: bool
) -> None:
    """Record that an attempt starts to load a checkpoint, or has on all ranks. Raises OSError."""
    state = "resumed" if loaded else "loading"
    write_record(paths.resumed(attempt), {"checkpoint": checkpoint, "step": step, "state": state})
