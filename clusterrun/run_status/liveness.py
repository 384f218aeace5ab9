"""Whether a run may still be active, from several sources before its folder is removed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.local import supervisor_host, supervisor_lives
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.job_ids import smaller_job
from clusterrun.run_folder.ownership import processes_of
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.file_status import RunStatus, is_local, last_end
from clusterrun.slurm.commands import installed
from clusterrun.slurm.jobs_by_id import job_facts
from clusterrun.slurm.queue import own_jobs
from clusterrun.slurm.states import state_of

QUIET_S = 86_400.0
"""Seconds for which the files of a run without an end record must be unchanged."""
_END_GRACE_S = (
    120.0  # KillWait (30 s by default, slurm.conf(5)), and the last writes of the batch script
)
_FRESH_S = 600.0


@dataclass
class Inquiry:
    """Checks of several runs; once Slurm has not responded, it is not queried again."""

    answers: bool = True

    def sign_of_life(self, run: RunRef, status: RunStatus) -> str:
        """Return why a run that looks ended may be active; empty if it is not.

        If Slurm is not responding, only a run with an end record counts as ended.
        """
        over = has_recorded_end(run, status)
        if is_local(run):
            return _find_local_sign(run, over=over) or _check_recent_writes(run, status)
        sign = ""
        if self.answers and installed():
            try:
                sign = self._find_slurm_sign(run, status, over=over)
            except ClusterError as error:
                self.answers, sign = (
                    False,
                    "" if over else f"Slurm is not responding ({error.what})",
                )
        elif not over:
            sign = _check_quiet_period(run) if not installed() else "Slurm is not responding"
        return sign or _check_recent_writes(run, status)

    def find_started_job(self, run: RunRef) -> str:
        """Return why a run whose folder has just been renamed is active; empty if it is not."""
        if is_local(run) or not (self.answers and installed()):
            return ""
        try:
            active_jobs = [job for job in own_jobs() if not state_of(job.state).final]
        except ClusterError:
            return ""
        script = str(run.paths.script)
        ids = [job.job_id for job in active_jobs if job.command == script]
        return f"job {ids[0]} has just started" if ids else ""

    def _find_slurm_sign(self, run: RunRef, status: RunStatus, *, over: bool) -> str:
        ids = _collect_job_ids(run, status)
        active_jobs = [job for job in own_jobs() if not state_of(job.state).final]
        script = str(run.paths.script)
        active_ids = [
            job.job_id
            for job in active_jobs
            if job.command == script or {job.job_id, job.raw_id, job.array_id} & ids
        ]
        facts = [one for job_id in sorted(ids) for one in job_facts(job_id)]
        active_ids += [one.job_id for one in facts if not one.state.final]
        if active_ids:
            return f"job {active_ids[0]} is in the queue"
        if over or facts or self._has_accounted_end(run, status):
            return ""
        return _check_quiet_period(run)

    @staticmethod
    def _has_accounted_end(run: RunRef, status: RunStatus) -> bool:
        """Return whether sacct reports that the job has ended."""
        from clusterrun.slurm.submitit_seam import accounted_states  # noqa: PLC0415 - submitit is slow to import

        word = (
            accounted_states([status.job_id], run.paths.folder).get(status.job_id)
            if status.job_id
            else ""
        )
        return bool(word) and state_of(str(word)).final


def has_recorded_end(run: RunRef, status: RunStatus) -> bool:
    """Return whether a run, or each task of an array, has recorded its final end."""
    runs = [
        RunRef(task.run_id, RunPaths(Path(task.folder)), task.job_id) for task in status.tasks
    ] or [run]
    return all(last_end(one).get("next") == "end" for one in runs)


def _collect_job_ids(run: RunRef, status: RunStatus) -> set[str]:
    """Return the jobs that may be the newest: the last two successors, and those of tasks."""
    tasks = {task.job_id.partition("_")[0] for task in status.tasks}
    return {
        job_id
        for job_id in (*status.job_ids[-2:], status.job_id, smaller_job(run.paths), *tasks)
        if job_id
    }


def _find_local_sign(run: RunRef, *, over: bool) -> str:
    if supervisor_lives(run.paths):
        return "its supervisor is running"
    if processes := processes_of(run.paths.folder):
        return f"its process {processes[0]} is running"
    host = supervisor_host(run.paths)
    if over or host == os.uname().nodename:
        return ""
    return f"it left no end record, and was started on {host}" if host else _check_quiet_period(run)


def _check_quiet_period(run: RunRef) -> str:
    """Return why a run without an end record may be active: its files changed within a day."""
    age = time.time() - max(_modification_times(run.paths), default=0.0)
    hours = f"{max(age, 0) / 3600:.1f} h"
    return (
        f"it left no end record, and its files changed {hours} ago, less than a day"
        if age < QUIET_S
        else ""
    )


def _check_recent_writes(run: RunRef, status: RunStatus) -> str:
    """Return why a run that ended may be active again: its files changed after the end."""
    newest = max(_modification_times(run.paths), default=0.0)
    ended = max((one.ended_at or 0 for one in (status, *status.tasks)), default=0)
    fresh = ended and newest > ended + _END_GRACE_S and time.time() - newest < _FRESH_S
    return (
        f"its files changed {max(time.time() - newest, 0):.0f} s ago, after its end"
        if fresh
        else ""
    )


def _modification_times(paths: RunPaths) -> Iterator[float]:
    """Yield the modification times of the files that attempts write."""
    for folder in (paths.folder, *paths.folder.glob("task-*")):
        own = RunPaths(folder)
        attempts = (*own.events.glob("attempt-*"), own.job, own.intent)
        for path in (*own.logs.glob("*"), *attempts, own.progress, own.saves, own.current):
            try:
                yield path.lstat().st_mtime
            except OSError:
                continue
