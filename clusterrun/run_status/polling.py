"""What runs do, for those who look every few seconds: from their folders, and the answer of squeue that all share."""

from __future__ import annotations

from dataclasses import replace

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_status.current import Queue, Said, by_id, is_local, run_status
from clusterrun.run_status.from_files import RunStatus, from_files, last_end
from clusterrun.run_status.listing import LIVING, list_runs
from clusterrun.run_status.shared_queue import SharedAnswer, queue_of, shared_answer
from clusterrun.slurm.commands import installed
from clusterrun.slurm.states import State


def watched(run: RunRef, index: Index) -> RunStatus:
    """Say what a run does now, as `run_status` does, with an answer of squeue that is a minute old at most.

    A run that has gone from the queue is asked for once more, and is final then.
    """
    found = run_status(run) if is_local(run) else _by(_answer(index), run)
    return run_status(run) if found.state is State.VANISHED else found


def watched_living(index: Index) -> list[RunStatus]:
    """Say what all runs do that live, the newest first; otherwise as `watched`."""
    answer = _answer(index)
    return list_runs(index, LIVING, look=lambda run: _by(answer, run))


def _by(answer: SharedAnswer, run: RunRef) -> RunStatus:
    """Where the run has written a record since Slurm was asked, its files know better."""
    known = from_files(run)
    if known.state.final or answer.asked > _changed(run):
        return run_status(run, Said(_queue(answer), {}))
    if last_end(run):
        return replace(known, state=State.PENDING, reason="between two attempts")
    return (
        known
        if known.state is State.RUNNING
        else replace(known, reason="Slurm is asked within a minute")
    )


def _answer(index: Index) -> SharedAnswer:
    if not installed():
        return SharedAnswer(0.0, (), "squeue is not on this machine")
    index.make()
    return shared_answer(index.folder)


def _queue(answer: SharedAnswer) -> Queue | ClusterError:
    jobs = queue_of(answer)
    return jobs if isinstance(jobs, ClusterError) else by_id(jobs)


def _changed(run: RunRef) -> float:
    """Return when a record of the run came last."""
    try:
        return run.paths.events.stat().st_mtime
    except OSError:
        return 0.0
