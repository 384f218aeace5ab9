"""Run folder and Slurm to one answer: what a run does now.

Three sources, in this order: the end that the script wrote; squeue; sacct, through submitit's watcher. The first
is right whatever accounting does, the second whatever the run folder's file system delays, the third after
slurmctld forgot the job.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.index import RunRef, describe_closed_folder
from clusterrun.run_folder.job_ids import cluster_of
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_status.from_files import RunStatus, awaited, from_files, last_end
from clusterrun.slurm.clusters import how_to_reach, other_cluster
from clusterrun.slurm.ids import task_numbers
from clusterrun.slurm.queue import QueuedJob, own_jobs
from clusterrun.slurm.states import State, state_of

_BETWEEN_ATTEMPTS = (State.PREEMPTED, State.NODE_FAIL, State.FAILED, State.COMPLETED, State.TIMEOUT)
# After the end of an attempt Slurm shows its state for a moment before the job is pending again.
_SETTLE_SECONDS = 8.0
# A cancellation is written down at once, before the final kill, and corrected if Slurm then names another cause.
_PROVISIONAL_SECONDS = 120.0
# What an array does now is what the first of these does that is the state of one of its tasks.
_OF_ARRAY = (
    State.RUNNING,
    State.NO_ANSWER,
    State.PENDING,
    State.FAILED,
    State.OUT_OF_MEMORY,
    State.NODE_FAIL,
    State.TIMEOUT,
    State.PREEMPTED,
    State.VANISHED,
    State.CANCELLED,
    State.STOPPED,
    State.COMPLETED,
)

_LEFT_THE_QUEUE = "left the queue, as asked"

Queue = Mapping[str, QueuedJob]


@dataclass(frozen=True)
class Said:
    """What Slurm said of all jobs of the user, where it was asked already."""

    queue: Queue | ClusterError
    """What squeue said, by both ids of each job; or why it did not answer."""
    accounts: Mapping[str, str]
    """The states that sacct named, by job id; a job that neither knows has vanished."""


def run_status(run: RunRef, said: Said | None = None) -> RunStatus:
    """Say what a run does now; Slurm is not asked where it is known what it `said`.

    Raises ClusterError where the run's folder is another user's and closed.
    """
    try:
        array = read_record(run.paths.intent).get("array")
        return _array(run, array, said) if array else _one(run, said)
    except PermissionError as error:
        raise ClusterError(*describe_closed_folder(run.paths.folder)) from error


def ask_queue() -> Queue | ClusterError:
    """Ask squeue once for all jobs; where it does not answer, that is the answer for every one of them."""
    try:
        return by_id(own_jobs())
    except ClusterError as error:
        return error


def by_id(jobs: Iterable[QueuedJob]) -> Queue:
    """Return jobs by both of their ids."""
    return {name: job for job in jobs for name in (job.raw_id, job.job_id)}


def ask_accounts(found: Iterable[RunStatus]) -> dict[str, str]:
    """Ask sacct once for all runs, and tasks of runs, that have vanished from the queue; returns states by job id."""
    every = [one for status in found for one in (status.tasks or [status])]
    gone = {one.job_id: one.folder for one in every if one.state is State.VANISHED and one.job_id}
    if not gone:
        return {}
    from clusterrun.slurm.submitit_seam import accounted_states  # noqa: PLC0415 - submitit is slow to import

    return accounted_states(list(gone), Path(next(iter(gone.values()))))


def is_over(known: RunStatus, run: RunRef) -> bool:
    """Say whether the files are enough: an end is written, and is not to be corrected any more."""
    end = last_end(run)
    ended = whole(end.get("ended"))
    fresh = (
        end.get("cause") == Cause.CANCEL
        and ended is not None
        and time.time() - ended < _PROVISIONAL_SECONDS
    )
    return known.state.final and not fresh


def refuse_other_cluster(run: RunRef) -> None:
    """Raise ClusterError if the run's job is on another cluster: here its number is another job's, or nobody's."""
    cluster = "" if is_local(run) else cluster_of(run.paths)
    if elsewhere := other_cluster(cluster):
        raise ClusterError(elsewhere.rpartition("; ")[0], how_to_reach(cluster))


