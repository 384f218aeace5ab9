"""The current status of a run, or of an array from the statuses of its tasks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import RunRef, describe_closed_folder
from clusterrun.run_folder.job_ids import cluster_of
from clusterrun.run_folder.records import read_record
from clusterrun.run_status.file_status import RunStatus, is_local, status_from_files
from clusterrun.run_status.single_run import read_single_status
from clusterrun.run_status.slurm_snapshot import SlurmSnapshot, query_accounting, query_queue
from clusterrun.slurm.clusters import how_to_reach, other_cluster
from clusterrun.slurm.ids import task_numbers
from clusterrun.slurm.queue import NO_REASON
from clusterrun.slurm.states import State, state_of

# The state of an array is the first of these that one of its tasks has.
_ARRAY_STATE_ORDER = (
    State.RUNNING,
    State.UNKNOWN,
    State.PENDING,
    State.FAILED,
    State.OUT_OF_MEMORY,
    State.NODE_FAIL,
    State.TIMEOUT,
    State.PREEMPTED,
    State.LOST,
    State.CANCELLED,
    State.STOPPED,
    State.COMPLETED,
)


def run_status(run: RunRef, snapshot: SlurmSnapshot | None = None) -> RunStatus:
    """Return the run's status; with a snapshot, Slurm is not queried.

    Raises ClusterError if the run folder is closed to this user.
    """
    try:
        array = read_record(run.paths.intent).get("array")
        return (
            _read_array_status(run, array, snapshot) if array else read_single_status(run, snapshot)
        )
    except PermissionError as error:
        raise ClusterError(*describe_closed_folder(run.paths.folder)) from error


def refuse_other_cluster(run: RunRef) -> None:
    """Raise ClusterError for a job of another cluster, whose id is another job's here."""
    cluster = "" if is_local(run) else cluster_of(run.paths)
    if elsewhere := other_cluster(cluster):
        raise ClusterError(elsewhere.rpartition("; ")[0], how_to_reach(cluster))


def _read_array_status(run: RunRef, array: str, snapshot: SlurmSnapshot | None) -> RunStatus:
    """Return an array's status from its tasks, with one call of squeue and one of sacct."""
    if snapshot is None:
        queue = query_queue()
        status = _read_array_status(run, array, SlurmSnapshot(queue, {}))
        accounts = query_accounting([status])
        return (
            _read_array_status(run, array, SlurmSnapshot(queue, accounts)) if accounts else status
        )
    whole_run = status_from_files(run)
    started = (
        {path.name for path in run.paths.folder.iterdir()} if run.paths.folder.is_dir() else set()
    )
    every = [run.task(number) for number in task_numbers(array)]
    tasks = tuple(
        read_single_status(task, snapshot)
        if task.paths.folder.name in started
        else _read_pending_task(task, whole_run, snapshot)
        for task in every
    )
    counts = Counter(task.state for task in tasks)
    state = next(
        state for state in _ARRAY_STATE_ORDER if state in counts or state is State.COMPLETED
    )
    words = ", ".join(
        f"{counts[state]} {state.value}" for state in _ARRAY_STATE_ORDER if counts[state]
    )
    return replace(whole_run, state=state, reason=f"{len(tasks)} tasks: {words}", tasks=tasks)


def _read_pending_task(task: RunRef, array: RunStatus, snapshot: SlurmSnapshot) -> RunStatus:
    """Return the status of a task without a folder, without reading files if it is pending."""
    job = None if isinstance(snapshot.queue, ClusterError) else snapshot.queue.get(task.job_id)
    if job is None or state_of(job.state) is not State.PENDING:
        return read_single_status(task, snapshot)
    return RunStatus(
        task.run_id,
        State.PENDING,
        "" if job.reason == NO_REASON else job.reason,
        job.job_id,
        0,
        None,
        None,
        None,
        job.nodes,
        None,
        str(task.paths.folder),
        job_ids=(job.job_id,),
        tags=array.tags,
    )
