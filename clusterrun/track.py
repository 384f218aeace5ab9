"""Run folder and Slurm to one answer: what a run does now. And the requests to a run: wait, cancel, stop.

Three sources, in this order: the end that the script wrote; squeue; sacct, through submitit's watcher. The first
is right whatever accounting does, the second whatever the run folder's file system delays, the third after
slurmctld forgot the job.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from clusterrun.errors import ClusterError
from clusterrun.index import Index, Run
from clusterrun.records import read_record, write_record
from clusterrun.slurm.commands import NoAnswer, installed
from clusterrun.slurm.queue import QueuedJob, cancel_job, own_jobs
from clusterrun.slurm.states import State, state_of

_BY_CAUSE = {
    "finished": State.COMPLETED,
    "stop": State.STOPPED,
    "cancel": State.CANCELLED,
    "time-limit": State.TIMEOUT,
    "preemption": State.PREEMPTED,
    "node-failure": State.NODE_FAIL,
}
_BETWEEN_ATTEMPTS = (State.PREEMPTED, State.NODE_FAIL, State.FAILED, State.COMPLETED, State.TIMEOUT)
# After the end of an attempt Slurm shows its state for a moment before the job is pending again.
_SETTLE_SECONDS = 8.0


@dataclass(frozen=True)
class RunStatus:
    """What is known of a run. Times are seconds since the epoch."""

    run_id: str
    state: State
    reason: str
    """Why it is in this state: Slurm's reason while it waits, the cause of its end in words."""
    job_id: str
    attempt: int
    """The attempt that runs, or ran last; 0 before the first."""
    step: int | None
    total: int | None
    loss: float | None
    nodes: str
    exit_code: int | None
    folder: str

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {**asdict(self), "state": self.state.value}


def status(name: str, index: Index | None = None) -> RunStatus:
    """Say what a run does now; `name` is a run id, a prefix of one, a job id, `last`, or a run folder.

    Raises SpecError where no run is called so.
    """
    return run_status((index or Index()).find(name))


def run_status(run: Run, queue: Mapping[str, QueuedJob] | None = None) -> RunStatus:
    """Say what a run does now; `queue` is what squeue said of all jobs, where it was asked already."""
    known = _from_files(run)
    if known.state.final:
        return known
    if read_record(run.paths.job).get("local") == "1":
        return _local(run, known)
    return _from_slurm(run, known, queue)


def list_runs(index: Index | None = None) -> list[RunStatus]:
    """Say what every run of this user does now, with one call of squeue; the oldest first."""
    runs = (index or Index()).all()
    known = [(run, _from_files(run)) for run in runs]
    living = any(not state.state.final for _, state in known)
    queue: dict[str, QueuedJob] | None = None
    if living and installed():
        try:
            queue = {job.job_id: job for job in own_jobs()}
        except NoAnswer:
            queue = None
    return [state if state.state.final else run_status(run, queue) for run, state in known]


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
    write_record(run.paths.cancelled, {"by": _user(), "time": int(time.time())})
    if read_record(run.paths.job).get("local") == "1":
        from clusterrun.local import cancel_local  # noqa: PLC0415 - only for a local run

        cancel_local(run.paths)
    elif before.job_id:
        cancel_job(before.job_id)
    return replace(before, reason="cancelled")


