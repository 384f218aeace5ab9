"""Run folder and Slurm to one answer: what a run does now. And the requests to a run: wait, cancel, stop.

Three sources, in this order: the end that the script wrote; squeue; sacct, through submitit's watcher. The first
is right whatever accounting does, the second whatever the run folder's file system delays, the third after
slurmctld forgot the job.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from clusterrun.errors import ClusterError
from clusterrun.index import Index, Run, closed
from clusterrun.jobs import smaller_job
from clusterrun.records import read_record, whole, write_record
from clusterrun.slurm.arrays import task_numbers
from clusterrun.slurm.commands import installed
from clusterrun.slurm.queue import QueuedJob, cancel_job, own_jobs
from clusterrun.slurm.states import State, state_of
from clusterrun.written import RunStatus, awaited, from_files, last_end

_BETWEEN_ATTEMPTS = (State.PREEMPTED, State.NODE_FAIL, State.FAILED, State.COMPLETED, State.TIMEOUT)
# After the end of an attempt Slurm shows its state for a moment before the job is pending again.
_SETTLE_SECONDS = 8.0
# A cancellation is written down at once, before the final kill, and corrected if Slurm then names another cause.
_PROVISIONAL_SECONDS = 120.0
# What an array does now is what the first of these does that is the state of one of its tasks.
_OF_ARRAY = (
    State.RUNNING, State.NO_ANSWER, State.PENDING, State.FAILED, State.OUT_OF_MEMORY, State.NODE_FAIL, State.TIMEOUT,
    State.PREEMPTED, State.VANISHED, State.CANCELLED, State.STOPPED, State.COMPLETED,
)  # fmt: skip

Queue = Mapping[str, QueuedJob]


def status(name: str, index: Index | None = None) -> RunStatus:
    """Say what a run does now; `name` is a run id, a prefix of one, a job id, `last`, or a run folder.

    Raises SpecError where no run is called so, ClusterError where it is another user's and closed.
    """
    return run_status((index or Index()).find(name))


def run_status(run: Run, queue: Queue | ClusterError | None = None) -> RunStatus:
    """Say what a run does now; `queue` is what squeue said of all jobs, where it was asked already."""
    try:
        array = read_record(run.paths.intent).get("array")
        return _array(run, array, queue) if array else _one(run, queue)
    except PermissionError as error:
        raise ClusterError(*closed(run.paths.folder)) from error


def list_runs(index: Index | None = None) -> list[RunStatus]:
    """Say what every run of this user does now, with one call of squeue; the oldest first."""
    runs = (index or Index()).all()
    ended = [state if _over(state, run) else None for run in runs for state in [from_files(run)]]
    queue = None if all(ended) else _whole_queue()
    return [state or run_status(run, queue) for run, state in zip(runs, ended, strict=True)]


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
    before = run_status(run)
    if before.state.final:
        return before
    for asked in [run, *(run.task(number) for number in _living(before))]:
        if asked.paths.folder.is_dir():
            _ask(asked)
    if before.job_id and installed() and State.PENDING in {before.state, *(task.state for task in before.tasks)}:
        for job_id in filter(None, (smaller_job(run.paths), before.job_id)):
            cancel_job(job_id, only_pending=True)
    return replace(before, reason="asked to save and leave")


def _cancel_jobs(found: RunStatus, smaller: str) -> None:
    """Of two jobs, one may be about to leave the run to the other, its successor."""
    for job_id in filter(None, dict.fromkeys([smaller, *found.job_ids[-2:], found.job_id])):
        cancel_job(job_id)


def is_local(run: Run) -> bool:
    """Say whether a run is one without Slurm."""
    return read_record(run.paths.job).get("local") == "1"


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
    nothing = RunStatus(
        run.run_id, State.NO_ANSWER, "", run.job_id, 0, None, None, None, "", None, str(run.paths.folder)
    )
    return replace(nothing, reason="asked to save and leave; only its owner sees its state")


def _living(found: RunStatus) -> list[int]:
    """List the numbers of an array's tasks that have not ended."""
    return [int(task.run_id.rpartition("-")[2]) for task in found.tasks if not task.state.final]


def _over(known: RunStatus, run: Run) -> bool:
    """Say whether the files are enough: an end is written, and is not to be corrected any more."""
    end = last_end(run)
    ended = whole(end.get("ended"))
    fresh = end.get("cause") == "cancel" and ended is not None and time.time() - ended < _PROVISIONAL_SECONDS
    return known.state.final and not fresh


def _whole_queue() -> Queue | ClusterError:
    """Ask squeue once for all jobs; where it does not answer, that is the answer for every one of them."""
    try:
        jobs = own_jobs()
    except ClusterError as error:
        return error
    return {name: job for job in jobs for name in (job.raw_id, job.job_id)}


