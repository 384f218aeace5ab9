"""The statuses of runs for frequent polling, from their folders and a shared squeue answer."""

from __future__ import annotations

from dataclasses import replace

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_status.current import run_status
from clusterrun.run_status.file_status import RunStatus, is_local, last_end, status_from_files
from clusterrun.run_status.listing import ACTIVE, list_runs
from clusterrun.run_status.shared_queue import SharedAnswer, jobs_or_error, shared_answer
from clusterrun.run_status.slurm_snapshot import Queue, SlurmSnapshot, index_jobs
from clusterrun.slurm.commands import installed
from clusterrun.slurm.states import State


def poll_run(run: RunRef, index: Index) -> RunStatus:
    """Return the run's status like `run_status`, from an answer of squeue at most a minute old.

    A run that is no longer in the queue is queried once more before it counts as ended.
    """
    status = (
        run_status(run) if is_local(run) else _apply_shared_answer(_read_shared_answer(index), run)
    )
    return run_status(run) if status.state is State.LOST else status


def poll_active_runs(index: Index) -> list[RunStatus]:
    """Return the statuses of all active runs like `poll_run`, newest first."""
    answer = _read_shared_answer(index)
    return list_runs(index, ACTIVE, look=lambda run: _apply_shared_answer(answer, run))


def _apply_shared_answer(answer: SharedAnswer, run: RunRef) -> RunStatus:
    """Return the run's status; its files take precedence if they changed after the query."""
    known = status_from_files(run)
    if known.state.final or answer.queried_at > _last_record_time(run):
        return run_status(run, SlurmSnapshot(_index_queue(answer), {}))
    if last_end(run):
        return replace(known, state=State.PENDING, reason="between two attempts")
    return (
        known
        if known.state is State.RUNNING
        else replace(known, reason="Slurm is queried within a minute")
    )


def _read_shared_answer(index: Index) -> SharedAnswer:
    if not installed():
        return SharedAnswer(0.0, (), "squeue is not installed on this machine")
    index.make()
    return shared_answer(index.folder)


def _index_queue(answer: SharedAnswer) -> Queue | ClusterError:
    jobs = jobs_or_error(answer)
    return jobs if isinstance(jobs, ClusterError) else index_jobs(jobs)


def _last_record_time(run: RunRef) -> float:
    """Return when the run last wrote a record."""
    try:
        return run.paths.events.stat().st_mtime
    except OSError:
        return 0.0
