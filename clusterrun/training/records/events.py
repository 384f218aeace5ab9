"""The records of training in a run's `events/`, on which the job script acts.

`attempt-<n>.resume` names the checkpoint that an attempt loads, and whether it was loaded.
`attempt-<n>.trainer`, the marker, records how the training process ended.
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
# for people; the job script reads the marker, because launchers exit with another code
EXIT_NO_RESTART = 93


def write_marker(paths: RunPaths, attempt: str, outcome: str, values: Mapping[str, object]) -> None:
    """Record how the attempt ended, with `step`, `epoch`, `checkpoint` and `reason` if known.

    `outcome` is `finished`, `trained` (finished, if the script exits with 0), `stopped` or
    `no-restart`. An attempt that has been replaced writes nothing. If the disk fails, a warning is
    logged, and the job script relies on exit codes.
    """
    blank = {"step": "", "epoch": "", "checkpoint": ""}
    one_line = {key: " ".join(str(value).split()) for key, value in values.items()}
    try:
        if read_record(paths.current).get("attempt", attempt) == attempt:
            write_record(paths.trainer(attempt), {"outcome": outcome, **blank, **one_line})
    except OSError as error:
        sys.stderr.write(f"clusterrun: warning: cannot record how this attempt ended: {error}\n")


def mark_refusals(
    environment: Mapping[str, str] = os.environ,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function to mark the attempt `no-restart` on TrainingError, which would recur.

    Without clusterrun nothing is written. It reads the environment directly, because the protocol
    in it may be the error.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TrainingError as error:
                _mark_refusal(environment, error.what)
                raise

        return wrapper

    return decorate


def _mark_refusal(environment: Mapping[str, str], reason: str) -> None:
    folder, attempt = environment.get("CLUSTERRUN_RUN_DIR"), environment.get("CLUSTERRUN_ATTEMPT")
    if environment.get("CLUSTERRUN_PROTOCOL") and folder and attempt:
        write_marker(RunPaths(Path(folder)), attempt, "no-restart", {"reason": reason})


def find_crashed_resumes(paths: RunPaths, attempt: str) -> dict[str, str]:
    """Return the checkpoints whose loading crashed an earlier attempt, each with that attempt.

    Only a crash counts: a preemption or a node failure during a load does not depend on the
    checkpoint.
    """
    crashed = {}
    for earlier in paths.attempts():
        record = read_record(paths.resumed(earlier))
        crashed_while_loading = (
            record.get("state") == "loading"
            and read_record(paths.end(earlier)).get("cause") == Cause.CRASH
        )
        if crashed_while_loading and int(earlier) < int(attempt) and record.get("checkpoint"):
            crashed[record["checkpoint"]] = earlier
    return crashed


def write_resume(
    paths: RunPaths, attempt: str, checkpoint: str, step: int, *, loaded: bool
) -> None:
    """Record that an attempt starts to load a checkpoint, or has loaded it. Raises OSError."""
    state = "resumed" if loaded else "loading"
    write_record(paths.resumed(attempt), {"checkpoint": checkpoint, "step": step, "state": state})