def _array(run: Run, array: str, queue: Queue | ClusterError | None) -> RunStatus:
    """An array's state is made of its tasks', which are asked for with one call of squeue."""
    queue = _whole_queue() if queue is None else queue
    tasks = tuple(_one(run.task(number), queue) for number in task_numbers(array))
    counts = Counter(task.state for task in tasks)
    state = next(state for state in _OF_ARRAY if state in counts or state is State.COMPLETED)
    words = ", ".join(f"{counts[state]} {state.value}" for state in _OF_ARRAY if counts[state])
    return replace(from_files(run), state=state, reason=f"{len(tasks)} tasks: {words}", tasks=tasks)


def _one(run: Run, queue: Queue | ClusterError | None) -> RunStatus:
    known = from_files(run)
    if _over(known, run):
        return known
    return _local(run, known) if is_local(run) else _from_slurm(run, known, queue)


def _from_slurm(run: Run, known: RunStatus, queue: Queue | ClusterError | None) -> RunStatus:
    if not known.job_id:
        return _not_queued(run, known)
    try:
        job = _queued(known.job_id, queue)
        if (job is None or state_of(job.state).final) and (successor := _unknown_successor(run, known, queue)):
            job, known = successor, replace(known, job_id=successor.job_id)
    except ClusterError as error:
        unknown = replace(known, state=State.NO_ANSWER, reason=str(error).splitlines()[0])
        return known if known.state.final else unknown
    if known.state.final:
        return _ending(run, known, job)
    return _forgotten(run, known) if job is None else _by_queue(run, known, job)


def _ending(run: Run, known: RunStatus, job: QueuedJob | None) -> RunStatus:
    """It wrote that it was cancelled; while Slurm still has the job, that may be corrected."""
    state = State.CANCELLED if job is None else state_of(job.state)
    if job is None or state.final:
        return from_files(run)
    return replace(known, state=state, reason="it is ending" if state is State.RUNNING else job.reason)


def _by_queue(run: Run, known: RunStatus, job: QueuedJob) -> RunStatus:
    state = state_of(job.state)
    if state in _BETWEEN_ATTEMPTS and _just_ended(run):
        return replace(known, state=State.PENDING, reason="between two attempts")
    waiting = job.reason if state is State.PENDING else known.reason if state.final else ""
    # of a task Slurm's own name, `<array>_<task>`: its SLURM_JOB_ID can be that of the whole array
    return replace(known, state=state, reason=waiting or job.reason, nodes=job.nodes or known.nodes, job_id=job.job_id)


def _not_queued(run: Run, known: RunStatus) -> RunStatus:
    if run.paths.cancelled.exists():
        return replace(known, state=State.CANCELLED, reason="cancelled")
    again = "resume" if awaited(run) else "submit"
    return replace(known, state=State.PENDING, reason=f"not handed to Slurm yet: {again} again finishes it")


def _queued(job_id: str, queue: Queue | ClusterError | None) -> QueuedJob | None:
    if isinstance(queue, ClusterError):
        raise queue
    if queue is not None:
        return queue.get(job_id)
    found = own_jobs(job_id)
    return found[0] if found else None


def _unknown_successor(run: Run, known: RunStatus, queue: Queue | ClusterError | None) -> QueuedJob | None:
    """Find the successor of an attempt that was ended before it could write down the job's id."""
    record = run.paths.successor(f"{known.attempt:04d}")
    if not record.exists() or read_record(record).get("job_id"):
        return None
    jobs = own_jobs() if queue is None or isinstance(queue, ClusterError) else queue.values()
    fitting = [job for job in jobs if job.command == str(run.paths.script) and job.array_id not in known.job_ids]
    return fitting[0] if fitting else None


def _just_ended(run: Run) -> bool:
    end = last_end(run)
    ended = whole(end.get("ended"))
    return end.get("next") in ("continue", "by-slurm") and ended is not None and time.time() - ended < _SETTLE_SECONDS


def _forgotten(run: Run, known: RunStatus) -> RunStatus:
    """Slurmctld forgot the job: sacct may know it; else it is gone, and what is written decides."""
    again = from_files(run)
    if again.state.final:
        return again
    if _asked(run, "cancelled"):
        return replace(known, state=State.CANCELLED, reason="cancelled")
    from clusterrun.slurm.submitit_seam import accounted_states  # noqa: PLC0415 - submitit is slow to import

    word = accounted_states([known.job_id], run.paths.folder).get(known.job_id)
    if word and state_of(word).final:
        return replace(known, state=state_of(word), reason=known.reason or word)
    if _asked(run, "stop"):
        return replace(known, state=State.STOPPED, reason="left the queue, as asked")
    return replace(known, state=State.VANISHED, reason="Slurm knows the job no more, and it wrote no end")


def _asked(run: Run, name: str) -> bool:
    """Say whether a person's request is there; of a task that has not begun, it lies in the folder of the array."""
    folder = run.paths.folder
    places = [folder, folder.parent] if folder.name.startswith("task-") else [folder]
    return any(place.joinpath(name).exists() and place.joinpath(name).stat().st_size for place in places)


def _local(run: Run, known: RunStatus) -> RunStatus:
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


def _user() -> str:
    import getpass  # noqa: PLC0415 - only for a request

    return getpass.getuser()
