"""The jobs that an ended run has left in Slurm, before `resume` queues another one."""

from __future__ import annotations

import os
import time

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.job_ids import newest_job, read_job
from clusterrun.run_folder.ownership import cancel_jobs
from clusterrun.run_status.current import run_status
from clusterrun.run_status.file_status import is_local
from clusterrun.slurm.queue import QueuedJob, own_jobs
from clusterrun.slurm.states import State, state_of

# After its end record, a job can last for KillWait, 30 s by default (slurm.conf(5)).
_ENDING_SECONDS = 60.0


def wait_for_end(run: RunRef) -> None:
    """Wait until the previous job has ended, as two attempts must not overlap.

    Pending jobs of the run, such as one that Slurm or a person has requeued after the end, would
    exit as soon as they start; they are cancelled. Raises ClusterError after a minute.
    """
    give_up = time.monotonic() + _ENDING_SECONDS
    while (job_id := _find_job_still_ending(run)) and time.monotonic() < give_up:
        time.sleep(0.5)
    if job_id:
        raise ClusterError(
            f"job {job_id} of {run.run_id} is still ending",
            "try again when squeue no longer shows it",
        )


def refuse_started_job(run: RunRef, after: str) -> None:
    """Raise ClusterError if an old job of the run has started since `wait_for_end`.

    `after` is the last attempt before the resume. The intent of the new submission is written, so
    that an old job which starts from now on exits.
    """
    newest = (run.paths.attempts() or [""])[-1]
    started = [] if is_local(run) else [job for job in _list_active_jobs(run) if not _waits(job)]
    if started or newest != after:
        job_id = started[0].job_id if started else read_job(run.paths.begin(newest))
        hint = f"wait for it with `clusterrun wait {run.run_id}`, then resume the run"
        raise ClusterError(f"job {job_id} of {run.run_id} has just started again", hint)


def _find_job_still_ending(run: RunRef) -> str:
    if is_local(run):
        from clusterrun.local import supervisor_lives  # noqa: PLC0415 - only for a local run

        return run_status(run).job_id if supervisor_lives(run.paths) else ""
    active = _list_active_jobs(run)
    cancel_jobs(run, [job.array_id for job in active if _waits(job)], only_pending=True)
    return next((job.job_id for job in active), "")


def _list_active_jobs(run: RunRef) -> list[QueuedJob]:
    """List the run's jobs in Slurm, also those whose id the run folder does not name."""
    script, newest = os.path.realpath(run.paths.script), newest_job(run.paths)
    return [
        job
        for job in own_jobs()
        if not state_of(job.state).final
        and (newest in (job.job_id, job.raw_id) or os.path.realpath(job.command) == script)
    ]


def _waits(job: QueuedJob) -> bool:
    return state_of(job.state) is State.PENDING
