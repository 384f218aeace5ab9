"""One answer of squeue for all watchers, so that Slurm is queried once a minute."""

from __future__ import annotations

import json
import re
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.files.reading import read_text
from clusterrun.run_folder.records import locked, write_whole
from clusterrun.slurm.clusters import reached_cluster
from clusterrun.slurm.commands import NoAnswer
from clusterrun.slurm.queue import QueuedJob, own_jobs

MAX_AGE_S = 60.0
"""Maximum age of an answer, in seconds."""


@dataclass(frozen=True)
class SharedAnswer:
    """What squeue reported about all jobs of the user, and when."""

    queried_at: float
    """In seconds since the epoch."""
    jobs: tuple[QueuedJob, ...]
    fault: str
    """Why squeue failed; empty if it did not."""


def shared_answer(folder: Path, seconds: float = MAX_AGE_S) -> SharedAnswer:
    """Return squeue's newest answer, from a file of the user; query squeue if it is too old.

    A failure of squeue counts as an answer, so that an overloaded Slurm is not queried more often.
    Concurrent callers wait. Raises ClusterError if the file cannot be written.
    """
    try:
        return _read_or_query(folder / _name_file(), seconds)
    except OSError as error:
        raise ClusterError(
            f"{folder}: {(error.strerror or str(error)).lower()}",
            "make it writable: squeue's answer is cached there",
        ) from error


def _name_file() -> str:
    """Return the name of the cluster's file: two clusters can share the user's home."""
    name = re.sub(r"[^\w-]", "_", reached_cluster())
    return f"squeue-{name}" if name else "squeue"


def _read_or_query(path: Path, seconds: float) -> SharedAnswer:
    with locked(path.with_suffix(".lock")):
        kept = _read_answer(path)
        if kept and 0 <= time.time() - kept.queried_at < seconds:
            return kept
        fresh = _query_squeue()
        write_whole(
            path, json.dumps([fresh.queried_at, [astuple(job) for job in fresh.jobs], fresh.fault])
        )
        return fresh


def jobs_or_error(answer: SharedAnswer) -> tuple[QueuedJob, ...] | ClusterError:
    """Return the jobs, or the failure as an error."""
    return (
        NoAnswer(answer.fault, "squeue is queried again within a minute")
        if answer.fault
        else answer.jobs
    )


def _query_squeue() -> SharedAnswer:
    queried_at = time.time()  # before the query: later changes may not be in the answer
    try:
        return SharedAnswer(queried_at, tuple(own_jobs()), "")
    except ClusterError as error:
        return SharedAnswer(queried_at, (), error.what)


def _read_answer(path: Path) -> SharedAnswer | None:
    try:
        queried_at, jobs, fault = json.loads(read_text(path))
        return SharedAnswer(float(queried_at), tuple(QueuedJob(*job) for job in jobs), str(fault))
    except (FileNotFoundError, ValueError, TypeError):  # missing, or written by another version
        return None
