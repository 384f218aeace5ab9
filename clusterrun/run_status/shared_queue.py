"""One answer of squeue for all who watch: whatever the number of runs and terminals, Slurm is asked once a minute."""

from __future__ import annotations

import json
import re
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.run_folder.records import locked, write_whole
from clusterrun.slurm.clusters import reached_cluster
from clusterrun.slurm.commands import NoAnswer
from clusterrun.slurm.queue import QueuedJob, own_jobs

SECONDS = 60.0
"""How old an answer may be."""


@dataclass(frozen=True)
class SharedAnswer:
    """What squeue said of all jobs of the user, and when."""

    asked: float
    """In seconds since the epoch."""
    jobs: tuple[QueuedJob, ...]
    fault: str
    """Why it did not answer; empty where it did."""


def shared_answer(folder: Path, seconds: float = SECONDS) -> SharedAnswer:
    """Return squeue's newest answer, from a file in a folder of the user's; squeue is asked where it is too old.

    A failure of squeue counts as an answer: a Slurm that is overloaded is asked no more often. Who asks meanwhile
    waits. Raises ClusterError where the file cannot be written.
    """
    try:
        return _shared(folder / _file_name(), seconds)
    except OSError as error:
        raise ClusterError(
            f"{folder}: {(error.strerror or str(error)).lower()}", "there squeue's answer is kept"
        ) from error


def _file_name() -> str:
    """Each cluster has its own file: two clusters can share the user's home."""
    name = re.sub(r"[^\w-]", "_", reached_cluster())
    return f"squeue-{name}" if name else "squeue"


def _shared(path: Path, seconds: float) -> SharedAnswer:
    with locked(path.with_suffix(".lock")):
        kept = _read(path)
        if kept and 0 <= time.time() - kept.asked < seconds:
            return kept
        fresh = _ask()
        write_whole(
            path, json.dumps([fresh.asked, [astuple(job) for job in fresh.jobs], fresh.fault])
        )
        return fresh


def queue_of(answer: SharedAnswer) -> tuple[QueuedJob, ...] | ClusterError:
    """Return the jobs, or the failure as an error."""
    return (
        NoAnswer(answer.fault, "it is asked again within a minute") if answer.fault else answer.jobs
    )


def _ask() -> SharedAnswer:
    asked = time.time()  # before: what happens meanwhile may not be in the answer
    try:
        return SharedAnswer(asked, tuple(own_jobs()), "")
    except ClusterError as error:
        return SharedAnswer(asked, (), error.what)


def _read(path: Path) -> SharedAnswer | None:
    try:
        asked, jobs, fault = json.loads(path.read_text(encoding="utf-8"))
        return SharedAnswer(float(asked), tuple(QueuedJob(*job) for job in jobs), str(fault))
    except (FileNotFoundError, ValueError, TypeError):  # none yet, or another version's
        return None
