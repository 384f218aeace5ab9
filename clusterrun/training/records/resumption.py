"""The record `events/attempt-<n>.resume`: what an attempt loads, and whether it came through."""

from __future__ import annotations

from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record


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
