"""One answer of squeue for all watchers: Slurm is queried once a minute, however many there are."""

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
"""How old an answer may be."""


@dataclass(frozen=True)
class SharedAnswer:
    """What squeue reported of all of the user's jobs, and when."""

    asked: float
    """In seconds since the epoch."""
    jobs: tuple[QueuedJob, ...]
    fault: str
    """Why squeue failed; empty if it did not."""


def shared_answer(folder: Path, seconds: float = MAX_AGE_S) -> SharedAnswer:
    """Return squeue's newest answer, from a file of the user; query squeue if it is too old.

    A failure of squeue counts as an answer: a Slurm that is overloaded is asked no more often. Who
    asks meanwhile waits. Raises ClusterError where the file cannot be written.
    """
    try:
        return _read_or_query(folder / _name_file(), seconds)
    except OSError as error:
        raise ClusterError(
            f"{folder}: {(error.strerror or str(error)).lower()}", "there squeue's answer is kept"
        ) from error


def _name_file() -> str:
    """Return the name of the cluster's file: two clusters can share the user's home."""
    name = re.sub(r"[^\w-]", "_", reached_cluster())
    return f"squeue-{name}" if name else "squeue"


def _read_or_query(path: Path, seconds: float) -> SharedAnswer:
    with locked(path.with_suffix(".lock")):
        kept = _read_answer(path)
        if kept and 0 <= time.time() - kept.asked < seconds:
            return kept
        fresh = _query_squeue()
        write_whole(
            path, json.dumps([fresh.asked, [astuple(job) for job in fresh.jobs], fresh.fault])
        )
        return fresh


def jobs_or_error(answer: SharedAnswer) -> tuple[QueuedJob, ...] | ClusterError:
    """Return the jobs, or the failure as an error."""
    return (
        NoAnswer(answer.fault, "it is asked again within a minute") if answer.fault else answer.jobs
    )


def _query_squeue() -> SharedAnswer:
    asked = time.time()  # before: what happens meanwhile may not be in the answer
    try:
        return SharedAnswer(asked, tuple(own_jobs()), "")
    except ClusterError as error:
        return SharedAnswer(asked, (), error.what)


def _read_answer(path: Path) -> SharedAnswer | None:
    try:
        asked, jobs, fault = json.loads(read_text(path))
        return SharedAnswer(float(asked), tuple(QueuedJob(*job) for job in jobs), str(fault))
    except (FileNotFoundError, ValueError, TypeError):  # none yet, or another version's
        return None