def is_local(run: RunRef) -> bool:
    """Say whether a run is one without Slurm."""
    return read_record(run.paths.job).get("local") == "1"


def _array(run: RunRef, array: str, said: Said | None) -> RunStatus:
    """An array's state is made of its tasks', which are asked for with one call of squeue, and of sacct at most."""
    if said is None:
        queue = ask_queue()
        found = _array(run, array, Said(queue, {}))
        accounts = ask_accounts([found])
        return _array(run, array, Said(queue, accounts)) if accounts else found
    whole_run = from_files(run)
    begun = (
        {path.name for path in run.paths.folder.iterdir()} if run.paths.folder.is_dir() else set()
    )
    every = [run.task(number) for number in task_numbers(array)]
    tasks = tuple(
        _one(task, said) if task.paths.folder.name in begun else _waiting(task, whole_run, said)
        for task in every
    )
    counts = Counter(task.state for task in tasks)
    state = next(state for state in _OF_ARRAY if state in counts or state is State.COMPLETED)
    words = ", ".join(f"{counts[state]} {state.value}" for state in _OF_ARRAY if counts[state])
    return replace(whole_run, state=state, reason=f"{len(tasks)} tasks: {words}", tasks=tasks)


def _waiting(task: RunRef, array: RunStatus, said: Said) -> RunStatus:
    """Say what a task does that has no folder yet: of many, most wait, and nothing of them need be read."""
    job = None if isinstance(said.queue, ClusterError) else said.queue.get(task.job_id)
    if job is None or state_of(job.state) is not State.PENDING:
        return _one(task, said)
    return RunStatus(
        task.run_id,
        State.PENDING,
        job.reason,
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


def _one(run: RunRef, said: Said | None) -> RunStatus:
    known = from_files(run)
    if is_over(known, run):
        return known
    return _local(run, known) if is_local(run) else _from_slurm(run, known, said)


def _from_slurm(run: RunRef, known: RunStatus, said: Said | None) -> RunStatus:
    queue = said.queue if said else None
    if not known.job_id:
        return _not_queued(run, known)
    try:
        job = _queued(known.job_id, queue)
        if (job is None or state_of(job.state).final) and (
            successor := _unknown_successor(run, known, queue)
        ):
            job, known = successor, replace(known, job_id=successor.job_id)
    except ClusterError as error:
        unknown = replace(known, state=State.NO_ANSWER, reason=str(error).splitlines()[0])
        return known if known.state.final else unknown
    if elsewhere := other_cluster(cluster_of(run.paths)):
        return (
            known if known.state.final else replace(known, state=State.NO_ANSWER, reason=elsewhere)
        )
    if known.state.final:
        return _ending(run, known, job)
    return _forgotten(run, known, said) if job is None else _by_queue(run, known, job)


def _ending(run: RunRef, known: RunStatus, job: QueuedJob | None) -> RunStatus:
    """It wrote that it was cancelled; while Slurm still has the job, that may be corrected."""
    state = State.CANCELLED if job is None else state_of(job.state)
    if job is None or state.final:
        return from_files(run)
    return replace(
        known, state=state, reason="it is ending" if state is State.RUNNING else job.reason
    )


def _by_queue(run: RunRef, known: RunStatus, job: QueuedJob) -> RunStatus:
    state = state_of(job.state)
    if state is State.CANCELLED and _stopped_while_it_waited(run):
        return replace(known, state=State.STOPPED, reason=_LEFT_THE_QUEUE)
    if state in _BETWEEN_ATTEMPTS and _just_ended(run):
        return replace(known, state=State.PENDING, reason="between two attempts")
    waiting = job.reason if state is State.PENDING else known.reason if state.final else ""
    by_slurm = (
        "" if state.final and job.reason == "None" else job.reason
    )  # squeue's word for no reason
    # of a task Slurm's own name, `<array>_<task>`: its SLURM_JOB_ID can be that of the whole array
    return replace(
        known,
        state=state,
        reason=waiting or by_slurm,
        nodes=job.nodes or known.nodes,
        job_id=job.job_id,
        ends=job.ends if state is State.RUNNING else None,
    )


def _not_queued(run: RunRef, known: RunStatus) -> RunStatus:
    if run.paths.cancelled.exists():
        return replace(known, state=State.CANCELLED, reason="cancelled")
    again = "resume" if awaited(run) else "submit"
    return replace(
        known, state=State.PENDING, reason=f"not handed to Slurm yet: {again} again finishes it"
    )


def _queued(job_id: str, queue: Queue | ClusterError | None) -> QueuedJob | None:
    if isinstance(queue, ClusterError):
        raise queue
    if queue is not None:
        return queue.get(job_id)
    found = own_jobs(job_id)
    return found[0] if found else None


def _unknown_successor(
    run: RunRef, known: RunStatus, queue: Queue | ClusterError | None
) -> QueuedJob | None:
    """Find the successor of an attempt that was ended before it could write down the job's id."""
    record = run.paths.successor(f"{known.attempt:04d}")
    if not record.exists() or read_record(record).get("job_id"):
        return None
    jobs = own_jobs() if queue is None or isinstance(queue, ClusterError) else queue.values()
    fitting = [
        job
        for job in jobs
        if job.command == str(run.paths.script) and job.array_id not in known.job_ids
    ]
    return fitting[0] if fitting else None


def _just_ended(run: RunRef) -> bool:
    end = last_end(run)
    ended = whole(end.get("ended"))
    return (
        end.get("next") in ("continue", "by-slurm")
        and ended is not None
        and time.time() - ended < _SETTLE_SECONDS
    )


def _forgotten(run: RunRef, known: RunStatus, said: Said | None) -> RunStatus:
    """Slurmctld forgot the job: sacct may know it; else it is gone, and what is written decides."""
    again = from_files(run)
    if again.state.final:
        return again
    if _asked(run, "cancelled"):
        return replace(known, state=State.CANCELLED, reason="cancelled")
    gone = replace(
        known, state=State.VANISHED, reason="Slurm knows the job no more, and it wrote no end"
    )
    word = (ask_accounts([gone]) if said is None else said.accounts).get(known.job_id)
    if _stopped_while_it_waited(run) and (not word or state_of(word) is State.CANCELLED):
        return replace(known, state=State.STOPPED, reason=_LEFT_THE_QUEUE)
    if word and state_of(word).final:
        return replace(known, state=state_of(word), reason=known.reason or word)
    if _asked(run, "stop"):
        return replace(known, state=State.STOPPED, reason=_LEFT_THE_QUEUE)
    return gone


def _stopped_while_it_waited(run: RunRef) -> bool:
    """Say whether a person took it out of the queue by `stop`: to Slurm that is a cancelled job."""
    began = bool(run.paths.attempts()) and not awaited(run)
    return (
        _asked(run, "stop") and not _asked(run, "cancelled") and not (began and not last_end(run))
    )


def _asked(run: RunRef, name: str) -> bool:
    """Say whether a person's request is there; of a task that has not begun, it lies in the folder of the array."""
    folder = run.paths.folder
    places = [folder, folder.parent] if folder.name.startswith("task-") else [folder]
    return any(
        place.joinpath(name).exists() and place.joinpath(name).stat().st_size for place in places
    )


def _local(run: RunRef, known: RunStatus) -> RunStatus:
    from clusterrun.local import supervisor_lives  # noqa: PLC0415 - only for a local run

    if supervisor_lives(run.paths):
        attempts = run.paths.attempts()
        between = bool(attempts) and run.paths.end(attempts[-1]).exists()
        return replace(known, state=State.PENDING if between or not attempts else State.RUNNING)
    again = from_files(run)
    if again.state.final:
        return again
    if run.paths.cancelled.exists():
        return replace(known, state=State.CANCELLED, reason="cancelled")
    return replace(known, state=State.VANISHED, reason="its process is gone, and it wrote no end")
