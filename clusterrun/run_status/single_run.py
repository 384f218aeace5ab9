"""The status of one run, or of one task of an array, from its run folder and from Slurm.

Three sources, in this order: the end that the script recorded; squeue; sacct, through submitit's
watcher. The first does not depend on accounting, the second not on delays of the run folder's file
system, and the third not on slurmctld's memory of the job.
"""

from __future__ import annotations

import time
from dataclasses import replace

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.job_ids import cluster_of
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_status.file_status import (
    RunStatus,
    awaits_attempt,
    is_local,
    is_over,
    last_end,
    status_from_files,
)
from clusterrun.run_status.slurm_snapshot import Queue, SlurmSnapshot, query_accounting
from clusterrun.slurm.clusters import other_cluster
from clusterrun.slurm.queue import NO_REASON, QueuedJob, own_jobs
from clusterrun.slurm.states import State, state_of

_BETWEEN_ATTEMPTS = (State.PREEMPTED, State.NODE_FAIL, State.FAILED, State.COMPLETED, State.TIMEOUT)
# After an attempt ends, Slurm shows its state for a moment before the job is pending again.
_SETTLE_SECONDS = 8.0

ENDING = "ending"
"""The reason of a run whose job Slurm is ending, before what follows is recorded."""
_REMOVED_FROM_QUEUE = "removed from the queue by `clusterrun stop`"


def read_single_status(run: RunRef, snapshot: SlurmSnapshot | None) -> RunStatus:
    """Return the status of a run that is not an array."""
    known = status_from_files(run)
    if is_over(known, run):
        return known
    status = (
        _read_local_status(run, known)
        if is_local(run)
        else _reconcile_with_slurm(run, known, snapshot)
    )
    return status if status.state.final else _describe_active(run, status)


def _describe_active(run: RunRef, status: RunStatus) -> RunStatus:
    """Add a pending request to an active run, and drop the exit code of an earlier attempt."""
    status = replace(status, exit_code=None)
    if status.state is not State.RUNNING or status.reason not in ("", ENDING):
        return status
    if _has_request(run, "stop"):
        return replace(status, reason="stop requested")
    return replace(status, reason="requeue requested") if _has_request(run, "requeue") else status


def _reconcile_with_slurm(
    run: RunRef, known: RunStatus, snapshot: SlurmSnapshot | None
) -> RunStatus:
    queue = snapshot.queue if snapshot else None
    if not known.job_id:
        return _describe_unqueued(run, known)
    try:
        job = _find_job(run, known.job_id, queue)
        if (job is None or state_of(job.state).final) and (
            successor := _find_successor(run, known, queue)
        ):
            job, known = successor, replace(known, job_id=successor.job_id)
    except ClusterError as error:
        unknown = replace(known, state=State.UNKNOWN, reason=str(error).splitlines()[0])
        return known if known.state.final else unknown
    if elsewhere := other_cluster(cluster_of(run.paths)):
        return known if known.state.final else replace(known, state=State.UNKNOWN, reason=elsewhere)
    if known.state.final:
        return _check_cancelled(run, known, job)
    return (
        _resolve_forgotten(run, known, snapshot)
        if job is None
        else _apply_queue_state(run, known, job)
    )


def _check_cancelled(run: RunRef, known: RunStatus, job: QueuedJob | None) -> RunStatus:
    """Return the status of a run with a recorded cancellation, which may still be corrected."""
    state = State.CANCELLED if job is None else state_of(job.state)
    if job is None or state.final:
        return status_from_files(run)
    return replace(known, state=state, reason=ENDING if state is State.RUNNING else job.reason)


def _apply_queue_state(run: RunRef, known: RunStatus, job: QueuedJob) -> RunStatus:
    state = state_of(job.state)
    if state is State.CANCELLED and _was_stopped_while_pending(run):
        return replace(known, state=State.STOPPED, reason=_REMOVED_FROM_QUEUE)
    if state is State.FAILED and _has_request(run, "cancelled"):
        return replace(known, state=State.CANCELLED, reason="cancelled")  # the script exits with 75
    if state in _BETWEEN_ATTEMPTS and _has_just_ended(run):
        return replace(known, state=State.PENDING, reason="between two attempts")
    by_slurm = "" if job.reason == NO_REASON else job.reason
    if state is State.RUNNING and job.state == "COMPLETING":
        by_slurm = ENDING
    own_reason = known.reason if state.final else ""
    # a task keeps Slurm's own name, `<array>_<task>`: its SLURM_JOB_ID can be that of the array
    return replace(
        known,
        state=state,
        reason=own_reason or by_slurm,
        nodes=job.nodes or known.nodes,
        job_id=job.job_id,
        time_limit_at=job.ends if state is State.RUNNING else None,
    )


