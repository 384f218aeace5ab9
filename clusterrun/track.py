"""What a run does now, by its name; and the requests to a run: wait, cancel, stop."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from clusterrun.errors import ClusterError
from clusterrun.index import Index, Run, closed
from clusterrun.jobs import smaller_job
from clusterrun.now import is_local, refuse_other_cluster, run_status
from clusterrun.records import write_record
from clusterrun.slurm.commands import installed
from clusterrun.slurm.queue import cancel_job
from clusterrun.slurm.states import State
from clusterrun.written import RunStatus, unseen

__all__ = ["cancel", "is_local", "run_status", "status", "stop", "wait"]


def status(name: str, index: Index | None = None) -> RunStatus:
    """Say what a run does now; `name` is a run id, a prefix of one, a job id, `last`, or a run folder.

    Raises SpecError where no run is called so, ClusterError where it is another user's and closed.
    """
    return run_status((index or Index()).find(name))


def wait(name: str, timeout: float | None = None, index: Index | None = None) -> RunStatus:
    """Wait until a run has ended for good and return its last status.

    `timeout` is in seconds; raises TimeoutError when it is over.
    """
    run = (index or Index()).find(name)
    begun, pause = time.monotonic(), 0.5
    while True:
        found = run_status(run)
        if found.state.final:
            return found
        left = None if timeout is None else timeout - (time.monotonic() - begun)
        if left is not None and left <= 0:
            raise TimeoutError(f"{run.run_id} is still {found.state.value} after {timeout:g} s")
        time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, 15.0)


def cancel(name: str, index: Index | None = None) -> RunStatus:
    """End a run at once, without a checkpoint; it never comes back. Raises ClusterError where Slurm refuses."""
    run = (index or Index()).find(name)
    refuse_other_cluster(run)
    before = run_status(run)
    if before.state.final:
        return before
    for folder in [run.paths, *(run.task(number).paths for number in _living(before))]:
        if folder.folder.is_dir():
            write_record(folder.cancelled, {"by": _user(), "time": int(time.time())})
    if is_local(run):
        from clusterrun.local import cancel_local  # noqa: PLC0415 - only for a local run

        cancel_local(run.paths)
    else:
        _cancel_jobs(before, smaller_job(run.paths))
    return replace(before, reason="cancelled")


def stop(name: str, index: Index | None = None) -> RunStatus:
    """Ask a run to save and leave; it does not continue by itself. A run that waits is taken out of the queue.

    A teammate may ask, too, where the run was submitted with `share: group`.
    Raises ClusterError where the run's folder is closed to the one who asks.
    """
    run = (index or Index()).find(name)
    if run.paths.folder.exists() and run.paths.folder.stat().st_uid != os.getuid():
        return _stop_of_another(run)
    refuse_other_cluster(run)
    before = run_status(run)
    if before.state.final:
        return before
    for asked in [run, *(run.task(number) for number in _living(before))]:
        if asked.paths.folder.is_dir():
            _ask(asked)
    if not is_local(run) and installed() and State.PENDING in {before.state, *(task.state for task in before.tasks)}:
        for job_id in filter(None, (smaller_job(run.paths), before.job_id)):
            cancel_job(job_id, only_pending=True)
    return replace(before, reason="asked to save and leave")


def _cancel_jobs(found: RunStatus, smaller: str) -> None:
    """Of two jobs, one may be about to leave the run to the other, its successor."""
    for job_id in filter(None, dict.fromkeys([smaller, *found.job_ids[-2:], found.job_id])):
        cancel_job(job_id)


def _ask(run: Run) -> None:
    # the file's first line is read by rank 0, so it is there in one write; opened as it is, because in a shared
    # folder a teammate may write this file and make none
    with run.paths.stop.open("w", encoding="utf-8") as file:
        file.write(f"asked by {_user()} at {time.strftime('%Y-%m-%d %H:%M:%S')}\n")


def _stop_of_another(run: Run) -> RunStatus:
    """What its state is, only its owner can see: the request is written, and no more is known."""
    numbers = [path.name.removeprefix("task-") for path in run.paths.folder.glob("task-*")]
    tasks = [run.task(int(number)) for number in numbers if number.isdecimal()]
    try:
        for asked in [run, *tasks]:
            _ask(asked)
    except OSError as error:
        raise ClusterError(*closed(run.paths.folder)) from error
    return unseen(run, "asked to save and leave; only its owner sees its state")


def _living(found: RunStatus) -> list[int]:
    """List the numbers of an array's tasks that have not ended."""
    return [int(task.run_id.rpartition("-")[2]) for task in found.tasks if not task.state.final]


def _user() -> str:
    import getpass  # noqa: PLC0415 - only for a request

    return getpass.getuser()
