"""What squeue and sacct reported about all jobs of a user, from one call of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.run_status.file_status import RunStatus
from clusterrun.slurm.queue import QueuedJob, own_jobs
from clusterrun.slurm.states import State

Queue = Mapping[str, QueuedJob]


@dataclass(frozen=True)
class SlurmSnapshot:
    """What Slurm reported about all jobs of the user."""

    queue: Queue | ClusterError
    """The jobs in squeue by both of their ids, or the error of squeue."""
    accounts: Mapping[str, str]
    """The states in sacct by job id; a job that neither command knows is lost."""


def query_queue() -> Queue | ClusterError:
    """Query squeue once for all jobs; return the error if it fails."""
    try:
        return index_jobs(own_jobs())
    except ClusterError as error:
        return error


def index_jobs(jobs: Iterable[QueuedJob]) -> Queue:
    """Return the jobs by both of their ids."""
    return {name: job for job in jobs for name in (job.raw_id, job.job_id)}


def query_accounting(statuses: Iterable[RunStatus]) -> dict[str, str]:
    """Query sacct once for all jobs that squeue no longer knows; return states by job id."""
    every = [one for status in statuses for one in (status.tasks or [status])]
    lost = {one.job_id: one.folder for one in every if one.state is State.LOST and one.job_id}
    if not lost:
        return {}
    from clusterrun.slurm.submitit_seam import accounted_states  # noqa: PLC0415 - submitit is slow to import

    return accounted_states(list(lost), Path(next(iter(lost.values()))))
