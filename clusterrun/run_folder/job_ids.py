"""The jobs of a run: one from `submit`, and one more for each `resume` and each successor."""

from __future__ import annotations

from pathlib import Path

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.slurm.ids import job_id


def job_ids(paths: RunPaths) -> tuple[str, ...]:
    """List the jobs of a run, oldest first."""
    earlier = map(job_id, read_record(paths.job).get("earlier", "").split())
    every = [*earlier, *_jobs_of_attempts(paths, paths.attempts()), read_job(paths.job)]
    return tuple(dict.fromkeys(job for job in every if job))


def jobs_until(paths: RunPaths, attempt: str) -> set[str]:
    """Return the jobs of the attempts up to and including one, and their successors."""
    return {
        job
        for job in _jobs_of_attempts(paths, [name for name in paths.attempts() if name <= attempt])
        if job
    }


def newest_job(paths: RunPaths) -> str:
    """Return the run's current job, or its last one; empty if none is known."""
    attempts, submitted = paths.attempts(), read_job(paths.job)
    if not attempts or read_record(paths.job).get("after") == attempts[-1]:
        return submitted
    return job_after(paths, attempts[-1]) or submitted


def job_after(paths: RunPaths, attempt: str) -> str:
    """Return the job that continues the run after an attempt: its successor, else its own job."""
    return read_job(paths.successor(attempt)) or read_job(paths.begin(attempt))


def smaller_job(paths: RunPaths) -> str:
    """Return the job that requests fewer nodes since the last attempt; empty without one."""
    attempts = paths.attempts()
    return read_job(paths.smaller(attempts[-1])) if attempts else ""


def _jobs_of_attempts(paths: RunPaths, attempts: list[str]) -> list[str]:
    files = [file(name) for name in attempts for file in (paths.begin, paths.successor)]
    return [read_job(file) for file in files]


def read_job(record: Path) -> str:
    """Return the job id in a record; empty if it is missing or not valid."""
    return job_id(read_record(record).get("job_id"))


def cluster_of(paths: RunPaths) -> str:
    """Return the cluster of a run's jobs; empty if no submission or attempt recorded it.

    The record of a task's submission is in the folder of its array.
    """
    attempts = paths.attempts()
    begin = read_record(paths.begin(attempts[-1])) if attempts else {}
    whole = RunPaths(paths.folder.parent) if paths.folder.name.startswith("task-") else paths
    return begin.get("cluster") or read_record(whole.job).get("cluster", "")
