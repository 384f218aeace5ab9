"""The status of a run by its name, and the requests to a run: wait, cancel and stop."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import Index, RunRef, describe_closed_folder
from clusterrun.run_folder.job_ids import read_job, smaller_job
from clusterrun.run_folder.ownership import (
    caller,
    cancel_jobs,
    foreign_owner,
    open_stop,
    require_own_folder,
)
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.current import refuse_other_cluster, run_status
from clusterrun.run_status.file_status import RunStatus, is_local, unknown_status
from clusterrun.run_status.named_run import find_run
from clusterrun.run_status.stop_handling import describe_request
from clusterrun.slurm.commands import installed
from clusterrun.slurm.states import State

__all__ = ["cancel", "is_local", "run_status", "status", "stop", "wait"]


def status(name: str, index: Index | None = None) -> RunStatus:
    """Return a run's status; `name` is a run id, its prefix, a job id, `last`, or a folder.

    Raises SpecError if no run has this name, ClusterError if its folder is closed to this user.
    """
    return run_status(find_run(name, index))


def wait(name: str, timeout: float | None = None, index: Index | None = None) -> RunStatus:
    """Wait until a run has ended for good, and return its status.

    `timeout` is in seconds. Raises TimeoutError if the run has not ended by then.
    """
    run = find_run(name, index)
    started, pause = time.monotonic(), 0.5
    while True:
        status = run_status(run)
        if status.state.final:
            return status
        left = None if timeout is None else timeout - (time.monotonic() - started)
        if left is not None and left <= 0:
            raise TimeoutError(f"{run.run_id} is still {status.state.value} after {timeout:g} s")
        time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, 15.0)


def cancel(name: str, index: Index | None = None) -> RunStatus:
    """Cancel a run at once, without a checkpoint; it never restarts.

    Raises ClusterError if Slurm refuses.
    """
    run = find_run(name, index)
    require_own_folder(run, "cancel")
    refuse_other_cluster(run)
    before = run_status(run)
    if before.state.final:
        return before
    for folder in [run.paths, *(run.task(number).paths for number in _active_tasks(before))]:
        if folder.folder.is_dir():
            write_record(folder.cancelled, {"by": caller(), "time": int(time.time())})
    if is_local(run):
        from clusterrun.local import cancel_local  # noqa: PLC0415 - only for a local run

        cancel_local(run.paths)
    else:
        # while a run hands over to its successor, both jobs must be cancelled
        # the SLURM_JOB_ID of an array's last task is the id of the array, with all its tasks
        array = before.job_id.partition("_")[0] if "_" in before.job_id else ""
        ids = [smaller_job(run.paths), *before.job_ids[-2:], before.job_id]
        cancel_jobs(run, [job_id for job_id in ids if job_id != array])
        _cancel_successors_of_tasks(run, before, only_pending=False)
    return replace(before, reason="cancelled")


def stop(name: str, index: Index | None = None) -> RunStatus:
    """Request a checkpoint and exit from a run; a pending run is removed from the queue.

    The run does not restart by itself.

    With `share: group`, a teammate may request it, too.
    Raises ClusterError if the run folder is closed to this user.
    """
    run = find_run(name, index)
    if foreign_owner(run.paths.folder):
        return _stop_as_teammate(run)
    refuse_other_cluster(run)
    before = run_status(run)
    if before.state.final:
        return before
    for target in [run, *(run.task(number) for number in _active_tasks(before))]:
        if target.paths.folder.is_dir():
            _write_stop_request(target)
    if (
        not is_local(run)
        and installed()
        and State.PENDING in {before.state, *(task.state for task in before.tasks)}
    ):
        cancel_jobs(run, [smaller_job(run.paths), before.job_id], only_pending=True)
        _cancel_successors_of_tasks(run, before, only_pending=True)
    return replace(before, reason=_describe_stop(run, before))


def _describe_stop(run: RunRef, before: RunStatus) -> str:
    if before.state is State.PENDING:
        return "stop requested: it does not start again"
    return describe_request(run, "stop", "it saves a checkpoint and exits")


def _write_stop_request(run: RunRef) -> None:
    text = f"requested by {caller()} at {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
    with open_stop(run.paths) as descriptor:
        # rank 0 reads the first line, so one write must contain all of it
        os.ftruncate(descriptor, 0)
        os.write(descriptor, text.encode())


def _stop_as_teammate(run: RunRef) -> RunStatus:
    """Write the request to a teammate's run; only its owner can see its state."""
    numbers = [path.name.removeprefix("task-") for path in run.paths.folder.glob("task-*")]
    tasks = [run.task(int(number)) for number in numbers if number.isdecimal()]
    try:
        for target in [run, *tasks]:
            _write_stop_request(target)
    except OSError as error:
        raise ClusterError(*describe_closed_folder(run.paths.folder)) from error
    return unknown_status(run, "stop requested; only its owner can see its state")


def _cancel_successors_of_tasks(run: RunRef, status: RunStatus, *, only_pending: bool) -> None:
    """Cancel the jobs of tasks that continue outside their array, after a preemption by CANCEL."""
    for number in _active_tasks(status):
        task = run.task(number)
        records = sorted(task.paths.events.glob("attempt-*.successor"))[-1:]
        cancel_jobs(task, map(read_job, records), only_pending=only_pending)


def _active_tasks(status: RunStatus) -> list[int]:
    """List the numbers of an array's tasks that have not ended."""
    return [int(task.run_id.rpartition("-")[2]) for task in status.tasks if not task.state.final]
