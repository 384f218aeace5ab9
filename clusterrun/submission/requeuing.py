"""Requeue a running run: it saves a checkpoint, exits and restarts in the same job."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.run_folder.array_members import name_members
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.ownership import caller, require_own_folder, signal_job
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record
from clusterrun.run_status.current import refuse_other_cluster, run_status
from clusterrun.run_status.file_status import RunStatus, is_local
from clusterrun.run_status.named_run import find_run
from clusterrun.run_status.stop_handling import describe_request
from clusterrun.slurm.commands import NoAnswer
from clusterrun.slurm.queue import may_requeue
from clusterrun.slurm.states import State


def requeue(name: str, index: Index | None = None) -> RunStatus:
    """Request a checkpoint and a restart in the same job; a pending run stays as it is.

    Raises ClusterError for a run that has ended, or whose job may not be requeued.
    """
    run = find_run(name, index)
    require_own_folder(run, "requeue")
    refuse_other_cluster(run)
    status = run_status(run)
    if status.state is State.PENDING:
        return replace(status, reason="already pending; nothing to do")
    if status.state is State.UNKNOWN:
        raise NoAnswer(status.reason, "try again when Slurm is responding")
    if status.state.final:
        hint = f"use `clusterrun resume {run.run_id}` to resume from its last checkpoint"
        if status.state is State.COMPLETED:
            hint = "submit its spec again for another run"
        raise ClusterError(f"{run.run_id} has ended: {status.state.value} ({status.reason})", hint)
    if status.tasks:
        return _requeue_tasks(run, status)
    _request_requeue(run, status.job_id, local=is_local(run))
    reason = describe_request(run, "requeue", "it saves a checkpoint and restarts")
    return replace(status, reason=reason)


def _requeue_tasks(run: RunRef, status: RunStatus) -> RunStatus:
    """Request a requeue of each running task of an array, or member of a sweep."""
    running = [task for task in status.tasks if task.state is State.RUNNING]
    for task in running:
        of_task = replace(run, run_id=task.run_id, paths=RunPaths(Path(task.folder)))
        _request_requeue(of_task, task.job_id, local=is_local(run))
    numbers = [int(task.run_id.removeprefix(f"{run.run_id}-")) for task in running]
    where = f"of {len(running)} of {len(status.tasks)} runs ({name_members(run, numbers)})"
    reason = describe_request(run, f"requeue {where}", "each saves a checkpoint and restarts")
    return replace(status, reason=reason)


def _request_requeue(run: RunRef, job_id: str, *, local: bool) -> None:
    """Signal the steps, so that training saves and exits; `scontrol requeue` would kill it."""
    paths = run.paths
    by_requeue = read_record(paths.begin((paths.attempts() or [""])[-1])).get("by") in (
        None,
        "requeue",
    )
    if not local and by_requeue and not may_requeue(job_id):
        hint = "use `clusterrun stop`, and `clusterrun resume` after it has stopped"
        raise ClusterError(
            f"job {job_id} may not be requeued: requeue.on is empty, or the site forbids it", hint
        )
    write_record(paths.requeue, {"by": caller(), "time": int(time.time())})
    try:
        if local:
            from clusterrun.local import preempt  # noqa: PLC0415 - only for a local run

            preempt(paths)
        else:
            signal_job(run, job_id, "USR1")
    except ClusterError:
        paths.requeue.unlink(missing_ok=True)
        raise