def _describe_unqueued(run: RunRef, known: RunStatus) -> RunStatus:
    if run.paths.cancelled.exists():
        return replace(known, state=State.CANCELLED, reason="cancelled")
    command = "resume" if awaits_attempt(run) else "submit"
    return replace(
        known,
        state=State.PENDING,
        reason=f"not submitted to Slurm yet: run {command} again to finish",
    )


def _find_job(run: RunRef, job_id: str, queue: Queue | ClusterError | None) -> QueuedJob | None:
    """Find a run's job; the SLURM_JOB_ID of an array's last task names all tasks of the array."""
    if isinstance(queue, ClusterError):
        raise queue
    folder = run.paths.folder.name
    task = f"{job_id}_{folder.removeprefix('task-')}" if folder.startswith("task-") else job_id
    if queue is not None:
        return queue.get(task) or queue.get(job_id)
    jobs = own_jobs(job_id)
    return next((job for job in jobs if job.job_id == task), jobs[0] if jobs else None)


def _find_successor(
    run: RunRef, known: RunStatus, queue: Queue | ClusterError | None
) -> QueuedJob | None:
    """Find the successor job of an attempt that was killed before it recorded the job id."""
    record = run.paths.successor(f"{known.attempt:04d}")
    if not record.exists() or read_record(record).get("job_id"):
        return None
    jobs = own_jobs() if queue is None or isinstance(queue, ClusterError) else queue.values()
    candidates = [
        job
        for job in jobs
        if job.command == str(run.paths.script) and job.array_id not in known.job_ids
    ]
    return candidates[0] if candidates else None


def _has_just_ended(run: RunRef) -> bool:
    end = last_end(run)
    ended = whole(end.get("ended"))
    return (
        end.get("next") in ("continue", "by-slurm")
        and ended is not None
        and time.time() - ended < _SETTLE_SECONDS
    )


def _resolve_forgotten(run: RunRef, known: RunStatus, snapshot: SlurmSnapshot | None) -> RunStatus:
    """Return the status of a run whose job slurmctld no longer knows, from sacct and the files."""
    latest = status_from_files(run)
    if latest.state.final:
        return latest
    if _has_request(run, "cancelled"):
        return replace(known, state=State.CANCELLED, reason="cancelled")
    lost = replace(
        known,
        state=State.LOST,
        reason=f"Slurm no longer knows job {known.job_id}, and the run left no end record",
    )
    word = (query_accounting([lost]) if snapshot is None else snapshot.accounts).get(known.job_id)
    if _was_stopped_while_pending(run) and (not word or state_of(word) is State.CANCELLED):
        return replace(known, state=State.STOPPED, reason=_REMOVED_FROM_QUEUE)
    if word and state_of(word).final:
        return replace(known, state=state_of(word), reason=known.reason or word)
    if _has_request(run, "stop"):
        return replace(known, state=State.STOPPED, reason=_REMOVED_FROM_QUEUE)
    return lost


def _was_stopped_while_pending(run: RunRef) -> bool:
    """Return whether `stop` removed the run from the queue, which Slurm reports as cancelled."""
    began = bool(run.paths.attempts()) and not awaits_attempt(run)
    return (
        _has_request(run, "stop")
        and not _has_request(run, "cancelled")
        and not (began and not last_end(run))
    )


def _has_request(run: RunRef, name: str) -> bool:
    """Return whether a user has made a request, to the run or to the array of a task."""
    folder = run.paths.folder
    places = [folder, folder.parent] if folder.name.startswith("task-") else [folder]
    return any(
        place.joinpath(name).exists() and place.joinpath(name).stat().st_size for place in places
    )


def _read_local_status(run: RunRef, known: RunStatus) -> RunStatus:
    from clusterrun.local import supervisor_lives  # noqa: PLC0415 - only for a local run

    if supervisor_lives(run.paths):
        attempts = run.paths.attempts()
        between = bool(attempts) and run.paths.end(attempts[-1]).exists()
        return replace(known, state=State.PENDING if between or not attempts else State.RUNNING)
    latest = status_from_files(run)
    if latest.state.final:
        return latest
    if run.paths.cancelled.exists():
        return replace(known, state=State.CANCELLED, reason="cancelled")
    return replace(
        known,
        state=State.LOST,
        reason="its process no longer exists, and the run left no end record",
    )