def stop(name: str, index: Index | None = None) -> RunStatus:
    """Ask a run to save and leave; it does not continue by itself. A run that waits is taken out of the queue."""
    run = (index or Index()).find(name)
    before = run_status(run)
    if before.state.final:
        return before
    # the file's first line is read by rank 0, so it is there in one write
    run.paths.stop.write_text(f"asked by {_user()} at {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    if before.state is State.PENDING and before.job_id and installed():
        cancel_job(before.job_id, only_pending=True)
    return replace(before, reason="asked to save and leave")


def _from_files(run: Run) -> RunStatus:
    attempts = run.paths.attempts()
    begin = read_record(run.paths.begin(attempts[-1])) if attempts else {}
    end = read_record(run.paths.end(attempts[-1])) if attempts else {}
    job_id = begin.get("job_id") or run.job_id or read_record(run.paths.job).get("job_id", "")
    state = State.RUNNING if attempts else State.PENDING
    if end.get("next") == "end":
        state = _BY_CAUSE.get(end.get("cause", ""), State.FAILED)
    progress = read_record(run.paths.progress)
    return RunStatus(
        run_id=run.run_id, state=state, reason=_reason(end), job_id=job_id,
        attempt=int(attempts[-1]) if attempts else 0,
        step=_whole(progress.get("step")), total=_whole(progress.get("total")), loss=_number(progress.get("loss")),
        nodes=begin.get("nodes", ""), exit_code=_whole(end.get("exit_code")), folder=str(run.paths.folder),
    )  # fmt: skip


def _reason(end: Mapping[str, str]) -> str:
    cause = end.get("cause", "")
    words = {
        "finished": "finished", "stop": "saved and left, as asked", "cancel": "cancelled",
        "crash": f"crashed with exit code {end.get('exit_code', '?')}", "time-limit": "time limit",
        "preemption": "preempted", "node-failure": "a node failed", "failed-start": "could not start",
        "requeue": "requeued",
    }.get(cause, cause)  # fmt: skip
    return f"{words}: {end['reason']}" if end.get("reason") else words


def _from_slurm(run: Run, known: RunStatus, queue: Mapping[str, QueuedJob] | None) -> RunStatus:
    if not known.job_id:
        return replace(known, state=State.PENDING, reason="not handed to Slurm yet: submit again finishes it")
    try:
        job = _queued(known.job_id, queue)
    except (NoAnswer, ClusterError) as error:
        return replace(known, state=State.NO_ANSWER, reason=str(error).splitlines()[0])
    if job is not None:
        state = state_of(job.state)
        if state in _BETWEEN_ATTEMPTS and _just_ended(run):
            return replace(known, state=State.PENDING, reason="between two attempts")
        waiting = job.reason if state is State.PENDING else known.reason if state.final else ""
        return replace(known, state=state, reason=waiting or job.reason, nodes=job.nodes or known.nodes)
    return _forgotten(run, known)


def _queued(job_id: str, queue: Mapping[str, QueuedJob] | None) -> QueuedJob | None:
    if queue is not None:
        return queue.get(job_id)
    found = own_jobs(job_id)
    return found[0] if found else None


def _just_ended(run: Run) -> bool:
    attempts = run.paths.attempts()
    end = read_record(run.paths.end(attempts[-1])) if attempts else {}
    ended = _whole(end.get("ended"))
    return end.get("next") in ("continue", "by-slurm") and ended is not None and time.time() - ended < _SETTLE_SECONDS


def _forgotten(run: Run, known: RunStatus) -> RunStatus:
    """Slurmctld forgot the job: sacct may know it; else it is gone, and what is written decides."""
    again = _from_files(run)
    if again.state.final:
        return again
    if run.paths.cancelled.exists():
        return replace(known, state=State.CANCELLED, reason="cancelled")
    from clusterrun.slurm.submitit_seam import accounted_states  # noqa: PLC0415 - submitit is slow to import

    word = accounted_states([known.job_id], run.paths.folder).get(known.job_id)
    if word and state_of(word).final:
        return replace(known, state=state_of(word), reason=known.reason or word)
    if run.paths.stop.exists() and run.paths.stop.stat().st_size:
        return replace(known, state=State.STOPPED, reason="left the queue, as asked")
    return replace(known, state=State.VANISHED, reason="Slurm knows the job no more, and it wrote no end")


def _local(run: Run, known: RunStatus) -> RunStatus:
    from clusterrun.local import supervisor_lives  # noqa: PLC0415 - only for a local run

    if supervisor_lives(run.paths):
        attempts = run.paths.attempts()
        between = bool(attempts) and run.paths.end(attempts[-1]).exists()
        return replace(known, state=State.PENDING if between or not attempts else State.RUNNING)
    again = _from_files(run)
    if again.state.final:
        return again
    if run.paths.cancelled.exists():
        return replace(known, state=State.CANCELLED, reason="cancelled")
    return replace(known, state=State.VANISHED, reason="its process is gone, and it wrote no end")


def _user() -> str:
    import getpass  # noqa: PLC0415 - only for a request

    return getpass.getuser()


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.lstrip("-").isdigit() else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
